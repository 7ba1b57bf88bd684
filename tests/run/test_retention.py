"""A year of made-up runs is pruned: what goes, what stays, and what the pages and the history make of it."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from fleetpgo import overview
from fleetpgo.cli.main import cli
from fleetpgo.errors import StoreError
from fleetpgo.measurement.history import refreshes
from fleetpgo.run import retention, soundness, storage
from fleetpgo.run.artifacts import FetchedProfile, MergedProfile, Report
from fleetpgo.run.measured import Measurement
from fleetpgo.run.profiled import Manifest, Record
from fleetpgo.run.proposed import Merge, Rollout
from fleetpgo.run.selected import Selection
from fleetpgo.run.store import RunStore, runs_of
from fleetpgo.selection import absence
from tests.pages import fleet

NOW = datetime(2026, 12, 1, tzinfo=UTC)
WEEKS = 52
RULES = {"now": NOW, "profiles_after": timedelta(days=30), "runs_after": timedelta(days=200)}


def date(store, at):
    """Have a run's files been changed then."""
    for file in store.directory.rglob("*"):
        os.utime(file, (at.timestamp(), at.timestamp()))


def run_of(root, week):
    return RunStore(root, "edge", f"week-{week:02}")


@pytest.fixture(scope="module")
def year(fleet_root, tmp_path_factory):
    """The run of real steps, once for each week; the newest one's pull request waits."""
    root = tmp_path_factory.mktemp("year")
    for week in range(WEEKS):
        store, at = run_of(root, week), NOW - timedelta(weeks=WEEKS - week)
        shutil.copytree(RunStore(fleet_root / "store", "edge", fleet.FIRST).directory, store.directory)
        store.write(replace(store.read(Manifest), run=store.run, made_at=at))
        record = json.loads(store.read_bytes(Measurement, "week"))
        record["rollout"]["end"] = at.isoformat()
        store.path(Measurement, "week").write_text(json.dumps(record))
        date(store, at)
    newest = run_of(root, WEEKS - 1)
    newest.remove(Merge)
    newest.remove(Rollout)
    for period in ("rollout", "week"):
        newest.remove(Measurement, period)
    return root


@pytest.fixture
def root(year, tmp_path):
    return shutil.copytree(year, tmp_path / "year")


@pytest.fixture
def pruned(root):
    return retention.prune(root, "edge", **RULES)


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def row(root):
    return overview.look_at_service(root, "edge", now=NOW)


def with_(root, kind, key=""):
    runs = runs_of(root, "edge")
    return sorted(run.run for run in runs if (run.keys(kind) if key == "*" else run.exists(kind, key)))


def weeks(*numbers):
    return [f"week-{number:02}" for number in numbers]


def test_profiles_of_single_instances_stay_for_a_month(root, pruned):
    assert with_(root, FetchedProfile, "*") == weeks(48, 49, 50, 51)


def test_the_rest_of_a_run_stays_for_as_long_as_is_asked(root, pruned):
    young = range(24, 52)
    assert with_(root, MergedProfile) == weeks(*young)
    assert with_(root, Selection) == weeks(*young)
    assert with_(root, Record, "*") == weeks(*young)


def test_what_the_history_needs_stays_for_ever(year, root, pruned):
    assert refreshes(root, "edge") == refreshes(year, "edge")
    assert len(refreshes(root, "edge")) == WEEKS - 1


def test_the_fleets_page_shows_the_same_row(year, root, pruned):
    assert row(root) == replace(row(year))
    assert row(root).waiting is not None


def test_a_pruned_runs_page_still_has_its_instances_stages_and_measurements(year, root, pruned):
    whole, left = (overview.look_at_run(run_of(each, 3)) for each in (year, root))
    assert left.measurements == tuple(replace(each, picture="") for each in whole.measurements)
    assert [stage.state for stage in left.stages] == [stage.state for stage in whole.stages]
    assert Counter(each.state for each in left.instances) == Counter(each.state for each in whole.instances)
    assert (whole.has_profile, left.has_profile) == (True, False)


def test_the_difference_to_a_pruned_run_is_not_shown(root, pruned):
    assert overview.previous_run(run_of(root, 24)) is None
    assert overview.previous_run(run_of(root, 25)) is not None


def test_the_next_run_is_compared_with_the_newest(root, pruned):
    last = absence.last_fleet(RunStore(root, "edge", "next"))
    assert last == run_of(root, 51).read(Selection)


def test_what_was_pruned_is_no_damage(root, pruned):
    assert list(soundness.check(root, "edge")) == []


def test_a_service_that_stands_still_keeps_its_newest_and_its_deployed_run(root):
    retention.prune(root, "edge", **{**RULES, "now": NOW + timedelta(days=3_000)})
    assert with_(root, MergedProfile) == weeks(50, 51)
    assert with_(root, Report, "week") == weeks(50, 51)


def test_a_dry_run_removes_nothing_and_says_the_same(year, root):
    before = files(root)
    would = retention.prune(root, "edge", **RULES, dry_run=True)
    assert files(root) == before
    assert retention.prune(root, "edge", **RULES) == would


def test_the_figures_are_those_of_the_disk(root):
    before = files(root)
    done = retention.prune(root, "edge", **RULES)
    left = files(root)
    assert sum(done.bytes.values()) == sum(len(data) for name, data in before.items() if name not in left)
    assert sum(done.files.values()) == len(before) - len(left)
    assert done.kept == sum(map(len, left.values()))
    assert (done.runs, done.of) == (48, WEEKS)


