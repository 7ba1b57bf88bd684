"""Shapes of repositories: each is built by its own command, with a stand-in for Go that only writes files."""

import os
import subprocess
from pathlib import Path

import pytest

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.checkout import Checkout
from fleetpgo.proposal.git import git
from fleetpgo.proposal.wiring.edits import BaseBuild, find_wiring
from fleetpgo.proposal.wiring.recording import recording
from fleetpgo.proposal.wiring.texts import read_build_texts
from tests.tiny import tiny

GO = """#!/bin/sh
[ "$1" = build ] || exit 0
shift
while [ $# -gt 0 ]; do
  case $1 in
  -C) cd "$2"; shift ;;
  -o) case $2 in */) touch "$2/api" ;; *) mkdir -p "$(dirname "$2")"; touch "$2" ;; esac; shift ;;
  esac
  shift
done
"""
MAIN = "package main\n\nfunc main() {}\n"
MODULE = {"go.mod": "module example.com/shop\n", "cmd/api/main.go": MAIN, "cmd/worker/main.go": MAIN}
PROFILE = "pgo/profile.pprof"


@pytest.fixture
def shape(tmp_path):
    """What is found in a repository of these files, once it has been built."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "go").write_text(GO)
    (programs / "go").chmod(0o755)
    root = tmp_path / "repository"

    def find(
        files,
        *,
        command="make api",
        profile=PROFILE,
        package="example.com/shop/cmd/api",
        links=(),
        pgo="",
        **keys,
    ):
        for name, text in {**MODULE, **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
            if text.startswith("#!"):
                (root / name).chmod(0o755)
        for link, target in links:
            (root / link).symlink_to(target)
        git(root, "init", "--quiet")
        git(root, "add", ".")
        service = tiny(
            repository={"profile": profile, **keys}, build={"command": command, "binary": "bin/api"}
        )
        texts = read_build_texts(Checkout(root, "", "main", "0" * 40, "bot", None, "", {}))
        (root / "bin").mkdir(exist_ok=True)
        with recording({"PATH": f"{programs}{os.pathsep}/usr/bin:/bin"}) as (environment, calls):
            subprocess.run(service.build.command, cwd=root, env=environment, capture_output=True, check=True)
        settings = {"path": package} | ({"-pgo": str(root / pgo) if "/" in pgo else pgo} if pgo else {})
        return find_wiring(texts, service, BaseBuild(calls, settings))

    return find


def makefile(*recipes):
    return "".join(
        f"{target}:\n\t{recipe}\n"
        for target, recipe in zip(("api", "worker", "other"), recipes, strict=False)
    )


API = "go build -o bin/api ./cmd/api"
PASSED = "-pgo=$(or $(PGO),pgo/profile.pprof)"
WIRED = f"go build {PASSED} -o bin/api ./cmd/api"
WORKER = "go build -o bin/worker ./cmd/worker"


VARIABLES = "GO ?= go\nBIN := bin/api\nCMD := ./cmd/api\napi:\n"
IFDEF = "ifdef RACE\napi:\n\tgo build -race -o bin/api ./cmd/api\nelse\napi:\n\t{}\nendif\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (makefile(API), makefile(WIRED)),
        (makefile(API, WORKER), makefile(WIRED, WORKER)),
        (
            makefile(API, "cd tools && go build -o ../bin/lint ."),
            makefile(WIRED, "cd tools && go build -o ../bin/lint ."),
        ),
        (
            makefile(f"{WORKER} && {API}", "go build -pgo=off -o bin/base ./cmd/api"),
            makefile(f"{WORKER} && {WIRED}", "go build -pgo=off -o bin/base ./cmd/api"),
        ),
        (
            makefile("cd cmd/api && go build -o ../../bin/api"),
            makefile("cd cmd/api && go build -pgo=$(or $(PGO),../../pgo/profile.pprof) -o ../../bin/api"),
        ),
        (
            makefile("go build -C cmd/api -o ../../bin/api ."),
            makefile("go build -C cmd/api -pgo=$(or $(PGO),../../pgo/profile.pprof) -o ../../bin/api ."),
        ),
        (
            f"{VARIABLES}\t$(GO) build -o $(BIN) $(CMD)\n",
            f"{VARIABLES}\t$(GO) build {PASSED} -o $(BIN) $(CMD)\n",
        ),
        (IFDEF.format(API), IFDEF.format(WIRED)),
        (
            makefile("GOBIN=$(CURDIR)/bin go install ./cmd/api"),
            makefile(f"GOBIN=$(CURDIR)/bin go install {PASSED} ./cmd/api"),
        ),
    ],
    ids=[
        "one main",
        "two mains",
        "another module's tool",
        "a baseline without a profile",
        "in another directory",
        "-C",
        "variables",
        "ifdef",
        "go install",
    ],
)
def test_the_line_that_makes_the_binary_is_edited_and_no_other(shape, before, after):
    files = {"tools/go.mod": "module tools\n", "vendor/x/Makefile": makefile(API), "go.work": "use .\n"}

    assert shape({"Makefile": before, **files}).files == {"Makefile": after.encode()}


def test_what_was_edited_once_is_not_edited_again(shape):
    found = shape({"Makefile": makefile(WIRED, WORKER)})

    assert (found.path, found.files) == (PROFILE, {})


def test_the_baseline_s_build_of_an_edited_makefile_is_one_without_a_profile(shape):
    assert shape({"Makefile": makefile(WIRED)}, command="make api PGO=off").off


def test_a_variable_that_the_repository_uses_keeps_its_meaning(shape):
    files = {"Makefile": f"include build.mk\n{makefile(API)}", "build.mk": "PGO := abc\n"}

    assert b"-pgo=$(or $(FLEETPGO),pgo/profile.pprof)" in shape(files).files["Makefile"]


def test_what_a_link_leads_to_is_edited(shape):
    found = shape({"mk/service.mk": makefile(API)}, links=[("Makefile", "mk/service.mk")])

    assert found.files == {"mk/service.mk": makefile(WIRED).encode()}


def test_a_linked_makefile_runs_where_the_link_is(shape):
    files = {"mk/service.mk": makefile("go build -o bin/api"), "main.go": MAIN}

    found = shape(files, links=[("Makefile", "mk/service.mk")], package="example.com/shop")

    assert found.files == {"mk/service.mk": makefile(f"go build {PASSED} -o bin/api").encode()}


def test_a_makefile_that_is_named_in_a_directory_is_edited_there(shape):
    files = {
        "Makefile": "api:\n\t$(MAKE) -BC cmd\n",
        "cmd/Makefile": makefile("go build -o ../bin/api ./api"),
    }

    found = shape(files, makefile="cmd/Makefile")

    assert found.files == {
        "cmd/Makefile": makefile(
            "go build -pgo=$(or $(PGO),../pgo/profile.pprof) -o ../bin/api ./api"
        ).encode()
    }


@pytest.mark.parametrize(
    ("files", "command", "why"),
    [
        (
            {"Makefile": makefile("go build -o bin/ ./cmd/...")},
            "make api",
            "Makefile:2: it may make several programs",
        ),
        (
            {"Makefile": "bin/%:\n\tgo build -o $@ ./cmd/$*\n"},
            "make bin/api",
            "Makefile:2: variables say which program it makes",
        ),
        ({"Makefile": makefile(API, API)}, "make api", "any of Makefile:2, Makefile:4 may have run"),
        (
            {"Makefile": makefile("./build.sh"), "build.sh": f"#!/bin/sh\n{API}\n"},
            "make api",
            f"it may be in build.sh: {API}",
        ),
        (
            {"Makefile": "include mk/go.mk\n", "mk/go.mk": makefile(API)},
            "make api",
            f"it may be in mk/go.mk: {API}",
        ),
        (
            {"Makefile": f"BUILD := {API}\napi:\n\t$(BUILD)\n"},
            "make api",
            f"it may be in Makefile: BUILD := {API}",
        ),
        (
            {"build.sh": '#!/bin/sh\nset -- build -o bin/api ./cmd/api\ngo "$@"\n'},
            "./build.sh",
            "there is no Makefile",
        ),
        (
            {"Taskfile.yml": f"tasks:\n  api:\n    cmds:\n      - {API}\n"},
            API,
            f"it may be in Taskfile.yml: - {API}",
        ),
        ({"justfile": f"api:\n    {API}\n"}, API, f"it may be in justfile: {API}"),
    ],
    ids=[
        "several programs",
        "pattern rule",
        "the same line twice",
        "script",
        "include",
        "the whole call in a variable",
        "script of variables",
        "Taskfile",
        "just",
    ],
)
def test_where_it_is_not_certain_nothing_is_edited_and_the_error_says_what_to_do(shape, files, command, why):
    with pytest.raises(RepositoryError) as error:
        shape(files, command=command)

    assert error.value.message == (
        "nothing on main passes pgo/profile.pprof to the `go build` that makes bin/api, and what to edit is "
        f"not certain: {why}"
    )
    assert (
        "leave repository.profile out of the service file: the profile then goes to cmd/api/default.pgo"
        in (error.value.hint)
    )
    by_hand = (
        "make bin/api by a `go build" if "several" in why else "add `-pgo=pgo/profile.pprof` to `go build"
    )
    assert by_hand in error.value.hint


def test_a_makefile_that_may_not_be_edited_is_said_to_be_there(shape):
    with pytest.raises(
        RepositoryError, match=r"repository\.makefile is null, so Makefile is not edited"
    ) as error:
        shape({"Makefile": makefile(API)}, makefile=None)

    assert error.value.hint.endswith("which makes bin/api in ./, or name Makefile there")


@pytest.mark.parametrize(
    ("file", "named"), [("GNUmakefile", "Makefile"), ("mk/go.mk", "Makefile"), ("Makefile", "make/Makefile")]
)
def test_another_makefile_that_may_be_edited_is_recommended(shape, file, named):
    files = {"Makefile": "include mk/go.mk\n"} if file == "mk/go.mk" else {}

    with pytest.raises(RepositoryError) as error:
        shape({**files, file: makefile(API)}, makefile=named)

    assert error.value.hint.endswith(f"which makes bin/api in ./, or set repository.makefile to {file}")


def test_a_makefile_that_others_include_may_run_in_their_directories(shape):
    files = {
        "cmd/api/Makefile": "include ../../mk/build.mk\n",
        "mk/build.mk": "build:\n\tgo build -o ../../bin/api\n",
    }

    with pytest.raises(
        RepositoryError, match=r"mk/build\.mk:2: it ran in cmd/api/, and may run in other directories"
    ):
        shape(files, command="make -C cmd/api build", makefile="mk/build.mk")


def test_a_makefile_that_make_reads_first_may_have_made_the_call(shape):
    with pytest.raises(RepositoryError, match="any of Makefile:2, GNUmakefile:2 may have run"):
        shape({"Makefile": makefile(API), "GNUmakefile": makefile(API)})


def test_a_makefile_that_make_reads_first_may_lead_to_the_one_that_is_edited(shape):
    found = shape({"Makefile": makefile(API), "GNUmakefile": "include Makefile\n"})

    assert found.files == {"Makefile": makefile(WIRED).encode()}


def test_a_binary_that_is_copied_is_known_by_its_main_package(shape):
    def recipe(line):
        return makefile(f"go build -o out/lint ./cmd/lint && {line} && cp out/api bin/api")

    found = shape({"Makefile": recipe("go build -o out/api ./cmd/api"), "cmd/lint/main.go": MAIN})

    wired = recipe(f"go build {PASSED} -o out/api ./cmd/api")
    assert found.files == {"Makefile": wired.encode()}


def test_a_build_without_a_record_edits_nothing(shape):
    files = {"Makefile": makefile("touch bin/api")}

    with pytest.raises(RepositoryError, match="not certain: the build left no record of the call"):
        shape(files)


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"Makefile": makefile("$(ROOT)/go build -n")}, "Makefile:2 (`$(ROOT)/go build -n`)"),
        (
            {"Makefile": f"GO := ../programs/go\n{makefile('$(GO) build -n')}"},
            "Makefile:3 (`$(GO) build -n`)",
        ),
        (
            {"Makefile": makefile("./b.sh"), "b.sh": "#!/bin/sh\n\n../programs/go build -n\n"},
            "b.sh:3 (`../programs/go build -n`)",
        ),
    ],
)
def test_a_call_of_go_by_its_path_is_named(shape, files, place):
    with pytest.raises(RepositoryError) as error:
        shape(files, command="make api ROOT=../programs")

    assert error.value.message.endswith(f"no record of the call; Go is called by its path in {place}")
    assert "call `go` there, so that fleetpgo sees the call" in error.value.hint


def test_another_program_of_which_alone_there_is_a_record_is_not_taken_for_the_service(shape):
    files = {"Makefile": makefile("go build -o out/lint ./cmd/worker && ../programs/go build -o bin/api .")}

    with pytest.raises(RepositoryError, match=r"Go is called by its path in Makefile:2"):
        shape(files)


@pytest.mark.parametrize(
    ("profile", "passed"),
    [
        (PROFILE, PROFILE),
        (None, PROFILE),
        ("cmd/api/default.pgo", "cmd/api/default.pgo"),
        (None, "cmd/api/default.pgo"),
    ],
)
def test_a_container_may_have_the_repository_at_another_place(shape, profile, passed):
    files = {"Makefile": makefile("touch bin/api"), PROFILE: ""}

    found = shape(files, profile=profile, pgo=f"/src/{passed}")

    assert (found.path, found.files) == (passed, {})


def test_a_container_may_pass_what_the_repository_does_not_hold(shape):
    with pytest.raises(RepositoryError, match=r"bin/api is built with /src/other\.pprof, not with pgo/"):
        shape({"Makefile": makefile("touch bin/api")}, pgo="/src/other.pprof")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BUILD.bazel", 'go_binary(name = "api", pgoprofile = "pgo/profile.pprof")\n'),
        (".goreleaser.yaml", 'builds:\n  - flags: ["-pgo=pgo/profile.pprof"]\n'),
        (".ko.yaml", 'builds:\n  - flags: ["-pgo=pgo/profile.pprof"]\n'),
    ],
)
def test_what_leaves_no_record_and_says_that_it_passes_the_profile_needs_no_edit(shape, name, text):
    found = shape({name: text}, command="touch bin/api", package="")

    assert (found.path, found.files) == (PROFILE, {})


@pytest.mark.parametrize(
    "recipe",
    [
        "go build -pgo=pgo/profile.pprof -o bin/api ./cmd/api",
        "go build -pgo $(CURDIR)/pgo/profile.pprof -o bin/api ./cmd/api",
        "cd cmd && go build -pgo=../pgo/profile.pprof -o ../bin/api ./api",
        "GOFLAGS=-pgo=$(CURDIR)/pgo/profile.pprof go build -o bin/api ./cmd/api",
    ],
)
@pytest.mark.parametrize("profile", [PROFILE, None])
def test_a_build_that_passes_a_profile_keeps_its_path(shape, recipe, profile):
    found = shape({"Makefile": makefile(recipe)}, profile=profile)

    assert (found.path, found.files) == (PROFILE, {})


def test_a_pattern_rule_may_pass_a_profile_of_each_binary(shape):
    files = {"Makefile": "bin/%:\n\tgo build -pgo=pgo/$*.pprof -o $@ ./cmd/$*\n"}

    found = shape(files, command="make bin/api", profile="pgo/api.pprof")

    assert (found.path, found.files) == ("pgo/api.pprof", {})


@pytest.mark.parametrize("passed", [None, "cmd/api/default.pgo", "default.pgo"])
def test_without_a_path_the_profile_goes_beside_the_main_package(shape, passed):
    found = shape({"Makefile": makefile("go build -o bin/ ./cmd/...")}, profile=None, pgo=passed or "")

    assert (found.path, found.files) == ("cmd/api/default.pgo", {})


def test_a_program_built_from_files_has_its_default_beside_them(shape):
    files = {"Makefile": makefile("go build -o bin/api cmd/api/main.go")}

    assert shape(files, profile=None, package="command-line-arguments").path == "cmd/api/default.pgo"


def test_a_program_of_an_inner_module_has_its_default_there(shape):
    files = {
        "api/go.mod": "module example.com/shop/api\n",
        "Makefile": makefile("cd api && go build -o ../bin/api"),
    }

    assert shape(files, profile=None, package="example.com/shop/api").path == "api/default.pgo"


@pytest.mark.parametrize("service", ["api", "worker"])
def test_two_modules_may_have_one_name(shape, service):
    files = {
        **{f"services/{each}/go.mod": "module app\n" for each in ("api", "worker")},
        **{f"services/{each}/main.go": MAIN for each in ("api", "worker")},
        "Makefile": makefile(f"cd services/{service} && go build -o ../../bin/api ."),
    }

    assert shape(files, profile=None, package="app").path == f"services/{service}/default.pgo"


def test_a_program_of_another_repository_has_no_place_for_a_profile(shape):
    with pytest.raises(RepositoryError, match=r"no main package of the repository makes bin/api"):
        shape(
            {"Makefile": makefile("go build -o bin/api example.com/elsewhere")},
            profile=None,
            package="example.com/elsewhere",
        )


@pytest.mark.parametrize("passed", ["default.pgo", "cmd/api/default.pgo"])
def test_a_profile_beside_another_program_is_refused(shape, passed):
    with pytest.raises(
        RepositoryError, match=r"built with cmd/api/default.pgo, not with cmd/worker/default.pgo"
    ):
        shape({"Makefile": makefile(API)}, profile="cmd/worker/default.pgo", pgo=passed)


def test_a_profile_that_another_line_passes_is_not_taken_for_this_one(shape):
    files = {
        "Makefile": makefile("touch bin/api", "go build -pgo=pgo/worker.pprof -o bin/worker ./cmd/worker")
    }

    with pytest.raises(RepositoryError, match="the build left no record of the call"):
        shape(files)


def test_a_line_that_passes_another_profile_is_not_edited(shape):
    files = {"Makefile": makefile("go build -pgo=pgo/worker.pprof -o bin/api ./cmd/api")}

    with pytest.raises(
        RepositoryError, match=r"bin/api is built with pgo/worker.pprof, not with pgo/profile.pprof"
    ):
        shape(files)


@pytest.mark.parametrize(
    "recipe", ["go build -pgo=off -o bin/api ./cmd/api", "GOFLAGS=-pgo=off go build -o bin/api ./cmd/api"]
)
def test_pgo_off_where_the_binary_is_made_means_hands_off(shape, recipe):
    assert shape({"Makefile": makefile(recipe)}).off.startswith("bin/api is made by `go build ")


@pytest.mark.parametrize(
    "files",
    [
        {".github/workflows/lint.yml": "env:\n  GOFLAGS: -pgo=off\n"},
        {"Makefile": makefile(API, "go build -pgo=off -o bin/base ./cmd/api")},
        {"Makefile": makefile(f"{API} # to debug, add -pgo=off")},
        {"Makefile": makefile(API, "@echo with -pgo=off it is slower")},
        {"Makefile": makefile(API, "go test -pgo=off ./...")},
    ],
    ids=["lint", "baseline", "comment", "help", "test"],
)
def test_pgo_off_that_does_not_make_the_binary_means_nothing(shape, files):
    found = shape({"Makefile": makefile(API), **files})

    assert (found.off, list(found.files)) == ("", ["Makefile"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Dockerfile", "FROM golang\nRUN go test ./... && go build -o /tiny .\n"),
        (".github/workflows/release.yaml", "      - run: go install ./cmd/tiny\n"),
        (".goreleaser.yaml", "builds:\n  - main: ./cmd/tiny\n"),
        ("BUILD.bazel", 'go_binary(name = "tiny")\n'),
    ],
)
def test_what_builds_without_the_profile_is_named(shape, name, text):
    assert shape({"Makefile": makefile(API), name: text}).unaware == (name,)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("scripts/test.sh", "go test ./...\n"),
        ("Dockerfile", "# go build .\nRUN go build -pgo=pgo/profile.pprof .\n"),
        ("vendor/x/Makefile", "build:\n\tgo build .\n"),
    ],
    ids=["test", "passes it", "vendored"],
)
def test_what_builds_with_the_profile_or_nothing_is_not_named(shape, name, text):
    assert shape({"Makefile": makefile(API), name: text}).unaware == ()


@pytest.mark.parametrize(
    ("profile", "effect"), [(PROFILE, "no longer builds"), (None, "builds without the profile")]
)
def test_an_image_that_does_not_copy_the_profile_is_named(shape, profile, effect):
    dockerfile = "FROM golang\nCOPY go.mod Makefile ./\nCOPY cmd/api/main.go cmd/api/\nRUN make api\n"

    (said,) = shape({"Makefile": makefile(API), "Dockerfile": dockerfile}, profile=profile).images

    assert said.startswith(f"the image of Dockerfile {effect}")


def test_other_go_files_beside_default_pgo_are_no_reason_to_stop(shape):
    files = {
        "Makefile": makefile(API),
        "cmd/api/gen.go": "//go:build ignore\n\npackage main\n",
        "cmd/api/main_test.go": "package main_test\n",
    }

    found = shape(files, profile="cmd/api/default.pgo")

    assert (found.path, found.files) == ("cmd/api/default.pgo", {})


def test_a_build_that_asks_git_for_its_version_needs_history(tmp_path):
    (tmp_path / "Makefile").write_text("VERSION := $(shell git -C . describe --tags)\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")

    assert read_build_texts(Checkout(Path(tmp_path), "", "main", "0" * 40, "bot", None, "", {})).history
