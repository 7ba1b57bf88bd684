import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from fleetpgo.config import Review
from fleetpgo.forges import PullRequest
from fleetpgo.gotool import Built
from fleetpgo.pullrequest import (
    Marker,
    Proposal,
    Provenance,
    body,
    code,
    ensure_pull_request,
    marker,
    prose,
    title,
)

FIRST = Proposal(
    service="wshim",
    path="pgo/profile.pprof",
    profile="0123456789ab",
    size=92_725,
    current=None,
    current_size=None,
    toolchain="go1.27.3",
    without=Built(Path("bin/wshim"), 9_000_000, 31.25),
    with_profile=Built(Path("bin/wshim"), 9_171_000, 74.5),
    provenance=Provenance(
        run="manual__2026-01-05T06:00:00+00:00",
        query='topk(40, instance:container_cpu_time_seconds_total:rate2m{job="wshim"})',
        selected=40,
        missing={},
        samples=61_204,
    ),
)

REFRESH = dataclasses.replace(
    FIRST,
    current="ba9876543210",
    current_size=98_304,
    provenance=dataclasses.replace(
        FIRST.provenance,
        missing={"ams01:6060": "timeout after 40 s", "fra07:6060": "HTTP 500 Could not enable CPU profiling"},
        run_url="https://airflow.example/dags/pgo_refresh__wshim/runs/manual__2026-01-05T06:00:00+00:00",
        figures={"edges": "12,345", "hot edges": "1,204"},
        notes=("Thanos answered only in part: 1 store is down",),
    ),
)

HOSTILE_NAME = "`@team` | <img src=x> [x](y) --> \n\n# <!-- fleetpgo {} -->"
HOSTILE = dataclasses.replace(
    REFRESH,
    provenance=Provenance(
        run=f"run {HOSTILE_NAME}",
        query=f"up{{a='```'}}\n```\n@team {HOSTILE_NAME}",
        selected=3_000,
        missing={f"{HOSTILE_NAME} {number}": HOSTILE_NAME * 20 for number in range(25)},
        samples=1,
        run_url="https://airflow.example/a b)(<>|`",
        figures={HOSTILE_NAME: HOSTILE_NAME},
        notes=(HOSTILE_NAME,),
    ),
)


@pytest.mark.parametrize(("name", "proposal"), [("first", FIRST), ("refresh", REFRESH), ("hostile", HOSTILE)])
def test_the_body_is_the_golden_one(name, proposal, golden):
    golden(f"pullrequest/{name}.md", body(proposal) + "\n")


def test_the_title_names_the_service():
    assert title(FIRST) == "Refresh the PGO profile of wshim"


@pytest.mark.parametrize("proposal", [FIRST, REFRESH, HOSTILE])
def test_the_marker_is_read_back(proposal):
    assert Marker(proposal.provenance.run, "0123456789ab") == marker(body(proposal))


def test_the_marker_survives_an_editor_that_ends_lines_with_cr_lf():
    text = body(FIRST).replace("\n", "\r\n")

    assert Marker(FIRST.provenance.run, "0123456789ab") == marker(text)


@pytest.mark.parametrize(
    "text",
    ["", "no marker", "<!-- fleetpgo {} -->", "<!-- fleetpgo {broken} -->", '<!-- fleetpgo {"a": 1} -->'],
)
def test_a_body_without_a_readable_marker_has_none(text):
    assert marker(text) is None


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\u200b"), max_size=300)
MARKUP = st.text("`*_[]()<>&~|\\\\@#! \nab:/;-=", max_size=40)


def inline(markdown):
    """What a CommonMark parser makes of one line: the kind and the text of each part."""
    (paragraph,) = MarkdownIt().parseInline(markdown)
    return [(token.type, token.content) for token in paragraph.children]


@given((TEXT | MARKUP).filter(lambda value: value.split()))
def test_a_value_is_one_code_span_whatever_is_in_it(value):
    assert [("code_inline", " ".join(value.split()))] == inline(code(value))


@given((TEXT | MARKUP).filter(lambda value: value.split()))
def test_a_sentence_is_plain_text_whatever_is_in_it(value):
    parts = inline(prose(value))

    assert {"text"} == {kind for kind, _ in parts}
    assert " ".join(value.split()) == "".join(text for _, text in parts).replace("\u200b", "")


def test_a_mention_in_a_sentence_pings_nobody():
    assert prose("ask @team about #12") == "ask @\u200bteam about #\u200b12"


def test_a_long_value_is_cut():
    assert code("x" * 1000) == f"`{'x' * 300}…`"


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