def test_nothing_is_left_to_prune_the_second_time(root, pruned):
    assert retention.prune(root, "edge", **RULES).files == {}


def test_a_run_that_merged_nothing_goes_with_its_directory(root, tmp_path):
    failed = RunStore(tmp_path / "store", "edge", "failed")
    failed.write(Selection(()))
    later = datetime.now(UTC) + timedelta(days=201)
    retention.prune(failed.root, "edge", **{**RULES, "now": later})
    assert not failed.directory.exists()


def test_runs_that_may_still_wait_are_not_removed(root):
    with pytest.raises(
        StoreError, match="runs may not be removed after 199 days: a run may need them for 200"
    ):
        retention.prune(root, "edge", **{**RULES, "runs_after": timedelta(days=199)})


def test_profiles_that_may_still_be_collected_are_not_removed(root):
    with pytest.raises(StoreError, match="profiles of instances may not be removed after 7 days"):
        retention.prune(root, "edge", **{**RULES, "profiles_after": timedelta(days=7)})


def test_a_run_that_is_cleared_and_writes_anew_is_young(root):
    old = run_of(root, 3)
    key = old.keys(FetchedProfile)[0]
    os.utime(old.path(FetchedProfile, key), (NOW.timestamp(), NOW.timestamp()))
    retention.prune(root, "edge", **RULES)
    assert old.exists(FetchedProfile, key)


def test_what_has_no_time_stays(root, monkeypatch):
    failed = RunStore(root, "edge", "failed")
    failed.write(FetchedProfile(b"1"), "a" * 64)
    os.utime(failed.path(FetchedProfile, "a" * 64), (0, 0))
    retention.prune(root, "edge", **RULES)
    assert failed.exists(FetchedProfile, "a" * 64)


def test_profiles_of_a_run_that_merged_nothing_stay_as_long_as_the_run(root):
    failed = RunStore(root, "edge", "failed")
    failed.write(FetchedProfile(b"1"), "a" * 64)
    date(failed, NOW - timedelta(days=199))
    retention.prune(root, "edge", **RULES)
    assert failed.exists(FetchedProfile, "a" * 64)


def test_remains_of_a_killed_write_go_with_the_profiles(root):
    remains = run_of(root, 3).directory / ".merged.pb.gz.1234.part"
    remains.write_bytes(b"1")
    date(run_of(root, 3), NOW - timedelta(days=31))
    assert retention.prune(root, "edge", **RULES).files["remains"] == 1
    assert not remains.exists()


@pytest.mark.parametrize("kind", [Manifest, Merge])
def test_a_run_with_a_damaged_record_stays(root, kind):
    old = run_of(root, 3)
    old.path(kind).write_text("{")
    date(old, NOW - timedelta(days=300))
    retention.prune(root, "edge", **RULES)
    assert old.exists(MergedProfile)


def test_a_link_out_of_the_store_leads_nowhere(root, tmp_path):
    theirs = tmp_path / "theirs"
    shutil.copytree(run_of(root, 3).directory, theirs)
    before = files(theirs)
    for place in (root / "edge/linked", run_of(root, 4).directory / "linked"):
        place.symlink_to(theirs)
    retention.prune(root, "edge", **RULES)
    assert files(theirs) == before


def test_what_cannot_be_removed_keeps_nothing_else(root, monkeypatch):
    stuck = run_of(root, 3).path(MergedProfile).relative_to(root)
    removed = storage.remove

    def remove(path, **limits):
        if path == root / stuck:
            raise StoreError(f"the store cannot remove {path}: Permission denied")
        removed(path, **limits)

    monkeypatch.setattr(storage, "remove", remove)
    done = CliRunner().invoke(cli, ["store", "prune", "--store", str(root), "--runs-after", "200d"])
    assert (done.exit_code, with_(root, MergedProfile)) == (1, weeks(3, *range(24, 52)))
    assert f"stays: the store cannot remove {root / stuck}: Permission denied" in done.stdout


def test_a_file_that_is_not_ours_stays(root):
    theirs = run_of(root, 0).directory / "notes.txt"
    theirs.write_text("ours")
    retention.prune(root, "edge", **RULES)
    assert theirs.exists()


def test_the_command_says_what_it_frees(root):
    arguments = ["store", "prune", "--store", str(root), "--dry-run", "--runs-after", "3650d"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("edge: would free ")
    assert "FetchedProfile" in done.stdout
    assert "MergedProfile" not in done.stdout


@pytest.mark.parametrize("command", ["prune", "check"])
def test_a_store_that_is_not_there_is_named(tmp_path, command):
    done = CliRunner().invoke(cli, ["store", command, "--store", str(tmp_path / "none")])
    assert "there is no store at" in str(done.exception)


def test_an_age_beyond_all_time_is_refused():
    done = CliRunner().invoke(cli, ["store", "prune", "--profiles-after", "9999999999d"])
    assert "write a shorter duration" in done.output


def test_a_service_that_the_store_has_not_is_named(root):
    done = CliRunner().invoke(cli, ["store", "prune", "nobody", "--store", str(root)])
    assert "has no runs of nobody" in str(done.exception)
