"""Steps over a run's store, with instances that are real servers."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict

import pytest

from fleetpgo.errors import ProfileError
from fleetpgo.proposal.body import Datacenter
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.proposal.git import git
from fleetpgo.run.store import RunStore
from fleetpgo.service.rules import ServiceRules, SufficiencyRules
from fleetpgo.steps import refresh
from tests.collection.instances import OK, OTHER, THIRD, cpu_profile, http, serving
from tests.selection.fleets import Answering

SECONDS = 1


def service(**selection) -> ServiceRules:
    return ServiceRules.model_validate(
        {
            "name": "wshim",
            "prometheus": {"connection": "prometheus"},
            "selection": {"cpu": "cpu", **selection},
            "collection": {
                "url": "http://$instance/debug/pprof/profile?seconds=$seconds",
                "ports": (1024, 65535),
                "allow": ("127.0.0.1",),
                "per_host": 100,
                "max_share": 1,
                "max_tasks": 1,
                "attempts": 1,
            },
            "repository": {"forge": "local", "connection": "forge", "project": "wshim"},
            "build": {"binary": "bin/wshim"},
            "rollout": {"fraction": "vector(1)"},
            "measurement": {"cpu": "cpu"},
        }
    )


def select(described, store, *instances):
    fleet = [
        ({"instance": each.target.instance, "datacenter": "ams"}, 10.0 - place)
        for place, each in enumerate(instances)
    ]
    _, (pack,) = refresh.select_instances(described, store, Answering(*fleet), seconds=SECONDS)
    return pack.targets


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path, "wshim", "run")


async def test_a_profile_that_the_merge_refused_is_not_proposed(store, tmp_path):
    described = service(instances=1)
    strict = described.profile.model_copy(update={"fail_below": SufficiencyRules(samples=1000)})
    described = described.model_copy(update={"profile": strict})
    async with serving(OK) as ams:
        await refresh.collect_profiles(described, store, select(described, store, ams))
    with pytest.raises(ProfileError, match="not sufficient"):
        refresh.merge_profiles(described, store, go=None)
    git(tmp_path, "init", "--bare", "forge/wshim.git")
    forge = LocalForge(str(tmp_path / "forge"), "wshim")
    with pytest.raises(ProfileError, match="refused when it was merged, so it is not proposed: samples: 80"):
        refresh.propose_profile(described, store, forge, dry_run=False, cache=tmp_path)
    assert not store.exists("pull_request.json")


async def test_a_round_that_gives_enough_is_the_only_one(store):
    described = service(instances=1, target_samples=80)
    async with serving(OK) as one, serving(OTHER) as other:
        await refresh.collect_profiles(described, store, select(described, store, one, other))
        said = await refresh.top_up(described, store)
    assert said == ["80 samples from 1 instances, as many as are wanted"]
    assert other.heard == []


async def test_too_few_samples_take_another_round_from_those_not_yet_asked(store):
    described = service(instances=1, target_samples=100)
    async with serving(OK) as one, serving(OTHER) as other, serving(THIRD) as third:
        await refresh.collect_profiles(described, store, select(described, store, one, other, third))
        said = await refresh.top_up(described, store)
    assert said == [
        "80 samples from 1 instances; the target is 100",
        "160 samples from 2 instances, as many as are wanted",
    ]
    assert [len(each.heard) for each in (one, other, third)] == [1, 1, 0]
    manifest = refresh.merge_profiles(described, store, go=None)
    assert (manifest.selected, manifest.used, manifest.samples) == (2, 2, 160)


async def test_instances_that_do_not_agree_take_another_round(store):
    described = service(instances=2, target_samples=100)
    other_work = http(cpu_profile(work=b"main.other"))
    async with serving(OK) as one, serving(other_work) as other, serving(THIRD) as third:
        await refresh.collect_profiles(described, store, select(described, store, one, other, third))
        said = await refresh.top_up(described, store)
    assert said[0] == (
        "160 samples from 2 instances, as many as are wanted; "
        "overlap of two halves of the instances: 0.00, below 0.50; "
        "held-out weight covered by the hot edges: 0.00, below 0.70"
    )
    assert len(third.heard) == 1


async def test_rounds_end_when_nobody_is_left_to_ask(store):
    described = service(instances=2, target_samples=1000)
    async with serving(OK) as one:
        await refresh.collect_profiles(described, store, select(described, store, one))
        said = await refresh.top_up(described, store)
    (sentence,) = said
    assert sentence == (
        "80 samples from 1 instances; the target is 1,000; every chosen instance has been tried: for more, "
        "profile for longer (collection.seconds is 1) or in more rounds (selection.max_rounds is 3)"
    )


async def test_rounds_end_at_the_most_that_are_allowed(store):
    described = service(instances=1, target_samples=1000, max_rounds=2)
    async with serving(OK) as one, serving(OTHER) as other, serving(THIRD) as third:
        await refresh.collect_profiles(described, store, select(described, store, one, other, third))
        await refresh.top_up(described, store)
    assert third.heard == []


WINDOWS = [{"name": "peak", "at": "14:00", "share": 0.5}, {"name": "night", "at": "03:00", "share": 0.5}]


DENIED = http(b"", "401 Unauthorized")


async def test_a_stopped_run_takes_no_further_round(store):
    described = service(instances=2, target_samples=1000)
    async with serving(OK) as one, serving(DENIED) as two, serving(OTHER) as three:
        targets = select(described, store, one, two, three)
        for target in targets:
            await refresh.collect_profiles(described, store, [target])
        said = await refresh.top_up(described, store)
    (sentence,) = said
    assert sentence.startswith("80 samples from 1 instances; the target is 1,000; nobody else is asked: ")
    assert sentence.endswith(f"{two.target.instance} answered HTTP 401 Unauthorized")
    assert three.heard == []


async def test_whoever_was_not_asked_in_a_further_round_counts_for_no_quorum(store):
    described = service(instances=1, target_samples=1000, max_rounds=3)
    async with serving(OK) as one, serving(DENIED) as two, serving(OTHER) as three:
        await refresh.collect_profiles(described, store, select(described, store, one, two, three))
        await refresh.top_up(described, store)
        chosen, _ = refresh.read_selection(store)
        await refresh.collect_profiles(described, store, chosen.of_round(3))
    manifest = refresh.merge_profiles(described, store, go=None)
    assert [(each.instance, each.state) for each in manifest.instances] == [
        (one.target.instance, "used"),
        (two.target.instance, "missing"),
    ]
    assert three.heard == []


def select_window(described, store, window, *instances):
    fleet = [({"instance": each.target.instance, "datacenter": "ams"}, 1.0) for each in instances]
    _, (pack,) = refresh.select_instances(described, store, Answering(*fleet), seconds=SECONDS, window=window)
    return pack.targets


async def test_windows_take_different_instances_and_are_merged_together(store):
    described = service(instances=2, max_rounds=1, windows=WINDOWS)
    async with serving(OK) as one, serving(OTHER) as other:
        for window in ("peak", "night"):
            targets = select_window(described, store, window, one, other)
            await refresh.collect_profiles(described, store, targets)
    assert (len(one.heard), len(other.heard)) == (1, 1)
    manifest = refresh.merge_profiles(described, store, go=None)
    assert (manifest.selected, manifest.used) == (2, 2)
    assert not any("window" in warning for warning in manifest.warnings)


async def test_a_window_in_which_nothing_was_selected_is_named_in_the_manifest(store):
    described = service(instances=2, max_rounds=1, windows=WINDOWS)
    async with serving(OK) as one, serving(OTHER) as other:
        targets = select_window(described, store, "peak", one, other)
        await refresh.collect_profiles(described, store, targets)
    manifest = refresh.merge_profiles(described, store, go=None)
    assert "nothing was profiled in the window night" in manifest.warnings


async def test_a_run_that_takes_all_instances_now_knows_of_no_window(store):
    described = service(instances=2, max_rounds=1, windows=WINDOWS)
    async with serving(OK) as one, serving(OTHER) as other:
        assert len(select_window(described, store, None, one, other)) == 2
    chosen, _ = refresh.read_selection(store)
    assert chosen.warnings == ()


def test_datacenters_are_told_by_what_their_instances_gave():
    instances = [
        {"datacenter": "ams", "state": "used", "samples": 10},
        {"datacenter": "fra", "state": "used", "samples": 30},
        {"datacenter": "ams", "state": "refused", "samples": 99},
    ]

    assert refresh._datacenters(instances) == [Datacenter("fra", 1, 1, 30), Datacenter("ams", 2, 1, 10)]


COLLECT = """
import asyncio, pickle, sys
from fleetpgo.steps import refresh
service, store = pickle.load(sys.stdin.buffer)
chosen, _ = refresh.read_selection(store)
asyncio.run(refresh.collect_profiles(service, store, chosen.targets))
"""


async def start_collecting(described, store):
    """A process of its own that collects the run's whole selection, as a task does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        COLLECT,
        stdin=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    process.stdin.write(pickle.dumps((described, store)))
    process.stdin.close()
    return process


