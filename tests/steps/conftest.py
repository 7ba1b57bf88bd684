from __future__ import annotations

import pytest

from fleetpgo.run.store import RunStore


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path, "wshim", "run")
