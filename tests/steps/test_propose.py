import dataclasses
import gzip
import logging
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from fleetpgo.errors import BuildError, ForgeError, RepositoryError, ToolchainError
from fleetpgo.proposal.body import Datacenter, Provenance
from fleetpgo.proposal.builds import record_build
from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.ensure import Marker, marker
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.proposal.git import git
from fleetpgo.proposal.verify import verify
from fleetpgo.proposal.wiring.edits import find_wiring
from fleetpgo.proposal.wiring.texts import read_build_texts
from fleetpgo.run.digest import digest
from fleetpgo.run.profiled import Contribution
from fleetpgo.run.proposed import Proposed
from fleetpgo.run.store import RunStore
from fleetpgo.steps.propose import propose
from fleetpgo.steps.propose_run import _datacenters
from tests.pprof.messages import message
from tests.tiny import repacked, tiny

TESTDATA = Path(__file__).parents[1] / "testdata"

PROVENANCE = Provenance(run="run-1", query="up", selected=6, missing={"a:1": "timeout"}, samples=1_234)


@pytest.fixture
def run(forge, go_profile, go_cache):
    """Propose as a run does; what a test does not name is as in the tiny service."""

    def propose_it(
        *,
        profile=go_profile,
        provenance=PROVENANCE,
        forge=forge,
        dry_run=False,
        profile_path="pgo/profile.pprof",
        connection="forge",
        unchanged_above=0.95,
        **build,
    ):
        service = tiny(
            repository={"profile": profile_path, "connection": connection},
            profile={"unchanged_above": unchanged_above},
            build=build,
        )
        return propose(service, forge, profile, provenance, dry_run=dry_run, cache=go_cache)

    return propose_it


def edit(bare, tmp_path, files):
    """Commit files to the base, as a developer does; None removes one."""
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", bare.as_uri(), str(work))
    for name, text in files.items():
        if text is None:
            (work / name).unlink()
        else:
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "Edit")
    git(work, "push", "--quiet", "origin", "main")


def edit_bytes(bare, tmp_path, name, content):
    """Commit a file of bytes to the base."""
    work = tmp_path / "work"
    (work / name).parent.mkdir(parents=True, exist_ok=True)
    (work / name).write_bytes(content)
    git(work, "add", "--force", name)
    git(work, "commit", "--quiet", "--message", "Add bytes")
    git(work, "push", "--quiet", "origin", "main")


def stable(proposed):
    """A result without what differs from build to build.

    Each clone has a path of its own, which the binary holds in its compressed debug information.
    """
    return dataclasses.replace(proposed, size_without=0, size_with=0, seconds_without=0.0, seconds_with=0.0)


def test_a_profile_is_built_pushed_and_proposed(run, forge, bare, go_profile):
    proposed = run()

    head = git(bare, "rev-parse", "fleetpgo/tiny")
    pull_request = forge.get(1)
    assert stable(proposed) == Proposed(
        branch="fleetpgo/tiny",
        base="main",
        profile=digest(go_profile),
        unchanged=False,
        dry_run=False,
        path="pgo/profile.pprof",
        head=head,
        pull_request=1,
        url=pull_request.url,
        toolchain=proposed.toolchain,
        size_without=0,
        size_with=0,
        seconds_without=0.0,
        seconds_with=0.0,
        source_match=proposed.source_match,
    )
    assert re.fullmatch(r"go1\.\d+(\.\d+)?", proposed.toolchain)
    assert proposed.size_without < proposed.size_with
    assert (head, "open") == (pull_request.head, pull_request.state)
    assert Marker("run-1", digest(go_profile)) == marker(pull_request.body)


