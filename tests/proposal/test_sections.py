"""The text of a group's pull request, which anybody who may edit it can have changed."""

from __future__ import annotations

import pytest

from fleetpgo.proposal.ensure import Marker, marker_line
from fleetpgo.proposal.sections import LONGEST_BODY, absent, inherited, live, marker_of, replaced, sections

API, WEB = Marker("run-1", "a" * 12, "api"), Marker("run-1", "b" * 12, "web")


def body(**texts):
    whole = ""
    for name, text in texts.items():
        whole = replaced(whole, "shop", name, text)
    return whole


def test_a_mark_that_is_never_closed_takes_nothing_along():
    text = (
        "<!-- fleetpgo:section api -->\nhalf\n<!-- fleetpgo:section web -->\nwhole\n<!-- fleetpgo:end web -->"
    )

    assert sections(text) == {"web": "whole"}


def test_marks_without_an_end_are_read_in_one_pass():
    assert sections("<!-- fleetpgo:section api -->\n" * 200_000) == {}


def test_a_section_that_speaks_of_another_service_says_nothing():
    text = body(api=marker_line(WEB), web=marker_line(WEB))

    assert (marker_of("api", text), list(live(text))) == (None, ["web"])


def test_a_lost_commit_is_not_said_over_a_section_that_is_newer():
    before = body(api=marker_line(API), web=marker_line(WEB))
    newer = replaced(before, "shop", "web", marker_line(Marker("run-2", "c" * 12, "web")))
    lost = live(before)

    assert [
        marker_of("web", replaced(each, "shop", "api", None, {"web": lost["web"]})).absent
        for each in (before, newer)
    ] == ["conflict", ""]


def test_a_commit_without_a_section_is_said():
    text = replaced(body(api=marker_line(API)), "shop", "api", None, there=["api", "web"])

    assert "## web\n\nIts commit is on the branch." in text
    assert list(live(text)) == ["api"]


def test_what_somebody_wrote_into_another_section_cannot_make_the_text_too_long():
    text = replaced(body(web="x" * LONGEST_BODY), "shop", "web", f"{'x' * LONGEST_BODY}\n{marker_line(WEB)}")
    whole = replaced(text, "shop", "api", f"{'y' * 30_000}\n{marker_line(API)}")

    assert len(whole) <= LONGEST_BODY
    assert (sections(whole)["api"].count("y"), marker_of("web", whole)) == (30_000, WEB)


@pytest.mark.parametrize(("rejected", "kept"), [(True, ["api", "web"]), (False, ["web"])])
def test_the_next_pull_request_still_tells_what_was_rejected(rejected, kept):
    out = absent("web", "rejected", Marker("run-1", "b" * 12, head="c" * 40), "a person has taken it out")
    gone = absent("job", "withdrawn", WEB, "nothing changed")
    text = inherited(body(api=marker_line(API), web=out, job=gone), 7, {"api": "d" * 40}, rejected=rejected)

    assert {name: marker_of(name, text).head for name in sections(text)} == {
        name: {"api": "d" * 40, "web": "c" * 40}[name] for name in kept
    }
    assert live(text) == {}
