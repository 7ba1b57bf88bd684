from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleetpgo.collection import Access
from fleetpgo.errors import ServiceFileError
from tests.services import load

TOKEN = "first-s3cr3t"  # noqa: S105  # of nobody


@pytest.fixture
def described(tmp_path, monkeypatch):
    return load(tmp_path, monkeypatch, connection="api_pprof")


def connect(monkeypatch, **connection):
    value = json.dumps({"conn_type": "http", **connection})
    monkeypatch.setenv("AIRFLOW_CONN_API_PPROF", value)


async def access(service):
    from fleetpgo_airflow import hooks  # noqa: PLC0415  # imports Airflow

    return await hooks.access(service)


async def test_a_service_without_a_connection_is_asked_without_credentials(tmp_path, monkeypatch):
    assert await access(load(tmp_path, monkeypatch)) == Access()


async def test_the_connections_extra_holds_headers_and_files(described, monkeypatch):
    files = {"ca": "/etc/ca.pem", "cert": "/etc/own.pem", "key": "/etc/own.key"}
    connect(monkeypatch, extra={"headers": {"CF-Access-Client-Id": "id"}, **files})
    assert await access(described) == Access({"CF-Access-Client-Id": "id"}, *map(Path, files.values()))


async def test_the_connections_password_becomes_a_bearer_token(described, monkeypatch):
    connect(monkeypatch, password=TOKEN, extra={"headers": {"X-Scope-OrgID": "prod"}})
    assert (await access(described)).headers == {"X-Scope-OrgID": "prod", "Authorization": f"Bearer {TOKEN}"}


async def test_what_the_connection_holds_is_masked_in_logs(described, monkeypatch):
    from airflow.sdk.log import redact  # noqa: PLC0415  # imports Airflow

    connect(monkeypatch, password=TOKEN, extra={"headers": {"CF-Access-Client-Secret": "other-s3cr3t"}})
    await access(described)
    assert redact(f"it said Bearer {TOKEN} and other-s3cr3t") == "it said *** and ***"


async def test_a_file_may_hold_the_token_which_is_read_each_time(described, monkeypatch, tmp_path):
    file = tmp_path / "token"
    connect(monkeypatch, extra={"token": str(file)})
    for token in ("one-s3cr3t", "another-s3cr3t"):
        file.write_text(f"{token}\n")
        assert await access(described) == Access({"Authorization": f"Bearer {token}"})


async def test_a_token_that_cannot_be_read_is_named(described, monkeypatch, tmp_path):
    connect(monkeypatch, extra={"token": str(tmp_path / "none")})
    with pytest.raises(
        ServiceFileError, match=r"collection\.connection names a file with a token that cannot"
    ):
        await access(described)
