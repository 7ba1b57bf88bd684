from __future__ import annotations

import sys
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement import frames
from fleetpgo.measurement.measuring import measure_table
from fleetpgo.service.rules import MeasurementRules

RULES = MeasurementRules(cpu="cpu", settle="15m")
SAVING = 0.05
DEPLOYED = pd.Timestamp("2026-03-02T12:00Z")


@pytest.fixture
def table():
    """Two datacenters of four instances, half of them on the new version from 12:00 on."""
    random = np.random.default_rng(6)
    rows = []
    for at in pd.date_range("2026-03-02T08:00Z", "2026-03-02T16:00Z", freq="5min"):
        for number in range(8):
            new = number % 4 < 2 and at >= DEPLOYED
            requests = 100 * np.exp(random.normal(0, 0.02))
            cpu = 0.01 * requests * (1 - SAVING * new) * np.exp(random.normal(0, 0.01))
            rows.append((at, f"i{number}", f"dc{number // 4}", cpu, requests, "v2" if new else "v1"))
    return pd.DataFrame(rows, columns=["timestamp", "instance", "datacenter", "cpu", "requests", "version"])


def measured(table, **options):
    return measure_table(table, RULES, window=timedelta(hours=3), **options).comparison


def test_the_known_saving_of_a_table_is_recovered(table):
    found = measured(table).estimate
    assert (found.method, found.saving) == ("A", pytest.approx(SAVING, abs=0.01))


def test_who_left_before_the_rollout_is_not_held_back(table):
    leaver = table[(table["instance"] == "i0") & (table["timestamp"] < DEPLOYED)]
    with_leaver = pd.concat([table, leaver.assign(instance="leaver")])
    control = measured(with_leaver).groups["control"]
    assert control == measured(table).groups["control"]


def test_the_rollout_is_read_from_the_versions(table):
    rollout = measured(table).rollout
    assert (rollout.profile, rollout.end, rollout.fraction) == ("v2", DEPLOYED, 0.5)


def written(table, tmp_path, **columns):
    """What is read from a file that holds the table with those columns instead."""
    file = tmp_path / "fleet.csv"
    table.assign(**columns).to_csv(file, index=False)
    return frames.read(file)


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ("version", {"v1": "1.1", "v2": "1.10"}),
        ("version", {"v1": "4e12345678", "v2": "7e12345678"}),
        ("datacenter", {"dc0": "NA", "dc1": "EU"}),
        ("instance", {f"i{number}": f"10{number}" for number in range(8)}),
    ],
)
def test_names_that_look_like_numbers_stay_what_is_written(table, tmp_path, column, names):
    read = written(table, tmp_path, **{column: table[column].map(names)})
    found, expected = measured(read).estimate, measured(table).estimate
    assert (found.saving, found.low, found.high) == pytest.approx(
        (expected.saving, expected.low, expected.high)
    )


def test_a_version_between_that_looks_like_the_same_number_is_another_deploy(table, tmp_path):
    deployed = (table["version"] == "v2", table["timestamp"] >= DEPLOYED - pd.Timedelta("1h"))
    versions = np.select(
        [deployed[0], deployed[1] & table["instance"].isin(["i0", "i1", "i4", "i5"])], ["1.2", "1.10"], "1.1"
    )
    assert measured(written(table, tmp_path, version=versions)).verdict.call == "invalid"


def test_an_empty_cell_was_not_measured(table, tmp_path):
    holes = table["instance"].eq("i2") & (table["timestamp"] < DEPLOYED - pd.Timedelta("3h30min"))
    read = written(table, tmp_path, cpu=table["cpu"].mask(holes), requests=table["requests"].mask(holes))
    assert measured(read).verdict.call == "saved"


def test_milliseconds_are_an_error_that_says_so(table, tmp_path):
    stamps = table["timestamp"].dt.as_unit("ms").astype("int64")
    with pytest.raises(MeasurementError, match="look like milliseconds"):
        measured(written(table, tmp_path, timestamp=stamps))


def test_a_rate_that_is_no_number_is_an_error(table, tmp_path):
    with pytest.raises(MeasurementError, match=r"(?s)cannot be read.*cpu and requests must be numbers"):
        written(table, tmp_path, cpu="many")


def test_versions_that_are_decimal_numbers_are_refused(table):
    with pytest.raises(MeasurementError, match=r"(?s)version holds decimal numbers.*write it as text"):
        measured(table.assign(version=np.where(table["version"] == "v2", 1.10, 1.2)))


