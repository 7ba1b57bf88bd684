"""The artifact store on S3, through an Airflow connection as in production; moto plays S3."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import boto3
import pytest
from airflow.sdk.exceptions import AirflowFailException
from moto.server import ThreadedMotoServer

from fleetpgo.collection import collect
from fleetpgo.run.artifacts import FetchedProfile, Trouble
from fleetpgo.run.store import RunStore
from fleetpgo.service.files import load_named
from fleetpgo_airflow import hooks
from fleetpgo_airflow.operators import TopUpOperator
from tests.collection.instances import cpu_profile, target_at
from tests.services import REST, TEXT

RUN = "manual__2026-01-02T03:04:05+00:00"
KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


@pytest.fixture(scope="module")
def s3():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **KEYS)
    client.create_bucket(Bucket="fleetpgo")
    yield client
    server.stop()


@pytest.fixture
def store(s3, monkeypatch):
    monkeypatch.setenv("FLEETPGO_STORE", "s3://artifacts@fleetpgo/store")
    connection = {
        "conn_type": "aws",
        "login": KEYS["aws_access_key_id"],
        "password": KEYS["aws_secret_access_key"],
        "extra": {"endpoint_url": s3.meta.endpoint_url, "region_name": KEYS["region_name"]},
    }
    monkeypatch.setenv("AIRFLOW_CONN_ARTIFACTS", json.dumps(connection))
    return TopUpOperator(task_id="top_up", service="wshim").opened({"run_id": RUN})[1]


def test_an_artifact_is_an_object_below_service_and_run(s3, store):
    store.write(FetchedProfile(b"1"), "a")
    key = "store/wshim/manual__2026-01-02T03_04_05+00_00/profiles/a.pb.gz"
    assert s3.get_object(Bucket="fleetpgo", Key=key)["Body"].read() == b"1"


def test_what_is_written_is_read_listed_and_removed(store):
    store.write(FetchedProfile(b"1"), "a")
    store.write(FetchedProfile(b"2"), "b")
    store.remove(FetchedProfile, "a")
    found = (store.keys(FetchedProfile), store.read(FetchedProfile, "b"), store.exists(FetchedProfile, "a"))
    assert found == (["b"], b"2", False)


def test_what_another_machine_puts_is_seen_at_the_next_look(s3, store):
    store.write(Trouble(b"1"), "a")
    first = store.keys(Trouble)
    key = "store/wshim/manual__2026-01-02T03_04_05+00_00/in_trouble/b"
    s3.put_object(Bucket="fleetpgo", Key=key, Body=b"2")
    assert (first, store.exists(Trouble, "b"), store.keys(Trouble)) == (["a"], True, ["a", "b"])


async def test_an_asynchronous_task_reaches_the_store(s3, store, monkeypatch):
    # The connection is looked up by blocking calls, which a running event loop refuses; Airflow keeps what
    # it found, so this connection is one that nobody has looked up yet.
    monkeypatch.setenv("FLEETPGO_STORE", "s3://others@fleetpgo/store")
    monkeypatch.setenv("AIRFLOW_CONN_OTHERS", os.environ["AIRFLOW_CONN_ARTIFACTS"])
    key = "store/wshim/manual__2026-01-02T03_04_05+00_00/selection.json"
    s3.put_object(Bucket="fleetpgo", Key=key, Body=b"this is what the task reads")
    task = TopUpOperator(task_id="top_up", service="wshim")
    with pytest.raises((json.JSONDecodeError, AirflowFailException), match="Expecting value"):
        await task.aexecute({"run_id": RUN, "task_instance": SimpleNamespace(try_number=1)})


async def test_profiles_in_a_bucket_are_read_through_a_connection(s3, store, tmp_path, monkeypatch):
    pattern = "s3://artifacts@fleetpgo/uploads/$host/%Y-%m-%d/*.pb.gz"
    (tmp_path / "api.yaml").write_text(
        TEXT.partition("collection:")[0]
        + f"collection: {{source: files, files: '{pattern}', window: 24h, attempts: 1}}\n"
        + REST
    )
    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path))
    key = f"uploads/a/{datetime.now(UTC):%Y-%m-%d}/1.pb.gz"
    s3.put_object(Bucket="fleetpgo", Key=key, Body=cpu_profile(80))
    service = load_named("api")
    (record,) = await collect(
        [replace(target_at("a:80"), cores=0)],
        service.collection,
        RunStore(tmp_path, "api", "run"),
        seconds=86_400,
        limits={},
        access=await hooks.access(service),
    )
    assert (record.state, record.samples) == ("fetched", 80)
