"""Selecting in windows, and what the merge makes of it."""

from __future__ import annotations

from fleetpgo.selection import read_selection
from fleetpgo.steps.collect import collect_profiles
from fleetpgo.steps.merge import merge_profiles
from fleetpgo.steps.select import select_instances
from tests.collection.instances import OK, OTHER, serving
from tests.selection.fleets import Answering
from tests.steps.rounds import SECONDS, service

WINDOWS = [{"name": "peak", "at": "14:00", "share": 0.5}, {"name": "night", "at": "03:00", "share": 0.5}]


def select_window(described, store, window, *instances):
    fleet = [({"instance": each.target.instance, "datacenter": "ams"}, 1.0) for each in instances]
    _, (pack,) = select_instances(described, store, Answering(*fleet), seconds=SECONDS, window=window)
    return pack.targets


async def test_windows_take_different_instances_and_are_merged_together(store):
    described = service(instances=2, max_rounds=1, windows=WINDOWS)
    async with serving(OK) as one, serving(OTHER) as other:
        for window in ("peak", "night"):
            targets = select_window(described, store, window, one, other)
            await collect_profiles(described, store, targets)
    assert (len(one.heard), len(other.heard)) == (1, 1)
    manifest = merge_profiles(described, store, go=None)
    assert (manifest.selected, manifest.used) == (2, 2)
    assert not any("window" in warning for warning in manifest.warnings)


async def test_a_window_in_which_nothing_was_selected_is_named_in_the_manifest(store):
    described = service(instances=2, max_rounds=1, windows=WINDOWS)
    async with serving(OK) as one, serving(OTHER) as other:
        targets = select_window(described, store, "peak", one, other)
        await collect_profiles(described, store, targets)
    manifest = merge_profiles(described, store, go=None)
    assert "nothing was profiled in the window night" in manifest.warnings


async def test_a_run_that_takes_all_instances_now_knows_of_no_window(store):
    described = service(instances=2, max_rounds=1, windows=WINDOWS)
    async with serving(OK) as one, serving(OTHER) as other:
        assert len(select_window(described, store, None, one, other)) == 2
    chosen = read_selection(store)
    assert chosen.warnings == ()
