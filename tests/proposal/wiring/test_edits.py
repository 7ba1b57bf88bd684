import pytest

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.git import Checkout, git
from fleetpgo.proposal.wiring.edits import Wiring, find_wiring
from tests.tiny import tiny

WIRED = b"build:\n\tgo build -pgo=pgo/profile.pprof .\n"


@pytest.fixture
def wiring(tmp_path):
    """What is found in a repository of these files."""

    def find(files, *, command="make build", **repository):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        git(tmp_path, "init", "--quiet")
        git(tmp_path, "add", ".")
        service = tiny(repository=repository, build={"command": command, "binary": "tiny"})
        return find_wiring(Checkout(tmp_path, "", "main", "0" * 40, "bot", None, "", {}), service)

    return find


def test_a_makefile_is_made_to_pass_the_profile(wiring):
    assert wiring({"Makefile": "build:\n\tgo build .\n"}) == Wiring({"Makefile": WIRED})


def test_a_makefile_in_a_directory_gets_the_path_from_there(wiring):
    found = wiring({"cmd/Makefile": "build:\n\tgo build .\n"}, makefile="cmd/Makefile")

    assert found.files == {"cmd/Makefile": b"build:\n\tgo build -pgo=../pgo/profile.pprof .\n"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("build.sh", "go build -pgo=pgo/profile.pprof .\n"),
        ("scripts/build", "go build -pgo pgo/profile.pprof .\n"),
        ("Dockerfile", "RUN go build -pgo=pgo/profile.pprof -o /tiny .\n"),
        (".goreleaser.yaml", 'builds:\n  - flags: ["-pgo=pgo/profile.pprof"]\n'),
        ("BUILD.bazel", 'go_binary(name = "tiny", pgoprofile = "pgo/profile.pprof")\n'),
    ],
)
def test_what_passes_the_profile_already_needs_no_edit(wiring, name, text):
    assert wiring({name: text}, command="./build.sh") == Wiring()


def test_a_build_without_make_that_passes_the_profile_leaves_the_makefile_alone(wiring):
    files = {"Makefile": "build:\n\tgo build .\n", "build.sh": "go build -pgo=pgo/profile.pprof .\n"}

    assert wiring(files, command="./build.sh") == Wiring()


def test_go_finds_default_pgo_beside_the_main_package_by_itself(wiring):
    files = {"Makefile": "build:\n\tgo build ./cmd/a\n", "cmd/a/main.go": "package main\n"}

    assert wiring(files, profile="cmd/a/default.pgo") == Wiring()


def test_default_pgo_beside_another_package_is_not_found_by_go(wiring):
    files = {"Makefile": "build:\n\tgo build .\n", "lib/lib.go": "package lib\n"}

    found = wiring(files, profile="lib/default.pgo")

    assert found.files == {"Makefile": b"build:\n\tgo build -pgo=lib/default.pgo .\n"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Makefile", "build:\n\tgo build -pgo=off .\n"),
        ("scripts/build.sh", 'export GOFLAGS="-pgo=off"\n'),
        ("Dockerfile", "RUN go build -pgo off .\n"),
    ],
)
def test_pgo_off_means_hands_off(wiring, name, text):
    found = wiring({"Makefile": "build:\n\tgo build .\n", name: text})

    assert found == Wiring(off=f"{name}: {text.splitlines()[-1].strip()}")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Makefile", "\tgo test -pgo=off ./..."),
        ("Makefile", "# go build -pgo=off: too slow"),
        ("README.md", "go build -pgo=off"),
        ("vendor/x/build.sh", "go build -pgo=off"),
    ],
    ids=["test", "comment", "prose", "vendored"],
)
def test_pgo_off_that_builds_nothing_means_nothing(wiring, name, line):
    files = {"Makefile": "build:\n\tgo build .\n"}
    files[name] = f"{files.get(name, '')}{line}\n"

    assert wiring(files).off == ""


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"build.sh": "go build .\n"}, "and there is no Makefile that could be made to"),
        ({"Makefile": "build:\n\t./build.sh\n"}, "and no recipe of Makefile has a `go build`"),
    ],
    ids=["no Makefile", "a Makefile that runs a script"],
)
def test_where_nothing_can_be_edited_a_person_is_told_what_to_edit(wiring, files, message):
    with pytest.raises(RepositoryError, match=message) as error:
        wiring(files)

    assert error.value.hint == (
        "by hand, either add `-pgo=pgo/profile.pprof` to the `go build` that makes the service, wherever "
        "that is; or set repository.profile in the service file to default.pgo in the directory of its main "
        "package, where Go looks by itself"
    )


def test_a_makefile_that_passes_the_profile_by_a_variable_needs_no_edit(wiring):
    makefile = "GOBUILD := go build -pgo=pgo/profile.pprof\nbuild:\n\t$(GOBUILD) .\n"

    assert wiring({"Makefile": makefile}) == Wiring()


def test_no_makefile_is_edited_where_the_service_file_names_none(wiring):
    files = {"Makefile": "build:\n\tgo build .\n", "ci.yaml": "run: go build -pgo=pgo/profile.pprof .\n"}

    assert wiring(files, makefile=None) == Wiring(unaware=("Makefile",))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Dockerfile", "FROM golang\nRUN go test ./... && go build -o /tiny .\n"),
        (".github/workflows/release.yaml", "      - run: go install ./cmd/tiny\n"),
        (".goreleaser.yaml", "builds:\n  - main: ./cmd/tiny\n"),
        ("BUILD.bazel", 'go_binary(name = "tiny")\n'),
    ],
)
def test_what_builds_without_the_profile_is_named(wiring, name, text):
    found = wiring({"Makefile": "build:\n\tgo build .\n", name: text})

    assert found == Wiring({"Makefile": WIRED}, unaware=(name,))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("scripts/test.sh", "go test ./...\n"),
        ("Dockerfile", "# go build .\nRUN go build -pgo=pgo/profile.pprof .\n"),
        ("vendor/x/Makefile", "build:\n\tgo build .\n"),
    ],
    ids=["test", "passes it", "vendored"],
)
def test_what_builds_with_the_profile_or_nothing_is_not_named(wiring, name, text):
    assert wiring({"Makefile": "build:\n\tgo build .\n", name: text}) == Wiring({"Makefile": WIRED})


def test_a_build_that_asks_git_for_its_version_needs_history(wiring):
    makefile = "VERSION := $(shell git -C . describe --tags)\nbuild:\n\tgo build -pgo=pgo/profile.pprof .\n"

    assert wiring({"Makefile": makefile}).history
