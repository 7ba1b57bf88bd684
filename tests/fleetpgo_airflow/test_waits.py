"""The waits, against a real store and a real git forge."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, TaskDeferred

from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.run.proposed import Failed, Merge, Proposed, Rollout, Turn, Watched
from fleetpgo.run.store import RunStore
from fleetpgo.service.files import load_named, services_directory
from tests.run.artifacts import proposed
from tests.s3 import ILLNESSES, S3, as_connection

RUN = "manual__1"
PROFILE = "0123456789ab"


def git(*arguments):
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments], check=True, capture_output=True
    )


@pytest.fixture
def forge(tmp_path, monkeypatch):
    """A forge with one open pull request that proposes PROFILE, and the store of the run that opened it."""
    origin, work = tmp_path / "forge" / "wshim.git", tmp_path / "work"
    git("init", "--bare", "-b", "main", str(origin))
    git("clone", str(origin), str(work))
    for branch in ("main", "fleetpgo/wshim"):
        git("-C", str(work), "checkout", "-B", branch)
        git("-C", str(work), "commit", "--allow-empty", "-m", branch)
        git("-C", str(work), "push", "origin", branch)
    forge = LocalForge(str(origin.parent), "wshim")
    forge.create("fleetpgo/wshim", "main", "Refresh", body(RUN, PROFILE))
    store = RunStore(tmp_path / "store", "wshim", RUN)
    store.write(proposed(branch="fleetpgo/wshim", profile=PROFILE))
    monkeypatch.setenv("FLEETPGO_STORE", str(tmp_path / "store"))
    extra = {"path": str(origin.parent)}
    monkeypatch.setenv("AIRFLOW_CONN_WSHIM_FORGE", json.dumps({"conn_type": "generic", "extra": extra}))
    return forge


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "store", "wshim", RUN)


def body(run, profile):
    return f'text\n<!-- fleetpgo {{"run": "{run}", "profile": "{profile}"}} -->\n'


def trigger(what="merge"):
    from fleetpgo_airflow.waits import LookTrigger  # noqa: PLC0415  # imports Airflow

    return LookTrigger(what=what, service="wshim", run=RUN, poll=0.01)


async def first_event(trigger):
    return await anext(trigger.run())


def test_a_trigger_survives_being_stored():
    path, arguments = trigger().serialize()
    assert path == "fleetpgo_airflow.waits.LookTrigger"
    assert type(trigger())(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


@pytest.mark.parametrize(("poll", "spread"), [(30, 30), (21_600, 60)])
async def test_the_first_looks_of_a_thousand_waits_are_spread_over_a_minute_or_a_poll(
    monkeypatch, poll, spread
):
    from fleetpgo_airflow import waits  # noqa: PLC0415  # imports Airflow

    class Slept(Exception):  # noqa: N818  # not an error
        """Ends the trigger."""

    async def sleep(seconds):
        raise Slept(seconds)

    monkeypatch.setattr(waits.asyncio, "sleep", sleep)
    tenths = Counter()
    for number in range(1_000):
        with pytest.raises(Slept) as slept:
            await first_event(waits.LookTrigger(what="week", service=f"s{number}", run=RUN, poll=poll))
        tenths[int(10 * slept.value.args[0] / spread)] += 1
    assert (sorted(tenths), max(tenths.values()) < 130) == (list(range(10)), True)


async def test_a_merge_ends_the_task_in_success_and_is_remembered(forge, store):
    waiting = asyncio.create_task(first_event(trigger()))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    merged = forge.merge(1)
    event = await waiting
    assert event.payload == "success"
    assert store.read(Merge) == Merge("merged", merged.merged_at, merged.merge_commit)


async def test_a_closed_pull_request_may_be_reopened_for_a_week_then_skips_the_rest(forge, store):
    forge.close(1)
    waiting = asyncio.create_task(first_event(trigger()))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    store.write(Watched(closed_at=datetime.now(UTC) - timedelta(days=8)))
    event = await waiting
    assert event.payload == "skipped"
    assert "was closed without a merge" in store.read(Merge).reason


async def test_a_pull_request_that_a_newer_run_took_over_skips_the_rest(forge, store):
    forge.update(1, "Refresh", body("manual__2", "ffffffffffff"))
    event = await first_event(trigger())
    assert event.payload == "skipped"
    assert "superseded by run manual__2" in store.read(Merge).reason


async def test_what_is_to_be_done_resumes_the_task_on_a_worker(forge):
    forge.label(1, add=("fleetpgo/rebase",))
    event = await first_event(trigger())
    assert "somebody asks to have its branch made anew" in event.payload["work"]


def test_a_resumed_task_does_it_and_waits_again(forge, store, monkeypatch):
    done = []

    def refresh(service, its_store, its_forge, **_):
        done.append((service.name, its_store.run))
        its_forge.label(1, remove="fleetpgo/rebase")
        return "made anew"

    monkeypatch.setattr("fleetpgo.steps.refresh.refresh", refresh)
    forge.label(1, add=("fleetpgo/rebase",))
    task = type("Task", (), {"log_url": "https://airflow.example"})
    with pytest.raises(TaskDeferred):
        operator("WaitForMergeOperator").execute_again({"run_id": RUN, "task_instance": task}, {})
    assert done == [("wshim", RUN)]


async def test_a_forge_that_gives_no_answer_for_a_day_fails_the_task(forge, store, tmp_path, monkeypatch):
    monkeypatch.setattr("fleetpgo_airflow.waits.BLIND", timedelta(seconds=0.05))
    (tmp_path / "forge" / "wshim.git").rename(tmp_path / "elsewhere")
    event = await first_event(trigger())
    assert event.payload == "failed"
    assert "there is no bare repository" in store.read(Failed, "wait_for_merge").reason


async def test_a_dry_run_waits_for_nothing(forge, store):
    store.write(proposed(profile=PROFILE, dry_run=True, pull_request=None))
    event = await first_event(trigger())
    assert (event.payload, store.read(Merge).reason) == (
        "skipped",
        "dry run: no pull request was opened",
    )


async def test_an_outage_while_waiting_does_not_end_the_wait(forge, tmp_path):
    repository, elsewhere = tmp_path / "forge" / "wshim.git", tmp_path / "elsewhere"
    repository.rename(elsewhere)
    waiting = asyncio.create_task(first_event(trigger()))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    elsewhere.rename(repository)
    forge.merge(1)
    event = await waiting
    assert event.payload == "success"


@pytest.fixture(scope="module")
def s3():
    server = S3()
    yield server
    server.stop()


@pytest.fixture
def ill(s3, forge, store, monkeypatch):
    """The same run, on an object storage that can be ill."""
    monkeypatch.setenv("AIRFLOW_CONN_ILL", as_connection(s3))
    monkeypatch.setenv("FLEETPGO_STORE", "s3://ill@fleetpgo/store")
    s3.objects[f"store/wshim/{RUN}/pull_request.json"] = store.read_bytes(Proposed)
    yield s3
    s3.heal()


async def asked_again(s3):
    """Wait until more looks have asked the store than a task has retries; a look asks twice at most."""
    before = len(s3.asked)
    while len(s3.asked) < before + 8:  # noqa: ASYNC110  # another thread's server counts
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("illness", ILLNESSES)
async def test_a_wait_outlives_any_illness_of_the_store(ill, forge, illness):
    ill.illness = illness
    waiting = asyncio.create_task(first_event(trigger()))
    await asked_again(ill)
    assert not waiting.done()
    ill.illness = ""
    ill.over.set()
    forge.merge(1)
    assert (await waiting).payload == "success"


def operator(name):
    from fleetpgo_airflow import waits  # noqa: PLC0415  # imports Airflow

    return getattr(waits, name)(task_id="wait", service="wshim")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("WaitForMergeOperator", "merge"),
        ("WaitForRolloutOperator", "rollout"),
        ("WaitForWeekOperator", "week"),
    ],
)
def test_a_wait_whose_first_look_meets_an_outage_leaves_the_looking_to_the_trigger(
    ill, monkeypatch, name, what
):
    monkeypatch.setenv("AIRFLOW_CONN_WSHIM_PROMETHEUS", "http://127.0.0.1:9")
    ill.illness = "503"
    with pytest.raises(TaskDeferred) as deferred:
        operator(name).execute({"run_id": RUN})
    _, arguments = deferred.value.trigger.serialize()
    assert (arguments["what"], deferred.value.timeout.days >= 60) == (what, True)


def test_a_task_is_tried_again_after_an_outage_and_not_for_a_missing_artifact(ill):
    from fleetpgo_airflow.operators import AnnounceMergeOperator  # noqa: PLC0415  # imports Airflow

    announce = AnnounceMergeOperator(task_id="announce", service="wshim")
    with pytest.raises(AirflowFailException, match=r"merge\.json is not in the store"):
        announce.execute({"run_id": RUN})
    ill.illness = "503"
    with pytest.raises(AirflowException, match="the store cannot read") as raised:
        announce.execute({"run_id": RUN})
    assert not isinstance(raised.value, AirflowFailException)


async def test_the_week_is_over_when_its_end_after_the_rollout_has(forge, store):
    now = datetime.now(UTC)
    found = []
    for end in (now, now - timedelta(days=20)):
        store.write(Rollout(PROFILE, end - timedelta(hours=1), end, 1.0))
        try:
            found.append(operator("WaitForWeekOperator").execute({"run_id": RUN}))
        except TaskDeferred as deferred:
            found.append(deferred.trigger.serialize()[1]["what"])
    assert found == ["week", None]
    assert (await first_event(trigger("week"))).payload == "success"


@pytest.fixture
def too_late(monkeypatch):
    """The rollout's deadline has passed, as ``look_for_rollout`` says it."""
    from fleetpgo.steps.wait import Outcome  # noqa: PLC0415
    from fleetpgo_airflow import waits  # noqa: PLC0415

    monkeypatch.setattr(waits, "look", lambda *_: Outcome("failed", "0.0 % of the instances after 14 days"))