def test_the_commit_holds_the_profile_and_the_wired_makefile(run, bare, go_profile):
    run()

    def blob(name):
        return subprocess.run(
            ["git", "cat-file", "blob", f"fleetpgo/tiny:{name}"], cwd=bare, capture_output=True, check=True
        ).stdout

    assert git(bare, "diff", "--name-only", "main", "fleetpgo/tiny") == "Makefile\npgo/profile.pprof"
    assert go_profile == blob("pgo/profile.pprof")
    assert blob("Makefile") == b"build:\n\tgo build -pgo=$(or $(PGO),pgo/profile.pprof) -o bin/tiny .\n"


def test_the_result_survives_the_store(run, tmp_path):
    proposed = run(dry_run=True)

    store = RunStore(tmp_path / "another", "tiny", "a-run")
    store.write(proposed)
    assert store.read(Proposed) == proposed


def test_a_second_run_leaves_one_commit_and_one_pull_request(run, forge, bare):
    first = run()
    second = run(provenance=dataclasses.replace(PROVENANCE, run="run-2"))

    assert stable(first) == stable(second)
    assert [each.number for each in forge.pull_requests()] == [1]
    assert marker(forge.get(1).body).run == "run-2"
    assert git(bare, "rev-list", "--count", "main..fleetpgo/tiny") == "1"


def test_another_profile_updates_the_same_pull_request(run, forge, bare, go_profile):
    run()
    other = repacked(go_profile)
    second = run(profile=other)

    assert (1, digest(other)) == (second.pull_request, second.profile)
    assert second.head == forge.get(1).head
    assert git(bare, "rev-list", "--count", "main..fleetpgo/tiny") == "1"


class HeldUp:
    """A forge whose answer after the push comes late: another run is done before it."""

    def __init__(self, forge, meanwhile):
        self._forge, self._meanwhile, self._found = forge, meanwhile, 0

    def __getattr__(self, name):
        return getattr(self._forge, name)

    def find(self, branch):
        self._found += 1
        found = self._forge.find(branch)
        if self._found == 2:  # the first time is before the build
            self._meanwhile()
        return found


def test_a_run_that_is_held_up_after_its_push_leaves_another_run_s_text(run, forge, bare, another_profile):
    held_up = HeldUp(forge, lambda: run(profile=another_profile))

    with pytest.raises(
        RepositoryError, match=r"fleetpgo/tiny was moved from \w{40} to \w{40} after this run"
    ):
        run(forge=held_up)

    (pull_request,) = forge.pull_requests()
    assert marker(pull_request.body) == Marker("run-1", digest(another_profile))
    assert pull_request.head == git(bare, "rev-parse", "fleetpgo/tiny")


@pytest.mark.parametrize("name", ["pgo/profile.pprof", "pgo", "Makefile"])
def test_a_link_out_of_the_repository_is_refused_and_nothing_is_written_there(
    run, forge, bare, tmp_path, name
):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("untouched")
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", bare.as_uri(), str(work))
    (work / name).unlink(missing_ok=True)
    (work / name).parent.mkdir(exist_ok=True)
    (work / name).symlink_to(outside if name == "pgo" else outside / "file")
    git(work, "add", "--all", "--force")
    git(work, "commit", "--quiet", "--message", "Link")
    git(work, "push", "--quiet", "origin", "main")

    with pytest.raises((RepositoryError, BuildError)):
        run()

    assert forge.pull_requests() == []
    assert [file.read_text() for file in outside.iterdir()] == ["untouched"]


def test_what_the_base_holds_already_is_not_proposed(run, forge, go_profile):
    run()
    forge.merge(1)

    assert run() == Proposed(
        "fleetpgo/tiny",
        "main",
        digest(go_profile),
        unchanged=True,
        dry_run=False,
        reason="nothing changed for the compiler since the profile on main",
        overlap=1.0,
    )
    assert [each.number for each in forge.pull_requests()] == [1]


def test_a_profile_with_the_same_edges_in_other_bytes_is_not_proposed(run, forge, go_profile):
    run()
    forge.merge(1)

    assert run(profile=repacked(go_profile)).unchanged
    assert [each.number for each in forge.pull_requests()] == [1]


