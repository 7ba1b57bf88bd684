from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleetpgo.cli.main import cli

HEADER = "timestamp,instance,datacenter,cpu,requests,version"


SERVICES = {"FLEETPGO_SERVICES": str(Path(__file__).parents[2] / "include" / "services")}


@pytest.fixture
def run():
    # Click's own way of giving a command its environment.
    return lambda *arguments: CliRunner(env=SERVICES).invoke(cli, arguments)


@pytest.fixture
def table(tmp_path):
    """Two datacenters of two instances, every ten seconds; one of each gets v2 after ten minutes."""
    rows = [
        (
            at,
            f"i{number}",
            f"dc{number % 2}",
            1.0 + at % 3 / 100,
            10,
            "v2" if number < 2 and at >= 600 else "v1",
        )
        for at in range(0, 1_200, 10)
        for number in range(4)
    ]
    file = tmp_path / "fleet.csv"
    file.write_text("\n".join([HEADER, *(",".join(map(str, row)) for row in rows)]))
    return file


def test_a_file_is_measured_and_its_report_printed(run, table):
    result = run("measure", "wshim", "--from-csv", str(table), "--window", "5m")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("### Measured over 5 minutes before and after the rollout")


def on_a_terminal(*arguments):
    """What the command prints where its standard output is a terminal."""
    ours, theirs = pty.openpty()
    command = [Path(sys.executable).with_name("fleetpgo"), *arguments]
    environment = {**os.environ, **SERVICES, "COLUMNS": "160", "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(command, stdout=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65_536):
                shown += part
        except OSError:  # the other side has closed
            pass
    os.close(ours)
    assert process.returncode == 0
    return shown.decode()


def test_a_terminal_shows_tables_and_no_markdown(table):
    shown = on_a_terminal("measure", "wshim", "--from-csv", str(table), "--window", "5m")
    assert "Measured over 5 minutes before and after the rollout" in shown
    assert "saving (95 % interval)" in shown
    assert not any(mark in shown for mark in ("###", "**", "|--"))


def test_json_is_for_programs(run, table):
    result = run("measure", "wshim", "--from-csv", str(table), "--window", "5m", "--json")
    assert json.loads(result.output)["rollout"]["profile"] == "v2"


def test_the_files_are_left_where_asked(run, table, tmp_path):
    run("measure", "wshim", "--from-csv", str(table), "--window", "5m", "--out", str(tmp_path / "out"))
    assert {each.name for each in (tmp_path / "out").iterdir()} == {
        "measurement.json",
        "measurement.md",
        "measurement.svg",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--prometheus, --rollout-start and --rollout-end"),
        (("--rollout-start", "2026-03-02T09:00"), "has no time zone"),
        (("--rollout-start", "soon"), "is not a time such as"),
        (("--window", "a week"), "write a duration as Prometheus does"),
    ],
)
def test_what_is_missing_or_unreadable_is_said(run, options, message):
    result = run("measure", "wshim", *options)
    assert result.exit_code == 2
    assert message in result.output


@pytest.fixture
def half_rolled_out(start_prometheus):
    """A Prometheus that has seen four instances in two datacenters; one in each got GOAMD64=v3 at noon."""
    noon = int(datetime.now(UTC).timestamp()) // 60 * 60 - 1_200
    times = range(noon - 1_200, noon + 1_200, 10)
    series = []
    for number in range(4):
        labels = {"instance": f"i{number}", "datacenter": f"dc{number % 2}"}
        after = 0.9 if number < 2 else 1.0
        cpu = [(at, (after if at >= noon else 1.0) + at % 30 / 1_000) for at in times]
        series += [("cpu", labels, cpu), ("requests", labels, [(at, 10.0) for at in times])]
        series.append(
            ("build_info", {**labels, "goamd64": "v3" if number < 2 else "v1"}, [(at, 1) for at in times])
        )
    prometheus = start_prometheus(series)
    return prometheus.address, datetime.fromtimestamp(noon, UTC).isoformat()


def test_a_variant_is_measured_as_a_profile_is_by_the_query_for_its_instances(tmp_path, half_rolled_out):
    address, noon = half_rolled_out
    (tmp_path / "api.yaml").write_text(
        "selection: {cpu: cpu}\n"
        "repository: {forge: github, connection: github, project: acme/api}\n"
        "build: {binary: bin/api}\nrollout: {fraction: up}\n"
        "measurement: {requests: requests, settle: 10s, step: 10s}\n"
    )
    times = ("--rollout-start", noon, "--rollout-end", noon, "--window", "10m")
    treated = ("--treated", 'build_info{goamd64="v3"}')

    runner = CliRunner(env={"FLEETPGO_SERVICES": str(tmp_path)})
    result = runner.invoke(cli, ("measure", "api", "--prometheus", address, *times, *treated, "--json"))

    assert result.exit_code == 0, result.output
    estimate = json.loads(result.stdout)["estimate"]
    assert (estimate["method"], round(estimate["saving"], 2)) == ("A", 0.10)


def test_a_query_for_treated_instances_means_nothing_to_a_file(run, table):
    result = run("measure", "wshim", "--from-csv", str(table), "--treated", "up")

    assert (result.exit_code, "--treated is for a deploy" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("treated", "message"),
    [
        ('up{job=~"api$"}', "--treated: a lone $ is not a placeholder; write $$ for a dollar sign"),
        ('up{pgo="$digest"}', "--treated: unknown placeholder $digest; this query takes only $profile"),
        ("", "--treated: String should have at least 1 character"),
        ('up{pgo="$profile"}', "--treated has $profile: give --profile, or write the value of the label"),
    ],
)
def test_a_query_for_treated_instances_is_checked_as_the_service_file_s_is(run, treated, message):
    result = run("measure", "wshim", "--treated", treated)

    assert (result.exit_code, message in " ".join(result.output.split())) == (2, True), result.output


def test_a_window_that_is_not_over_is_too_early(run):
    end = datetime.now(UTC)
    times = ("--rollout-start", end.isoformat(), "--rollout-end", end.isoformat())
    result = run("measure", "wshim", "--prometheus", "http://localhost:1", *times, "--window", "5m")
    assert result.exit_code == 3
    assert "too early: the window after the rollout ends at" in result.output


def test_history_prints_each_refresh_and_no_warning(run, tmp_path, recwarn):
    record = {
        "period": "week",
        "rollout": {"end": "2026-01-01T00:00:00Z", "profile": "0123456789ab"},
        "verdict": {"call": "saved", "attribution": "release"},
        "estimate": {"method": "A", "saving": 0.03, "low": 0.02, "high": 0.04, "cores": 1234.5},
    }
    file = tmp_path / "wshim" / "run-a" / "measure_week.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(record))
    result = run("history", "wshim", "--store", str(tmp_path))
    assert {"run-a", "release", "3.00", "1,234.50"} <= set(result.output.split())
    assert not list(recwarn)


def test_an_empty_history_says_so(run, tmp_path):
    result = run("history", "wshim", "--store", str(tmp_path))
    assert "holds no measured refresh yet" in result.output


def test_a_store_that_is_not_there_is_an_error_and_not_an_empty_one(run, tmp_path):
    result = run("history", "wshim", "--store", str(tmp_path / "none"))

    assert f"there is no store at {tmp_path}/none" in str(result.exception)
