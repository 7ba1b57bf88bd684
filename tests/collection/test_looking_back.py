"""How far a store is asked back: in queries of a day, and no further than the last deploy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetpgo.collection.examining import Profile
from fleetpgo.collection.faults import NothingError, UnusableError
from fleetpgo.collection.looking_back import FINEST, HALVINGS, PART, look_back
from fleetpgo.pprof import check
from tests.collection.instances import PROFILE

FACTS = check(PROFILE)
NOW = 1_000_000.0


class Store:
    """Has seen builds, each from a moment on; and what was asked. A build "" is of no known id."""

    def __init__(self, **builds):
        self.since = sorted((moment, build) for build, moment in builds.items())
        self.asked = []

    async def ask(self, start, end):
        self.asked.append((start, end))
        ends = [moment for moment, _ in self.since[1:]] + [NOW]
        seen = [
            build
            for (moment, build), last in zip(self.since, ends, strict=True)
            if moment < end and last > start
        ]
        if not [build for build in seen if build != "none"]:
            raise NothingError("no-samples")
        first, *others = [build for build in reversed(seen) if build != "none"]
        return Profile(b"", replace(FACTS, build_id=first, other_builds=tuple(others)))


async def test_a_day_is_one_query():
    store = Store(a=0)
    seen = await look_back(store.ask, start=NOW - PART, end=NOW)
    assert (store.asked, len(seen.profiles), seen.cut) == ([(NOW - PART, NOW)], 1, "")


async def test_a_week_is_seven_queries_the_newest_first():
    store = Store(a=0)
    seen = await look_back(store.ask, start=NOW - 6.5 * PART, end=NOW)
    assert [round((NOW - start) / PART, 1) for start, _ in store.asked] == [1, 2, 3, 4, 5, 6, 6.5]
    assert (len(seen.profiles), seen.since) == (7, NOW - 6.5 * PART)


async def test_days_of_which_the_store_has_nothing_are_no_fault():
    store = Store(a=0, none=NOW - 1.5 * PART)
    seen = await look_back(store.ask, start=NOW - 3 * PART, end=NOW)
    assert len(seen.profiles) == 2


async def test_nothing_at_all_is_told_as_that():
    with pytest.raises(NothingError):
        await look_back(Store(none=0).ask, start=NOW - 3 * PART, end=NOW)


@pytest.mark.parametrize("ago", [20, 100, 599])
async def test_a_window_is_cut_at_the_deploy_in_it(ago):
    store = Store(old=0, new=NOW - ago)
    seen = await look_back(store.ask, start=NOW - 600, end=NOW)
    (profile,) = seen.profiles
    assert (profile.facts.build_id, profile.facts.other_builds) == ("new", ())
    assert NOW - ago <= seen.since <= NOW - ago + FINEST
    assert len(store.asked) <= 1 + HALVINGS
    assert seen.cut.startswith("cut: a deploy lies in the window; used is build new, from ")


async def test_days_before_the_deploy_are_not_used():
    store = Store(old=0, new=NOW - 1.5 * PART)
    seen = await look_back(store.ask, start=NOW - 7 * PART, end=NOW)
    assert {profile.facts.build_id for profile in seen.profiles} == {"new"}
    assert len(seen.profiles) == 2
    assert NOW - seen.since == pytest.approx(1.5 * PART, abs=PART / 2**HALVINGS)


async def test_a_deploy_between_two_queries_is_seen():
    store = Store(old=0, new=NOW - PART)
    seen = await look_back(store.ask, start=NOW - 2 * PART, end=NOW)
    assert ([each.facts.build_id for each in seen.profiles], seen.since) == (["new"], NOW - PART)
    assert "a deploy lies in the window" in seen.cut


async def test_of_two_deploys_the_last_one_counts():
    store = Store(a=0, b=NOW - 2 * PART - 5_000, c=NOW - 1.5 * PART)
    seen = await look_back(store.ask, start=NOW - 3 * PART, end=NOW)
    assert {profile.facts.build_id for profile in seen.profiles} == {"c"}


async def test_two_programs_that_run_all_the_time_are_refused_with_the_key():
    async def ask(*_):
        return Profile(b"", replace(FACTS, build_id="api", other_builds=("sidecar",)))

    with pytest.raises(UnusableError, match=r"two-builds: .* does collection\.query select a second one"):
        await look_back(ask, start=NOW - 600, end=NOW)