def test_a_profile_that_overlaps_beyond_the_threshold_is_not_proposed(run, forge, another_profile):
    run()
    forge.merge(1)
    proposed = run(profile=another_profile, unchanged_above=0.0)

    assert proposed.reason.endswith("profile.unchanged_above is 0")
    assert [each.number for each in forge.pull_requests()] == [1]


def test_after_a_merge_the_next_profile_gets_a_new_pull_request(run, forge, go_profile, another_profile):
    run()
    forge.merge(1)
    proposed = run(profile=another_profile)

    assert (proposed.pull_request, proposed.unchanged) == (2, False)
    assert f"overlap with the current profile {proposed.overlap:.2f}." in forge.get(2).body
    assert (
        f"| current | `{digest(go_profile)}` | {len(go_profile):,} | {proposed.current_match:.2f}"
        in forge.get(2).body
    )
    assert [each.state for each in forge.pull_requests()] == ["merged", "open"]


def test_a_dry_run_builds_but_leaves_no_trace(run, forge, bare):
    proposed = run(dry_run=True)

    assert (proposed.head, proposed.pull_request, proposed.url) == (None, None, None)
    assert proposed.size_with > proposed.size_without > 0
    assert git(bare, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert forge.pull_requests() == []


def test_a_push_without_a_pull_request_is_completed(run, bare, origin):
    class Down(LocalForge):
        """A forge that goes down after the push."""

        def create(self, *arguments, **named):
            raise ForgeError("the forge is down")

    with pytest.raises(ForgeError, match="the forge is down"):
        run(forge=Down(str(origin), "tiny"))
    pushed = git(bare, "rev-parse", "fleetpgo/tiny")

    proposed = run()

    assert (pushed, 1) == (proposed.head, proposed.pull_request)


def test_a_build_that_breaks_proposes_nothing(run, forge, bare, tmp_path, caplog):
    edit(bare, tmp_path, {"main.go": "package main\n\nfunc main() { missing() }\n"})
    caplog.set_level(logging.INFO)

    with pytest.raises(BuildError, match="undefined: missing"):
        run()

    assert "./main.go:3:15: undefined: missing" in caplog.messages
    assert git(bare, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert forge.pull_requests() == []


def test_a_build_that_fails_with_the_profile_only_is_told_as_that(run, forge, caplog):
    caplog.set_level(logging.INFO)

    with pytest.raises(
        BuildError, match="tiny builds without the profile, but not with it: `make build` failed"
    ):
        run(profile=b"no profile")

    assert any("error parsing profile" in message for message in caplog.messages)
    assert forge.pull_requests() == []


FAILING = 'package main\n\nimport "testing"\n\nfunc TestTotal(t *testing.T) { t.Fatal("42 is expected") }\n'


def test_tests_that_fail_propose_nothing(run, forge, bare, tmp_path, caplog):
    edit(bare, tmp_path, {"main_test.go": FAILING})
    caplog.set_level(logging.INFO)

    with pytest.raises(BuildError, match=r"`go test \./\.\.\.` failed with exit status 1"):
        run(test="go test ./...")

    assert "    main_test.go:5: 42 is expected" in caplog.messages
    assert forge.pull_requests() == []


def test_tests_run_with_the_profile_in_place(run, caplog):
    caplog.set_level(logging.INFO)

    proposed = run(dry_run=True, test="sha256sum pgo/profile.pprof")

    assert (
        f"{proposed.profile}"
        == caplog.messages[caplog.messages.index("testing with the profile in place") + 1][:12]
    )


def test_a_repository_with_its_own_toolchain_is_built_by_it(run, forge, bare, tmp_path, monkeypatch, caplog):
    edit(bare, tmp_path, {"go.mod": "module example.com/tiny\n\ngo 1.24\n\ntoolchain go1.99.1\n"})
    # Go finds a toolchain by its name on the PATH; this one says so, and leaves the work to the real one.
    toolchain = tmp_path / "programs" / "go1.99.1"
    toolchain.parent.mkdir()
    toolchain.write_text(
        "#!/bin/sh\nunset GOTOOLCHAIN_INTERNAL_SWITCH_VERSION\n"
        '[ "$1" = build ] && echo go1.99.1 builds\nGOTOOLCHAIN=local exec go "$@"\n'
    )
    toolchain.chmod(0o755)
    monkeypatch.setenv("PATH", f"{toolchain.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("GOTOOLCHAIN", "auto")
    caplog.set_level(logging.INFO)

    run()

    # As it is with an empty profile, with the Makefile's edit, and with the profile.
    assert caplog.messages.count("go1.99.1 builds") == 3
    assert [each.state for each in forge.pull_requests()] == ["open"]


def test_a_repository_whose_toolchain_is_not_to_be_had_is_told_so(
    run, forge, bare, tmp_path, monkeypatch, caplog
):
    edit(bare, tmp_path, {"go.mod": "module example.com/tiny\n\ngo 1.99\n"})
    monkeypatch.setenv("GOTOOLCHAIN", "local")
    caplog.set_level(logging.INFO)

    with pytest.raises(ToolchainError, match="needs a Go toolchain that cannot be downloaded"):
        run()

    assert any("go.mod requires go >= 1.99" in message for message in caplog.messages)
    assert forge.pull_requests() == []


VENDORED = {
    "go.mod": "module example.com/tiny\n\ngo 1.24\n\nrequire example.com/dep v1.0.0\n",
    "main.go": 'package main\n\nimport "example.com/dep"\n\nfunc main() {\n\tprintln(dep.Area(2))\n}\n',
    "vendor/modules.txt": "# example.com/dep v1.0.0\n## explicit; go 1.24\nexample.com/dep\n",
    "vendor/example.com/dep/dep.go": "package dep\n\nfunc Area(side int) int { return side * side }\n",
}


def test_a_repository_with_vendored_dependencies_is_built_from_them(run, forge, bare, tmp_path):
    edit(bare, tmp_path, VENDORED)
    stack = [[("example.com/dep.Area", 3, 3)], [("main.main", 5, 6)]]

    proposed = run(profile=gzip.compress(message([(stack, 900)]).SerializeToString(), mtime=0))

    assert (proposed.pull_request, proposed.source_match) == (1, 1.0)


def test_a_repository_with_several_main_packages_is_proposed_for_the_one_that_is_named(
    run, forge, bare, tmp_path
):
    main = "package main\n\nfunc main() { println(1) }\n"
    edit(
        bare,
        tmp_path,
        {
            "main.go": None,
            "cmd/a/main.go": main,
            "cmd/b/main.go": main,
            "Makefile": "build:\n\tgo build -o bin/ ./cmd/...\n",
        },
    )

    proposed = run(binary="bin/b", profile_path=None)

    assert (proposed.pull_request, proposed.path) == (1, "cmd/b/default.pgo")
    assert git(bare, "diff", "--name-only", "main", "fleetpgo/tiny") == "cmd/b/default.pgo"


def test_without_a_path_the_profile_goes_beside_the_main_package(run, bare, tmp_path, go_profile):
    edit(bare, tmp_path, {"Makefile": None})

    first = run(command="go build -o bin/tiny .", profile_path=None)
    git(bare, "update-ref", "refs/heads/main", first.head)
    second = run(command="go build -o bin/tiny .", profile_path=None)

    assert (first.path, first.size_without < first.size_with) == ("default.pgo", True)
    assert git(bare, "diff", "--name-only", "fleetpgo/tiny^", "fleetpgo/tiny") == "default.pgo"
    assert (second.path, second.unchanged) == ("default.pgo", True)


def test_without_a_path_a_profile_stays_where_the_build_takes_it(
    run, bare, tmp_path, another_profile, caplog
):
    edit(bare, tmp_path, {"Makefile": "build:\n\tgo build -pgo=pgo/old -o bin/tiny .\n"})
    edit_bytes(bare, tmp_path, "pgo/old", another_profile)
    caplog.set_level(logging.INFO)

    proposed = run(profile_path=None)

    assert git(bare, "diff", "--name-only", "main", "fleetpgo/tiny") == "pgo/old"
    assert proposed.path == "pgo/old"
    assert 0 < proposed.overlap < 1
    assert "the build on main passes -pgo=pgo/old, so the profile stays there" in caplog.messages


def test_a_base_that_was_built_is_not_built_again(run, another_profile, caplog):
    caplog.set_level(logging.INFO)
    own = f"remembered_{time.time_ns()}"  # the cache stays, with what earlier test runs have built
    first = run(dry_run=True, profile_path=None, connection=own)
    before = caplog.messages.count("building main with no profile")
    second = run(dry_run=True, profile_path=None, connection=own, profile=another_profile)

    # The first guess of the profile's place was right.
    assert (before, caplog.messages.count("building main with no profile")) == (1, 1)
    assert second.size_without == first.size_without
    assert second.profile != first.profile


def test_another_service_file_builds_the_base_for_itself(run, caplog):
    caplog.set_level(logging.INFO)
    own = f"itself_{time.time_ns()}"
    run(dry_run=True, profile_path=None, connection=own)
    run(dry_run=True, profile_path=None, connection=own, environment={"FLAVOUR": "other"})

    assert caplog.messages.count("building main with no profile") == 2


def test_a_build_that_cannot_succeed_is_refused_before_it_begins(run, bare, tmp_path, caplog):
    edit(bare, tmp_path, {"Makefile": "build:\n\tgo install .\n"})
    caplog.set_level(logging.INFO)

    with pytest.raises(BuildError, match="which writes outside of the clone"):
        run()

    assert not [message for message in caplog.messages if message.startswith("building")]


def test_a_profile_that_git_lfs_would_keep_is_refused_before_the_build(run, bare, tmp_path, caplog):
    edit(bare, tmp_path, {".gitattributes": "*.pprof filter=other\n"})
    caplog.set_level(logging.INFO)

    with pytest.raises(RepositoryError, match=r"would commit pgo/profile\.pprof with other bytes"):
        run()

    assert not [message for message in caplog.messages if message.startswith("building")]


def test_a_reference_is_compared_with_the_build(run, forge):
    reference = "tiny: go1.20\n\tpath\texample.com/tiny\n\tbuild\t-tags=netgo\n"

    run(reference=reference)

    assert "-tags is not set in this build and netgo in the reference binary" in forge.get(1).body


def test_what_was_rejected_is_known_without_a_path(run, forge):
    run(profile_path=None)
    forge.close(1)

    assert "which was closed unmerged, is 1.000" in run(profile_path=None).reason


def test_the_build_has_the_environment_of_the_service_file(run, forge, bare, tmp_path):
    edit(bare, tmp_path, {"tagged.go": "//go:build tagged\n\npackage main\n\nfunc broken() { undefined }\n"})

    with pytest.raises(BuildError, match="undefined"):
        run(environment={"GOFLAGS": "-tags=tagged"})

    run(environment={"GOFLAGS": "-tags=other"})
    assert "`go version -m` says of them: `-tags=other`" in forge.get(1).body


def test_a_profile_that_changes_nothing_is_refused(run, bare, tmp_path):
    kept = tmp_path / "kept"
    build = f"go build -pgo=pgo/profile.pprof -o bin/new . && cp bin/new {kept}"
    recipe = f"test -f {kept} || {{ {build}; }}; mkdir -p bin; cp {kept} bin/tiny"
    edit(bare, tmp_path, {"Makefile": f"build:\n\t{recipe}\n"})

    with pytest.raises(BuildError, match=r"the profile changes nothing: bin/tiny has the same bytes"):
        run()


def test_a_profile_that_is_a_link_is_refused_before_the_build(run, bare, tmp_path, caplog):
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", bare.as_uri(), str(work))
    (work / "default.pgo").symlink_to("main.go")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "--message", "Link")
    git(work, "push", "--quiet", "origin", "main")
    caplog.set_level(logging.INFO)

    with pytest.raises(RepositoryError, match=r"default\.pgo is not a file on main, but a link"):
        run(profile_path=None)

    assert not [message for message in caplog.messages if message.startswith("building")]


@pytest.mark.parametrize("profile_path", ["pgo/profile.pprof", None])
def test_a_repository_that_wants_no_profile_is_left_alone(run, forge, bare, tmp_path, profile_path):
    edit(bare, tmp_path, {"Makefile": "build:\n\tgo build -pgo=off -o bin/tiny .\n"})

    proposed = run(profile_path=profile_path)

    call = "go build -pgo=off -o bin/tiny ."
    assert proposed.unchanged
    assert proposed.reason == (
        f"the repository builds without a profile on purpose: bin/tiny is made by `{call}`"
    )
    assert forge.pull_requests() == []


def test_a_build_that_asks_git_for_its_version_gets_it(run, bare, tmp_path, caplog):
    git(bare, "tag", "v1.0.0", "main")
    edit(bare, tmp_path, {"Makefile": "build:\n\tgit describe --tags\n\tgo build -o bin/tiny .\n"})
    caplog.set_level(logging.INFO)

    run(dry_run=True)

    assert any(message.startswith("v1.0.0-1-g") for message in caplog.messages)


def test_the_pull_request_says_what_the_compiler_did(run, forge):
    run(explain=True)

    assert "Because of the profile the compiler inlined hot calls in " in forge.get(1).body


def test_the_explaining_build_leaves_the_figures_of_the_two_others(bare, go_profile, go_cache):
    def sizes(checkout, *, explain):
        service = tiny(build={"explain": explain})
        recorded = record_build(
            checkout, service, go_cache, modules=texts.modules.values(), profile="pgo/profile.pprof"
        )
        wiring = find_wiring(texts, service, recorded.plain.base)
        verified = verify(
            checkout,
            service,
            wiring,
            go_profile,
            go_cache,
            repository=texts,
            recorded=recorded,
            current=None,
        )
        assert bool(verified.optimised) == explain
        return verified.without.size, verified.with_profile.size

    # In one clone: the path of another would tell on the sizes.
    with clone(bare.as_uri(), "main", "fleetpgo/tiny", config={}) as checkout:
        texts = read_build_texts(checkout)
        assert sizes(checkout, explain=False) == sizes(checkout, explain=True)


def test_a_build_that_bypasses_the_makefile_is_found_out(run):
    with pytest.raises(BuildError, match=r"bin/tiny was built without -pgo, not with pgo/profile\.pprof"):
        run(command="go build -o bin/tiny .")


def test_a_build_that_differs_for_another_reason_is_found_out(run, bare, tmp_path):
    """Nothing is recorded of Go that is called by its path, and each of these builds gives another binary."""
    recipe = '$(shell go env GOROOT)/bin/go build $(X) -ldflags "-X main.at=$$(date +%s%N)" -o bin/tiny .'
    makefile = f"build:\n\t{recipe}\nprofiled:\n\t$(MAKE) build X=-pgo=pgo/profile.pprof\n"
    edit(bare, tmp_path, {"Makefile": makefile})

    with pytest.raises(BuildError, match=r"bin/tiny was built without -pgo, not with pgo/profile\.pprof"):
        run()


def test_an_edit_that_another_program_would_get_is_refused(run, forge, bare, tmp_path):
    makefile = (
        "build:\n\t$(MAKE) one OUT=bin/tiny\n\t$(MAKE) one OUT=bin/other\none:\n\tgo build -o $(OUT) .\n"
    )
    edit(bare, tmp_path, {"Makefile": makefile})

    with pytest.raises(BuildError, match=r"the edit would also give pgo/profile\.pprof to") as error:
        run()

    assert "leave repository.profile out of the service file" in error.value.hint
    assert forge.pull_requests() == []


def test_a_build_with_another_profile_is_found_out(run, bare, tmp_path):
    makefile = "PROFILE = other.pgo\nbuild:\n\tgo build -pgo=$(PROFILE) -o bin/tiny .\n"
    edit(bare, tmp_path, {"Makefile": makefile, "other.pgo": ""})

    with pytest.raises(RepositoryError, match=r"bin/tiny is built with other\.pgo, not with pgo/profile"):
        run()


@pytest.mark.slow  # new flags: all of the standard library is compiled anew, twice
def test_a_build_that_keeps_only_the_name_of_the_profile_passes(run, bare, tmp_path):
    edit(bare, tmp_path, {"Makefile": "build:\n\tgo build -trimpath -o bin/tiny .\n"})

    assert run(dry_run=True).size_with


@pytest.mark.parametrize(
    "stages",
    [
        "build: out/tiny\n\tmkdir bin; cp out/tiny bin/tiny\nout/tiny: main.go\n\tgo build -o out/tiny .\n",
        "build: .built\n.built: main.go\n\tgo build -o bin/tiny . && touch .built\n",
    ],
    ids=["a copy", "a mark"],
)
def test_what_make_holds_for_done_is_built_again(run, bare, tmp_path, stages):
    edit(bare, tmp_path, {"Makefile": stages})

    proposed = run(profile_path=None)

    assert proposed.size_without < proposed.size_with


def test_a_binary_that_make_holds_for_up_to_date_is_built_again(run, bare, tmp_path):
    edit(bare, tmp_path, {"Makefile": "bin/tiny: main.go\n\tgo build -o bin/tiny .\n"})

    proposed = run(dry_run=True, command="make bin/tiny")

    assert proposed.size_without < proposed.size_with


def test_a_repository_without_a_makefile_is_told_so(run, bare, tmp_path):
    edit(bare, tmp_path, {"Makefile": None})

    with pytest.raises(RepositoryError, match=r"not certain: there is no Makefile") as error:
        run(command="go build -o bin/tiny .")

    assert "add `-pgo=pgo/profile.pprof` to `go build -o bin/tiny .`" in error.value.hint


def test_no_secret_reaches_the_build_the_log_or_the_pull_request(
    run, bare, origin, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("AIRFLOW_CONN_FORGE", "planted-secret")
    monkeypatch.setenv("FLEETPGO_TOKEN", "planted-secret")

    class Credentialed(LocalForge):
        """A forge whose connection holds a token."""

        def git_config(self):
            return {"http.https://example.com/.extraHeader": "Authorization: planted-secret"}

    recipe = "build:\n\tenv\n\tcat .git/config\n\tgit config --list\n\tgo build -o bin/tiny .\n"
    edit(bare, tmp_path, {"Makefile": recipe})
    caplog.set_level(logging.DEBUG)
    forge = Credentialed(str(origin), "tiny")

    run(forge=forge)

    assert any(message.startswith("GOCACHE=") for message in caplog.messages)
    assert any(message.startswith("remote.origin.url=") for message in caplog.messages)
    assert "planted-secret" not in caplog.text
    assert "planted-secret" not in forge.get(1).body
    assert "planted-secret" not in git(bare, "log", "--patch", "--format=%B", "fleetpgo/tiny")


def test_datacenters_are_told_by_what_their_instances_gave():
    instances = [
        Contribution("a:80", "ams", "used", 1.0, samples=10),
        Contribution("b:80", "fra", "used", 1.0, samples=30),
        Contribution("c:80", "ams", "refused", 1.0, samples=99),
    ]

    assert _datacenters(instances) == [Datacenter("fra", 1, 1, 30), Datacenter("ams", 2, 1, 10)]
