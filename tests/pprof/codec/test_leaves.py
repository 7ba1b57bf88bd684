from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.codec.decoding import parse
from fleetpgo.pprof.codec.leaves import parse_leaves, shortened
from fleetpgo.pprof.codec.reading import Limits, message
from fleetpgo.pprof.codec.texts import Texts
from tests.pprof.messages import message as profile_of
from tests.pprof.test_callgraph import profiles

pytestmark = pytest.mark.usefixtures("kernel")

LIMITS = Limits()


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    octets = []
    while number >= 0x80:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*octets, number])


def packed_list(tag: int, numbers: list[int]) -> bytes:
    data = b"".join(map(varint, numbers))
    return varint(tag << 3 | 2) + varint(len(data)) + data


def one_by_one(tag: int, numbers: list[int]) -> bytes:
    return b"".join(varint(tag << 3) + varint(number) for number in numbers)


def as_go(tag: int, numbers: list[int]) -> bytes:
    """Go's runtime/pprof packs lists of more than two."""
    return (packed_list if len(numbers) > 2 else one_by_one)(tag, numbers)


STYLES = {
    "Go": lambda ids, values: as_go(1, ids) + as_go(2, values),
    "packed": lambda ids, values: packed_list(1, ids) + packed_list(2, values),
    "one by one": lambda ids, values: one_by_one(1, ids) + one_by_one(2, values),
    "values first": lambda ids, values: as_go(2, values) + as_go(1, ids),
    "in two lists": lambda ids, values: packed_list(1, ids[:1]) + packed_list(1, ids[1:]) + as_go(2, values),
    "with an unknown field": lambda ids, values: as_go(1, ids) + as_go(2, values) + one_by_one(9, [7]),
    "with long tags": lambda ids, values: (
        b"".join(b"\x88\x00" + varint(each) for each in ids) + as_go(2, values)
    ),
}


def written(profile, style) -> bytes:
    """The profile's message, its samples written in a style; a message may come in parts."""
    samples = [STYLES[style](list(each.location_id), list(each.value)) for each in profile.sample]
    rest = type(profile)()
    rest.CopyFrom(profile)
    del rest.sample[:]
    return rest.SerializeToString() + b"".join(
        varint(2 << 3 | 2) + varint(len(each)) + each for each in samples
    )


def read_by_the_compiler(columns) -> dict[str, object]:
    """What the compiler reads, whatever rows it has."""
    starts = columns.line_starts.tolist()
    lines = [columns.lines[a:b, :2].tolist() for a, b in pairwise(starts)]
    locations = list(zip(columns.locations[:, 1].tolist(), lines, strict=True))
    return {
        "strings": list(columns.strings),
        "functions": columns.functions[:, [0, 3]].tolist(),
        "values": columns.values.tolist(),
        "depths": columns.depths.tolist(),
        "stacks": [locations[row] for row in columns.stacks.tolist()],
        "sample_starts": columns.sample_starts.tolist(),
    }


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=25)
@given(st.lists(profiles, min_size=1, max_size=3))
def test_leaves_are_those_of_the_whole_profile_however_it_is_written(style, made):
    messages = [written(profile, style) for profile in made]
    whole, leaf = shortened(parse(messages, LIMITS), LIMITS), parse_leaves(messages, LIMITS)
    assert read_by_the_compiler(leaf) == read_by_the_compiler(whole)


@pytest.mark.parametrize("types", [1, 16, 40])
def test_any_number_of_sample_types_is_read(types):
    kinds = tuple((f"kind{number}", "count") for number in range(types))
    profile = profile_of([([[("main.a", 1, 2)]], 3)], types=kinds)
    profile.sample[0].value[:] = range(types)
    raw = [profile.SerializeToString()]
    whole = shortened(parse(raw, LIMITS), LIMITS)
    assert read_by_the_compiler(parse_leaves(raw, LIMITS)) == read_by_the_compiler(whole)


def test_labels_are_no_obstacle():
    stack = [[("main.a", 1, 2)], [("main.b", 3, 4)], [("main.c", 5, 6)]]
    raw = [profile_of([(stack, 3)], labels=[{"key": "value"}]).SerializeToString()]
    whole, leaf = shortened(parse(raw, LIMITS), LIMITS), parse_leaves(raw, LIMITS)
    assert read_by_the_compiler(leaf) == read_by_the_compiler(whole)


def test_a_location_that_no_sample_ends_in_is_left_out():
    deep = [[("main.a", 1, 2)], [("main.b", 3, 4)], [("main.c", 5, 6)]]
    leaf = parse_leaves([profile_of([(deep, 3)]).SerializeToString()], LIMITS)
    assert (len(leaf.locations), leaf.stacks.tolist()) == (2, [0, 1])


@pytest.mark.parametrize("ids", [[7, 8], [2, 1], [1, 9]], ids=str)
def test_ids_need_not_count_the_locations(ids):
    profile = profile_of([([[("main.a", 1, 2)], [("main.b", 3, 4)]], 3)])
    for location, number in zip(profile.location, ids, strict=True):
        location.id = number
    profile.sample[0].location_id[:] = ids
    raw = [profile.SerializeToString()]
    assert read_by_the_compiler(parse_leaves(raw, LIMITS)) == read_by_the_compiler(
        shortened(parse(raw, LIMITS), LIMITS)
    )


def test_what_go_writes_is_read(real):
    raw = [message(real, LIMITS)]
    assert read_by_the_compiler(parse_leaves(raw, LIMITS)) == read_by_the_compiler(
        shortened(parse(raw, LIMITS), LIMITS)
    )


@given(profiles, st.data())
def test_a_damaged_sample_is_refused_or_read_as_in_whole_profiles(made, data):
    raw = bytearray(written(made, "Go"))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(place, len(raw)))]
    try:
        whole = read_by_the_compiler(shortened(parse([bytes(raw)], LIMITS), LIMITS))
    except ProfileError:
        # What is left out is not checked, so damage in it may go unseen.
        with suppress(ProfileError):
            parse_leaves([bytes(raw)], LIMITS)
        return
    assert read_by_the_compiler(parse_leaves([bytes(raw)], LIMITS)) == whole


def test_a_sample_that_ends_inside_a_number_is_refused():
    profile = profile_of([([[("main.a", 1, 2)], [("main.b", 3, 4)]], 3)])
    whole = profile.SerializeToString()
    del profile.sample[:]
    cut = profile.SerializeToString() + b"\x12\x03\x08\x01\x88"
    assert parse_leaves([whole], LIMITS).depths.tolist() == [2]
    with pytest.raises(ProfileError):
        parse_leaves([cut], LIMITS)


def test_texts_are_cut_where_they_were_joined():
    texts = [b"", b"main.main", b"\xff\x00", b""]
    assert list(Texts.of(texts)) == texts
    assert list(Texts.of([])) == []
