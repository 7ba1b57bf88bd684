"""How figures are written in a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetpgo.golang.sourcematch import SourceMatch


def matched(match: SourceMatch | None) -> str:
    """Return a source match for a table; – where nothing was compared."""
    return "–" if match is None or match.share is None else share(match.share)


def share(value: float) -> str:
    """Return a share with two digits, of which only the whole is 1.00."""
    return f"{min(value, 0.99):.2f}" if value < 1 else "1.00"


def percent(value: float, *, sign: str = "+") -> str:
    """Return a share as a percentage."""
    return f"{100 * value:{sign}.1f} %"


def change(before: int, after: int) -> str:
    """Return the change of a size, as a percentage of what it was."""
    return percent((after - before) / before)
