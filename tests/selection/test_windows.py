from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo.errors import SelectionError, ServiceFileError
from fleetpgo.selection import Selection, combined, find_window, opening, past_end, select
from fleetpgo.service.profiling import WindowRules
from tests.selection.fleets import Answering, rules, target

WINDOWS = [
    {"name": "peak", "at": "14:00", "share": 0.5},
    {"name": "night", "at": "03:00", "share": 0.5},
]


def window(at: str, timezone: str = "UTC", **changes) -> WindowRules:
    return WindowRules(name="peak", at=at, timezone=timezone, share=1, **changes)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-01-05 09:00", "2026-01-05 14:00"),
        ("2026-01-05 14:59", "2026-01-05 14:00"),
        ("2026-01-05 15:00", "2026-01-06 14:00"),
    ],
    ids=["later today", "open since an hour ago at most", "over for today"],
)
def test_a_window_opens_at_its_hour_every_day(now, opens):
    assert opening(window("14:00"), utc(now)) == utc(opens)


def test_a_window_that_opened_before_midnight_is_open_after_it():
    assert opening(window("23:30"), utc("2026-01-06 00:10")) == utc("2026-01-05 23:30")


def test_the_hour_is_that_of_the_windows_time_zone():
    assert opening(window("14:00", "America/New_York"), utc("2026-01-05 09:00")) == utc("2026-01-05 19:00")


def test_the_day_of_the_week_is_that_of_the_windows_time_zone():
    # 20:00 on Sunday in Los Angeles is Monday in UTC.
    sunday = window("20:00", "America/Los_Angeles", days=("sun",))
    assert opening(sunday, utc("2026-01-05 00:00")) == utc("2026-01-05 04:00")


def test_a_window_of_one_day_that_is_over_opens_in_a_week():
    assert opening(window("14:00", days=("mon",)), utc("2026-01-05 15:00")) == utc("2026-01-12 14:00")


@pytest.mark.parametrize(
    ("now", "hours", "ended"),
    [
        ("2026-01-05 16:00", 1, "2026-01-05 15:00"),
        ("2026-01-05 14:30", 1, "2026-01-04 15:00"),
        ("2026-01-05 15:00", 1, "2026-01-05 15:00"),
        ("2026-01-05 13:00", 24, "2026-01-04 14:00"),
        ("2026-01-10 00:00", 7 * 24, "2026-01-09 14:00"),
    ],
    ids=["today", "not over yet", "just over", "a day long", "a week long"],
)
def test_a_window_of_the_past_is_the_last_one_that_is_over(now, hours, ended):
    assert past_end(window("14:00"), timedelta(hours=hours), utc(now)) == utc(ended)


def test_a_window_of_one_day_was_a_week_ago_at_most():
    assert past_end(window("14:00", days=("mon",)), timedelta(hours=1), utc("2026-01-05 14:59")) == utc(
        "2025-12-29 15:00"
    )


def test_an_hour_that_the_clock_leaves_out_comes_as_much_later():
    # On 29 March 2026 Berlin goes from 01:59 CET (UTC+1) to 03:00 CEST (UTC+2).
    assert opening(window("02:30", "Europe/Berlin"), utc("2026-03-29 00:00")) == utc("2026-03-29 01:30")


def test_an_hour_that_comes_twice_counts_the_first_time():
    # On 25 October 2026 Berlin goes from 02:59 CEST (UTC+2) back to 02:00 CET (UTC+1).
    half_past_two = window("02:30", "Europe/Berlin")
    assert opening(half_past_two, utc("2026-10-24 23:00")) == utc("2026-10-25 00:30")
    assert opening(half_past_two, utc("2026-10-25 01:30")) == utc("2026-10-26 01:30")


def test_a_window_that_the_file_has_lost_is_named():
    with pytest.raises(ServiceFileError, match="no window 'noon'"):
        find_window(rules(windows=WINDOWS), "noon")


FLEET = Answering(*(({"instance": f"10.0.0.{n}:80", "datacenter": "ams"}, 20.0 - n) for n in range(1, 13)))


def first_round(selection: Selection) -> set[str]:
    return {each.instance for each in selection.of_round(1)}


@pytest.mark.parametrize("strategy", ["topk", "stratified", "weighted"])
def test_a_window_chooses_its_share_of_what_the_others_left(strategy):
    described = rules(strategy=strategy, instances=8, max_rounds=1)
    peak = first_round(select(FLEET, described, seed="run", share=0.5))
    night = first_round(select(FLEET, described, seed="run", share=0.5, taken=peak))
    assert (len(peak), len(night), peak & night) == (4, 4, set())


@pytest.mark.parametrize("strategy", ["stratified", "weighted"])
def test_the_windows_go_on_with_one_draw(strategy):
    described = rules(strategy=strategy, instances=8, max_rounds=1)
    peak = first_round(select(FLEET, described, seed="run", share=0.5))
    night = first_round(select(FLEET, described, seed="run", share=0.5, taken=peak))
    assert peak | night == first_round(select(FLEET, described, seed="run"))


def test_a_retried_window_chooses_alike():
    described = rules(strategy="weighted", instances=8)
    one, other = (select(FLEET, described, seed="run", share=0.5) for _ in range(2))
    assert one == other


def test_of_a_small_fleet_each_window_gets_its_share():
    chosen = select(FLEET, rules(instances=100, max_rounds=1), seed="run", share=0.25)
    assert len(chosen.targets) == 3


@pytest.mark.parametrize("strategy", ["stratified", "weighted"])
def test_what_others_have_taken_is_still_the_fleets_cpu(strategy):
    whole = select(FLEET, rules(strategy=strategy, instances=4), seed="run")
    rest = select(FLEET, rules(strategy=strategy, instances=4), seed="run", taken=first_round(whole))
    assert rest.strata == whole.strata


def test_a_window_for_which_nobody_is_left_says_so():
    everybody = first_round(select(FLEET, rules(instances=12), seed="run"))
    with pytest.raises(SelectionError, match="other windows have chosen all 12"):
        select(FLEET, rules(instances=12), seed="run", taken=everybody)


def test_two_windows_are_one_selection_whose_strata_are_those_of_each():
    one, two, three = (target(n, "ams", stratum="ams") for n in (1, 2, 3))
    peak = Selection((one,), "cpu", ("stale",), {"ams": 30.0}, {"ams": 10})
    night = Selection((two, three), "cpu", (), {"ams": 10.0}, {"ams": 9, "lhr": 1})
    whole = combined({"peak": peak, "night": night})
    assert [(each.instance, each.stratum) for each in whole.targets] == [
        (one.instance, "peak: ams"),
        (two.instance, "night: ams"),
        (three.instance, "night: ams"),
    ]
    assert (whole.strata, whole.datacenters) == (
        {"peak: ams": 30.0, "night: ams": 10.0},
        {"ams": 10, "lhr": 1},
    )
    assert (whole.query, whole.warnings) == ("cpu", ("peak: stale",))


def test_an_instance_is_asked_in_the_window_that_took_it_and_in_no_later_round():
    chosen = [target(1), target(2)]
    peak = select(answering(*chosen), rules(instances=1, max_rounds=2), seed="")
    night = select(answering(*chosen), rules(instances=1), seed="", taken=first_round(peak))
    whole = combined({"peak": peak, "night": night})
    assert {each.instance: each.round for each in whole.targets} == {"10.0.0.1:80": 1, "10.0.0.2:80": 1}


def answering(*targets) -> Answering:
    return Answering(*(({"instance": each.instance}, each.cores) for each in targets))
