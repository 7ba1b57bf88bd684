"""Which of a person's commits survive, and the labels afterwards, on every kind of forge."""

import pytest

from fleetpgo.errors import RefusedError
from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.commits import commit, push
from fleetpgo.proposal.etiquette import TAKE_OVER, hands_off, obeying_take_over
from fleetpgo.proposal.git import git
from tests.proposal.forges.sides import BRANCH, label


def commit_by_ada(bare, parent):
    """Commit on top of another commit, as a person does, and move the branch there."""
    ada = {"user.name": "Ada", "user.email": "ada@example.com"}
    made = git(bare, "commit-tree", "-p", parent, "-m", "By hand", f"{parent}^{{tree}}", config=ada)
    git(bare, "update-ref", f"refs/heads/{BRANCH}", made)
    return made


def resume(forge):
    """Push a new profile to the branch as a run does, without its builds; why not, if it is not pushed."""
    with clone(forge.clone_url, "main", BRANCH, config=forge.git_config()) as checkout:
        found = forge.find(BRANCH)
        if why := hands_off(forge, checkout, found):
            return why
        with obeying_take_over(forge, found):
            push(checkout, commit(checkout, {"profile": b"two"}, "Refresh", exact="profile"))
        return ""


def labels_of_the_organisation(there):
    """Have the owner of the repository be an organisation that has the labels itself."""
    there.organisation = {"fleetpgo": 901, TAKE_OVER: 902}


def test_only_the_commit_that_the_comment_names_is_discarded(forge, there, opened):
    first = commit_by_ada(there.bare, BRANCH)
    resume(forge)
    label(there, 1, TAKE_OVER)
    second = commit_by_ada(there.bare, first)

    why = resume(forge)

    assert (
        f"the label {TAKE_OVER} was not added for it; a comment on pull request 1 says how to resume" in why
    )
    assert (second, []) == (git(there.bare, "rev-parse", BRANCH), list(there.pull(1).labels))
    (comment,) = there.pull(1).comments.values()
    assert (True, False) == (second in comment, first in comment)


def test_a_take_over_is_obeyed_once_and_the_next_commit_survives(forge, there, opened):
    discarded = commit_by_ada(there.bare, BRANCH)
    resume(forge)
    label(there, 1, TAKE_OVER)

    assert not resume(forge)
    assert ["Refresh"] == git(there.bare, "log", "--format=%s", f"main..{BRANCH}").splitlines()
    assert [] == list(there.pull(1).labels)
    later = commit_by_ada(there.bare, BRANCH)
    assert resume(forge)
    assert (later, True) == (git(there.bare, "rev-parse", BRANCH), later != discarded)


@pytest.mark.parametrize("kind", ["gitea"], indirect=True)
def test_a_label_of_the_organisation_is_taken_off(forge, there, opened):
    labels_of_the_organisation(there)
    commit_by_ada(there.bare, BRANCH)
    resume(forge)
    label(there, 1, TAKE_OVER)

    assert not resume(forge)
    assert ([], {}) == (there.pull(1).labels, there.ids)
    later = commit_by_ada(there.bare, BRANCH)
    assert resume(forge)
    assert later == git(there.bare, "rev-parse", BRANCH)


@pytest.mark.parametrize("kind", ["gitea"], indirect=True)
def test_a_label_that_the_organisation_has_is_not_made_again(forge, there, opened):
    labels_of_the_organisation(there)

    forge.label(1, add=("fleetpgo", "performance"))

    assert (["fleetpgo", "performance"], ["performance"]) == (there.pull(1).labels, list(there.ids))


@pytest.mark.parametrize("kind", ["gitea"], indirect=True)
def test_a_token_that_may_not_see_the_organisation_labels_all_the_same(forge, there, opened, caplog):
    labels_of_the_organisation(there)
    there.forbidden = ["organisation_labels"]

    forge.label(1, add=("performance",))

    assert there.pull(1).labels == ["performance"]
    assert "let the token read organizations" in caplog.text


@pytest.mark.parametrize(
    ("kind", "call"),
    [("github", "remove_label"), ("gitea", "remove_label"), ("gitlab", "update")],
    indirect=["kind"],
)
def test_where_the_label_cannot_be_taken_off_nothing_is_pushed(forge, there, opened, call):
    theirs = commit_by_ada(there.bare, BRANCH)
    resume(forge)
    label(there, 1, TAKE_OVER)
    there.forbidden = [call]

    with pytest.raises(RefusedError, match=r"labelling .* failed: 403"):
        resume(forge)
    assert (theirs, [TAKE_OVER]) == (git(there.bare, "rev-parse", BRANCH), there.pull(1).labels)


def test_a_commit_after_the_merge_stays_and_is_named(forge, there, opened):
    there.merge(1)
    made = commit_by_ada(there.bare, BRANCH)

    assert "the newest commit of fleetpgo/tiny is by Ada" in resume(forge)
    assert git(there.bare, "rev-parse", BRANCH) == made
