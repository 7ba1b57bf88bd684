"""Well-formed profiles that cost as much as the limits allow, each step on them in a process of its own.

How long they take says `python -m tests.pprof.worst`; here only what does not depend on the machine.
"""

from __future__ import annotations

import gzip

import pytest

from fleetpgo.pprof.codec.kernel import PACKAGE
from tests.pprof import worst

MOST_MB = 500
CHEAPEST = "sample types sharing a long name"


def outcome(name: str, step: str) -> tuple[str, int]:
    """The reason of the refusal or -, and the MB at the peak."""
    reason, _, megabytes = worst.cost(gzip.compress(worst.messages()[name](), 1, mtime=0), step)
    assert megabytes, reason
    return reason, megabytes


def test_a_profile_that_multiplies_a_long_name_is_refused_within_the_memory_of_its_own_bytes() -> None:
    reason, megabytes = outcome(CHEAPEST, "check")
    assert reason == "no-cpu-samples"
    assert megabytes <= MOST_MB


def test_reading_in_python_takes_no_more_memory_than_the_limits_allow() -> None:
    data = gzip.compress(worst.messages()["empty lines"](), 1, mtime=0)
    reason, _, megabytes = worst.cost(data, "check", f"import sys; sys.modules[{PACKAGE!r}] = None")
    assert reason == "-"
    assert 0 < megabytes <= MOST_MB


def test_comparing_the_runs_of_an_accepted_profile_takes_bounded_memory() -> None:
    """What the pages' server does for a run's difference; it once took 7.8 GB."""
    reason, megabytes = outcome("mappings sharing a long name", "show")
    assert reason == "-"
    assert megabytes <= MOST_MB


@pytest.mark.slow
@pytest.mark.parametrize("name", worst.messages())
def test_no_step_takes_more_memory_than_the_limits_allow(name: str) -> None:
    for step in ("check", "merge", "minimal", "minimise", "guard", "agree", "show"):
        reason, megabytes = outcome(name, step)
        assert megabytes <= MOST_MB, (step, megabytes)
        if reason != "-":
            assert step == "check", f"accepted, and then refused by {step}: {reason}"
            break
