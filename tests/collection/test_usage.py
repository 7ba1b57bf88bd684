"""Which profiles hold too little or too much CPU for what Prometheus says of their instance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fleetpgo.collection.faults import UnusableError
from fleetpgo.collection.usage import LEAST, MOST, require_plausible
from fleetpgo.pprof import check
from tests.collection.instances import PROFILE, cpu_profile, http, port_of, serving

FACTS = check(PROFILE)


def judged(samples, cores, *, seconds=30, whole=True, **facts) -> str:
    """The reason for which a profile is refused; "": it is not."""
    found = replace(FACTS, samples=samples, weight=samples, **facts)
    try:
        require_plausible(found, cores=cores, seconds=seconds, whole=whole)
    except UnusableError as error:
        return str(error).partition(":")[0]
    return ""


@pytest.mark.parametrize(
    ("samples", "cores", "reason"),
    [
        (30, 0.01, ""),
        (1, 0.01, ""),
        (12_000, 4, ""),
        (601, 4, ""),
        (450, 4, "idle"),
        (10, 4, "idle"),
        (40_000, 4, ""),
        (119_000, 4, ""),
        (124_000, 4, "implausible"),
        (10**9, 4, "implausible"),
        (400, 0.01, "implausible"),
        (5, 1e-9, "implausible"),
        (10**9, 0, ""),
    ],
    ids=str,
)
def test_a_profile_is_held_against_what_prometheus_says(samples, cores, reason):
    assert judged(samples, cores) == reason


@pytest.mark.parametrize("cores", [0.001, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("burst", [LEAST, 1.0, MOST])
def test_an_honest_instance_is_not_refused_by_chance_even_at_the_bounds(cores, burst):
    drawn = np.random.default_rng(1).poisson(burst * cores * 3000, 5_000)
    assert {judged(int(samples), cores) for samples in set(drawn) - {0}} == {""}


def test_a_store_that_saw_a_part_of_the_time_is_not_called_idle():
    assert judged(100, 4, seconds=600, whole=False) == ""
    assert judged(100, 4, seconds=600, whole=True) == "idle"


def test_a_store_cannot_tell_of_any_cpu_either():
    assert judged(10**9, 4, seconds=600, whole=False) == "implausible"


def test_a_short_period_makes_no_room_for_more_samples():
    assert judged(10**9, 4, period=1) == "implausible"


def test_a_long_period_has_fewer_samples():
    assert judged(230, 4, period=520_000_000) == ""


def test_nanoseconds_are_counted_where_there_are_no_samples():
    assert judged(4 * 10**9, 4, seconds=1, sample_types=(("cpu", "nanoseconds"),)) == ""
    assert judged(4 * 10**13, 4, seconds=1, sample_types=(("cpu", "nanoseconds"),)) == "implausible"


async def test_the_record_says_both_figures_and_the_key(fetch):
    async with serving(http(cpu_profile(5_000_000))) as liar, serving(http(cpu_profile(90))) as honest:
        records = await fetch(liar, honest)
    assert [record.state for record in records] == ["refused", "fetched"]
    assert records[0].reason.startswith(
        "implausible: 5,000,000 samples in 1 s are 50,000 cores; Prometheus says that it uses 1 (selection"
    )


async def test_an_instance_far_below_what_prometheus_says_is_refused_by_name(fetch):
    async with serving(http(cpu_profile(2))) as ams:
        busy = replace(ams.target, cores=16.0)
        (record,) = await fetch(busy)
    assert record.state == "refused"
    assert record.reason.startswith("idle: 2 samples in 1 s are 0.02 cores; Prometheus says that it uses 16")


async def test_a_store_that_has_seen_a_little_gives_a_profile(fetch):
    query = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds{host="$host"}'
    async with serving(http(cpu_profile(2))) as store:
        (record,) = await fetch(
            replace(store.target, cores=16.0),
            source="pyroscope",
            url=f"http://127.0.0.1:{port_of(store)}",
            query=query,
            ports=None,
        )
    assert (record.state, record.samples) == ("fetched", 2)
