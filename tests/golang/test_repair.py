"""Profiles of real programs lose what gets lost on the way, and get it back from the programs' binaries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetpgo import pprof
from fleetpgo.errors import ProfileError
from fleetpgo.golang.pclntab import read_program
from fleetpgo.golang.preprofile import preprofile
from fleetpgo.pprof.repairing import AMBIGUOUS, ANOTHER_SOURCE, NOT_THERE
from tests.pprof.messages import unpacked
from tests.repairing import (
    SOURCE,
    addresses,
    build_ids,
    damaged,
    functions,
    go_build,
    start_lines,
    type_arguments,
)


def repaired(built, *losses):
    return pprof.repair(pprof.decode(damaged(built.profile, *losses)), built.program)


def original(built, *losses) -> bytes:
    """Return the profile without what nobody can get back: its addresses, if they are among the losses.

    Where a function calls itself twice at one place in a stack, addresses alone tell the two calls apart, and
    without them the compiler counts one. Whether there is such a sample is chance.
    """
    return damaged(built.profile, *(lose for lose in losses if lose in (addresses, build_ids)))


def back(built, after, *losses) -> float:
    """Return the share of the weight of the original's call edges that the repaired profile has, too."""
    whole, found = (
        pprof.call_edges(each).weights for each in (pprof.decode(original(built, *losses)), after.profile)
    )
    return sum(min(weight, found.get(edge, 0)) for edge, weight in whole.items()) / sum(whole.values())


@pytest.mark.parametrize(
    "losses",
    [(start_lines,), (start_lines, addresses, build_ids), (functions,), (type_arguments, start_lines)],
    ids=["start lines", "start lines, without a build id", "functions", "names and start lines"],
)
def test_the_compiler_sees_what_it_saw_before_the_loss(built, losses):
    before = damaged(built.profile, *losses)
    with pytest.raises(ProfileError):
        pprof.check(before)

    after = repaired(built, *losses)

    assert preprofile(after.profile.data) == preprofile(original(built, *losses))
    assert after.done
    assert after.left == ()
    assert after.require_useful().start_line_share > 0.95


def test_names_come_back_without_addresses(built):
    after = repaired(built, type_arguments, addresses, build_ids)
    share = back(built, after, addresses)

    # Of sum there are two on one line: whether they were seen is chance, and nobody can tell them apart.
    assert {name for left in after.left for name in left.examples} <= {"main.sum"}
    assert after.names > 0
    assert share + sum(left.share for left in after.left) == pytest.approx(1)
    assert share > 0.9


def test_names_that_may_be_several_functions_stay_and_are_counted(built):
    # Without its code, a binary does not tell who calls whom.
    program = replace(built.program, code=b"")
    before = pprof.decode(damaged(built.profile, type_arguments, addresses))
    after = pprof.repair(before, program)
    (left,) = after.left

    assert left.reason == AMBIGUOUS
    assert 0 < left.share < 1
    assert back(built, after, addresses) + left.share == pytest.approx(1)
    edges = pprof.call_edges(after.profile).weights
    names = {name for edge in edges for name in (edge.caller, edge.callee)}
    assert not [name for name in names if "[" in name and name.encode() not in program.known]


def test_what_was_done_is_said(built):
    assert [each.split(" of ")[0] for each in repaired(built, type_arguments, start_lines).done] == [
        "type arguments",
        "start lines",
    ]
    assert repaired(built).done == ()


def test_a_profile_that_lacks_nothing_is_handed_back(builds):
    whole = pprof.decode(builds("stripped").profile)
    assert pprof.repair(whole, builds("stripped").program).profile is whole


@pytest.fixture(scope="session")
def edited(tmp_path_factory, go_cache):
    """The program of another revision: lines were inserted above some of its functions."""
    folder = tmp_path_factory.mktemp("edited")
    text = (SOURCE / "main.go").read_text()
    (folder / "go.mod").write_text((SOURCE / "go.mod").read_text())
    (folder / "main.go").write_text(text.replace("// Of two shapes", "// One.\n// Two.\n\n// Of two shapes"))
    return read_program(
        go_build(go_cache, folder, folder / "edited", "-trimpath", "-ldflags=-s -w", CGO_ENABLED="0")
    )


def test_from_another_revision_an_edited_file_gets_no_start_line(builds, edited):
    before = damaged(builds("stripped").profile, start_lines)
    after = pprof.repair(pprof.decode(before), edited)

    lines = {
        unpacked(after.profile.data).string_table[each.name]: each.start_line
        for each in unpacked(after.profile.data).function
    }
    assert {line for name, line in lines.items() if name.startswith(b"main.")} == {0}
    assert lines[b"internal/strconv.FormatFloat"] > 0
    assert [each.reason for each in after.left] == [ANOTHER_SOURCE]
    with pytest.raises(ProfileError, match=r"start_line.* Not repaired: .*another source") as raised:
        after.require_useful()
    assert raised.value.reason == "partial-start-line"


def test_a_function_that_the_binary_has_not_is_named(builds):
    def rename(profile):
        row = next(each.name for each in profile.function if profile.string_table[each.name] == b"main.work")
        profile.string_table[row] = b"main.gone"

    left = {each.reason: each.examples for each in repaired(builds("stripped"), start_lines, rename).left}
    assert left == {NOT_THERE: ("main.gone",)}


def test_functions_of_c_need_no_start_line_and_get_none(builds):
    profile = unpacked(repaired(builds("cgo"), start_lines).profile.data)
    named = {profile.string_table[each.name]: each.start_line for each in profile.function}
    assert named[b"runtime.cgocall"] > 0
