"""The operators of collection, as a worker calls them, with instances that are real servers."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from fleetpgo.proposal.git import git
from fleetpgo.run.artifacts import ProposedProfile
from fleetpgo.run.store import RunStore
from fleetpgo.selection import Selection
from fleetpgo_airflow.operators import (
    BuildAndOpenPROperator,
    FetchProfileOperator,
    MergeProfilesOperator,
    SelectInstancesOperator,
    TopUpOperator,
)
from tests.collection.instances import OK, OTHER, cpu_profile, http, serving
from tests.repairing import damaged, start_lines
from tests.run.artifacts import manifest
from tests.services import NAME, load

RUN = "manual__1"
TOKEN = "t0k3n-of-the-connection"  # noqa: S105  # that is what it is
DENIED = http(b"", "401 Unauthorized")


@pytest.fixture(autouse=True)
def service(tmp_path, monkeypatch):
    monkeypatch.setenv("FLEETPGO_STORE", str(tmp_path / "store"))
    (tmp_path / "services").mkdir()
    return load(tmp_path / "services", monkeypatch)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "store", NAME, RUN)


def context(try_number=1, **params):
    given = {"instances": None, "seconds": None, "matchers": None, **params}
    return {"run_id": RUN, "params": given, "task_instance": SimpleNamespace(try_number=try_number)}


def selected(store, *instances, rounds=None):
    """Write a selection of these instances; the pack of the first round."""
    targets = tuple(
        replace(each.target, round=number)
        for each, number in zip(instances, rounds or [1] * len(instances), strict=True)
    )
    chosen = Selection(targets, datacenters={"ams": len(instances)}, seconds=1)
    store.write(chosen)
    return {"name": "ams", "targets": [asdict(each) for each in chosen.of_round(1)]}


def fetch(pack):
    return FetchProfileOperator(task_id="fetch_profile", service=NAME, pack=pack)


def top_up():
    return TopUpOperator(task_id="top_up", service=NAME)


async def test_a_pack_of_which_nobody_answers_is_skipped_with_the_reasons(store):
    async with serving(http(b"", "404 Not Found")) as ams:
        pack = selected(store, ams)
        with pytest.raises(AirflowSkipException, match=r"no profile from ams: 127.*HTTP 404 Not Found"):
            await fetch(pack).aexecute(context())


async def test_a_stopped_round_stays_stopped_for_a_task_that_starts_later(store):
    async with serving(DENIED, OK) as ams:
        pack = selected(store, ams)
        for _ in range(2):
            with pytest.raises(AirflowSkipException, match="401"):
                await fetch(pack).aexecute(context())
    assert len(ams.heard) == 1


async def test_a_cleared_fetch_goes_on_after_a_stop(store):
    async with serving(DENIED, OK) as ams:
        pack = selected(store, ams)
        with pytest.raises(AirflowSkipException):
            await fetch(pack).aexecute(context())
        (record,) = await fetch(pack).aexecute(context(try_number=2))
    assert record["state"] == "fetched"


async def test_a_first_look_that_finds_enough_asks_nobody_else(store):
    async with serving(http(cpu_profile(100))) as one, serving(OK) as other:
        await fetch(selected(store, one, other, rounds=[1, 2])).aexecute(context())
        said = await top_up().aexecute(context())
    assert (said, other.heard) == (["100 samples from 1 instances, as many as are wanted"], [])


async def test_too_few_samples_take_the_next_round(store):
    async with serving(OK) as one, serving(OTHER) as other:
        await fetch(selected(store, one, other, rounds=[1, 2])).aexecute(context())
        said = await top_up().aexecute(context())
    assert said == [
        "80 samples from 1 instances; the target is 100",
        "160 samples from 2 instances, as many as are wanted",
    ]


async def test_a_cleared_top_up_goes_on_after_a_stop(store):
    async with serving(OK) as one, serving(DENIED, OTHER) as other:
        await fetch(selected(store, one, other, rounds=[1, 2])).aexecute(context())
        await top_up().aexecute(context())
        said = await top_up().aexecute(context(try_number=2))
    assert said[-1] == "160 samples from 2 instances, as many as are wanted"


async def test_without_a_selection_the_top_up_fails_at_once():
    with pytest.raises(AirflowFailException, match=r"selection\.json is not in the store"):
        await top_up().aexecute(context())


@pytest.fixture
def prometheus(start_prometheus, monkeypatch):
    """One instance, which runs the build ``old``."""
    labels = {"instance": "127.0.0.1:9", "datacenter": "ams"}
    points = [(int(time.time()), 1.0)]
    series = [("cpu", labels, points), ("api_build_info", {**labels, "revision": "old"}, points)]
    monkeypatch.setenv("AIRFLOW_CONN_PROMETHEUS", start_prometheus(series).address)


def select(**params):
    return SelectInstancesOperator(task_id="select_instances", service=NAME).execute(context(**params))


def test_a_build_that_was_cleared_in_the_form_is_every_build(tmp_path, prometheus, monkeypatch):
    file = tmp_path / "services" / f"{NAME}.yaml"
    file.write_text(file.read_text().replace("cpu: cpu,", "cpu: cpu, matchers: 'revision=\"new\"',", 1))
    assert len(select(matchers=None)) == 1


@pytest.mark.parametrize(
    ("matchers", "reason"),
    [
        ("revision", "selection: matchers: write matchers as in PromQL, without braces"),
        ('revision=~"("', "Prometheus refuses the query: bad_data: "),
        (
            'revision="new"',
            'no instance to profile: none that uses CPU has a series api_build_info{revision="new"}',
        ),
    ],
)
def test_a_build_that_cannot_be_profiled_fails_the_first_task_at_once(prometheus, matchers, reason):
    with pytest.raises(AirflowFailException) as failure:
        select(matchers=matchers)
    assert reason in str(failure.value)


async def test_the_merge_asks_which_revision_to_repair_from(tmp_path, store, start_prometheus, monkeypatch):
    file = tmp_path / "services" / f"{NAME}.yaml"
    repairing = file.read_text().replace("{fraction: vector(1)}", "{fraction: vector(1), revision: revision}")
    file.write_text(f"{repairing}profile: {{repair: true}}\n")
    points = [(int(time.time()), 1.0)]
    prometheus = start_prometheus([("revision", {"revision": "none-such"}, points)])
    monkeypatch.setenv("AIRFLOW_CONN_PROMETHEUS", prometheus.address)
    forge = {"conn_type": "generic", "extra": {"path": str(tmp_path / "forge")}}
    monkeypatch.setenv("AIRFLOW_CONN_FORGE", json.dumps(forge))
    monkeypatch.setenv("FLEETPGO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "source").mkdir()
    git(tmp_path / "source", "init", "--quiet", "--initial-branch=main")
    git(tmp_path / "source", "commit", "--quiet", "--allow-empty", "--message", "Begin")
    git(tmp_path, "clone", "--quiet", "--bare", "source", "forge/api.git")
    async with serving(http(damaged(cpu_profile(), start_lines))) as ams:
        (record,) = await fetch(selected(store, ams)).aexecute(context())
    assert (record["state"], record["repairable"]) == ("fetched", True)
    with pytest.raises(AirflowFailException) as failed:
        MergeProfilesOperator(task_id="merge_profiles", service=NAME).execute(context())
    assert "revision none-such cannot be built: the repository has no revision none-such" in str(failed.value)


def test_the_build_is_asked_for_the_variants_of_the_form(tmp_path, store, monkeypatch):
    git(tmp_path, "init", "--quiet", "--bare", "forge/api.git")
    forge = {"conn_type": "generic", "extra": {"path": str(tmp_path / "forge")}}
    monkeypatch.setenv("AIRFLOW_CONN_FORGE", json.dumps(forge))
    monkeypatch.setenv("FLEETPGO_CACHE", str(tmp_path / "cache"))
    store.write(manifest())
    store.write(ProposedProfile(b"profile"))
    asked = context(dry_run=True, variants=["v9"])
    asked["task_instance"].log_url = "http://airflow"

    with pytest.raises(AirflowFailException, match=r"build\.variants.* has no v9; it has none"):
        BuildAndOpenPROperator(task_id="build_and_open_pr", service=NAME).execute(asked)


async def test_no_token_is_in_an_xcom_a_log_or_the_store(
    tmp_path, store, start_prometheus, monkeypatch, caplog
):
    load(tmp_path / "services", monkeypatch, connection="api_pprof", quorum=0.5)
    monkeypatch.setenv("AIRFLOW_CONN_API_PPROF", json.dumps({"conn_type": "http", "password": TOKEN}))
    caplog.set_level(logging.DEBUG)
    echo = http(f"what is Bearer {TOKEN}?".encode(), "503 Service Unavailable")
    async with serving(OK) as good, serving(echo) as bad:
        now = int(time.time())  # Prometheus forgets a point after five minutes
        series = [
            ("cpu", {"instance": each.target.instance, "datacenter": "ams"}, [(now, 1.0)])
            for each in (good, bad)
        ]
        monkeypatch.setenv("AIRFLOW_CONN_PROMETHEUS", start_prometheus(series).address)
        select = SelectInstancesOperator(task_id="select_instances", service=NAME)
        packs = select.execute(context(instances=2))
        pushed = [packs]
        for pack in packs:
            try:
                pushed.append(await fetch(pack).aexecute(context()))
            except AirflowSkipException as skipped:
                pushed.append(str(skipped))
        pushed.append(await top_up().aexecute(context()))
        pushed.append(MergeProfilesOperator(task_id="merge_profiles", service=NAME).execute(context()))
    assert TOKEN.encode() in good.heard[0]
    assert TOKEN.encode() in bad.heard[0]
    assert "what is •••?" in repr(pushed)
    assert TOKEN not in repr(pushed)
    assert TOKEN not in caplog.text
    written = [file.read_bytes() for file in (tmp_path / "store").rglob("*") if file.is_file()]
    assert len(written) > 4
    assert not any(TOKEN.encode() in content for content in written)


def test_a_store_tells_the_instances_through_the_connection_and_the_form_its_window(
    store, tmp_path, monkeypatch
):
    text = (tmp_path / "services" / f"{NAME}.yaml").read_text()
    query = 'a:b:c:d:e{service_name="api"}'
    text = re.sub(
        r"selection: .*", f"selection: {{source: store, cpu: '{query}', instance_label: pod}}", text
    )
    seen = {
        "labelset": {"labels": [{"name": "pod", "value": "api-0"}]},
        "samples": [{"value": "86400000000000"}],
    }
    answered = json.dumps({"series": [seen]}).encode()

    async def select():
        async with serving(http(answered)) as server:
            keys = f"""collection:
  source: parca
  url: http://{server.target.instance}
  query: 'a:b:c:d:e{{pod="$pod"}}'
  window: 1h
  allow: [127.0.0.1]
  connection: parca_api
  plain_http: true
"""
            described = re.sub(r"collection:\n(  .*\n)*", keys, text)
            (tmp_path / "services" / f"{NAME}.yaml").write_text(described)
            monkeypatch.setenv("AIRFLOW_CONN_PARCA_API", json.dumps({"conn_type": "http", "password": TOKEN}))
            operator = SelectInstancesOperator(task_id="select_instances", service=NAME)
            packs = await asyncio.to_thread(operator.execute, context(window="24h"))
            return packs, server.heard[0]

    packs, heard = asyncio.run(select())
    assert [target["instance"] for pack in packs for target in pack["targets"]] == ["api-0"]
    assert f"\r\nAuthorization: Bearer {TOKEN}\r\n".encode() in heard
    chosen = store.read(Selection)
    assert (chosen.seconds, chosen.targets[0].cores) == (86_400, 1.0)
