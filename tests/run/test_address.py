"""What the command line takes for a store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from fleetpgo.cli.main import cli
from fleetpgo.errors import StoreError
from fleetpgo.run import address as store_address
from fleetpgo.run.artifacts import MergedProfile
from fleetpgo.run.store import RunStore
from tests.s3 import KEYS, S3

LOGIN = {"login": KEYS["aws_access_key_id"], "password": KEYS["aws_secret_access_key"]}
SECRET = "s3cr3t/+k3y"  # noqa: S105  # planted


@pytest.fixture
def s3():
    server = S3()
    yield server
    server.stop()


def extra_of(s3):
    return {"endpoint_url": s3.url, "region_name": "us-east-1"}


def written_by(environment, address):
    RunStore(store_address.open_root(address, environment), "wshim", "r").write(MergedProfile(b"1"))


def test_a_directory_stays_one():
    assert [store_address.parse(text) for text in ("./store", "/var/s3:x", "./s3:x")] == [
        Path("store"),
        Path("/var/s3:x"),
        Path("s3:x"),
    ]


@pytest.mark.parametrize("text", ["s3:/bucket/store", "s3:bucket", "s3://", "s3:///store", "s3://art@/store"])
def test_what_looks_like_a_url_and_names_no_bucket_is_refused(text):
    with pytest.raises(StoreError, match="names no bucket"):
        store_address.parse(text)


@pytest.mark.parametrize("scheme", ["s4", "gs", "file", "https"])
def test_another_scheme_is_refused(scheme):
    with pytest.raises(StoreError, match=f"cannot reach a store on {scheme}://"):
        store_address.open_root(f"{scheme}://bucket/store", {})


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(StoreError) as raised:
        store_address.parse(f"s3://key:{SECRET}@bucket/store")
    assert SECRET not in str(raised.value)


def test_a_bucket_is_reached_by_the_variables_of_aws(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    written_by({}, "s3://fleetpgo/store")
    assert s3.objects == {"store/wshim/r/merged.pb.gz": b"1"}


def as_json(s3):
    return json.dumps({"conn_type": "aws", **LOGIN, "extra": extra_of(s3)})


def as_json_within_json(s3):
    return json.dumps({"conn_type": "aws", **LOGIN, "extra": json.dumps(extra_of(s3))})


def as_uri(s3):
    return f"aws://key:{quote(SECRET, safe='')}@/?region_name=us-east-1&endpoint_url={quote(s3.url, safe='')}"


def as_uri_with_json(s3):
    return f"aws://key:secret@/?__extra__={quote(json.dumps(extra_of(s3)), safe='')}"


@pytest.mark.parametrize("form", [as_json, as_json_within_json, as_uri, as_uri_with_json])
def test_a_bucket_is_reached_by_a_connection_as_airflow_writes_it(s3, form):
    written_by({"AIRFLOW_CONN_ART_STORE": form(s3)}, "s3://art_store@fleetpgo/store")
    assert s3.objects == {"store/wshim/r/merged.pb.gz": b"1"}


def test_a_connection_that_is_not_in_the_environment_is_named():
    with pytest.raises(StoreError, match=r"(?s)the connection art .*set AIRFLOW_CONN_ART"):
        store_address.open_root("s3://art@bucket", {})


@pytest.mark.parametrize("text", [SECRET, f'{{"password": "{SECRET}"', '{"extra": "[]"}', '{"extra": 3}'])
def test_a_connection_that_is_none_is_refused_without_its_secret(text):
    with pytest.raises(StoreError, match="AIRFLOW_CONN_ART does not hold a connection") as raised:
        store_address.open_root("s3://art@bucket", {"AIRFLOW_CONN_ART": text})
    assert SECRET not in str(raised.value)


def test_a_role_is_refused_rather_than_left_out():
    connection = json.dumps({"extra": {"role_arn": "arn:aws:iam::1:role/x"}})
    with pytest.raises(StoreError, match=r"(?s)cannot assume a role.*AWS_PROFILE"):
        store_address.open_root("s3://art@bucket", {"AIRFLOW_CONN_ART": connection})


def test_a_missing_s3fs_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(StoreError, match=r"(?s)needs the package s3fs.*pip install s3fs"):
        store_address.open_root("s3://bucket", {})


def test_a_command_refuses_nonsense_and_makes_no_folder_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["history", "wshim"], env={"FLEETPGO_STORE": "s4://bucket/store"})
    assert (done.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "cannot reach a store on s4://" in done.output


def test_the_latest_run_on_s3_is_the_one_that_was_merged_last(s3, monkeypatch, fleet_root, tmp_path):
    runs = fleet_root / "store" / "edge"
    for file in runs.rglob("*.json"):
        s3.objects[f"store/edge/{file.relative_to(runs)}"] = file.read_bytes()
    monkeypatch.setenv("FLEETPGO_SERVICES", str(fleet_root / "services"))
    environment = {"AIRFLOW_CONN_ART": as_json(s3), "FLEETPGO_STORE": "s3://art@fleetpgo/store"}
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "wshim.git"], check=True)
    command = ["propose", "edge", "--forge", str(tmp_path), "--dry-run"]
    done = CliRunner().invoke(cli, command, env=environment)
    assert "2026-02-09T08_30_00.123456" in str(done.exception)  # its profile.pprof was not copied


def test_the_history_is_read_from_s3(s3, fleet_root):
    runs = fleet_root / "store" / "edge"
    for file in runs.rglob("measure_*.json"):
        s3.objects[f"store/edge/{file.relative_to(runs)}"] = file.read_bytes()
    environment = {"AIRFLOW_CONN_ART": as_json(s3), "FLEETPGO_STORE": "s3://art@fleetpgo/store"}
    done = CliRunner().invoke(cli, ["history", "edge", "--json"], env=environment)
    assert [row["verdict"] for row in json.loads(done.stdout)] == ["saved"]