async def test_a_rollout_past_its_deadline_fails_the_task_from_the_trigger(too_late):
    event = await first_event(trigger("rollout"))
    assert event.payload == "failed"


def test_a_rollout_past_its_deadline_fails_the_task_for_good_with_the_reason(too_late):
    from fleetpgo_airflow.waits import WaitForRolloutOperator  # noqa: PLC0415

    operator = WaitForRolloutOperator(task_id="wait_for_rollout", service="wshim")
    with pytest.raises(AirflowFailException, match=r"0\.0 % of the instances after 14 days"):
        operator.execute({"run_id": RUN})


@pytest.fixture
def limited(forge, store, tmp_path, monkeypatch):
    """A service that may build once an hour, and did a while ago: the store of that run."""
    text = (services_directory() / "wshim.yaml").read_text()
    (tmp_path / "wshim.yaml").write_text(
        text.replace("repository:\n", "repository:\n  limits: {builds_per_hour: 1}\n")
    )
    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path))
    earlier = RunStore(store.root, "wshim", "manual__0")
    now = datetime.now(UTC)
    earlier.write(Turn(builds=(now,)))
    return earlier


def take_turn():
    return operator("WaitForTurnOperator").execute({"run_id": RUN, "params": {"dry_run": False}})


def test_where_nothing_is_limited_the_turn_is_taken_at_once(forge, store):
    assert (take_turn(), store.find(Turn)) == (None, None)


