"""Profiles as columns: the content of the message ``Profile`` (profile.proto) as numpy arrays.

The ids of the message are replaced by row numbers, and every reference is valid, so callers may index without
checking. One :class:`Columns` can hold several profiles, one after the other in every table, because one
numpy call for eight profiles costs little more than for one. Why columns:
docs/decisions/0100-profiles-as-columns.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.codec.showing import listed

if TYPE_CHECKING:
    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.texts import Texts

NOT_A_PROFILE = "Go's CPU profile is at /debug/pprof/profile."
"""The hint to whoever sent something else."""

CPU_VALUE_TYPES = (("samples", "count"), ("cpu", "nanoseconds"))
"""Value types of a CPU profile for the compiler (cmd/internal/pgo/pprof.go); the first one counts."""

LONGEST_TEXT = 1 << 20
"""Bytes of the longest text that a profile may have. Go's longest names have some thousand."""


class ValueType(NamedTuple):
    """A quantity and its unit."""

    type: str
    unit: str

    def __str__(self) -> str:
        return f"{self.type}/{self.unit}"


@dataclass(frozen=True)
class Header:
    """A profile's fields outside its tables: times in nanoseconds; 0 or "" if missing."""

    sample_types: tuple[ValueType, ...]
    period_type: ValueType
    period: int
    time: int
    duration: int
    comments: tuple[str, ...]
    drop_frames: str
    keep_frames: str
    default_sample_type: str
    doc_url: str

    @property
    def value_index(self) -> int:
        """Return the index of the sample value that the compiler reads.

        Raises:
            ProfileError: ``no-cpu-samples``.
        """
        for index, kind in enumerate(self.sample_types):
            if kind in CPU_VALUE_TYPES:
                return index
        types = self.sample_types
        counted = listed(types, len(types)) or "nothing"
        raise ProfileError(
            f"The profile counts {counted}: no CPU samples.", reason="no-cpu-samples", hint=NOT_A_PROFILE
        )


@dataclass(frozen=True)
class Columns:
    """One profile, or several that count the same things.

    Args:
        headers: what each profile says beside its tables.
        message_bytes: size of each profile's message.
        strings: the string table; each profile's first string is empty.
        functions: (functions, 4): name, system name, file name as rows of ``strings``; start line.
        mappings: (mappings, 9): start, limit and offset in memory; file name and build id as rows of
            ``strings``; has functions, file names, line numbers, inline frames (0 or 1).
        locations: (locations, 3): row of the mapping or NONE, address, 1 if folded.
        line_starts: (locations + 1,): first row of ``lines`` of each location, and the end of the last.
        lines: (lines, 3): row of the function or NONE, line, column; a location's innermost call first.
        values: (samples, value types).
        depths: (samples,): how many locations each sample's stack has.
        stacks: rows of ``locations``, all stacks one behind the other, each leaf first.
        labels: (labels, 4): key and text as rows of ``strings``, number, unit as a row of ``strings``.
        label_starts: (samples + 1,): first row of ``labels`` of each sample, and the end of the last.
        sample_starts: (profiles + 1,): first sample of each profile, and the end of the last.
        function_starts: (profiles + 1,): first row of ``functions`` of each profile, and the end of the last.
        mapping_starts: (profiles + 1,): first row of ``mappings`` of each profile, and the end of the last.
    """

    headers: tuple[Header, ...]
    message_bytes: tuple[int, ...]
    strings: Texts
    functions: Ints
    mappings: Ints
    locations: Ints
    line_starts: Ints
    lines: Ints
    values: Ints
    depths: Ints
    stacks: Ints
    labels: Ints
    label_starts: Ints
    sample_starts: Ints
    function_starts: Ints
    mapping_starts: Ints

    @property
    def header(self) -> Header:
        """The header of the profile; of several, the first one's."""
        return self.headers[0]

    @property
    def value_index(self) -> int:
        """As :attr:`Header.value_index`."""
        return self.header.value_index


@dataclass(frozen=True)
class Samples:
    """Samples of some profiles whose stacks are numbers in the tables of a merge.

    Args:
        headers: what each profile says beside its tables; all count the same things.
        values: (samples, value types).
        rows: (samples,) the number of each sample's stack, NONE if all its values are 0.
        sample_starts: (profiles + 1,): first sample of each profile, and the end of the last.
    """

    headers: tuple[Header, ...]
    values: Ints
    rows: Ints
    sample_starts: Ints

    @property
    def header(self) -> Header:
        """The first header."""
        return self.headers[0]


def require_short_texts(texts: Texts) -> None:
    """Require texts that a step can copy a few times: names, paths and comments are short.

    Raises:
        ProfileError: one is longer than LONGEST_TEXT (``too-large``).
    """
    longest = int(texts.sizes().max(initial=0))
    if longest > LONGEST_TEXT:
        raise ProfileError(
            f"The profile has a text of {longest:,} bytes; the limit is {LONGEST_TEXT:,}.",
            reason="too-large",
            hint="Names of functions and files are shorter: check where the profile comes from.",
        )


def require_short_names(profiles: Columns, most: int) -> None:
    """Check that not many stacks share long names, as the names of each call are written out for Go.

    Raises:
        ProfileError: the names in all lines of all stacks are longer than ``most`` together (``too-large``).
    """
    sizes = np.append(profiles.strings.sizes().take(profiles.functions[:, 0]), 0)  # the last is that of NONE
    lines = int(np.diff(profiles.line_starts).take(profiles.stacks).sum())
    if int(sizes.max()) * lines <= most:  # as of nearly all
        return
    before = np.concatenate(([0], np.cumsum(sizes[profiles.lines[:, 0]])))[profiles.line_starts]
    of_stacks = np.diff(before).take(profiles.stacks).sum(dtype=np.float64)  # which does not overflow
    if of_stacks > most:
        raise ProfileError(
            f"The names next to the leaves of the profile's stacks have {of_stacks:,.0f} bytes; the "
            f"limit is {most:,}.",
            reason="too-large",
            hint="The Go compiler's own profile has 1.4 million; raise the limit on unpacked bytes for a "
            "source that you trust.",
        )


def require_few_lines(profiles: Columns, most: int) -> None:
    """Check that the stacks have few enough lines in total: each line of each stack is read.

    Raises:
        ProfileError: they have more than so many lines together (``too-large``).
    """
    counts = np.diff(profiles.line_starts)
    if counts.max(initial=0) * len(profiles.stacks) <= most:
        return
    lines = int(counts.take(profiles.stacks).sum())
    if lines > most:
        raise ProfileError(
            f"The stacks of the profile have {lines:,} lines; the limit is {most:,}.",
            reason="too-large",
            hint="The Go compiler's own has 65,000; raise the limit of records for a source you trust.",
        )
