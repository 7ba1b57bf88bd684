import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.proposal.wiring.makefile import add_profile, build_lines, free_variable
from fleetpgo.proposal.wiring.recording import parse_call

PROFILE = "pgo/profile.pprof"


def call(*words):
    return parse_call(Path("/repository"), ["build", *words])


def wired(text, made, profile=PROFILE):
    """The Makefile with the one line edited that may have made a call."""
    (line,) = [line for line in build_lines(text) if line.may_be(made)]
    return add_profile(text, line, profile)


@pytest.mark.parametrize(
    ("recipe", "words", "after"),
    [
        ("go build ./...", ["./..."], "go build -pgo=pgo/profile.pprof ./..."),
        ("$(GO) build .", ["."], "$(GO) build -pgo=pgo/profile.pprof ."),
        ("${GO} build .", ["."], "${GO} build -pgo=pgo/profile.pprof ."),
        ("@go build", [], "@go build -pgo=pgo/profile.pprof"),
        (
            "CGO_ENABLED=0 go build -o bin/x .",
            ["-o", "bin/x", "."],
            "CGO_ENABLED=0 go build -pgo=pgo/profile.pprof -o bin/x .",
        ),
        (
            "go vet ./... && go build . && ls",
            ["."],
            "go vet ./... && go build -pgo=pgo/profile.pprof . && ls",
        ),
        (
            "go build -o a ./a; go build -o b ./b",
            ["-o", "b", "./b"],
            "go build -o a ./a; go build -pgo=pgo/profile.pprof -o b ./b",
        ),
        ("(cd x; go build) # go build", [], "(cd x; go build -pgo=pgo/profile.pprof) # go build"),
        ("go install ./x", ["./x"], "go install -pgo=pgo/profile.pprof ./x"),
        ("go build -C x -o y .", ["-C", "x", "-o", "y", "."], "go build -C x -pgo=pgo/profile.pprof -o y ."),
        ("go build -C=x .", ["-C=x", "."], "go build -C=x -pgo=pgo/profile.pprof ."),
        ("go build $(FLAGS) .", ["-race", "-a", "."], "go build -pgo=pgo/profile.pprof $(FLAGS) ."),
        ("go build $(FLAGS) .", ["."], "go build -pgo=pgo/profile.pprof $(FLAGS) ."),
        (
            'go build -ldflags "-X main.v=$(shell git describe)" .',
            ["-ldflags", "-X main.v=v1.2", "."],
            'go build -pgo=pgo/profile.pprof -ldflags "-X main.v=$(shell git describe)" .',
        ),
        (
            "go build -ldflags=-X=main.at=$$(date +%s) -o x .",
            ["-ldflags=-X=main.at=1700000000", "-o", "x", "."],
            "go build -pgo=pgo/profile.pprof -ldflags=-X=main.at=$$(date +%s) -o x .",
        ),
        (
            'go build -ldflags "-X main.at=$$(date +%s)" .',
            ["-ldflags", "-X main.at=1700000000", "."],
            'go build -pgo=pgo/profile.pprof -ldflags "-X main.at=$$(date +%s)" .',
        ),
        ("go build \\\n\t  -o x .", ["-o", "x", "."], "go build -pgo=pgo/profile.pprof \\\n\t  -o x ."),
    ],
)
def test_the_line_that_made_a_call_gets_the_profile(recipe, words, after):
    assert wired(f"all:\n\t{recipe}\n", call(*words)) == f"all:\n\t{after}\n"


@pytest.mark.parametrize(
    ("variables", "recipe", "after"),
    [
        ("GOCMD = go\nGOBUILD = $(GOCMD) build\n", "$(GOBUILD) .", "$(GOBUILD) -pgo=pgo/profile.pprof ."),
        (
            "B := go build -v -mod=mod\n",
            "@CGO_ENABLED=0 $(B) .",
            "@CGO_ENABLED=0 $(B) -pgo=pgo/profile.pprof .",
        ),
        ("G := $(shell go env GOROOT)/bin/go\n", "$(G) build .", "$(G) build -pgo=pgo/profile.pprof ."),
        ("G := /opt/go/bin/go\n", "$(G) build .", "$(G) build -pgo=pgo/profile.pprof ."),
    ],
)
def test_a_variable_may_hold_the_command(variables, recipe, after):
    made = call(*(["-v", "-mod=mod"] if "-v" in variables else []), ".")

    assert wired(f"{variables}all:\n\t{recipe}\n", made) == f"{variables}all:\n\t{after}\n"


@pytest.mark.parametrize(
    "value", ["go build .", "go build -o", "go build -tags x", 'go build -tags "x"', "go vet; go build"]
)
def test_a_variable_that_holds_more_than_whole_flags_is_not_edited(value):
    assert build_lines(f"B := {value}\nall:\n\t$(B) .\n") == []


@pytest.mark.parametrize(
    "line",
    [
        "# go build -o x .\n",
        "\t# go build -o x .\n",
        '\t@echo "go build -o x ."\n',
        "\t@echo go build -o x .\n",
        "BUILD = go build -o x .\n",
        "FLAGS = a \\\n\tgo build -o x .\n",
        "\tgo test ./... -run build -o x .\n",
        "\tgo build -o y .\n",
        "\tgo build -o x ./cmd\n",
        "\tgo build -o $(DIR)/y .\n",
    ],
)
def test_no_other_line_may_have_made_it(line):
    assert not [each for each in build_lines(f"all:\n{line}") if each.may_be(call("-o", "x", "."))]


