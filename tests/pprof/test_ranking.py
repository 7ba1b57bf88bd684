from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.pprof import Rank, decode, ranking, top
from tests.pprof.messages import message, packed


def test_flat_is_the_leafs_and_cum_is_everyones():
    leaf, caller = [("main.leaf", 50, 51)], [("main.caller", 10, 17)]
    assert top(decode(packed(message([([leaf, caller], 3), ([caller], 1)])))) == (
        Rank("main.leaf", flat=3, cum=3, flat_share=0.75, cum_share=0.75),
        Rank("main.caller", flat=1, cum=4, flat_share=0.25, cum_share=1.0),
    )


def test_a_recursive_function_counts_once_a_sample():
    frame = [("main.f", 1, 2)]
    assert top(decode(packed(message([([frame, frame, frame], 2)])))) == (Rank("main.f", 2, 2, 1.0, 1.0),)


calls = st.lists(
    st.sampled_from([("main.f", 1, 2), ("main.g", 3, 4), ("", 0, 0), ("main.h", 5, 6)]), max_size=3
)


@pytest.mark.parametrize("together", [1, 2, 1 << 15])
@given(samples=st.lists(st.tuples(st.lists(calls, max_size=4), st.integers(0, 9)), min_size=1, max_size=5))
def test_every_call_of_every_stack_counts(together, samples):
    profile = decode(packed(message(samples)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_TOGETHER", together)
        found = {rank.function: (rank.flat, rank.cum) for rank in top(profile, 100)}
    stacks = [([name for lines in stack for name, _, _ in lines or [("", 0, 0)]], n) for stack, n in samples]
    wanted = {
        name: (
            sum(n for stack, n in stacks if stack[:1] == [name]),
            sum(n for stack, n in stacks if name in stack),
        )
        for stack, _ in stacks
        for name in stack
    }
    assert found == wanted


def test_only_so_many_are_given(real):
    assert len(top(decode(real), 3)) == 3


def test_the_ranking_is_that_of_go_tool_pprof(default_pgo, tmp_path):
    (tmp_path / "default.pgo").write_bytes(default_pgo)
    command = [
        "go",
        "tool",
        "pprof",
        "-top",
        "-symbolize=none",
        "-nodecount=10",
        "-sample_index=samples",
        "default.pgo",
    ]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True).stdout
    rows = [line.split() for line in said.partition("cum%\n")[2].splitlines()]
    theirs = [(row[5], int(row[0]), int(row[3])) for row in rows]
    assert [(rank.function, rank.flat, rank.cum) for rank in top(decode(default_pgo), 10)] == theirs
