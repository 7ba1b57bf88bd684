"""The inner loops in Rust and in Python return the same of any message."""

from __future__ import annotations

import gzip
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.pprof.codec import kernel, plain
from tests.pprof.corpus import corpus
from tests.pprof.messages import message
from tests.pprof.test_callgraph import profiles

native = pytest.importorskip(kernel.PACKAGE)

RECORDS, DEPTH = 5000, 40


def decoded(module, messages, *, leaves=False):
    """What it returns as plain numbers, or the reason for which it refuses the messages."""
    try:
        headers, columns = module.decode(messages, leaves, RECORDS, DEPTH)
    except module.Refused as refused:
        return refused.args[0]
    numbers = {name: kernel.numbers(data).tolist() for name, data in columns.items() if name != "octets"}
    return [tuple(map(list, header)) for header in headers], bytes(columns["octets"]), numbers


def summed(module, parts, *, labels):
    """What it returns as parts of a sum are added, and of the whole; or why it refuses one."""
    tables, found = module.Tables(), []
    try:
        for messages in parts:
            headers, columns = tables.add(messages, labels, RECORDS, DEPTH)
            found.append(([tuple(map(list, header)) for header in headers], bytewise(columns)))
    except module.Refused as refused:
        return [*found, refused.args[0]]
    return [*found, bytewise(tables.all())]


@given(st.lists(profiles, min_size=1, max_size=3), st.booleans())
def test_profiles_have_the_same_columns(made, leaves):
    messages = [profile.SerializeToString() for profile in made]
    assert decoded(native, messages, leaves=leaves) == decoded(plain, messages, leaves=leaves)


@given(profiles, st.data())
def test_a_damaged_message_has_the_same_columns_or_is_refused_by_both(made, data):
    raw = bytearray(made.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    one, other = decoded(native, [damaged]), decoded(plain, [damaged])
    if isinstance(other, str):
        assert isinstance(one, str)  # of several faults either may be named
    else:
        # Groups inside records, which Go's own reader refuses, are passed over by the protobuf runtime.
        assert one in (other, "not-a-profile")


@st.composite
def varied(draw, messages=profiles):
    """A message with several mappings, labels, columns, folded locations, and samples without a value."""
    profile, small, wide = draw(messages), st.integers(0, 2), st.integers(-(1 << 63), (1 << 63) - 1)
    texts = st.integers(0, len(profile.string_table) - 1)
    del profile.mapping[:]
    if draw(st.integers(0, 9)) == 0:  # a profile that counts nothing
        del profile.sample_type[:]
        for sample in profile.sample:
            del sample.value[:]
    for number in range(draw(st.integers(0, 3))):
        profile.mapping.add(
            id=number + 1,
            memory_start=0x1000 * draw(small) if draw(st.booleans()) else draw(wide) % (1 << 64),
            memory_limit=0x1000 * draw(small) + 1 if draw(st.booleans()) else draw(wide) % (1 << 64),
            file_offset=draw(small),
            filename=draw(texts),
            build_id=draw(texts) if draw(st.booleans()) else 0,
            has_functions=draw(st.booleans()),
        )
    for location in profile.location:
        location.mapping_id = draw(st.integers(0, len(profile.mapping)))
        location.address = draw(small) if draw(st.booleans()) else draw(wide) % (1 << 64)
        location.is_folded = draw(st.booleans())
        for line in location.line:
            line.column = draw(wide) if draw(st.booleans()) else 0
    for sample in profile.sample:
        if draw(st.booleans()):
            sample.value[:] = [0] * len(sample.value)
        for _ in range(draw(small)):
            sample.label.add(key=draw(texts), str=draw(texts), num=draw(wide), num_unit=draw(texts))
    return profile.SerializeToString()


@given(st.lists(st.lists(varied(), min_size=1, max_size=2), max_size=3), st.booleans())
def test_sums_have_the_same_tables(parts, labels):
    assert summed(native, parts, labels=labels) == summed(plain, parts, labels=labels)


BAD = {name: data for name, (_, data) in corpus().items()}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_is_refused_for_the_same_reason(name):
    data = unzipped(BAD[name])
    assert decoded(native, [data]) == decoded(plain, [data])


@pytest.mark.parametrize("name", BAD)
def test_a_sum_refuses_what_is_refused_to_be_decoded(name):
    data = unzipped(BAD[name])
    for module in (native, plain):
        expected, found = decoded(module, [data]), summed(module, [[data]], labels=True)
        assert found == [expected] if isinstance(expected, str) else len(found) == 2


@pytest.mark.parametrize("module", [native, plain])
def test_texts_of_labels_are_kept_only_with_these(module):
    labelled = message([([[("main.leaf", 1, 2)]], 1)], labels=[{"request": "4711"}]).SerializeToString()
    for labels in (False, True):
        (_, tables) = summed(module, [[labelled]], labels=labels)
        assert (b"4711" in tables["octets"]) is labels


@given(st.lists(st.binary(max_size=3)), st.data())
def test_items_have_the_same_numbers(items, data):
    octets, ends = b"".join(items), [sum(map(len, items[: place + 1])) for place in range(len(items))]
    rows = data.draw(st.lists(st.integers(0, len(items) - 1)) if items else st.just([]))
    one, other = native.Distinct(), plain.Distinct()
    for distinct in (one, other):
        distinct.of(octets, as_bytes(ends), as_bytes(rows))
    assert bytes(one.of(octets, as_bytes(ends))) == bytes(other.of(octets, as_bytes(ends)))
    assert (one.octets(), bytes(one.ends()), len(one)) == (other.octets(), bytes(other.ends()), len(other))


@pytest.mark.parametrize(
    ("ends", "rows"),
    [([4], None), ([3, 1], None), ([(1 << 64) - 1], None), ([3], [1]), ([3], [(1 << 64) - 1])],
)
def test_an_item_outside_of_the_octets_is_an_ordinary_error(ends, rows):
    with pytest.raises(ValueError, match="outside of the octets"):
        native.Distinct().of(b"abc", as_bytes(ends), rows and as_bytes(rows))


def unzipped(data):
    if data.startswith(b"\x1f\x8b"):
        with suppress(OSError, EOFError):
            return gzip.decompress(data)
    return data


def bytewise(columns):
    return {name: bytes(data) for name, data in columns.items()}


def as_bytes(numbers: list[int]) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)
