import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.wiring.makefile import wire_makefile

PROFILE = "pgo/profile.pprof"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\tgo build ./...\n", "\tgo build -pgo=pgo/profile.pprof ./...\n"),
        ("\t$(GO) build .\n", "\t$(GO) build -pgo=pgo/profile.pprof .\n"),
        ("\t${GO} build .\n", "\t${GO} build -pgo=pgo/profile.pprof .\n"),
        ("\t@go build\n", "\t@go build -pgo=pgo/profile.pprof\n"),
        (
            "\tCGO_ENABLED=0 GOOS=linux go build -o bin/x .\n",
            "\tCGO_ENABLED=0 GOOS=linux go build -pgo=pgo/profile.pprof -o bin/x .\n",
        ),
        (
            "\tgo vet ./... && go build . && ls\n",
            "\tgo vet ./... && go build -pgo=pgo/profile.pprof . && ls\n",
        ),
        (
            "\tgo build -o a ./a; go build -o b ./b\n",
            "\tgo build -pgo=pgo/profile.pprof -o a ./a; go build -pgo=pgo/profile.pprof -o b ./b\n",
        ),
        (
            "\tgo build -pgo=pgo/profile.pprof ./a && go build ./b\n",
            "\tgo build -pgo=pgo/profile.pprof ./a && go build -pgo=pgo/profile.pprof ./b\n",
        ),
        (
            "\t(cd x; go build) # go build\n",
            "\t(cd x; go build -pgo=pgo/profile.pprof) # go build\n",
        ),
    ],
)
def test_go_build_in_a_recipe_gets_the_profile(before, after):
    assert "all:\n" + after == wire_makefile("all:\n" + before, PROFILE)


@pytest.mark.parametrize(
    "line",
    [
        "# go build by hand: go build .\n",
        "\t# go build .\n",
        '\t@echo "go build ."\n',
        "\t@echo go build\n",
        "BUILD = go build\n",
        "FLAGS = a \\\n\tgo build\n",
        "\tgo test ./... -run build\n",
        "\tgobuild go builder\n",
        "\tgo build -pgo=pgo/profile.pprof .\n",
        "\tgo build -pgo pgo/profile.pprof .\n",
        "\tgo build --pgo=./pgo/profile.pprof .\n",
        '\tgo build -ldflags "-X main.a=b;c" -pgo="pgo/profile.pprof" .\n',
        "\tgo build $(if $(filter x,$(Y)),-race) -pgo=pgo/profile.pprof .\n",
        "\tgo build -pgo=$(CURDIR)/$(PROFILE) .\n",
        "\tgo build \\\n\t  -o x \\\n\t  -pgo=pgo/profile.pprof .\n",
        "\tgo build \\\r\n\t  -pgo=pgo/profile.pprof .\r\n",
    ],
)
def test_everything_else_is_left_as_it_is(line):
    text = f"{line}x:\n\tgo build -pgo=pgo/profile.pprof\n"

    assert text == wire_makefile(text, PROFILE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a:\r\n\tgo build .\r\n", "a:\r\n\tgo build -pgo=pgo/profile.pprof .\r\n"),
        ("a:\n\tgo build", "a:\n\tgo build -pgo=pgo/profile.pprof"),
        ("a:\n\tgo build \\\n\t\t.\n", "a:\n\tgo build -pgo=pgo/profile.pprof \\\n\t\t.\n"),
        ("a:\n\tgo \\\n\tbuild .\n\n\n", "a:\n\tgo \\\n\tbuild -pgo=pgo/profile.pprof .\n\n\n"),
        ("\udcff\na:\n\tgo build .", "\udcff\na:\n\tgo build -pgo=pgo/profile.pprof ."),
    ],
)
def test_line_ends_and_foreign_bytes_stay(before, after):
    assert after == wire_makefile(before, PROFILE)


def test_wiring_twice_is_wiring_once():
    once = wire_makefile("a:\n\tgo build . && go build ./b\n", PROFILE)

    assert once == wire_makefile(once, PROFILE)


@given(
    st.lists(
        st.sampled_from(
            ["\t", "go", "build", " ", "\n", "\\\n", "\r\n", "#", '"', "'", ";", "&&", "$(X)", "x", ")"]
        )
    ).map("".join)
)
def test_nothing_but_flags_is_ever_added(text):
    try:
        wired = wire_makefile(text, PROFILE)
    except RepositoryError:
        return

    assert wired is None or text == wired.replace(f" -pgo={PROFILE}", "")


def test_a_path_with_a_space_arrives_whole(tmp_path):
    (tmp_path / "go").write_text('#!/bin/sh\nfor a in "$@"; do echo "<$a>"; done\n')
    (tmp_path / "go").chmod(0o755)
    (tmp_path / "Makefile").write_text(wire_makefile("a:\n\t@./go build .\nb:\n\t@go build .\n", "my $p/x"))

    printed = subprocess.run(
        ["make", "b"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert printed == "<build>\n<-pgo=my $p/x>\n<.>\n"


def test_a_makefile_without_go_build_cannot_be_wired():
    assert wire_makefile("all:\n\t./build.sh\n", PROFILE) is None


def test_another_profile_is_named_beside_ours():
    message = (
        "passes -pgo=cmd/old.pprof, but the profile is to be pgo/profile.pprof: go build -pgo=cmd/old.pprof"
    )
    with pytest.raises(RepositoryError, match=re.escape(message)):
        wire_makefile("all:\n\tgo build -pgo=cmd/old.pprof\n", PROFILE)
