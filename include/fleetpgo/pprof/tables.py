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
from fleetpgo.pprof.codec.arrays import NONE, starts_of
from fleetpgo.pprof.codec.columns import Columns, Header, Samples
from fleetpgo.pprof.codec.decoding import read_into, starts_at, table
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

        Arguments and errors are those of :func:`fleetpgo.pprof.codec.decoding.parse`; after an error the
        sum is of no use.
        """
        return read_into(self._known, messages, limits, labels=self.keep_labels)

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
        strings = Texts(bytes(raw["octets"]), starts_at(raw["string_ends"]))
        stacks, depths = numbers["stacks"], np.diff(numbers["stack_ends"], prepend=0)
        labels, label_starts = np.zeros((0, 4), np.int64), np.zeros(len(depths) + 1, np.int64)
        if self.keep_labels:
            last = np.cumsum(depths) - 1
            labels, label_starts = _labels(raw, strings, stacks[last])
            stacks, depths = np.delete(stacks, last), depths - 1
        functions, mappings = table(raw["functions"], 4), table(raw["mappings"], 9)
        order = _in_order(mappings, numbers["firsts"], strings)
        rows, starts = table(raw["locations"], 3), starts_at(raw["location_ends"])
        is_head = np.zeros(len(rows), np.bool_)
        is_head[starts[:-1]] = True
        heads = rows[is_head]
        places = np.append(np.argsort(order), NONE)[heads[:, 0]]  # the last one is that of NONE
        # Addresses were counted from their mapping's start; the last start is that of NONE.
        addresses = heads[:, 2] + np.append(mappings[order, 0], 0)[places]
        total = Columns(
            headers=(replace(self._header, comments=tuple(sorted(self.comments))),),
            message_bytes=(0,),
            strings=strings,
            functions=functions,
            mappings=mappings[order],
            locations=np.column_stack((places, addresses, heads[:, 1])),
            line_starts=starts - np.arange(len(starts)),
            lines=rows[~is_head],
            values=self._sums.of(len(depths)),
            depths=depths,
            stacks=stacks,
            labels=labels,
            label_starts=label_starts,
            sample_starts=np.array([0, len(depths)]),
            function_starts=np.array([0, len(functions)]),
            mapping_starts=np.array([0, len(order)]),
        )
        return carried(total) if self.weighted else total


def _in_order(mappings: Ints, firsts: Ints, strings: Texts) -> Ints:
    """Return the rows of all mappings, the most frequent first one first."""
    rows = mappings.tolist()

    def order(number: int) -> tuple[object, ...]:
        start, limit, offset, file, build, *flags = rows[number]
        return (-int(firsts[number]), start, limit, offset, strings[file], strings[build], *flags)

    return np.array(sorted(range(len(rows)), key=order), np.int64)


def _labels(raw: Mapping[str, kernel.Buffer], strings: Texts, sets: Ints) -> tuple[Ints, Ints]:
    """Return the rows of some sets of labels, each sorted by its texts, and where each begins."""
    every, starts = table(raw["labels"], 4).tolist(), starts_at(raw["label_ends"]).tolist()

    def order(label: list[int]) -> tuple[object, ...]:
        key, text, number, unit = label
        return strings[key], strings[text], number, strings[unit]

    in_order = [sorted(every[start:end], key=order) for start, end in pairwise(starts)]
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
