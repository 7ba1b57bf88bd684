import os

import pytest

from fleetpgo.proposal.checkout import Checkout
from fleetpgo.proposal.git import git
from fleetpgo.proposal.preflight import look_ahead
from fleetpgo.proposal.wiring.texts import read_build_texts
from tests.tiny import tiny


@pytest.fixture
def ahead(tmp_path):
    """What is said of a build of these files: whether it is fatal, and the sentence."""
    root = tmp_path / "repository"

    def look(files, command="make build", **build):
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        git(root, "init", "--quiet")
        git(root, "add", ".")
        texts = read_build_texts(Checkout(root, "", "main", "0" * 40, "bot", None, "", {}))
        rules = tiny(build={"command": command, "binary": "bin/api", **build}).build
        return [(each.fatal, each.said) for each in look_ahead(texts, rules, dict(os.environ))]

    return look


def makefile(*recipe):
    return {"Makefile": "".join(["build:\n", *(f"\t{line}\n" for line in recipe)])}


@pytest.mark.parametrize(
    "recipe",
    [
        "go build -o bin/api ./cmd/api",
        "cd tools && go build -o $(CURDIR)/bin/api .",
        "@echo building; mkdir -p bin && go build -o bin/ ./...",
        "GOBIN=$(CURDIR)/bin go install ./cmd/api",
        "command -v no-such-program || echo none",
        "-no-such-program ./...",
        "@-no-such-program ./...",
        "go build -o $(PWD)/bin/api ./cmd/api",
        "tar -c . | docker-run golang go build -o /src/bin/api ./cmd/api",
        "cp config.yaml bin/",
        "$(info building the service)go build -o bin/api ./cmd/api",
    ],
)
def test_nothing_is_said_of_a_build_that_only_builds(ahead, recipe):
    assert ahead(makefile(recipe)) == []


def test_a_make_without_a_makefile_cannot_succeed(ahead):
    said = "build.command is `make build`, and the repository has no Makefile"

    assert ahead({"main.go": "package main\n"}) == [(True, said)]


@pytest.mark.parametrize(
    ("recipe", "line"),
    [
        ("go install ./cmd/api", "go install ./cmd/api"),
        ("go build -o $$HOME/bin/api ./cmd/api", "go build -o $HOME/bin/api ./cmd/api"),
        ("go build -o /usr/local/bin/api ./cmd/api", "go build -o /usr/local/bin/api ./cmd/api"),
    ],
)
def test_a_build_that_installs_elsewhere_and_nothing_here_cannot_succeed(ahead, recipe, line):
    said = f"`make build` runs `{line}`, which writes outside of the clone"

    assert ahead(makefile(recipe)) == [(True, f"{said}, and nothing in it says that it writes bin/api")]


@pytest.mark.parametrize("other", ["sh scripts/collect", "./collect bin", "cp $$GOPATH/bin/api ./bin"])
def test_a_build_that_may_fetch_what_it_installed_is_warned_of(ahead, other):
    assert [fatal for fatal, _ in ahead(makefile("go install ./cmd/api", other))] == [False]


def test_a_build_that_also_installs_is_warned_of(ahead):
    found = ahead(makefile("go build -o bin/api ./cmd/api", "install -m 755 bin/api /usr/local/bin"))

    assert found == [
        (
            False,
            "`make build` runs `install -m 755 bin/api /usr/local/bin`, which writes outside of the clone",
        )
    ]


def test_a_build_that_uses_no_cache_is_warned_of(ahead):
    ((fatal, said),) = ahead(makefile("go build -a -o bin/api ./cmd/api"))

    assert not fatal
    assert said.endswith("-a compiles everything anew, in each of the builds")


def test_go_itself_is_looked_at(ahead):
    assert [fatal for fatal, _ in ahead({"a": ""}, command="go build -a -o bin/api ./cmd/api")] == [False]


def test_a_script_is_looked_at(ahead):
    script = "#!/bin/sh\n# go build -a\ngo build \\\n  -a -o bin/api ./cmd/api\n"

    assert [fatal for fatal, _ in ahead({"build.sh": script}, command="sh ./build.sh")] == [False]


@pytest.mark.parametrize(
    "line",
    [
        "go install golang.org/x/tools/cmd/stringer@latest",
        "curl -sSf https://example.com/install.sh | sh",
        "which protoc || sudo apt-get install -y protobuf-compiler",
    ],
)
def test_a_build_that_installs_tools_is_warned_of(ahead, line):
    assert ahead(makefile(line, "go build -o bin/api ./cmd/api")) == [
        (False, f"`make build` installs a tool: `{line}`")
    ]


def test_a_program_that_is_not_there_is_named_and_comes_first(ahead):
    found = ahead(makefile("go build -a -o bin/api ./cmd/api", "no-such-program --version"))

    assert [fatal for fatal, _ in found] == [True, False]
    assert found[0][1] == (
        "`make build` runs `no-such-program --version`, and there is no no-such-program on the PATH"
    )


def test_a_makefile_that_cannot_be_asked_says_nothing(ahead):
    assert ahead({"Makefile": "other:\n"}) == []
