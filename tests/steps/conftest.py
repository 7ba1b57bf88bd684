from __future__ import annotations

import pytest

from fleetpgo.run.store import RunStore
from tests.repairing import builds

__all__ = ["builds", "store"]


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path, "wshim", "run")