async def test_a_run_over_the_limit_waits_in_the_triggerer_and_goes_on_when_there_is_room(limited, store):
    with pytest.raises(TaskDeferred) as deferred:
        take_turn()
    _, arguments = deferred.value.trigger.serialize()
    assert (arguments["what"], arguments["poll"]) == ("turn", 600)
    assert "1 build(s) of wshim have begun within an hour" in store.read(Turn).waits_for
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    limited.write(Turn(builds=(hour_ago,)))
    event = await first_event(trigger("turn"))
    assert (event.payload, len(store.read(Turn).builds)) == ("success", 1)


@pytest.fixture
def windows(tmp_path, monkeypatch):
    """Operators that wait for the two windows of a service: one opens now, one in twelve hours."""
    from fleetpgo_airflow.waits import WaitForWindowOperator  # noqa: PLC0415  # imports Airflow

    now = datetime.now(UTC)
    opened, later = (f"{now + timedelta(hours=hours):%H:%M}" for hours in (0, 12))
    windows = f"[{{name: peak, at: '{opened}', share: 0.5}}, {{name: night, at: '{later}', share: 0.5}}]"
    text = (services_directory() / "wshim.yaml").read_text()
    (tmp_path / "wshim.yaml").write_text(text.replace("selection:\n", f"selection:\n  windows: {windows}\n"))
    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path))
    return [
        WaitForWindowOperator(task_id="wait_for_window", service="wshim", window=name)
        for name in ("peak", "night")
    ]


def test_a_window_that_is_open_is_not_waited_for(windows):
    peak, _ = windows
    assert peak.execute({"params": {"now": False}}) is None


def test_a_window_is_waited_for_by_a_trigger_that_ends_the_task(windows):
    _, night = windows
    with pytest.raises(TaskDeferred) as deferred:
        night.execute({"params": {"now": False}})
    trigger = deferred.value.trigger
    window = load_named("wshim").selection.windows[1]
    assert (trigger.end_from_trigger, f"{trigger.moment:%H:%M}") == (True, window.at)


def test_a_window_of_a_store_is_in_the_past_and_not_waited_for(windows, tmp_path):
    _, night = windows
    file = tmp_path / "wshim.yaml"
    kept = [line for line in file.read_text().splitlines() if not line.startswith(("  url:", "  ports:"))]
    keys = "collection:\n  source: parca\n  url: http://parca\n  query: 'a:b:c:d:e{pod=\"$host\"}'\n"
    file.write_text("\n".join(kept).replace("collection:\n", keys))
    assert night.execute({"params": {"now": False}}) is None


def test_a_build_that_promql_cannot_read_is_refused_before_the_window_opens(windows):
    _, night = windows
    with pytest.raises(AirflowFailException, match="write matchers as in PromQL"):
        night.execute({"params": {"now": False, "matchers": "revision"}})


def test_a_run_for_now_waits_for_no_window_and_takes_the_first_only(windows):
    peak, night = windows
    assert peak.execute({"params": {"now": True}}) is None
    with pytest.raises(AirflowSkipException, match="in the tasks of peak"):
        night.execute({"params": {"now": True}})
