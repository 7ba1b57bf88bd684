from __future__ import annotations

import pytest

from fleetpgo.collection import collect
from fleetpgo.run.store import RunStore
from tests.collection.instances import SECONDS, Instance, rules


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path, "wshim", "run")


@pytest.fixture
def fetch(store):
    """Collect from instances (or targets) into `store`."""

    async def fetch(*instances, access=None, resolver=None, limits=None, seconds=SECONDS, **changes):
        targets = [each.target if isinstance(each, Instance) else each for each in instances]
        given = {"access": access} if access else {}
        limits = limits or {"ams": 100, "lhr": 100}
        return await collect(
            targets, rules(**changes), store, seconds=seconds, limits=limits, resolver=resolver, **given
        )

    return fetch
