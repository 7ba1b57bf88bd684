from __future__ import annotations

import asyncio

import pytest

from fleetpgo.collection.faults import ForbiddenError, ServerError, StoppedError
from fleetpgo.collection.guards import Guard
from fleetpgo.run.stop import forget_stop, stop
from tests.collection.instances import OK, http, rules, serving

DENIED = http(b"", "401 Unauthorized")
TROUBLE = http(b"", "503 Service Unavailable")


async def most_at_once(guard: Guard, instances: list[tuple[str, str, str]], expected: int) -> int:
    """How many of the instances (name, datacenter, host) have their turn together at most.

    Each keeps its turn until as many as expected have theirs; fewer would wait for ever.
    """
    together = asyncio.Barrier(expected)
    now = most = 0

    async def take(instance, datacenter, host):
        nonlocal now, most
        async with guard.turn(instance, datacenter=datacenter, host=host):
            now += 1
            most = max(most, now)
            await together.wait()
            now -= 1

    async with asyncio.timeout(30):
        await asyncio.gather(*(take(*each) for each in instances))
    return most


@pytest.mark.parametrize(
    ("changes", "limits", "most"),
    [
        ({}, {"ams": 2}, 2),
        ({}, {}, 1),
        ({"per_host": 3}, {"ams": 12}, 3),
        ({"concurrency": 4}, {"ams": 12}, 4),
    ],
    ids=["of a datacenter", "of an unknown datacenter", "on a host", "of a task"],
)
async def test_never_more_than_so_many_have_their_turn_at_once(store, changes, limits, most):
    guard = Guard(rules(**changes), limits, instances=12, store=store)
    assert await most_at_once(guard, [(str(i), "ams", "host") for i in range(12)], most) == most


async def test_datacenters_do_not_wait_for_each_other(store):
    guard = Guard(rules(), {"ams": 1, "lhr": 1}, instances=12, store=store)
    instances = [(str(i), ("ams", "lhr")[i % 2], str(i)) for i in range(12)]
    assert await most_at_once(guard, instances, 2) == 2


async def test_a_refusal_of_our_credentials_stops_the_round_at_once(fetch):
    async with serving(DENIED) as one, serving(DENIED) as other, serving(OK) as good:
        records = await fetch(one, other, good, limits={"ams": 1})
    asked = [len(each.heard) for each in (one, other, good)]
    assert sum(asked[:2]) == 1
    assert {record.reason.partition(":")[0] for record in records[:2]} == {
        "HTTP 401 Unauthorized",
        "not asked",
    }


async def test_other_tasks_of_a_stopped_round_learn_it_from_the_store(fetch):
    async with serving(DENIED) as denied, serving(OK) as good:
        await fetch(denied)
        (record,) = await fetch(good)
    assert record.reason == (
        f"not asked: the round was stopped: {denied.target.instance} answered HTTP 401 Unauthorized"
    )
    assert good.heard == []


async def test_whoever_had_answered_before_the_stop_keeps_its_own_reason(fetch, store):
    async def fails_and_stops(writer):
        stop(store, "somebody else")
        writer.write(TROUBLE)

    async with serving(fails_and_stops) as ams:
        (record,) = await fetch(ams)
    assert (record.reason, len(ams.heard)) == ("HTTP 503 Service Unavailable", 1)


async def test_a_forgotten_stop_lets_the_round_go_on(fetch, store):
    async with serving(DENIED, OK) as ams:
        await fetch(ams)
        forget_stop(store)
        (record,) = await fetch(ams)
    assert record.state == "fetched"


async def fail(guard: Guard, instance: str, error: Exception) -> None:
    with pytest.raises(type(error)):
        async with guard.turn(instance, datacenter="ams", host=instance):
            raise error


async def test_too_many_in_trouble_stop_the_round(store):
    guard = Guard(rules(max_errors=0.2), {}, instances=20, store=store)
    for number in range(4):
        await fail(guard, str(number), ServerError("HTTP 503"))
    assert not guard.stopped
    await fail(guard, "4", ServerError("HTTP 503"))
    assert guard.stopped == "5 instances answer with server errors (collection.max_errors)"
    with pytest.raises(StoppedError):
        async with guard.turn("5", datacenter="ams", host="5"):
            pass


async def test_instances_in_trouble_are_counted_over_all_tasks_of_the_round(store):
    one, other = (Guard(rules(max_errors=0.2), {}, instances=15, store=store) for _ in range(2))
    for number in range(2):
        await fail(one, f"one {number}", ServerError("HTTP 503"))
        await fail(other, f"other {number}", ServerError("HTTP 503"))
    assert other.stopped == "4 instances answer with server errors (collection.max_errors)"
    with pytest.raises(StoppedError):
        async with one.turn("one 2", datacenter="ams", host="one 2"):
            pass


async def test_a_forgotten_stop_forgets_who_was_in_trouble(store):
    stopped, again = (Guard(rules(max_errors=0.2), {}, instances=10, store=store) for _ in range(2))
    for number in range(3):
        await fail(stopped, str(number), ServerError("HTTP 503"))
    assert stopped.stopped
    forget_stop(store)
    await fail(again, "3", ServerError("HTTP 503"))
    assert not again.stopped


async def test_one_instance_in_trouble_again_and_again_is_one(store):
    guard = Guard(rules(max_errors=0.2), {}, instances=5, store=store)
    for _ in range(9):
        await fail(guard, "a", ServerError("HTTP 503"))
    assert not guard.stopped


async def test_two_of_a_small_round_do_not_stop_it(store):
    guard = Guard(rules(max_errors=0), {}, instances=4, store=store)
    await fail(guard, "a", ServerError("HTTP 503"))
    await fail(guard, "b", ServerError("HTTP 503"))
    assert not guard.stopped


async def test_the_first_reason_to_stop_is_kept(store):
    guard = Guard(rules(), {"ams": 2}, instances=4, store=store)
    async with guard.turn("b", datacenter="ams", host="b"):
        await fail(guard, "a", ForbiddenError("HTTP 401"))
    assert guard.stopped == "a answered HTTP 401"


async def test_in_trouble_on_the_wire(fetch):
    async with serving(TROUBLE) as a, serving(TROUBLE) as b, serving(TROUBLE) as c, serving(OK) as late:
        records = await fetch(a, b, c, limits={"ams": 3}, max_errors=0)
        (record,) = await fetch(late)
    assert [each.state for each in records] == ["missing"] * 3
    assert record.reason.startswith("not asked: the round was stopped: 3 instances answer with server errors")
