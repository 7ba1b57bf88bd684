import os
import subprocess
from pathlib import Path

import pytest

from fleetpgo.errors import BuildError
from fleetpgo.golang.reference import differences, read_reference

TOLD = """/usr/bin/api: go1.27.3
\tpath\texample.com/api
\tmod\texample.com/api\tv1.2.3
\tbuild\t-tags=netgo,osusergo
\tbuild\t-ldflags="-X main.key=hidden"
\tbuild\tCGO_ENABLED=0
"""
SETTINGS = {
    "go": "go1.27.3",
    "path": "example.com/api",
    "-tags": "netgo,osusergo",
    "-ldflags": "-X main.key=hidden",
    "CGO_ENABLED": "0",
}


@pytest.mark.parametrize("told", [TOLD, TOLD.replace("\t", "  ")])
def test_a_text_is_read_with_tabs_or_spaces(told):
    assert read_reference(told, environment={}) == SETTINGS


def test_a_file_may_hold_the_text(tmp_path):
    (tmp_path / "reference.txt").write_text(TOLD)

    assert read_reference(str(tmp_path / "reference.txt"), environment={}) == SETTINGS


def test_a_file_may_be_the_binary():
    goroot = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, check=True).stdout
    go = Path(goroot.strip()) / "bin" / "go"

    assert read_reference(str(go), environment=dict(os.environ))["path"] == "cmd/go"


def test_what_is_no_reference_is_refused(tmp_path):
    with pytest.raises(BuildError, match="the text is not the output of `go version -m`"):
        read_reference("some\ntext\n", environment={})
    with pytest.raises(BuildError, match=r"absent cannot be read: No such file"):
        read_reference(str(tmp_path / "absent"), environment={})


def test_settings_that_change_what_is_compiled_are_compared():
    built = {
        "go": "go1.27.3",
        "path": "example.com/api",
        "-ldflags": "other",
        "CGO_ENABLED": "1",
        "-race": "true",
    }

    assert differences(built, SETTINGS) == [
        "-tags is not set in this build and netgo,osusergo in the reference binary",
        "-race is true in this build and not set in the reference binary",
        "CGO_ENABLED is 1 in this build and 0 in the reference binary",
    ]
    assert differences(SETTINGS, SETTINGS) == []


def test_another_program_is_refused():
    with pytest.raises(
        BuildError, match=r"was built from example\.com/api, and build\.binary from example\.com/b"
    ):
        differences({"path": "example.com/b"}, SETTINGS)
