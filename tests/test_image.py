"""What tools/slim-packages leaves of the packages still does its work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.slow  # it copies 600 MB

ROOT = Path(__file__).parents[1]
PACKAGES = ("numpy", "pandas", "scipy", "matplotlib", "mpl_toolkits", "fontTools", "go")
WORK = """\
import sys
import matplotlib.pyplot, numpy, pandas, scipy.optimize, scipy.stats
from fleetpgo import pprof
from fleetpgo.measurement import measuring, plot
profile = pprof.decode(open(sys.argv[1], "rb").read())
assert pprof.compare(profile, profile).unchanged
assert numpy.__file__.startswith(sys.argv[2]), numpy.__file__
"""


@pytest.fixture(scope="module")
def slim(tmp_path_factory):
    """The packages as the image has them: links to the files of those installed here."""
    site = Path(pd.__file__).parents[1]
    place = tmp_path_factory.mktemp("slim")
    there = [*PACKAGES, *(f"{name}.libs" for name in PACKAGES)]
    for name in there:
        if (site / name).exists():
            subprocess.run(["cp", "--archive", "--reflink=auto", site / name, place], check=True)
    subprocess.run([ROOT / "tools/slim-packages", place], check=True)
    return place


def test_profiles_are_merged_and_measurements_made(slim):
    profile = ROOT / "tests/testdata/profiles/go1.27.3.pb.gz"
    environment = {**os.environ, "PYTHONPATH": str(slim)}
    subprocess.run([sys.executable, "-c", WORK, profile, slim], env=environment, check=True)


def test_go_builds(slim, tmp_path):
    (tmp_path / "go.mod").write_text("module example.com/tiny\n\ngo 1.24\n")
    (tmp_path / "main.go").write_text("package main\n\nfunc main() { println(1) }\n")
    environment = {**os.environ, "GOROOT": str(slim / "go"), "GOFLAGS": "-mod=mod"}
    subprocess.run([slim / "go/bin/go", "vet", "."], cwd=tmp_path, env=environment, check=True)


def test_what_is_left_is_smaller(slim):
    assert not [*slim.glob("*/tests"), *slim.glob("go/src/**/testdata")]
