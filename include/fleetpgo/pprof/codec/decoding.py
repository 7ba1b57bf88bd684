"""Decode the bytes of a profile to its columns.

The inner loop is the kernel's (:mod:`fleetpgo.pprof.codec.kernel`): it resolves and checks every reference.
This module makes arrays of what it returns, and sentences of what it refuses.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.codec import kernel
from fleetpgo.pprof.codec.columns import (
    NOT_A_PROFILE,
    Columns,
    Header,
    Samples,
    ValueType,
    require_short_texts,
)
from fleetpgo.pprof.codec.reading import message
from fleetpgo.pprof.codec.texts import Texts, go_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.kernel import RawHeader
    from fleetpgo.pprof.codec.reading import Limits

_REFETCH = "Fetch the profile again; if it stays so, whatever wrote it does not keep to the pprof format."


def read(data: bytes, limits: Limits) -> Columns:
    """Read a profile, gzipped or not; see :func:`parse`."""
    return parse([message(data, limits)], limits)


def parse(messages: Sequence[bytes], limits: Limits) -> Columns:
    """Read the messages of one or more profiles.

    Args:
        messages: unzipped, one for each profile.
        limits: what each may be.

    Raises:
        ProfileError: one of them is no well-formed pprof message within ``limits``, or they do not count the
            same things (``incompatible``).
    """
    return decoded(messages, limits, leaves=False)


def decoded(messages: Sequence[bytes], limits: Limits, *, leaves: bool) -> Columns:
    """Read the messages of one or more profiles; ``leaves``: as :mod:`fleetpgo.pprof.codec.leaves` says."""
    with _refused(messages, limits):
        raw_headers, raw = kernel.KERNEL.decode(messages, leaves, limits.records, limits.stack_depth)
    headers, texts = _headers(raw_headers, raw, messages, limits)
    depths = kernel.numbers(raw["depths"])
    return Columns(
        headers=headers,
        message_bytes=tuple(map(len, messages)),
        strings=texts,
        functions=table(raw["functions"], 4),
        mappings=table(raw["mappings"], 9),
        locations=table(raw["locations"], 3),
        line_starts=starts_at(raw["line_ends"]),
        lines=table(raw["lines"], 3),
        values=kernel.numbers(raw["values"]).reshape(len(depths), len(headers[0].sample_types)),
        depths=depths,
        stacks=kernel.numbers(raw["stacks"]),
        labels=table(raw["labels"], 4),
        label_starts=starts_at(raw["label_ends"]),
        sample_starts=starts_at(raw["sample_ends"]),
        function_starts=starts_at(raw["function_ends"]),
        mapping_starts=starts_at(raw["mapping_ends"]),
    )


def read_into(tables: kernel.Tables, messages: Sequence[bytes], limits: Limits, *, labels: bool) -> Samples:
    """Read the messages of one or more profiles into the tables of a sum.

    Arguments and errors are those of :func:`parse`; after an error the sum is of no use.
    """
    with _refused(messages, limits):
        raw_headers, raw = tables.add(messages, labels, limits.records, limits.stack_depth)
    headers, _ = _headers(raw_headers, raw, messages, limits)
    rows = kernel.numbers(raw["rows"])
    return Samples(
        headers=headers,
        values=kernel.numbers(raw["values"]).reshape(len(rows), len(headers[0].sample_types)),
        rows=rows,
        sample_starts=starts_at(raw["sample_ends"]),
    )


@contextmanager
def _refused(messages: Sequence[bytes], limits: Limits) -> Iterator[None]:
    """Say what the kernel refuses."""
    try:
        yield
    except kernel.KERNEL.Refused as refused:
        raise _refusal(*refused.args, messages=messages, limits=limits) from None


def starts_at(ends: kernel.Buffer) -> Ints:
    """Return where each of some items begins, and where the last one ends, given where each ends."""
    return np.concatenate((np.zeros(1, np.int64), kernel.numbers(ends)))


def table(columns: kernel.Buffer, width: int) -> Ints:
    """Return the kernel's columns as a table, (records, width), each column in one piece."""
    return kernel.numbers(columns).reshape(width, -1).T


