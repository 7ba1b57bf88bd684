"""Which of a service's runs goes first: one test for each order of runs for releases and by the schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo.errors import PrometheusError
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Merge, Proposed
from fleetpgo.run.released import Begun
from fleetpgo.run.store import RunStore
from fleetpgo.selection.releases import Release
from fleetpgo.steps.release import Around, asked, begin_run, later_release, overtaken, taken
from fleetpgo.steps.watch import skip
from tests.service.test_release import load

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class Fleet:
    """Runs of a service, what runs where, and which pull requests are open."""

    service: object
    root: object
    running: set[str] = field(default_factory=set)
    open: set[int] = field(default_factory=set)
    shares: dict[str, float] = field(default_factory=lambda: {"v2": 0.6, "v3": 0.6})

    def store(self, run):
        return RunStore(self.root, "api", run)

    def begin(self, run, revision=None, *, at=NOW, since=NOW, by_hand=False, dry_run=False):
        """Begin a run, for a release or for none; return why it ends."""
        why = begin_run(
            self.service,
            self.store(run),
            Release(revision, since, 0.6) if revision else None,
            Around(self.running.__contains__, lambda proposed: proposed.pull_request in self.open),
            run=run,
            shares=self.shares,
            by_hand=by_hand,
            dry_run=dry_run,
            now=at,
        )
        if why:
            skip(self.store(run), why)
        else:
            self.running.add(run)
        return why

    def propose(self, run, number):
        url = f"https://forge/{number}"
        self.store(run).write(
            Proposed("b", "main", "p", unchanged=False, dry_run=False, pull_request=number, url=url)
        )
        self.open.add(number)

    def profile(self, run):
        self.store(run).write(Manifest("cpu", 1, 80, ()))

    def merge(self, run, commit="c" * 40):
        self.store(run).write(Merge("merged", NOW, commit))


@pytest.fixture
def fleet(tmp_path):
    return Fleet(load(tmp_path), tmp_path / "store")


def test_a_run_for_a_release_notes_it(fleet):
    assert fleet.begin("release-2", "v2") == ""
    begun = fleet.store("release-2").read(Begun)
    assert (begun.run, begun.revision, begun.since, begun.share) == ("release-2", "v2", NOW, 0.6)


def test_a_release_gives_way_to_a_run_under_way_and_comes_again(fleet):
    fleet.begin("weekly")
    assert "run weekly is under way" in fleet.begin("release-2", "v2")
    assert taken(fleet.store("-"), "v2") == ""
    fleet.running.clear()
    assert fleet.begin("release-2 again", "v2") == ""


def test_a_run_of_the_schedule_gives_way_to_a_release_under_way(fleet):
    fleet.begin("release-2", "v2")
    assert fleet.begin("weekly") == "run release-2 refreshes the profile for release v2"


def test_a_run_of_the_schedule_gives_way_to_an_open_pull_request_of_a_release(fleet):
    fleet.begin("release-2", "v2")
    fleet.propose("release-2", 7)
    assert fleet.begin("weekly") == "pull request #7 (https://forge/7) is open: it is step two of v2"


@pytest.mark.parametrize("end", ["closed", "merged", "failed"])
def test_once_a_release_is_through_the_schedule_goes_on(fleet, end):
    fleet.begin("release-2", "v2")
    if end == "failed":
        fleet.running.clear()
    else:
        fleet.propose("release-2", 7)
        fleet.open.clear()
    if end == "merged":
        fleet.merge("release-2")
    assert fleet.begin("weekly") == ""


def test_a_releases_run_takes_over_what_the_schedule_has_proposed(fleet):
    fleet.begin("weekly")
    fleet.propose("weekly", 7)
    assert fleet.begin("release-2", "v2") == ""


def test_two_runs_that_are_for_no_release_are_left_alone(fleet):
    assert (fleet.begin("weekly"), fleet.begin("by hand")) == ("", "")


def test_a_later_release_overtakes_once_it_is_profiled(fleet):
    fleet.begin("release-2", "v2", since=NOW - HOUR)
    assert fleet.begin("release-3", "v3", since=NOW) == ""
    assert overtaken(fleet.store("release-2")) == ""
    fleet.profile("release-3")
    assert overtaken(fleet.store("release-2")) == (
        "release v3 has come since, and run release-3 has profiled it"
    )
    assert overtaken(fleet.store("release-3")) == ""


def test_a_later_release_that_needs_no_profile_overtakes_none_and_is_known(fleet):
    fleet.begin("release-2", "v2", since=NOW - HOUR)
    fleet.begin("release-3", "v3", since=NOW)
    skip(fleet.store("release-3"), "its profile still fits")
    assert overtaken(fleet.store("release-2")) == ""
    assert later_release(fleet.store("release-2")) == "v3"


def test_a_release_that_was_overtaken_is_in_nobodys_way(fleet):
    fleet.begin("release-2", "v2", since=NOW - HOUR)
    fleet.begin("release-3", "v3", since=NOW)
    fleet.profile("release-3")
    fleet.propose("release-3", 7)
    fleet.open.clear()
    assert fleet.begin("weekly") == ""


def test_a_dry_run_takes_no_release_and_overtakes_none(fleet):
    fleet.begin("release-2", "v2", since=NOW - HOUR)
    fleet.begin("dry", "v3", dry_run=True)
    fleet.profile("dry")
    assert (taken(fleet.store("-"), "v3"), overtaken(fleet.store("release-2"))) == ("", "")


def test_a_run_by_hand_overtakes_none(fleet):
    fleet.begin("release-3", "v3", since=NOW)
    fleet.begin("by hand", "v2", by_hand=True)
    fleet.profile("by hand")
    assert overtaken(fleet.store("release-3")) == ""


def test_a_release_has_one_run(fleet):
    fleet.begin("release-2", "v2")
    fleet.running.clear()
    assert fleet.begin("again", "v2") == "run release-2 is for release v2"


def test_a_person_may_have_a_release_profiled_again_but_not_twice_at_once(fleet):
    fleet.begin("release-2", "v2")
    assert fleet.begin("by hand", "v2", by_hand=True) == "run release-2 is for release v2"
    fleet.running.clear()
    assert fleet.begin("by hand again", "v2", by_hand=True) == ""


def test_a_release_that_has_gone_before_its_run_began_ends_it_and_may_come_again(fleet):
    fleet.shares = {"v1": 0.96, "v2": 0.04}
    assert fleet.begin("release-2", "v2") == "release v2 has gone: 4 % of the instances run it"
    assert taken(fleet.store("-"), "v2") == ""


def test_a_gap_in_prometheus_is_no_sign_that_a_release_has_gone(fleet):
    fleet.shares = {}
    with pytest.raises(PrometheusError, match="no instance runs a revision"):
        fleet.begin("release-2", "v2")


def test_a_run_that_gave_way_to_another_for_its_release_does_not_stop_that_one(fleet):
    fleet.begin("release-2", "v2")
    fleet.begin("twice", "v2")
    fleet.running.clear()
    assert fleet.begin("release-2", "v2") == ""


def test_a_retry_keeps_when_the_run_began(fleet):
    fleet.begin("release-2", "v2")
    fleet.running.clear()
    assert fleet.begin("release-2", "v2", at=NOW + HOUR) == ""
    assert fleet.store("release-2").read(Begun).at == NOW


def test_a_run_that_has_proposed_is_past_all_this(fleet):
    fleet.begin("weekly")
    fleet.propose("weekly", 7)
    fleet.begin("release-2", "v2")
    assert fleet.begin("weekly") == ""


def test_a_run_that_ended_here_and_is_cleared_goes_on(fleet):
    fleet.begin("weekly")
    fleet.begin("release-2", "v2")
    fleet.running.clear()
    assert fleet.begin("release-2", "v2") == ""
    assert not fleet.store("release-2").exists(Merge)


def test_another_services_runs_are_not_looked_at(fleet):
    fleet.begin("release-2", "v2")
    assert taken(RunStore(fleet.root, "web", "-"), "v2") == ""


def test_only_instances_of_the_release_are_profiled_and_at_once(fleet):
    fleet.begin("release-2", "v2")
    given = asked(fleet.service, fleet.store("release-2"), 'tier="1"', NOW)
    assert given == {"matchers": 'tier="1", revision="v2"', "now": True}


def test_a_run_for_no_release_is_asked_nothing_else(fleet):
    fleet.begin("weekly")
    assert asked(fleet.service, fleet.store("weekly"), None, NOW) == {}


def test_by_hand_the_forms_window_holds(tmp_path):
    source = "collection: {source: files, files: '/profiles/$host/*', window: 24h}"
    fleet = Fleet(load(tmp_path, more=source), tmp_path / "store")
    fleet.begin("by hand", "v2", by_hand=True)
    assert "window" not in asked(fleet.service, fleet.store("by hand"), None, NOW)


def test_a_store_of_profiles_is_not_asked_for_the_time_before_the_release(tmp_path):
    source = "collection: {source: files, files: '/profiles/$host/*', window: 24h}"
    fleet = Fleet(load(tmp_path, more=source), tmp_path / "store")
    fleet.begin("release-2", "v2", since=NOW - HOUR)
    assert asked(fleet.service, fleet.store("release-2"), None, NOW)["window"] == "1h"
