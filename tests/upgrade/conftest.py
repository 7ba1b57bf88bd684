"""What runs leave behind while they wait: a store, and the rows of their triggers in Airflow's database."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from airflow._shared.module_loading import import_string

from fleetpgo_airflow import hooks
from tests.pages import fleet

WAITING = Path(__file__).parents[1] / "testdata/waiting"
RELEASES = sorted(each.name for each in WAITING.iterdir())


@dataclass(frozen=True)
class Left:
    """A copy of what a version has left, for today's code to go on from."""

    store: Path
    triggers: list[dict]


@pytest.fixture
def left(request, tmp_path, monkeypatch):
    place = shutil.copytree(WAITING / request.param, tmp_path / "left")
    monkeypatch.setenv("FLEETPGO_STORE", str(place / "store"))
    monkeypatch.setenv("FLEETPGO_SERVICES", str(place / "services"))
    monkeypatch.setattr(hooks, "forge", lambda _: fleet.Forge("merged", datetime.now(UTC)))
    return Left(place / "store", json.loads((place / "triggers.json").read_text()))


def go_on(classpath, arguments):
    """Make a trigger as a triggerer does, and return the name of the event that ends its wait."""
    trigger = import_string(classpath)(**arguments)

    async def first():
        return type(await anext(trigger.run())).__name__

    return asyncio.run(asyncio.wait_for(first(), 60))
