"""A run that is killed at any moment (`kill -9`), and the next: one pull request, branch and comment."""

import dataclasses
import os
import signal

import pytest

from fleetpgo.proposal.forges import connect
from fleetpgo.proposal.git import git
from fleetpgo.proposal.novelty import left_alone
from fleetpgo.run.digest import digest
from fleetpgo.run.proposed import Proposed
from fleetpgo.steps import propose as step
from tests.proposal.forges.doubles import PROJECT, TOKEN
from tests.proposal.forges.sides import BRANCH
from tests.proposal.test_body import FIRST
from tests.tiny import tiny

PROFILE = b"a profile"
REVIEW = {"reviewers": ["ghost"], "labels": ["performance"]}


@pytest.fixture
def without_builds(monkeypatch):
    """Everything but the builds: what is proposed is set."""

    def prepare(checkout, service, forge, found, profile, provenance, **_):
        proposed = Proposed(service.branch, "main", digest(profile), unchanged=False, dry_run=False)
        assert left_alone(forge, checkout, found, profile, service, again=False) == ""
        proposal = dataclasses.replace(FIRST, path="profile", profile=digest(profile), provenance=provenance)
        return proposed, proposal, {"profile": profile}

    monkeypatch.setattr(step, "_prepare", prepare)


def killed_after(owner, name, run):
    """Run in a process of its own, and kill it as soon as this call has returned."""
    child = os.fork()
    if child == 0:
        original = getattr(owner, name)

        def call(*arguments, **named):
            original(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, name, call)
        try:
            run()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the run was over before it could be killed"


@pytest.mark.parametrize("moment", ["clone", "commit", "push", "open", "label", "comment"])
def test_the_next_run_completes_what_a_killed_one_began(moment, serve, without_builds, tmp_path):
    double = serve("gitea")
    forge = connect("gitea", PROJECT, address=double.address, token=TOKEN)
    service = tiny(repository={"project": PROJECT, "profile": "profile"}, review=REVIEW)

    def run():
        step.propose(service, forge, PROFILE, FIRST.provenance, dry_run=False, cache=tmp_path / "cache")

    owner, name = {
        "clone": (step, "_prepare"),
        "commit": (step, "commit"),
        "push": (step, "push"),
        "open": (type(forge), "create"),
        "label": (type(forge), "label"),
        "comment": (type(forge), "comment"),
    }[moment]
    killed_after(owner, name, run)
    run()

    (made,) = double.pulls
    assert ("open", ["fleetpgo", "performance"]) == (made.state, sorted(made.labels))
    assert len(made.comments) == 1
    assert [BRANCH, "main"] == git(
        double.bare, "for-each-ref", "--format=%(refname:short)", "refs/heads"
    ).split()
    assert git(double.bare, "rev-list", "--count", f"main..{BRANCH}") == "1"
