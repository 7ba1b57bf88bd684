"""Connections become clients."""

import json
from base64 import b64encode

import pytest
from airflow.sdk.log import redact

from fleetpgo.errors import ForgeError, StoreError
from fleetpgo.proposal.forges.gitea import GiteaForge
from fleetpgo.proposal.forges.github import GitHubForge
from fleetpgo.proposal.forges.gitlab import GitLabForge
from fleetpgo.run.profiled import Manifest
from fleetpgo_airflow import hooks
from tests.tiny import tiny

TOKEN = "planted-t0ken"  # noqa: S105


def service(forge):
    return tiny(repository={"forge": forge, "project": "acme/tiny"})


@pytest.fixture
def connection(monkeypatch):
    def connect(**fields):
        monkeypatch.setenv("AIRFLOW_CONN_FORGE", json.dumps({"conn_type": "generic", **fields}))

    return connect


@pytest.mark.parametrize(
    ("kind", "made"), [("github", GitHubForge), ("gitlab", GitLabForge), ("gitea", GiteaForge)]
)
def test_a_forge_is_made_of_a_connection_s_host_and_password(connection, kind, made):
    connection(host="https://git.acme.example", password=TOKEN)
    forge = hooks.forge(service(kind))

    assert (made, "https://git.acme.example/acme/tiny.git") == (type(forge), forge.clone_url)


@pytest.mark.parametrize(
    "extra", [{"app_id": "1234"}, {"installation_id": 56}, {"app_id": "1", "installation_id": "x"}]
)
def test_an_app_without_its_installation_is_an_error(connection, extra):
    connection(host="https://github.com", password=TOKEN, extra=extra)

    with pytest.raises(ForgeError, match="one of app_id and installation_id; an app needs both"):
        hooks.forge(service("github"))


def test_an_app_s_key_is_asked_for(connection):
    connection(host="https://github.com", password=TOKEN, extra={"app_id": 1234, "installation_id": 56})

    with pytest.raises(ForgeError, match="is not a private key of the app 1234"):
        hooks.forge(service("github"))


def test_a_connection_without_a_token_is_an_error(connection):
    connection(host="https://git.acme.example")

    with pytest.raises(ForgeError, match="the forge's connection holds no token"):
        hooks.forge(service("gitlab"))


def test_what_git_sends_of_the_token_is_masked_in_logs(connection):
    connection(host="https://git.acme.example", password=TOKEN)
    hooks.forge(service("github")).git_config()

    sent = b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    assert redact(f"git sent {sent}") == "git sent ***"


@pytest.mark.parametrize(
    "address", ["s4://bucket/store", "s3:/bucket/store", "s3://", "s3://key:secret@bucket"]
)
def test_a_store_s_address_that_is_none_is_no_local_folder(monkeypatch, address):
    monkeypatch.setenv("FLEETPGO_STORE", address)
    with pytest.raises(StoreError) as raised:
        hooks.store_root()
    assert "secret" not in str(raised.value)


def test_a_store_whose_connection_airflow_does_not_know_is_a_store_error(monkeypatch):
    monkeypatch.setenv("FLEETPGO_STORE", "s3://unheard_of@bucket/store")
    with pytest.raises(StoreError, match="unheard_of"):
        hooks.run_store("wshim", "r").read(Manifest)
