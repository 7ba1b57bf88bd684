from __future__ import annotations

import pytest

from fleetpgo.pprof import GUARDS, Guard, call_edges, guard
from fleetpgo.pprof.edges import Edge
from fleetpgo.pprof.guarding import SUFFIX
from tests.pprof.messages import message, packed

LOOPY = "google.golang.org/grpc/internal/transport.(*loopyWriter).processData"
CALLER = [("main.caller", 10, 17)]


@pytest.fixture
def profile() -> bytes:
    return packed(message([([[(LOOPY, 50, 51)], CALLER], 3), ([[("main.other", 5, 6)], CALLER], 1)]))


def test_a_guarded_function_is_renamed(profile):
    data, renamed = guard(profile)
    assert renamed == (LOOPY,)
    assert dict(call_edges(data).weights) == {
        Edge("main.caller", LOOPY + SUFFIX, 7): 3,
        Edge("main.caller", "main.other", 7): 1,
    }


def test_the_hot_threshold_does_not_move(profile):
    assert call_edges(guard(profile)[0]).total == call_edges(profile).total


def test_guarding_twice_changes_nothing_more(profile):
    once, _ = guard(profile)
    assert guard(once) == (once, ())


def test_a_profile_without_guarded_functions_is_given_back_as_it_is(real):
    data = packed(message([([CALLER], 1)]))
    assert guard(data) == (data, ())


def test_a_service_can_guard_more(profile):
    own = Guard("main.other", since="1.21", until="", issue="https://example.com/1", why="slower")
    assert guard(profile, extra=[own])[1] == (LOOPY, "main.other")


@pytest.mark.parametrize(
    ("version", "renamed"),
    [
        ("go1.20.14", ()),
        ("1.21", ("main.other",)),
        ("1.24.9", ("main.other",)),
        ("1.25.0", ()),
        ("1.25rc1", ()),
    ],
)
def test_a_guard_is_for_a_range_of_go_versions(version, renamed):
    data = packed(message([([[("main.other", 5, 6)], CALLER], 1)]))
    own = Guard("main.other", since="1.21", until="1.25", issue="https://example.com/1", why="slower")
    assert guard(data, go_version=version, extra=[own])[1] == renamed


def test_every_guard_names_a_go_issue():
    assert [entry.issue.startswith("https://github.com/golang/go/issues/") for entry in GUARDS] == [
        True
    ] * len(GUARDS)
