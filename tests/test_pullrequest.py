import dataclasses

import pytest

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

    def find(self, branch, base):
        self.told.append(("find", branch, base))
        return self.found

    def create(self, *arguments):
        self.told.append(("create", *arguments))
        return "created"

    def update(self, *arguments):
        self.told.append(("update", *arguments))
        return "updated"


OPEN = PullRequest(7, "https://forge/7", "title", "body", "open", "bot", "0" * 40, "main")


@pytest.mark.parametrize(
    ("found", "result", "told"),
    [
        (None, "created", [("create", "bot", "main", "title", "body")]),
        (OPEN, OPEN, []),
        (dataclasses.replace(OPEN, title="old"), "updated", [("update", 7, "title", "body")]),
        (dataclasses.replace(OPEN, body="old"), "updated", [("update", 7, "title", "body")]),
    ],
    ids=["none", "equal", "other title", "other body"],
)
def test_there_is_one_pull_request_and_it_is_up_to_date(found, result, told):
    forge = OneForge(found)

    assert result == ensure_pull_request(forge, "bot", "main", "title", "body")
    assert [("find", "bot", "main"), *told] == forge.told
