from __future__ import annotations

import shutil

import pytest

from tests.pages import site


@pytest.fixture(scope="session")
def served(fleet_root, tmp_path_factory):
    """A real API server over a fleet, which knows its runs."""
    root = shutil.copytree(fleet_root, tmp_path_factory.mktemp("pages") / "fleet")
    with site.serving(root) as running:
        site.start_runs(running)
        yield running
