from __future__ import annotations

import pytest

from fleetpgo.pprof import GUARDS, Guard, call_edges, decode, guard
from fleetpgo.pprof.edges import Edge
from fleetpgo.pprof.guarding import SUFFIX
from tests.pprof.messages import message, packed

LOOPY = "google.golang.org/grpc/internal/transport.(*loopyWriter).processData"
CALLER = [("main.caller", 10, 17)]


@pytest.fixture
def profile() -> bytes:
    return packed(message([([[(LOOPY, 50, 51)], CALLER], 3), ([[("main.other", 5, 6)], CALLER], 1)]))


def test_a_guarded_function_is_renamed(profile):
    guarded, renamed = guard(decode(profile))
    assert renamed == (LOOPY,)
    assert dict(call_edges(guarded).weights) == {
        Edge("main.caller", LOOPY + SUFFIX, 7): 3,
        Edge("main.caller", "main.other", 7): 1,
    }


def test_the_hot_threshold_does_not_move(profile):
    assert call_edges(guard(decode(profile))[0]).total == call_edges(decode(profile)).total


def test_guarding_twice_changes_nothing_more(profile):
    once, _ = guard(decode(profile))
    assert guard(once) == (once, ())


def test_a_profile_without_guarded_functions_is_given_back_as_it_is():
    given = decode(packed(message([([CALLER], 1)])))
    assert guard(given) == (given, ())


def test_a_service_can_guard_more(profile):
    own = Guard("main.other", since="1.21", until="", issue="https://example.com/1", why="slower")
    assert guard(decode(profile), extra=[own])[1] == (LOOPY, "main.other")


def test_every_guard_names_a_go_issue():
    assert [entry.issue.startswith("https://github.com/golang/go/issues/") for entry in GUARDS] == [
        True
    ] * len(GUARDS)
