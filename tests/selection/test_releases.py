"""Which release is new, against a real Prometheus: the fleet's revisions over a day and a half."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo.errors import QueryError
from fleetpgo.selection.releases import look, matchers_of, release_shares
from fleetpgo.service.release import ReleaseRules
from tests.service.test_release import load

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVERY = 30
SETTLE = timedelta(minutes=30)
SECOND = timedelta(seconds=1)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


# Name of the fleet → instance → (from when, which revision); before that and after a None: no series.
FLEETS = {
    "rolled": {
        "a:1": [(timedelta(days=-2), "v1"), (minutes(-60), "v2")],
        "b:1": [(timedelta(days=-2), "v1"), (minutes(-50), "v2")],
        "c:1": [(timedelta(days=-2), "v1")],
    },
    "dipped": {
        "a:1": [(timedelta(days=-2), "v1"), (minutes(-60), "v2")],
        "b:1": [(timedelta(days=-2), "v1"), (minutes(-60), "v2"), (minutes(-20), "v1"), (minutes(-15), "v2")],
        "c:1": [(timedelta(days=-2), "v1")],
    },
    "gap": {
        "a:1": [(timedelta(days=-2), "v1"), (minutes(-60), "v2"), (minutes(-25), None), (minutes(-12), "v2")],
    },
    "old": {"a:1": [(timedelta(days=-2), "v1"), (minutes(-30) - timedelta(hours=25), "v2")]},
    "young": {"a:1": [(minutes(-40), "v2")]},
    "twice": {
        "a:1": [(timedelta(days=-2), "v1"), (minutes(-120), "v2")],
        "b:1": [(timedelta(days=-2), "v1"), (minutes(-60), "v3")],
    },
    "odd": {
        "a:1": [(timedelta(days=-2), "")],
        "b:1": [(timedelta(days=-2), "--upload-pack=x")],
        "c:1": [(timedelta(days=-2), "v1")],
        "d:1": [(timedelta(days=-2), "v1")],
    },
}


@pytest.fixture(scope="module")
def prometheus(start_prometheus):
    series = []
    for fleet, instances in FLEETS.items():
        for instance, spans in instances.items():
            ends = [begin for begin, _ in spans[1:]] + [minutes(1)]
            for (begin, revision), end in zip(spans, ends, strict=True):
                if revision is None:
                    continue
                labels = {"fleet": fleet, "instance": instance, "revision": revision}
                first, last = ((NOON + each).timestamp() for each in (begin, end))
                points = [(int(at), 1) for at in range(int(first), int(last), EVERY)]
                series.append(("api_build_info", labels, points))
    return start_prometheus(series)


def service(tmp_path, fleet, *, release="{}", form="count by (revision) (%s)"):
    # A series whose instance has another revision by now is stale for Prometheus only five minutes later.
    newest = f'(timestamp(api_build_info{{fleet="{fleet}"}}) > time() - {EVERY})'
    return load(tmp_path, rollout=f", revision: '{form % newest}'", release=release)


def look_at(prometheus, service, known, at=NOON):
    shares = release_shares(prometheus, service, at=at)
    return look(lambda: prometheus, service, shares, known, at)


def test_the_first_look_finds_nothing_new_and_knows_what_runs(prometheus, tmp_path):
    looked = look_at(prometheus, service(tmp_path, "rolled"), None)
    assert (looked.known, looked.release) == (("v2",), None)


def test_a_revision_is_a_release_once_it_has_kept_its_share(prometheus, tmp_path):
    release = look_at(prometheus, service(tmp_path, "rolled"), ["v1"]).release
    assert release.revision == "v2"
    assert release.share == pytest.approx(2 / 3)
    assert NOON - minutes(50) <= release.since <= NOON - minutes(50) + minutes(3)


def test_before_it_has_kept_its_share_for_so_long_it_is_none(prometheus, tmp_path):
    looked = look_at(prometheus, service(tmp_path, "rolled"), ["v1"], NOON - minutes(50) + SETTLE - SECOND)
    assert looked.release is None
    assert looked.message == "v2 has 50 % of the instances, but not yet for 30m"


def test_a_dip_begins_the_time_anew(prometheus, tmp_path):
    rules = service(tmp_path, "dipped")
    assert look_at(prometheus, rules, ["v1"]).release is None


def test_what_prometheus_missed_does_not(prometheus, tmp_path):
    assert look_at(prometheus, service(tmp_path, "gap"), ["v1"]).release.revision == "v2"


def test_what_has_run_for_more_than_a_day_is_no_news(prometheus, tmp_path):
    looked = look_at(prometheus, service(tmp_path, "old"), ["v1"])
    assert (looked.release, looked.known) == (None, ("v1", "v2"))


def test_a_prometheus_that_does_not_reach_back_a_day_makes_no_release_old(prometheus, tmp_path):
    release = look_at(prometheus, service(tmp_path, "young"), ["v1"]).release
    assert (release.revision, release.since >= NOON - minutes(40)) == ("v2", True)


def test_a_known_revision_is_no_news_when_it_comes_back(prometheus, tmp_path):
    looked = look_at(prometheus, service(tmp_path, "rolled"), ["v2", "v1"])
    assert (looked.release, looked.known) == (None, ("v2", "v1"))


def test_of_two_that_are_new_the_older_one_has_been_overtaken(prometheus, tmp_path):
    looked = look_at(prometheus, service(tmp_path, "twice"), ["v1"])
    assert (looked.release.revision, looked.known) == ("v3", ("v1", "v2"))


def test_a_series_an_instance_gives_the_same_shares(prometheus, tmp_path):
    counted = release_shares(prometheus, service(tmp_path, "rolled"), at=NOON)
    single = release_shares(prometheus, service(tmp_path, "rolled", form="%s * 0 + 1"), at=NOON)
    assert single == counted == {"v2": pytest.approx(2 / 3), "v1": pytest.approx(1 / 3)}


def test_what_cannot_be_a_revision_counts_in_the_sum_and_is_no_release(prometheus, tmp_path):
    assert release_shares(prometheus, service(tmp_path, "odd"), at=NOON) == {"v1": 0.5}


def test_a_query_that_cannot_be_read_names_the_key(prometheus, tmp_path):
    rules = load(tmp_path, rollout=", revision: 'count by (revision ('")
    with pytest.raises(QueryError) as error:
        release_shares(prometheus, rules)
    assert error.value.hint == "correct rollout.revision"


@pytest.mark.parametrize(
    ("profile", "before", "matchers"),
    [
        ("any", "", 'revision="v2"'),
        ("with", 'tier="1"', 'tier="1", revision="v2", pgo!~"|off"'),
        ("without", "", 'revision="v2", pgo=~"|off"'),
    ],
)
def test_only_instances_of_the_release_are_profiled(profile, before, matchers):
    assert matchers_of("v2", ReleaseRules(profile=profile), before) == matchers


def test_a_label_that_is_no_revision_becomes_no_matcher():
    with pytest.raises(ValueError, match="no revision"):
        matchers_of('v2", pgo="', ReleaseRules(), "")
