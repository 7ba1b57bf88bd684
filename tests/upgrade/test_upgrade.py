"""A run that waited under an earlier version goes on under this one; tools/make-waiting made what it left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo import overview
from fleetpgo.prometheus import Answer, Series
from fleetpgo.run import soundness
from fleetpgo.run.proposed import Merge, Rollout
from fleetpgo.run.store import RunStore
from fleetpgo.service.files import load_named
from fleetpgo_airflow import hooks
from fleetpgo_airflow.waits import LookTrigger
from tests.upgrade.conftest import RELEASES, go_on

pytestmark = pytest.mark.parametrize("left", RELEASES, indirect=True)


class Deployed:
    """A Prometheus that says that the whole fleet runs the new build since an hour and a half."""

    def number(self, query, *, at=None):
        return 1.0, ()

    def range(self, query, *, start, end, step):
        since = (datetime.now(UTC) - timedelta(minutes=90)).timestamp()
        times = [start.timestamp() + n * step.total_seconds() for n in range(int((end - start) / step) + 1)]
        return Answer(query, (Series({}, tuple((at, float(at >= since)) for at in times)),))


def waits(left):
    return {each["kwargs"]["what"]: each for each in left.triggers}


def test_the_wait_for_the_merge_ends_with_the_merge(left):
    row = waits(left)["merge"]
    assert go_on(row["classpath"], row["kwargs"]) == "TaskSuccessEvent"
    assert RunStore(left.store, "edge", row["kwargs"]["run"]).read(Merge).state == "merged"


def test_the_wait_for_the_rollout_ends_with_the_rollout(left, monkeypatch):
    row = waits(left)["rollout"]
    run = RunStore(left.store, "edge", row["kwargs"]["run"])
    monkeypatch.setattr(hooks, "prometheus", lambda _: Deployed())
    # Merged two hours ago, for the wait has a deadline.
    at = datetime.now(UTC) - timedelta(hours=2)
    run.write(Merge("merged", at, run.read(Merge).commit))
    assert go_on(row["classpath"], row["kwargs"]) == "TaskSuccessEvent"
    assert run.read(Rollout).fraction == 1


def test_the_service_file_of_then_is_read_today(left):
    assert load_named("edge").name == "edge"


def test_the_store_of_then_is_sound_today(left):
    assert list(soundness.check(left.store, "edge")) == []


def test_the_pages_show_the_runs_of_then(left):
    for wait, stage in (("merge", "Review"), ("rollout", "Rollout")):
        run = RunStore(left.store, "edge", waits(left)[wait]["kwargs"]["run"])
        shown = {each.name: each.state for each in overview.look_at_run(run).stages}
        assert (shown["Pull request"], shown[stage]) == ("done", "waiting")


def test_arguments_are_those_that_the_trigger_takes_and_gives_back(left):
    for row in left.triggers:
        assert LookTrigger(**row["kwargs"]).serialize() == (row["classpath"], row["kwargs"])
