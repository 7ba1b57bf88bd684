import dataclasses

import pytest

from fleetpgo.config import Review
from fleetpgo.forges import PullRequest
from fleetpgo.pullrequest import ensure_pull_request, marker


@pytest.mark.parametrize(
    "text",
    ["", "no marker", "<!-- fleetpgo {} -->", "<!-- fleetpgo {broken} -->", '<!-- fleetpgo {"a": 1} -->'],
)
def test_a_body_without_a_readable_marker_has_none(text):
    assert marker(text) is None


class OneForge:
    """A forge that holds at most one pull request and remembers what it was told."""

    def __init__(self, found):
        self.found = found
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

    def hand_over(self, number, review):
        self.told.append(("hand_over", number, review))

    def label(self, number, *, add):
        self.told.append(("label", number, add))


REVIEW = Review(reviewers=("ada",), labels=("performance",), draft=True)
OPEN = PullRequest(7, "https://forge/7", "title", "body", "open", "bot", "0" * 40, "main")
DONE = dataclasses.replace(OPEN, labels=("fleetpgo", "other"))
CREATE = ("create", "bot", "main", "title", "body", True)
HAND_OVER = [("hand_over", 7, REVIEW), ("label", 7, ("performance", "fleetpgo"))]


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

    ensure_pull_request(forge, "bot", "main", "title", "body", REVIEW)

    assert [("find", "bot"), *told] == forge.told
