"""Builds and toolchains in one profile, as a store's window across a deploy holds them."""

from pathlib import Path

import pytest

from fleetpgo import pprof
from tests.pprof.messages import message, packed

PROFILES = Path(__file__).parents[1] / "testdata/profiles"
SERVE = [("main.serve", 5, 6)], [("runtime.goexit", 1, 2)]
WORK = [("main.work", 5, 6)], [("runtime.goexit", 1, 3)]
IN_C = [("memcpy", 0, 0)], [("main.serve", 5, 7)]


def window(*mappings, stacks=(SERVE, WORK), of_location=(1, 1, 2, 2)):
    """Facts of a profile with these (file, build id), whose locations are in these mappings."""
    profile = message([(list(stack), 10) for stack in stacks])
    del profile.mapping[:]
    for number, texts in enumerate(mappings, start=1):
        first = len(profile.string_table)
        profile.string_table.extend(text.encode() for text in texts)
        profile.mapping.add(id=number, filename=first, build_id=first + 1)
    for location, number in zip(profile.location, of_location, strict=True):
        location.mapping_id = number
    return pprof.facts(packed(profile))


def test_a_window_across_a_deploy_holds_two_builds():
    found = window(("/bin/app", "aa"), ("/bin/app", "bb"))
    assert (found.build_id, found.other_builds) == ("aa", ("bb",))


def test_the_program_s_file_may_have_another_name():
    assert window(("/srv/app-v1", "aa"), ("/srv/app-v2", "bb")).other_builds == ("bb",)


def test_a_library_s_id_is_no_build():
    found = window(
        ("/bin/app", "aa"), ("/lib/libc.so.6", "cc"), stacks=(SERVE, IN_C), of_location=(1, 1, 2, 1)
    )
    assert (found.build_id, found.other_builds) == ("aa", ())


def test_a_mapping_without_an_id_is_no_build():
    assert window(("/bin/app", "aa"), ("[vdso]", "")).other_builds == ()


def test_a_real_profile_is_of_one_build():
    assert pprof.facts((PROFILES / "go1.27.3.pb.gz").read_bytes()).other_builds == ()


def test_profiles_that_are_read_at_once_have_their_own_builds():
    bodies = [
        pprof.merge([(PROFILES / name).read_bytes() for name in names]).data
        for names in (["go1.27.3.pb.gz"], ["go1.26.6.pb.gz", "go1.27.3.pb.gz"])
    ]
    one, two = (checked.facts for checked in pprof.check_each(bodies))
    assert one.other_builds == ()
    assert {two.build_id, *two.other_builds} > {one.build_id}
    assert len(two.other_builds) == 1


def moved(*stacks):
    return pprof.moved(pprof.decode(packed(message([(list(stack), 10) for stack in stacks]))))


@pytest.mark.parametrize(
    ("name", "std", "own"),
    [
        ("runtime.mallocgc", ["runtime.mallocgc"], []),
        ("net/http.(*conn).serve", ["net/http.(*conn).serve"], []),
        ("encoding/json.f[example.com/a.T]", ["encoding/json.f[example.com/a.T]"], []),
        ("main.serve", [], ["main.serve"]),
        ("example.com/api.F", [], ["example.com/api.F"]),
        ("type:.eq.T", [], ["type:.eq.T"]),
    ],
)
def test_a_function_at_two_lines_is_of_two_sources(name, std, own):
    found = moved(([(name, 10, 12)], [("main.main", 1, 2)]), ([(name, 11, 13)], [("main.main", 1, 2)]))
    assert (found.std, found.own) == (std, own)


def test_a_function_without_a_line_tells_nothing():
    assert moved(([("runtime.f", 0, 0)],), ([("runtime.f", 10, 12)],)) == ([], [])


def test_two_runs_of_one_build_move_nothing():
    runs = [(PROFILES / name).read_bytes() for name in ("go1.27.3.pb.gz", "go1.27.3-b.pb.gz")]
    assert pprof.moved(pprof.merge(runs)) == ([], [])


@pytest.mark.parametrize("other", ["go1.24.11.pb.gz", "go1.25.5.pb.gz", "go1.26.6.pb.gz"])
def test_real_programs_of_two_toolchains_move_functions_of_go(other):
    both = [(PROFILES / name).read_bytes() for name in ("go1.27.3.pb.gz", other)]
    found = pprof.moved(pprof.merge(both))
    assert len(found.std) > 3
    assert found.own == []
