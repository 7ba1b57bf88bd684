import dataclasses
import json

import pytest

from fleetpgo.errors import RefusedError, RepositoryError
from fleetpgo.proposal.ensure import ensure_pull_request, marker
from fleetpgo.proposal.forges import PullRequest, Standing
from fleetpgo.service.review import ReviewRules


@pytest.mark.parametrize(
    "text",
    ["", "no marker", "<!-- fleetpgo {} -->", "<!-- fleetpgo {broken} -->", '<!-- fleetpgo {"a": 1} -->'],
)
def test_a_body_without_a_readable_marker_has_none(text):
    assert marker(text) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"head": "--upload-pack=touch /tmp/x"},
        {"head": "HEAD"},
        {"head": ["a"]},
        {"run": 1},
        {"run": None},
        {"profile": "../../x"},
        {"profile": 12},
        {"service": "../api"},
        {"service": {}},
        {"absent": "whatever"},
        {"more": "x"},
        {"run": "x" * 5000},
    ],
)
def test_a_marker_that_fleetpgo_never_writes_is_none(wrong):
    right = {"run": "run-1", "profile": "0" * 12, "service": "api", "head": "a" * 40, "absent": "rejected"}
    lines = [f"<!-- fleetpgo {json.dumps(each)} -->" for each in (right, {**right, **wrong})]

    assert [marker(each) is None for each in lines] == [False, True]


@pytest.mark.parametrize("text", ["[]", "1", "[" * 4000, '{"a":' * 800])
def test_a_marker_of_another_shape_is_none(text):
    assert marker(f"<!-- fleetpgo {{{text}}} -->") is None
    assert marker(f'<!-- fleetpgo {{"run": {text}}} -->') is None


class OneForge:
    """A forge that holds at most one pull request and remembers what it was told."""

    standing_at = Standing("0" * 40, "1" * 40, checks=("test",), waiting=("the check test",))

    def __init__(self, found, *, refuses=(), said=""):
        self.found = found
        self.refuses = refuses
        self.said = said
        self.told = []

    def find(self, branch):
        self.told.append(("find", branch))
        return self.found

    def create(self, *arguments, draft):
        self.told.append(("create", *arguments, draft))
        return OPEN

    def update(self, *arguments):
        self.told.append(("update", *arguments))
        return self.found

    def ask(self, number, reviewer):
        self.told.append(("ask", number, reviewer))
        if reviewer in self.refuses:
            raise RefusedError(f"there is no {reviewer}")

    def assign(self, number, person):
        self.told.append(("assign", number, person))

    def standing(self, number):
        return self.standing_at

    def merge_once_ready(self, number, how, head):
        self.told.append(("merge_once_ready", number, how, head))

    def merge(self, number, how, head):
        self.told.append(("merge", number, how, head))

    def stop_merging(self, number):
        self.told.append(("stop_merging", number))

    def set_milestone(self, number, title):
        self.told.append(("set_milestone", number, title))

    def label(self, number, *, add):
        self.told.append(("label", number, add))

    def comment(self, number, body, key):
        self.told.append(("comment", number, key))
        if key == "not-asked":
            self.said = body

    def read_comment(self, number, key):
        return self.said


REVIEW = ReviewRules(
    reviewers=("ada", "acme/perf"),
    assignees=("grace",),
    labels=("performance",),
    draft=True,
    auto_merge="squash",
)
HEAD = "0" * 40
OPEN = PullRequest(7, "https://forge/7", "title", "body", "open", "bot", HEAD, "main")
DONE = dataclasses.replace(OPEN, labels=("fleetpgo", "other"))
CREATE = ("create", "bot", "main", "title", "body", True)
HAND_OVER = [
    ("label", 7, ("performance",)),
    ("ask", 7, "ada"),
    ("ask", 7, "acme/perf"),
    ("assign", 7, "grace"),
    ("merge_once_ready", 7, "squash", HEAD),
    ("comment", 7, "auto-merge"),
    ("label", 7, ("fleetpgo",)),
]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (None, [CREATE, *HAND_OVER]),
        (dataclasses.replace(DONE, state="merged"), [CREATE, *HAND_OVER]),
        (dataclasses.replace(DONE, state="closed"), [CREATE, *HAND_OVER]),
        (DONE, []),
        (OPEN, HAND_OVER),
        (dataclasses.replace(DONE, title="old"), [("update", 7, "title", "body", None)]),
        (dataclasses.replace(DONE, body="old"), [("update", 7, "title", "body", None)]),
        (dataclasses.replace(DONE, base="master"), [("update", 7, "title", "body", "main")]),
    ],
    ids=["none", "merged", "closed", "equal", "cut off", "other title", "other body", "other base"],
)
def test_there_is_one_pull_request_and_it_is_up_to_date(found, told):
    forge = OneForge(found)

    ensure_pull_request(forge, "bot", "main", "title", "body", REVIEW, head=HEAD, require_head=bool)

    assert [("find", "bot"), *told] == forge.told


def moving(after):
    """A branch that another run moves after it was looked at so many times."""
    looks = iter([None] * after)

    def look():
        if next(looks, "moved"):
            raise RepositoryError("moved")

    return look


@pytest.mark.parametrize(
    ("found", "written"),
    [(None, CREATE), (dataclasses.replace(DONE, body="old"), ("update", 7, "title", "body", None))],
)
def test_a_body_is_written_for_the_commit_on_the_branch_or_not_at_all(found, written):
    for after, told in ((0, []), (1, [written])):
        forge = OneForge(found)
        with pytest.raises(RepositoryError, match="moved"):
            ensure_pull_request(
                forge, "bot", "main", "title", "body", REVIEW, head=HEAD, require_head=moving(after)
            )
        assert [("find", "bot"), *told] == forge.told


def test_who_cannot_be_asked_is_named_and_holds_up_nothing(caplog):
    forge = OneForge(OPEN, refuses=("ada",))

    ensure_pull_request(forge, "bot", "main", "title", "body", REVIEW, head=HEAD, require_head=bool)

    expected = [*HAND_OVER[:4], ("comment", 7, "not-asked"), *HAND_OVER[4:]]
    assert [("find", "bot"), *expected] == forge.told
    assert "- `ada` (`review.reviewers`): `there is no ada`" in forge.said
    assert "pull request 7 goes on without ada of review.reviewers: there is no ada" in caplog.text


def test_what_is_said_of_people_is_taken_back_once_all_are_asked():
    forge = OneForge(OPEN, said="These people …")

    ensure_pull_request(forge, "bot", "main", "title", "body", REVIEW, head=HEAD, require_head=bool)

    assert forge.said == "fleetpgo has asked everybody whom the service file names."
