"""Text of a profile as people get to see it: short, on one line, and printable.

A text in a profile may be as long as the profile, and any number of records may share it. So whatever goes
from a profile into an error, a record, a log or a page passes through here.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from fleetpgo import foreign

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 200
"""Characters of one text that are shown. Import paths, paths of files and build ids are shorter."""

MOST_SHOWN = 5
"""Texts of a list that are shown; how many more there are is said."""


def shown(text: bytes | str) -> str:
    """Return a text as it may be shown; what cannot be printed, or is no UTF-8, becomes U+FFFD."""
    return foreign.line(text, LONGEST)


def listed(texts: Iterable[object], count: int) -> str:
    """Return the first few of ``count`` texts, and how many more there are."""
    first = ", ".join(shown(str(each)) for each in islice(texts, MOST_SHOWN))
    return f"{first} and {count - MOST_SHOWN:,} more" if count > MOST_SHOWN else first
