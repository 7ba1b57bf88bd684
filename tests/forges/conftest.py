"""Forges that are servers, each a double held against its published description."""

import functools
import ssl

import pytest
import trustme

from fleetpgo.repository import git
from tests.forges.doubles import KINDS, PROJECT, Served


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@functools.cache
def description(kind):
    return KINDS[kind][1]()


@pytest.fixture
def serve(origin, authority, tmp_path, monkeypatch):
    """Start a forge's double over the origin; it trusts and is trusted, and differs nowhere in the end."""
    (origin / "acme").mkdir()
    (origin / "tiny.git").rename(origin / f"{PROJECT}.git")
    git(origin / f"{PROJECT}.git", "config", "http.receivepack", "true")
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    monkeypatch.setenv("GIT_SSL_CAINFO", str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    served = []

    def start(kind):
        double = KINDS[kind][0](origin, description(kind))
        served.append((double, Served(double, context)))
        return double

    yield start
    for double, server in served:
        server.close()
        assert double.differences == []
