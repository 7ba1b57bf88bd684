"""docs/s3-policy.json is enough for a run's store, and for no more: moto enforces it."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer
from upath import UPath

from fleetpgo.errors import StoreError
from fleetpgo.run import contents, storage
from fleetpgo.run.artifacts import MergedProfile, Trouble
from fleetpgo.run.store import RunStore

POLICY = (Path(__file__).parents[2] / "docs/s3-policy.json").read_text()


@pytest.fixture(scope="module")
def login():
    """A server that enforces policies, and the login of a user who has this one."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    # All of its servers in one process share what they hold.
    requests.post(f"{url}/moto-api/reset", timeout=10).raise_for_status()
    root = {
        "endpoint_url": url,
        "region_name": "us-east-1",
        "aws_access_key_id": "root",
        "aws_secret_access_key": "root",
    }
    storage_client, users = boto3.client("s3", **root), boto3.client("iam", **root)
    for bucket in ("fleetpgo", "other"):
        storage_client.create_bucket(Bucket=bucket)
    users.create_user(UserName="fleetpgo")
    users.put_user_policy(UserName="fleetpgo", PolicyName="store", PolicyDocument=POLICY)
    key = users.create_access_key(UserName="fleetpgo")["AccessKey"]
    _enforce(url, "0")
    yield {
        "key": key["AccessKeyId"],
        "secret": key["SecretAccessKey"],
        "endpoint_url": url,
        "client_kwargs": {"region_name": "us-east-1"},
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    _enforce(url, "inf")
    server.stop()


def _enforce(url, after):
    """Have policies enforced after that many requests."""
    requests.post(f"{url}/moto-api/reset-auth", data=after, timeout=10).raise_for_status()


def opened(login, bucket):
    return UPath(f"s3://{bucket}/store", use_listings_cache=False, **login)


def test_a_runs_store_needs_no_other_rights(login):
    root = opened(login, "fleetpgo")
    run = RunStore(root, "edge", "run")
    assert run.find(MergedProfile) is None  # missing, and not forbidden
    run.write(MergedProfile(b"1"))
    run.write(Trouble(b"busy"), "10.0.0.1")
    assert (run.read_bytes(MergedProfile), run.size(MergedProfile)) == (b"1", 1)
    assert run.keys(Trouble) == ["10.0.0.1"]
    assert contents.services_of(root) == ["edge"]
    assert {each.name for each in storage.matching(root, "edge/**")} == {
        "edge/run/merged.pb.gz",
        "edge/run/in_trouble/10.0.0.1",
    }
    run.remove(MergedProfile)
    assert not run.exists(MergedProfile)


def test_another_bucket_is_closed(login):
    with pytest.raises(StoreError, match=r"AccessDenied|Forbidden"):
        RunStore(opened(login, "other"), "edge", "run").write(MergedProfile(b"1"))
