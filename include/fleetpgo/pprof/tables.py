"""The sum of a merge: what each stack counts, beside the kernel's tables of all stacks so far.

The kernel gives equal records one number (:class:`fleetpgo.pprof.codec.kernel.Tables`), in the order of
arrival; :mod:`fleetpgo.pprof.codec.writing` brings them in an order that does not depend on it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.codec import kernel
from fleetpgo.pprof.codec.arrays import NONE, ranges, starts_of, used_rows
from fleetpgo.pprof.codec.columns import Columns, Header, Samples
from fleetpgo.pprof.codec.decoding import added
from fleetpgo.pprof.codec.numbering import Sums, require_64_bits
from fleetpgo.pprof.codec.showing import listed
from fleetpgo.pprof.codec.texts import Texts
from fleetpgo.pprof.rounding import carried, parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.reading import Limits


class Tables:
    """The sum of some profiles.

    Args:
        weighted: profiles are multiplied by something other than 1.
        keep_labels: samples with different labels stay apart.
    """

    def __init__(self, *, weighted: bool, keep_labels: bool) -> None:
        self.weighted, self.keep_labels = weighted, keep_labels
        self.comments: set[str] = set()
        self._known, self._sums = kernel.KERNEL.Tables(), Sums()
        self._header: Header | None = None

    def read(self, messages: Sequence[bytes], limits: Limits) -> Samples:
        """Read some profiles, which :meth:`add` adds.

        Arguments and errors are those of :func:`fleetpgo.pprof.codec.decoding.parse`; after an error no more
        can be added.
        """
        return added(self._known, messages, limits, labels=self.keep_labels)

    def add(self, profiles: Samples, factors: Sequence[float]) -> None:
        """Add some profiles, the values of each multiplied by its factor.

        Raises:
            ProfileError: ``incompatible`` or ``overflow``.
        """
        for header in profiles.headers:
            self.comments.update(header.comments)
            # One for all: those of ten thousand profiles take more memory than the profiles that are read.
            self._header = _both(self._header, header) if self._header else header
        rows, values = profiles.rows, profiles.values
        if self.weighted:
            factor = np.repeat(factors, np.diff(profiles.sample_starts))
            parts = parts_of(profiles.header.sample_types)
            values = np.rint(values * (factor[:, None] * parts)).astype(np.int64)
        kept = rows != NONE
        if not kept.all():
            rows, values = rows[kept], values[kept]
        self._sums.add(rows, values, int(rows.max(initial=NONE)) + 1)

    def profile(self) -> Columns:
        """Return the sum of what was added."""
        if self._header is None:
            raise ValueError("nothing was added")
        require_64_bits(self._header.duration)
        raw = self._known.all()
        numbers = {name: kernel.numbers(octets) for name, octets in raw.items() if name != "octets"}
        strings = Texts(bytes(raw["octets"]), _starts(numbers["string_ends"]))
        stacks, depths = numbers["stacks"], np.diff(numbers["stack_ends"], prepend=0)
        labels, label_starts = np.zeros((0, 4), np.int64), np.zeros(len(depths) + 1, np.int64)
        if self.keep_labels:
            last = np.cumsum(depths) - 1
            labels, label_starts = _labels(numbers, strings, stacks[last])
            stacks, depths = np.delete(stacks, last), depths - 1
        # Of what was numbered, what no stack uses is left out here.
        rows, starts = _table(numbers["locations"], 3), _starts(numbers["location_ends"])
        used = used_rows(stacks, len(starts) - 1)
        stacks = _places(used, len(starts) - 1)[stacks]
        heads, counts = rows[starts[used]], np.diff(starts)[used] - 1
        lines = rows[ranges(starts[used] + 1, counts)]
        functions = _table(numbers["functions"], 4)
        called = used_rows(lines[:, 0][lines[:, 0] != NONE], len(functions))
        lines[:, 0] = _places(called, len(functions))[lines[:, 0]]
        mappings = _table(numbers["mappings"], 9)
        order = _in_order(mappings, numbers["firsts"], heads[:, 0], strings)
        places = _places(order, len(mappings))[heads[:, 0]]
        # Addresses were counted from their mapping's start; the last start is that of NONE.
        addresses = heads[:, 2] + np.append(mappings[order, 0], 0)[places]
        total = Columns(
            headers=(replace(self._header, comments=tuple(sorted(self.comments))),),
            message_bytes=(0,),
            strings=strings,
            functions=functions[called],
            mappings=mappings[order],
            locations=np.column_stack((places, addresses, heads[:, 1])),
            line_starts=starts_of(counts),
            lines=lines,
            values=self._sums.of(len(depths)),
            depths=depths,
            stacks=stacks,
            labels=labels,
            label_starts=label_starts,
            sample_starts=np.array([0, len(depths)]),
            function_starts=np.array([0, len(called)]),
            mapping_starts=np.array([0, len(order)]),
        )
        return carried(total) if self.weighted else total


def _starts(ends: Ints) -> Ints:
    return np.concatenate((np.zeros(1, np.int64), ends))


def _table(columns: Ints, width: int) -> Ints:
    return columns.reshape(width, -1).T


def _places(rows: Ints, count: int) -> Ints:
    """Return where each of a table's rows is among some of them, else NONE; the last one is that of NONE."""
    places = np.full(count + 1, NONE, np.int64)
    places[rows] = np.arange(len(rows))
    return places


