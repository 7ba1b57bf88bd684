from __future__ import annotations

import io

from rich.console import Console

from fleetpgo.cli.progress import watching
from tests.selection.fleets import target

TARGETS = [target(number, "ams") for number in range(1, 40)]


def shown(states, *, terminal) -> str:
    """What stands on the screen in the end."""
    out = io.StringIO()
    with watching(TARGETS, Console(file=out, force_terminal=terminal, width=100, height=100)) as watch:
        for instance, state in states:
            watch(instance, state)
    return out.getvalue()


def test_a_terminal_shows_each_instance_with_its_datacenter_and_last_state():
    lines = shown([("10.0.0.1:80", "asked"), ("10.0.0.1:80", "80 samples")], terminal=True).splitlines()
    (line,) = [line for line in lines if "80 samples" in line]
    assert line.split() == ["10.0.0.1:80", "ams", "80", "samples"]


def test_of_many_instances_those_that_changed_last_are_shown():
    states = [(each.instance, "asked") for each in TARGETS]
    screen = shown([*states, ("10.0.0.1:80", "done")], terminal=True)
    assert "10.0.0.1:80 " in screen
    assert "10.0.0.2:80 " not in screen
    assert "and 9 more" in screen


def test_where_there_is_no_terminal_nothing_is_drawn():
    assert shown([("10.0.0.1:80", "asked")], terminal=False) == ""
