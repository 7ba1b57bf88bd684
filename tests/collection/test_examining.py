"""Bodies that have come meanwhile are checked at once, and each gets its own answer."""

from __future__ import annotations

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from fleetpgo import pprof
from fleetpgo.collection.examining import TOGETHER, Examiner, Profile
from fleetpgo.collection.faults import NotNowError, UnusableError
from fleetpgo.collection.fetching import Limits
from fleetpgo.collection.sources.pprof_http import PprofHttp
from fleetpgo.collection.spool import Spool
from tests.collection.instances import PROFILE, SECONDS, cpu_profile
from tests.repairing import damaged, start_lines

PAGE = b"<html>Sign in</html>"


class Source(PprofHttp):
    """The instances themselves; one body brings an error that nobody expects."""

    def profile(self, body, **asked):
        if body == b"bug":
            raise RuntimeError("a bug")
        return super().profile(body, **asked)


@contextmanager
def examining(*contents: bytes, packed_bytes: int = 1 << 20):
    """Bodies to examine; a function that starts to, with a task for each."""
    with tempfile.TemporaryFile(buffering=0) as file, ThreadPoolExecutor(1) as thread, ExitStack() as stack:
        spool, limits = Spool(file, most=1 << 20), Limits(9, packed_bytes, 1 << 20)
        examiner = Examiner(thread, Source("http://$instance"), limits=limits, seconds=SECONDS)
        bodies = [stack.enter_context(spool.body()) for _ in contents]
        for body, content in zip(bodies, contents, strict=True):
            body.write(content)
        yield lambda: [asyncio.create_task(examiner.profile(body, seconds=SECONDS)) for body in bodies]


async def outcomes(tasks) -> list[object]:
    return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)


@pytest.fixture
def checks(monkeypatch) -> list[list[int]]:
    """Sizes of the profiles of each check."""
    made, check_each = [], pprof.check_each

    def noted(profiles, **asked):
        made.append(list(map(len, profiles)))
        return check_each(profiles, **asked)

    monkeypatch.setattr(pprof, "check_each", noted)
    return made


async def test_each_body_gets_its_own_answer():
    profiles = [cpu_profile(50 + number) for number in range(20)]
    profiles[3], profiles[11] = PAGE, PROFILE[:-9]
    with examining(*profiles) as start:
        found = await outcomes(start())
    assert isinstance(found[3], UnusableError)
    assert str(found[3]).startswith("html: ")
    assert isinstance(found[11], NotNowError)
    assert str(found[11]).startswith("truncated: ")
    good = [number for number in range(20) if number not in (3, 11)]
    assert [found[number].data for number in good] == [profiles[number] for number in good]
    assert [found[number].facts.samples for number in good] == [50 + number for number in good]


async def test_what_has_come_meanwhile_is_checked_at_once(checks):
    with examining(*[PROFILE] * (2 * TOGETHER + 1)) as start:
        await outcomes(start())
    # The first one finds nobody waiting.
    assert list(map(len, checks)) == [1, TOGETHER, TOGETHER]


async def test_bodies_checked_at_once_are_no_larger_than_one_may_be(checks):
    with examining(*[PROFILE] * 5, packed_bytes=2 * len(PROFILE) + 1) as start:
        await outcomes(start())
    assert checks == [[len(PROFILE)] * count for count in (1, 2, 2)]


async def test_an_error_that_nobody_expects_is_that_of_the_bodies_checked_with_it_alone():
    with examining(PROFILE, b"bug", *[PROFILE] * TOGETHER) as start:
        found = await outcomes(start())
    assert [type(each) for each in found] == [Profile, *[RuntimeError] * TOGETHER, Profile]


async def test_a_check_that_is_cancelled_keeps_no_other_body_waiting():
    with examining(*[PROFILE] * 4) as start:
        first, *others = start()
        await asyncio.sleep(0)  # the first one is being checked
        first.cancel()
        found = await outcomes([first, *others])
    assert [type(each) for each in found] == [asyncio.CancelledError, *[Profile] * 3]


async def test_a_body_of_which_nobody_wants_to_know_is_not_checked(checks):
    with examining(*[PROFILE] * (TOGETHER + 3)) as start:
        first, *others, last = start()
        await asyncio.sleep(0)  # the first one is being checked
        for task in others:
            task.cancel()
        found = await outcomes([first, last])
    assert [type(each) for each in found] == [Profile, Profile]
    assert list(map(len, checks)) == [1, 1]


async def test_parts_that_lack_only_what_is_repaired_are_kept_as_one():
    lacking = damaged(PROFILE, start_lines)
    with ThreadPoolExecutor(1) as thread:
        limits = Limits(9, 1 << 20, 1 << 20)
        examiner = Examiner(thread, Source("http://$instance"), limits=limits, seconds=None, repair=True)
        part = Profile(lacking, pprof.facts(lacking), "no-start-line: None has one.")
        joined = await examiner.joined([part, part])
    assert joined.lacks.startswith("no-start-line: ")
    assert joined.facts.samples == 2 * part.facts.samples