@pytest.fixture
def pods():
    """Ten pods that are replaced within an hour by ten of other names, and more that are added later."""
    random = np.random.default_rng(9)
    rows = []
    for at in pd.date_range("2026-03-02T08:00Z", "2026-03-02T16:00Z", freq="5min"):
        for number in range(13):
            replaced = DEPLOYED + pd.Timedelta("6min") * number
            added = number < 10 or at >= DEPLOYED + pd.Timedelta("3h")
            if not added:
                continue
            new = at >= replaced
            requests = 100 * np.exp(random.normal(0, 0.02))
            cpu = 0.01 * requests * (1 - SAVING * new)
            name = f"{'new' if new else 'old'}-{number}"
            rows.append((at, name, f"dc{number % 2}", cpu, requests, "v2" if new else "v1"))
    return pd.DataFrame(rows, columns=["timestamp", "instance", "datacenter", "cpu", "requests", "version"])


@pytest.mark.parametrize(("complete", "minutes"), [(1.0, 55), (0.5, 25)])
def test_the_rollout_ends_where_enough_have_the_version_whoever_is_added_later(pods, complete, minutes):
    comparison = measured(pods, complete=complete)
    assert comparison.rollout.end == DEPLOYED + pd.Timedelta(minutes=minutes)


def test_raw_figures_are_means_of_sums(table):
    after = table[table["timestamp"] >= DEPLOYED + pd.Timedelta("15min")]
    after = after[after["timestamp"] < DEPLOYED + pd.Timedelta("3h15min")]
    assert measured(table).raw.after.cores == pytest.approx(after.groupby("timestamp")["cpu"].sum().mean())


@pytest.mark.parametrize("write", ["to_csv", "to_parquet"])
def test_files_give_what_the_table_gives(table, tmp_path, write):
    file = tmp_path / f"fleet.{write.removeprefix('to_')}"
    getattr(table, write)(file, index=False)
    assert measured(frames.read(file)).estimate.saving == pytest.approx(measured(table).estimate.saving)


def test_what_is_missing_to_read_parquet_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MeasurementError, match="nothing here that reads Parquet") as refused:
        frames.read(tmp_path / "fleet.parquet")
    assert refused.value.hint == "pip install pyarrow, or give a CSV file"


def test_a_second_version_in_the_window_makes_it_invalid(table):
    later = table["timestamp"] >= DEPLOYED + pd.Timedelta("1h")
    again = table.assign(version=table["version"].where(~later, "v3"))
    assert measured(again, version="v2").verdict.call == "invalid"


def test_cpu_that_is_lost_after_the_deploy_makes_it_invalid(table):
    lost = (table["instance"] == "i0") & (table["timestamp"] >= DEPLOYED + pd.Timedelta("2h"))
    verdict = measured(table.assign(cpu=table["cpu"].mask(lost))).verdict
    assert verdict.call == "invalid"
    assert any("have no value for CPU after the rollout" in each for each in verdict.reasons)


def test_a_table_without_requests_is_compared_per_instance(table):
    assert measured(table.drop(columns="requests")).per == "instance"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda table: table.drop(columns="version"), "lacks version"),
        (lambda table: table.assign(timestamp=table["timestamp"].dt.tz_localize(None)), "no time zone"),
        (lambda table: pd.concat([table, table.head(1)]), "two rows"),
        (lambda table: table[table["version"] == "v1"], "already in the first row"),
        (lambda table: table.assign(cpu=0.0), "cores were used"),
        (lambda table: table.assign(requests=0.0), "no requests in one of the windows"),
        (lambda table: table.assign(cpu=-table["cpu"]), r"cpu of instance i0 is -.*: a rate cannot be"),
        (lambda table: table.assign(requests="many"), "requests does not hold numbers"),
        (
            lambda table: table.assign(timestamp=table["timestamp"] + pd.Timedelta("7s")),
            r"97 of 97 times, .* are no multiples of the step, 300 s",
        ),
        (
            lambda table: table[table["timestamp"] >= DEPLOYED - pd.Timedelta("5min")],
            "has no rows in the window",
        ),
    ],
)
def test_a_table_that_will_not_do_is_an_error_that_says_why(table, spoil, message):
    with pytest.raises(MeasurementError, match=message):
        measured(spoil(table))


def test_a_version_that_nobody_has_is_an_error_that_names_those_there_are(table):
    with pytest.raises(MeasurementError, match=r"(?s)v9 is not in the table.*v1, v2"):
        measured(table, version="v9")