def _headers(
    raw_headers: Sequence[RawHeader],
    raw: Mapping[str, kernel.Buffer],
    messages: Sequence[bytes],
    limits: Limits,
) -> tuple[tuple[Header, ...], Texts]:
    """Return each profile's fields outside its tables, and all texts."""
    texts = Texts(bytes(raw["octets"]), starts_at(raw["string_ends"]))
    require_short_texts(texts)
    starts = starts_at(raw["table_ends"]).tolist()
    headers = tuple(
        _header(of_profile, texts, first, end - first)
        for of_profile, first, end in zip(raw_headers, starts, starts[1:], strict=False)
    )
    if len({(header.sample_types, header.period_type) for header in headers}) > 1:
        raise _refusal("incompatible", messages=messages, limits=limits)
    return headers, texts


def _header(raw: RawHeader, texts: Texts, first: int, count: int) -> Header:
    types, period_type, comments, numbers = raw

    @functools.cache  # one long text may be named by thousands of comments
    def text(place: int) -> str:
        if not 0 <= place < count:
            raise _bad_reference("string", place)
        return go_name(texts[first + place])

    return Header(
        sample_types=tuple(
            ValueType(text(kind), text(unit)) for kind, unit in zip(types[::2], types[1::2], strict=True)
        ),
        # One that is not given is a pair of zeros: empty texts.
        period_type=ValueType(*map(text, period_type)),
        period=numbers[12],
        time=numbers[9],
        duration=numbers[10],
        comments=tuple(map(text, comments)),
        drop_frames=text(numbers[7]),
        keep_frames=text(numbers[8]),
        default_sample_type=text(numbers[14]),
        doc_url=text(numbers[15]),
    )


def _bad_reference(table: str, number: int) -> ProfileError:
    if table != "string":
        number %= 1 << 64  # ids are without sign
    return ProfileError(
        f"The profile refers to {table} {number}, which it does not hold.",
        reason="bad-reference",
        hint=_REFETCH,
    )


def _refusal(
    reason: str,
    table: str = "",
    number: int = 0,
    other: int = 0,
    *,
    messages: Sequence[bytes],
    limits: Limits,
) -> ProfileError:
    """Return the error for what the kernel refuses."""
    size = f"{len(messages[0]):,} bytes" if len(messages) == 1 else "bytes"
    if reason == "bad-reference":
        return _bad_reference(table, number)
    message, hint = {
        "truncated": (
            f"The profile ends inside a record, after {size}.",
            "Fetch it again with a timeout well above the profile's duration.",
        ),
        "not-a-profile": (
            f"The {size} are not a profile: they are no protobuf message of that kind.",
            NOT_A_PROFILE,
        ),
        "no-strings": (
            "The bytes are not a profile: there is no string table that starts with the empty string.",
            NOT_A_PROFILE,
        ),
        "too-large": (
            f"The profile holds more than {limits.records:,} records, or more than 8 numbers for each.",
            "Real profiles hold some ten thousand; raise the limit for a source that you trust.",
        ),
        "duplicate-id": (f"Two {table}s of the profile have the same id, or one has id 0.", _REFETCH),
        "too-deep": (
            f"A stack has {number:,} locations; the limit is {limits.stack_depth:,}.",
            "Go's runtime writes at most 128: check where the profile comes from.",
        ),
        "bad-line": (f"The profile names line {number}, which no source file has.", _REFETCH),
        "wrong-value-count": (
            f"The profile has {number} sample types, but a sample with {other} values.",
            _REFETCH,
        ),
        "incompatible": (
            "The profiles do not count the same things.",
            "Read only profiles of one kind together.",
        ),
    }[reason]
    return ProfileError(message, reason="not-a-profile" if reason == "no-strings" else reason, hint=hint)
