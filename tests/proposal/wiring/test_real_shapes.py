"""Repositories of several shapes, proposed to, merged and built by the real Go: who got which profile?"""

import os
import shutil
import subprocess

import pytest

from fleetpgo.golang.environment import build_environment
from fleetpgo.golang.toolchain import build_settings
from fleetpgo.proposal.body import Provenance
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.proposal.git import git
from fleetpgo.steps.propose import propose
from tests.conftest import TINY
from tests.tiny import tiny

pytestmark = pytest.mark.slow

PROVENANCE = Provenance(run="run-1", query="up", selected=1, missing={}, samples=1)
MODULE = {
    "go.mod": "module example.com/shop\n\ngo 1.24\n",
    "cmd/api/main.go": TINY,
    "cmd/worker/main.go": TINY,
}
EACH = "go build -o bin/{0} ./cmd/{0}"
TOOLS = "tools:\n\tcd tools && go build -o ../bin/lint .\n"


@pytest.fixture
def merged(tmp_path, go_profile, go_cache):
    """Propose for each service of a repository and merge it; then what each binary says of its profile."""
    work, bare = tmp_path / "work", tmp_path / "forge" / "tiny.git"

    def run(files, services, build, *, links=()):
        for name, text in {**MODULE, **files}.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)
        for link, target in links:
            (work / link).symlink_to(target)
        git(work, "init", "--quiet", "--initial-branch=main")
        git(work, "add", ".")
        git(work, "commit", "--quiet", "--message", "Begin")
        bare.parent.mkdir()
        git(tmp_path, "clone", "--quiet", "--bare", str(work), str(bare))
        forge = LocalForge(str(bare.parent), "tiny")
        for number, (binary, command, path) in enumerate(services, 1):
            service = tiny(repository={"profile": path}, build={"binary": binary, "command": command})
            service = service.model_copy(update={"name": binary.rpartition("/")[2]})
            made = propose(service, forge, go_profile, PROVENANCE, dry_run=False, cache=go_cache)
            assert made.pull_request == number
            forge.merge(number)
        changed = git(bare, "diff", "--name-only", git(work, "rev-parse", "HEAD"), "main").split()
        shutil.rmtree(work)
        git(tmp_path, "clone", "--quiet", str(bare), str(work))
        environment = build_environment(os.environ, go_cache, "shapes")
        subprocess.run(["sh", "-ec", build], cwd=work, env=environment, check=True)
        settings = {
            each.name: build_settings(each, environment=environment)
            for each in sorted((work / "bin").iterdir())
        }
        return changed, {
            name: said.get("-pgo", "").removeprefix(f"{work}/") for name, said in settings.items()
        }

    return run


def test_two_services_of_one_makefile_get_their_own_profiles_and_a_tool_none(merged):
    makefile = f"api:\n\t{EACH.format('api')}\nworker:\n\t{EACH.format('worker')}\n{TOOLS}.PHONY: tools\n"
    files = {"Makefile": makefile, "tools/go.mod": "module tools\n\ngo 1.24\n", "tools/main.go": TINY}
    services = [(f"bin/{each}", f"make {each}", f"pgo/{each}.pprof") for each in ("api", "worker")]

    changed, profiles = merged(files, services, "make api worker tools")

    assert changed == ["Makefile", "pgo/api.pprof", "pgo/worker.pprof"]
    assert profiles == {"api": "pgo/api.pprof", "lint": "", "worker": "pgo/worker.pprof"}


def test_two_services_of_one_line_get_their_own_default_pgo(merged):
    files = {"Makefile": "build:\n\tgo build -o bin/ ./cmd/...\n"}
    services = [(f"bin/{each}", "make build", None) for each in ("api", "worker")]

    changed, profiles = merged(files, services, "make build")

    assert changed == ["cmd/api/default.pgo", "cmd/worker/default.pgo"]
    assert profiles == {"api": "cmd/api/default.pgo", "worker": "cmd/worker/default.pgo"}


def test_a_linked_makefile_is_edited_where_it_leads(merged):
    files = {"mk/service.mk": f"api:\n\t{EACH.format('api')}\nworker:\n\t{EACH.format('worker')}\n"}

    changed, profiles = merged(
        files,
        [("bin/api", "make api", "pgo/api.pprof")],
        "make api worker",
        links=[("Makefile", "mk/service.mk")],
    )

    assert changed == ["mk/service.mk", "pgo/api.pprof"]
    assert profiles == {"api": "pgo/api.pprof", "worker": ""}


def test_a_recursive_make_in_an_inner_module_of_a_workspace_gets_its_default_pgo(merged):
    files = {
        "go.work": "go 1.24\n\nuse (\n\t.\n\t./inner\n)\n",
        "inner/go.mod": "module example.com/shop/inner\n\ngo 1.24\n",
        "inner/main.go": TINY,
        "inner/Makefile": "inner:\n\tgo build -C . -o ../bin/inner .\n",
        "Makefile": "build:\n\t$(MAKE) -BC inner\n",
    }

    changed, profiles = merged(
        files, [("bin/inner", "make build", None)], f"make build; {EACH.format('api')}"
    )

    assert changed == ["inner/default.pgo"]
    assert profiles == {"api": "", "inner": "inner/default.pgo"}


def test_go_install_into_the_repository_gets_its_profile(merged):
    files = {"Makefile": "api:\n\tGOBIN=$(CURDIR)/bin go install ./cmd/api\n"}

    changed, profiles = merged(files, [("bin/api", "make api", "pgo/api.pprof")], "make api")

    assert changed == ["Makefile", "pgo/api.pprof"]
    assert profiles == {"api": "pgo/api.pprof"}
