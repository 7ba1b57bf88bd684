"""The libraries that the pages draw with: where they come from, and what is said without them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fleetpgo_airflow.pages.files import INSTALLED, LIBRARIES, explain_absence, find_files

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "package-lock.json"


@pytest.fixture(scope="module")
def packages():
    """What the lock names, without the project itself."""
    found = json.loads(LOCK.read_text())["packages"]
    return {name: each for name, each in found.items() if name}


def test_every_package_is_locked_by_its_version_and_its_digest(packages):
    loose = [name for name, each in packages.items() if not each["integrity"].startswith("sha512-")]
    versions = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert (loose, {name: packages[f"node_modules/{name}"]["version"] for name in LIBRARIES}) == (
        [],
        versions,
    )


def test_the_lock_names_no_host_to_install_from(packages):
    assert [name for name, each in packages.items() if "resolved" in each] == []
    assert re.findall(r'"(?!https://github\.com/)\w+://', LOCK.read_text()) == []


def test_what_the_pages_ask_for_is_installed():
    wanted = {"fleet.html", "page.js", "uplot/uPlot.esm.js", "uplot/uPlot.min.css", "speedscope/index.html"}
    assert wanted <= set(find_files())


def test_every_library_comes_with_its_licence():
    assert [name for name in LIBRARIES if not (INSTALLED / name / "LICENSE").exists()] == []


def test_a_library_that_is_not_installed_has_no_files(tmp_path):
    names = set(find_files(tmp_path))
    assert "page.js" in names
    assert [name for name in names if name.startswith(tuple(LIBRARIES))] == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_is_not_installed_is_named_with_what_brings_it(tmp_path, library):
    said = explain_absence(f"{library}/index.html", tmp_path)
    assert said.startswith(f"{library}, which draws this, is not in {tmp_path}: run `make setup`")


def test_any_other_name_is_just_not_there(tmp_path):
    assert explain_absence("uplots.js", tmp_path) == "there is no uplots.js"
    assert explain_absence("uplot/none.js") == "there is no uplot/none.js"
