from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.checking import defects, reject_impossible, unpaired
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


@pytest.mark.parametrize("lacking", ["CPU", "requests"])
def test_series_that_are_missing_on_one_side_of_the_ratio_are_a_defect(usage, lacking):
    counts = {"CPU": usage.instances.copy(), "requests": usage.instances.copy()}
    counts[lacking][0, 1, TIMES >= WEEK] = 19.9  # half a percent
    found = replace(usage, instances=counts["CPU"], serving=counts["requests"])
    (said,) = unpaired(found, WINDOWS, material=0.005)
    assert said.startswith(
        f"treated instances of lhr: 0.50 % have no value for {lacking} after the rollout; 0.12 % may."
    )


def test_series_that_are_missing_on_both_sides_of_the_ratio_are_none(usage):
    fewer = usage.instances.copy()
    fewer[0, 1, TIMES >= WEEK] = 19
    found = replace(usage, instances=fewer, serving=fewer.copy())
    assert list(unpaired(found, WINDOWS, material=0.005)) == []


def test_instances_without_counted_requests_are_no_defect(usage):
    assert list(unpaired(usage, WINDOWS, material=0.005)) == []


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
