import gzip
import json

import pytest
from click.testing import CliRunner

from fleetpgo.cli.main import cli
from tests.pprof.messages import message

SOURCE = """package main

import "strings"

func main() {
	work()
}

func work() {
	strings.Contains("a", "b")
}
"""
OWN = [("main.work", 9, 10)], [("main.main", 5, 6)]
GONE = [("main.gone", 9, 10)], [("main.main", 5, 7)]
STANDARD = [("strings.gone", 9, 10)], [("strings.Contains", 5, 6)]


@pytest.fixture
def verify(tmp_path, monkeypatch, go_cache):
    """What is said of a module with these calls in its default.pgo, and its other words."""
    monkeypatch.setenv("GOCACHE", str(go_cache / "go-build"))

    def run(*arguments, calls=((OWN, 900),), source=SOURCE, content=None):
        (tmp_path / "go.mod").write_text("module example.com/tiny\n\ngo 1.24\n")
        (tmp_path / "main.go").write_text(source)
        stacks = [(list(stack), weight) for stack, weight in calls]
        zipped = gzip.compress(message(stacks).SerializeToString())
        (tmp_path / "default.pgo").write_bytes(zipped if content is None else content)
        return CliRunner().invoke(cli, ["verify", str(tmp_path), *arguments])

    return run


def test_a_profile_of_the_source_that_builds_is_fine(verify):
    done = verify()

    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ok", "ok", "ok"]
    assert "`go build` works with the profile" in done.stdout


def test_a_profile_that_cannot_be_read_is_told_alone(verify):
    done = verify(content=b"<<<<<<< HEAD\n")

    assert done.exit_code == 1
    assert done.stdout.startswith("FAILED the profile cannot be read: ")
    assert "restore the file from the commit that brought it" in done.stdout


@pytest.mark.parametrize("package", ["example.com/tiny", "main.go", "./"])
def test_the_profile_is_beside_the_main_package_whatever_names_that(verify, package):
    done = verify("--no-build", "--package", package)

    assert done.exit_code == 0, done.output


def test_a_directory_is_no_package_of_go_s_own(verify, tmp_path):
    (tmp_path / "cmd/api").mkdir(parents=True)
    (tmp_path / "cmd/api/main.go").write_text(SOURCE)
    profile = ("--profile", str(tmp_path / "default.pgo"))

    assert verify("--no-build", "--package", "cmd/api", *profile).exit_code == 0


def test_a_package_that_is_no_program_is_named(verify, tmp_path):
    done = verify("--no-build", source=SOURCE.replace("package main", "package other"))

    assert f"`go list` finds no main package . in {tmp_path}" in done.stderr


def test_an_empty_file_is_no_profile(verify):
    assert verify(content=b"").exit_code == 1


def test_a_file_that_is_not_there_is_named(verify, tmp_path):
    done = verify("--profile", str(tmp_path / "absent.pgo"))

    assert done.exit_code == 1
    assert "absent.pgo: No such file or directory" in done.stdout
    assert "name the main package, or the file (--package, --profile)" in done.stdout


def test_source_that_has_changed_since_fails(verify):
    done = verify("--no-build", calls=[(OWN, 700), (GONE, 300)])

    assert done.exit_code == 3
    assert "source match 0.70, of 100 % of the weight, below 0.8: the source has changed" in done.stdout
    assert "main.main calls main.gone: the callee is gone" in done.stdout


def test_the_bar_is_the_callers(verify):
    assert verify("--no-build", "--match", "0.6", calls=[(OWN, 700), (GONE, 300)]).exit_code == 0


def test_a_bump_of_go_is_told_from_a_change_of_the_source(verify):
    done = verify("--no-build", calls=[(OWN, 100), (STANDARD, 900)])

    assert done.exit_code == 3
    assert "below 0.8: another version of Go than go1." in done.stdout
    assert "does not have strings.gone" in done.stdout


def test_a_profile_of_another_program_fails(verify):
    done = verify("--no-build", calls=[([[("example.com/a.f", 1, 2)], [("example.com/a.g", 1, 2)]], 5)])

    assert done.exit_code == 3
    assert "or it is another program's" in done.stdout


def test_a_build_that_fails_is_told_with_its_flags(verify):
    done = verify("--cover", source=SOURCE.replace("\twork()", "\tundefined()"))

    assert done.exit_code == 4
    assert "FAILED `go build` fails with the profile: ./main.go:6:2: undefined: undefined" in done.stdout
    assert "FAILED `go build -cover` fails with the profile" in done.stdout


def test_programs_get_one_document(verify):
    done = verify("--no-build", "--json", calls=[(GONE, 300)])

    found = json.loads(done.stdout)["findings"]
    assert [(each["check"], each["failed"]) for each in found] == [("profile", False), ("match", True)]


def test_github_gets_annotations(verify, tmp_path):
    done = verify("--no-build", "--github", calls=[(GONE, 300)])

    annotation = done.stdout.splitlines()[-1]
    assert annotation.startswith(
        f"::error file={tmp_path}/default.pgo,title=PGO profile::source match 0.00, of 100 %25 of the weight"
    )


def test_annotations_stay_out_of_the_document(verify):
    done = verify("--no-build", "--json", "--github", calls=[(GONE, 300)])

    assert json.loads(done.stdout)["findings"][1]["failed"]
    assert done.stderr.splitlines()[-1].startswith("::error file=")


def test_a_path_of_many_lines_is_one_annotation(verify, tmp_path):
    file = tmp_path / "a%b:c,d\nx.pgo"
    file.write_bytes(b"<html>")
    done = verify("--no-build", "--github", "--profile", str(file))

    assert "/a%25b%3Ac%2Cd%0Ax.pgo,title=PGO profile::the profile cannot be read" in done.stdout


def test_what_cannot_be_checked_has_its_own_exit_code_and_document(verify, tmp_path):
    done = verify(
        "--no-build", "--json", "--github", "--package", "./nothere", "--profile", f"{tmp_path}/default.pgo"
    )

    assert done.exit_code == 5
    assert "no main package ./nothere" in json.loads(done.stdout)["error"]
    assert done.stderr.splitlines()[-1].startswith(
        f"::error file={tmp_path}/default.pgo,title=PGO profile::`go list`"
    )


def test_a_link_to_a_device_is_no_profile(verify):
    done = verify("--no-build", "--profile", "/dev/zero")

    assert done.exit_code == 1
    assert "the profile cannot be read: /dev/zero is no file" in done.stdout
