from __future__ import annotations

import numpy as np
import pytest

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.checking import defects, reject_impossible
from fleetpgo.measurement.usage import Usage
from fleetpgo.measurement.windows import WEEK, Windows

STEP = 900
TIMES = np.arange(0, 2 * WEEK, STEP)
WINDOWS = Windows(after=(WEEK, 2 * WEEK), shift=WEEK, rolling=(WEEK - 3_600, WEEK))


@pytest.fixture
def usage():
    ones = np.ones((2, 2, len(TIMES)))
    return Usage(TIMES, STEP, ("ams", "lhr"), 5.0 * ones, 100 * ones, 20 * ones)


def test_whole_data_have_no_defect(usage):
    assert list(defects(usage, WINDOWS)) == []


def test_a_datacenter_that_goes_dark_is_named(usage):
    dark = TIMES >= WEEK + WEEK // 2
    for values in (usage.cpu, usage.requests, usage.instances):
        values[0, 1, dark] = np.nan
    assert any("treated instances of lhr: 50 % of the points" in each for each in defects(usage, WINDOWS))


def test_scrapes_that_are_missing_here_and_there_are_found(usage):
    usage.instances[0] = np.random.default_rng(1).binomial(20, 0.8, usage.instances[0].shape)
    assert any("of the scrapes are missing" in each for each in defects(usage, WINDOWS))


def test_a_fleet_that_shrank_is_a_defect(usage):
    usage.instances[0][:, TIMES >= WEEK] = 15
    assert list(defects(usage, WINDOWS)) == [
        "treated instances: 40 before and 30 after; nothing explains that"
    ]


def test_a_datacenter_without_a_hold_back_is_none(usage):
    for values in (usage.cpu, usage.requests, usage.instances):
        values[1, 1] = np.nan
    assert list(defects(usage, WINDOWS)) == []


def test_nothing_left_of_the_windows_is_a_defect(usage):
    covered = Windows(WINDOWS.after, WEEK, WINDOWS.rolling, excluded=((WEEK, 2 * WEEK),))
    assert list(defects(usage, covered)) == ["nothing is left of the windows after what is excluded"]


@pytest.mark.parametrize("value", [-0.1, np.inf])
def test_a_rate_that_cannot_be_is_an_error_with_its_place(usage, value):
    usage.requests[1, 0, 7] = value
    with pytest.raises(
        MeasurementError, match=r"requests of the control instances in ams is .* at Unix time"
    ):
        reject_impossible(usage)