def _in_order(mappings: Ints, firsts: Ints, used: Ints, strings: Texts) -> Ints:
    """Return the mappings that are used, or the first one of a profile; the most frequent first one first."""
    rows = mappings.tolist()

    def order(number: int) -> tuple[object, ...]:
        start, limit, offset, file, build, *flags = rows[number]
        return (-int(firsts[number]), start, limit, offset, strings[file], strings[build], *flags)

    kept = {*np.flatnonzero(firsts).tolist(), *np.unique(used[used != NONE]).tolist()}
    return np.array(sorted(kept, key=order), np.int64)


def _labels(tables: Mapping[str, Ints], strings: Texts, sets: Ints) -> tuple[Ints, Ints]:
    """Return the rows of some sets of labels, each sorted by its texts, and where each begins."""
    every, ends = tables["labels"].reshape(4, -1).T.tolist(), tables["label_ends"].tolist()

    def order(label: list[int]) -> tuple[object, ...]:
        key, text, number, unit = label
        return strings[key], strings[text], number, strings[unit]

    in_order = [sorted(every[start:end], key=order) for start, end in pairwise([0, *ends])]
    chosen = [in_order[number] for number in sets.tolist()]
    rows = np.array([label for labels in chosen for label in labels], np.int64).reshape(-1, 4)
    return rows, starts_of(np.fromiter(map(len, chosen), np.int64, len(chosen)))


def _both(one: Header, other: Header) -> Header:
    """Return the header of two profiles' sum, but for its comments.

    Raises:
        ProfileError: ``incompatible``.
    """
    check_compatible(one, other)

    def agreed(field: str) -> str:
        text: str = getattr(one, field)
        return text if text == getattr(other, field) else ""

    return Header(
        sample_types=one.sample_types,
        period_type=one.period_type,
        period=max(one.period, other.period),
        time=min(filter(None, (one.time, other.time)), default=0),
        duration=one.duration + other.duration,
        comments=(),
        drop_frames=agreed("drop_frames"),
        keep_frames=agreed("keep_frames"),
        default_sample_type=agreed("default_sample_type"),
        doc_url=agreed("doc_url"),
    )


def check_compatible(first: Header, other: Header) -> None:
    """See that two profiles count the same things.

    Raises:
        ProfileError: ``incompatible``.
    """
    for what, ours, theirs in (
        ("sample types", first.sample_types, other.sample_types),
        ("the period type", (first.period_type,), (other.period_type,)),
    ):
        if ours != theirs:
            raise ProfileError(
                f"The profile differs from the first one in {what}: "
                f"{listed(theirs, len(theirs))} instead of {listed(ours, len(ours))}.",
                reason="incompatible",
                hint="Merge profiles of one kind only.",
            )
