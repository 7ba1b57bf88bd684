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
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.proposal.git import git
from fleetpgo.run.artifacts import FetchedProfile
from fleetpgo.run.profiled import Record
from fleetpgo.run.proposed import Proposed
from fleetpgo.run.store import RunStore
from fleetpgo.selection import read_selection
from fleetpgo.service.rules import SufficiencyRules
from fleetpgo.steps.collect import collect_profiles, top_up
from fleetpgo.steps.merge import merge_profiles
from fleetpgo.steps.propose_run import propose_profile
from tests.collection.instances import OK, OTHER, THIRD, cpu_profile, http, serving
from tests.steps.rounds import select, service


async def test_a_profile_that_the_merge_refused_is_not_proposed(store, tmp_path):
    described = service(instances=1)
    strict = described.profile.model_copy(update={"fail_below": SufficiencyRules(samples=1000)})
    described = described.model_copy(update={"profile": strict})
    async with serving(OK) as ams:
        await collect_profiles(described, store, select(described, store, ams))
    with pytest.raises(ProfileError, match="not sufficient"):
        merge_profiles(described, store, go=None)
    git(tmp_path, "init", "--bare", "forge/wshim.git")
    forge = LocalForge(str(tmp_path / "forge"), "wshim")
    with pytest.raises(ProfileError, match="refused when it was merged, so it is not proposed: samples: 80"):
        propose_profile(described, store, forge, dry_run=False, cache=tmp_path)
    assert not store.exists(Proposed)


async def test_a_round_that_gives_enough_is_the_only_one(store):
    described = service(instances=1, target_samples=80)
    async with serving(OK) as one, serving(OTHER) as other:
        await collect_profiles(described, store, select(described, store, one, other))
        said = await top_up(described, store)
    assert said == ["80 samples from 1 instances, as many as are wanted"]
    assert other.heard == []


async def test_too_few_samples_take_another_round_from_those_not_yet_asked(store):
    described = service(instances=1, target_samples=100)
    async with serving(OK) as one, serving(OTHER) as other, serving(THIRD) as third:
        await collect_profiles(described, store, select(described, store, one, other, third))
        said = await top_up(described, store)
    assert said == [
        "80 samples from 1 instances; the target is 100",
        "160 samples from 2 instances, as many as are wanted",
    ]
    assert [len(each.heard) for each in (one, other, third)] == [1, 1, 0]
    manifest = merge_profiles(described, store, go=None)
    assert (manifest.selected, manifest.used, manifest.samples) == (2, 2, 160)


async def test_instances_that_do_not_agree_take_another_round(store):
    described = service(instances=2, target_samples=100)
    other_work = http(cpu_profile(work=b"main.other"))
    async with serving(OK) as one, serving(other_work) as other, serving(THIRD) as third:
        await collect_profiles(described, store, select(described, store, one, other, third))
        said = await top_up(described, store)
    assert said[0] == (
        "160 samples from 2 instances, as many as are wanted; "
        "overlap of two halves of the instances: 0.00, below 0.50; "
        "held-out weight covered by the hot edges: 0.00, below 0.70"
    )
    assert len(third.heard) == 1


async def test_rounds_end_when_nobody_is_left_to_ask(store):
    described = service(instances=2, target_samples=1000)
    async with serving(OK) as one:
        await collect_profiles(described, store, select(described, store, one))
        said = await top_up(described, store)
    assert said == [
        (
            "80 samples from 1 instances; the target is 1,000; every chosen instance has been tried: for "
            "more, profile for longer (collection.seconds is 1) or in more rounds (selection.max_rounds is 3)"
        )
    ]


async def test_rounds_end_at_the_most_that_are_allowed(store):
    described = service(instances=1, target_samples=1000, max_rounds=2)
    async with serving(OK) as one, serving(OTHER) as other, serving(THIRD) as third:
        await collect_profiles(described, store, select(described, store, one, other, third))
        await top_up(described, store)
    assert third.heard == []


DENIED = http(b"", "401 Unauthorized")


async def test_a_stopped_run_takes_no_further_round(store):
    described = service(instances=2, target_samples=1000)
    async with serving(OK) as one, serving(DENIED) as two, serving(OTHER) as three:
        targets = select(described, store, one, two, three)
        for target in targets:
            await collect_profiles(described, store, [target])
        said = await top_up(described, store)
    (sentence,) = said
    assert sentence.startswith("80 samples from 1 instances; the target is 1,000; nobody else is asked: ")
    assert sentence.endswith(f"{two.target.instance} answered HTTP 401 Unauthorized")
    assert three.heard == []


async def test_whoever_was_not_asked_in_a_further_round_counts_for_no_quorum(store):
    described = service(instances=1, target_samples=1000, max_rounds=3)
    async with serving(OK) as one, serving(DENIED) as two, serving(OTHER) as three:
        await collect_profiles(described, store, select(described, store, one, two, three))
        await top_up(described, store)
        chosen = read_selection(store)
        await collect_profiles(described, store, chosen.of_round(3))
    manifest = merge_profiles(described, store, go=None)
    assert [(each.instance, each.state) for each in manifest.instances] == [
        (one.target.instance, "used"),
        (two.target.instance, "missing"),
    ]
    assert three.heard == []


COLLECT = """
import asyncio, pickle, sys
from fleetpgo.steps.collect import collect_profiles
from fleetpgo.selection import read_selection
service, store = pickle.load(sys.stdin.buffer)
chosen = read_selection(store)
asyncio.run(collect_profiles(service, store, chosen.targets))
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
    manifest = asdict(merge_profiles(described, store, go=None))
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
        while len(store.keys(Record)) < 3 or not all(each.heard for each in slow):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        killed.kill()
        assert await killed.wait() == -signal.SIGKILL

        assert await (await start_collecting(described, store)).wait() == 0
        assert [len(each.heard) for each in (*quick, *slow)] == [1, 1, 1, 2, 2, 2]

        undisturbed = RunStore(tmp_path / "undisturbed", "wshim", "run")
        select(described, undisturbed, *quick, *slow)
        assert await (await start_collecting(described, undisturbed)).wait() == 0
    assert account(described, store) == account(described, undisturbed)
    assert store.keys(FetchedProfile) == undisturbed.keys(FetchedProfile)
