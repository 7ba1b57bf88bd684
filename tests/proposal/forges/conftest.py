"""Forges that are servers, each a double held against its published description."""

import functools
import os
import ssl

import pytest
import trustme
from github.Requester import Requester

from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.commits import commit, push
from fleetpgo.proposal.forges import connect
from fleetpgo.proposal.git import git
from tests.proposal.forges import real
from tests.proposal.forges.doubles import KINDS, PROJECT, TOKEN, Served
from tests.proposal.forges.sides import BRANCH, Doubled, Local


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """Leave out PyGithub's pauses: a second between writes, which GitHub asks for, and a double does not."""
    monkeypatch.setattr(Requester, "_Requester__deferRequest", lambda *_: None)


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


@pytest.fixture(params=["local", *KINDS])
def kind(request):
    return request.param


@pytest.fixture
def there(kind, serve, origin):
    """The forge's own side."""
    return Local(origin) if kind == "local" else serve(kind)


@pytest.fixture
def forge(kind, there):
    """Our side of it."""
    return there.forge if kind == "local" else connect(kind, PROJECT, address=there.address, token=TOKEN)


@pytest.fixture
def side(request, tmp_path):
    """A forge as the suite of behaviours looks at it: a double, or the real one of `make test-forge`."""
    if os.environ.get("FORGE"):
        if os.environ["FORGE"] != request.param:
            pytest.skip("another kind of forge is asked")
        with real.throw_away(request.param) as there:
            yield there
        return
    # Asked for here: it sets an authority for everything.
    yield Doubled(request.param, request.getfixturevalue("serve")(request.param), tmp_path / "ca.pem")


@pytest.fixture
def opened(forge):
    """An open pull request, without a build."""
    with clone(forge.clone_url, "main", BRANCH, config=forge.git_config()) as checkout:
        push(checkout, commit(checkout, {"profile": b"one"}, "Refresh", exact="profile"))
    return forge.create(BRANCH, "main", "Title", "Body")