def account(described, store):
    """The manifest, without the time when it was made."""
    manifest = asdict(refresh.merge_profiles(described, store, go=None))
    return {key: value for key, value in manifest.items() if key != "made_at"}


async def test_a_task_killed_half_way_and_retried_fetches_only_the_rest(store, tmp_path):
    described = service(instances=6, max_rounds=1)
    held = asyncio.Event()

    async def hold(writer):
        await held.wait()

    async with AsyncExitStack() as running:
        answers = [http(cpu_profile(50 + number)) for number in range(6)]
        quick = [await running.enter_async_context(serving(answer)) for answer in answers[:3]]
        slow = [await running.enter_async_context(serving(hold, answer)) for answer in answers[3:]]
        running.callback(held.set)
        select(described, store, *quick, *slow)

        killed = await start_collecting(described, store)
        # What is waited for happens in another process.
        while len(list(store.names("profiles", ".json"))) < 3 or not all(each.heard for each in slow):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        killed.kill()
        assert await killed.wait() == -signal.SIGKILL

        assert await (await start_collecting(described, store)).wait() == 0
        assert [len(each.heard) for each in (*quick, *slow)] == [1, 1, 1, 2, 2, 2]

        undisturbed = RunStore(tmp_path / "undisturbed", "wshim", "run")
        select(described, undisturbed, *quick, *slow)
        assert await (await start_collecting(described, undisturbed)).wait() == 0
    assert account(described, store) == account(described, undisturbed)
    assert sorted(store.names("profiles", "")) == sorted(undisturbed.names("profiles", ""))