@pytest.mark.parametrize(
    ("makefile", "words", "doubt"),
    [
        ("a:\n\tgo build -o bin/ ./cmd/...\n", ["-o", "bin/", "./cmd/..."], "it may make several programs"),
        ("a:\n\tgo build -o bin/ ./a ./b\n", ["-o", "bin/", "./a", "./b"], "it makes several programs"),
        (
            "bin/%:\n\tgo build -o $@ ./cmd/$*\n",
            ["-o", "bin/a", "./cmd/a"],
            "variables say which program it makes",
        ),
        (
            "a:\n\tfor x in a b; do go build -o $$x ./$$x; done\n",
            ["-o", "a", "./a"],
            "variables say which program it makes",
        ),
        ("CMD ?= ./a\na:\n\tgo build $(CMD)\n", ["./a"], "variables say which program it makes"),
        ("a: CMD = ./a\nCMD = ./b\na:\n\tgo build $(CMD)\n", ["./a"], "variables say which program it makes"),
        ("a:\n\tcd cmd/$* && go build\n", [], "a variable says in which directory it runs"),
        ("a:\n\tgo build -C $(DIR) .\n", ["-C", "cmd/a", "."], "a variable says in which directory it runs"),
        ("CMD := ./a\na:\n\tgo build -o $@ $(CMD)\n", ["-o", "a", "./a"], ""),
        ("a:\n\tgo build -o $(BIN) ./a\n", ["-o", "bin/a", "./a"], ""),
        ("a:\n\tgo build a.go b.go\n", ["a.go", "b.go"], ""),
        (
            "define b\n\tgo build ./a\nendef\na:\n\t$(b)\n\tgo vet\n",
            ["./a"],
            "it is in a `define`, which several recipes may run",
        ),
        ("define b\n\techo\nendef\na:\n\tgo build ./a\n", ["./a"], ""),
    ],
)
def test_a_line_that_may_make_other_programs_is_told(makefile, words, doubt):
    made = call(*words)

    assert [line.doubt(made) for line in build_lines(makefile) if line.may_be(made)] == [doubt]


def test_a_variable_that_the_command_sets_may_be_anything():
    makefile, made = "CMD := ./a\na:\n\tgo build $(CMD)\n", call("./b")

    assert [line.may_be(made) for line in build_lines(makefile)] == [False]
    assert [line.may_be(made) for line in build_lines(makefile, {"CMD"})] == [True]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a:\r\n\tgo build .\r\n", "a:\r\n\tgo build -pgo=pgo/profile.pprof .\r\n"),
        ("a:\n\tgo build .", "a:\n\tgo build -pgo=pgo/profile.pprof ."),
        ("a:\n\tgo \\\n\tbuild .\n\n\n", "a:\n\tgo \\\n\tbuild -pgo=pgo/profile.pprof .\n\n\n"),
        ("\udcff\na:\n\tgo build .", "\udcff\na:\n\tgo build -pgo=pgo/profile.pprof ."),
    ],
)
def test_line_ends_and_foreign_bytes_stay(before, after):
    assert after == wired(before, call("."))


@given(
    st.lists(
        st.sampled_from(
            ["\t", "go", "build", " ", "\n", "\\\n", "\r\n", "#", '"', "'", ";", "&&", "$(X)", "x", ")", "-C"]
        )
    ).map("".join)
)
def test_nothing_but_a_flag_is_ever_added(text):
    for line in build_lines(text):
        assert text == add_profile(text, line, PROFILE).replace(f" -pgo={PROFILE}", "", 1)


@pytest.fixture
def passed(tmp_path):
    """What make passes to Go as ``-pgo`` for an edited Makefile."""
    (tmp_path / "go").write_text('#!/bin/sh\nfor a in "$@"; do echo "<$a>"; done\n')
    (tmp_path / "go").chmod(0o755)

    def make(profile, *arguments, variable="PGO", **environment):
        text = "b:\n\t@go build .\n"
        (line,) = build_lines(text)
        (tmp_path / "Makefile").write_text(add_profile(text, line, profile, variable))
        printed = subprocess.run(
            ["make", "b", *arguments],
            cwd=tmp_path,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return printed.removeprefix("<build>\n<-pgo=").removesuffix(">\n<.>\n")

    return make


def test_a_path_with_a_space_arrives_whole(passed):
    assert passed("my $p/x") == "my $p/x"


def test_an_edited_line_passes_the_profile(passed):
    assert passed(PROFILE) == PROFILE


def test_a_variable_of_make_builds_the_baseline(passed):
    assert passed(PROFILE, "PGO=off") == "off"


def test_a_build_argument_of_docker_which_make_sees_in_its_environment_builds_it_too(passed):
    assert passed(PROFILE, PGO="off") == "off"


@pytest.mark.parametrize(
    ("makefiles", "overridden", "name"),
    [
        (["a:\n\tgo build\n"], (), "PGO"),
        (["a:\n\tgo build -pgo=$(or $(PGO),pgo/a.pprof)\n"], (), "PGO"),
        (["PGO := abc\n", "a:\n\tgo build\n"], (), "FLEETPGO"),
        (["a:\n\tgo build\n"], ["PGO"], "FLEETPGO"),
        (["PGO := abc\nFLEETPGO := abc\n"], (), ""),
    ],
    ids=["free", "our own", "another file's", "the build command's", "none is free"],
)
def test_a_variable_that_means_something_else_is_left_alone(makefiles, overridden, name):
    assert free_variable(makefiles, overridden) == name


def test_a_line_of_many_variables_takes_no_time_to_speak_of():
    makefile = "a:\n\tgo build " + "$(X)a" * 5_000 + "\n"

    assert not any(line.may_be(call("a" * 20_000, "b")) for line in build_lines(makefile))
