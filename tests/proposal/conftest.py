"""Builds that are made once, for tests of what comes after a build."""

import pytest

from fleetpgo.proposal.git import git
from fleetpgo.proposal.verify import verify
from fleetpgo.run.digest import digest


@pytest.fixture(scope="session")
def verified():
    """What each pair of real builds gave, by all that went into it."""
    return {}


@pytest.fixture
def built_once(verified, monkeypatch):
    """Let the builds without and with a profile be made once, and what they gave be used again.

    The build of the base as it is, which goes before them, is made each time.
    """

    def verified_once(checkout, service, wiring, profile, cache, **options):
        tree = git(checkout.path, "rev-parse", f"{checkout.base_commit}^{{tree}}")
        key = (tree, service.build.model_dump_json(), wiring.path, digest(profile))
        if key not in verified:
            verified[key] = verify(checkout, service, wiring, profile, cache, **options)
        return verified[key]

    monkeypatch.setattr("fleetpgo.steps.propose.verify", verified_once)
