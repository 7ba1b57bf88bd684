"""How figures are written: the one place for percentages, and for a saving with its interval.

A saving is never written without its interval: ``3.1 % [2.2, 4.0]``.
"""

from __future__ import annotations


def percent(share: float) -> str:
    """Return a share as ``3.1 %``."""
    return f"{_points(share)} %"


def signed(share: float) -> str:
    """Return a relative change as ``+1.5 %``."""
    return f"{_points(share, '+')} %"


def interval(low: float, high: float) -> str:
    """Return an interval of shares as ``[2.2, 4.0]``, in percent."""
    return f"[{_points(low)}, {_points(high)}]"


def saving(share: float, low: float, high: float) -> str:
    """Return a share saved with its 95 % interval: ``3.1 % [2.2, 4.0]``."""
    return f"{percent(share)} {interval(low, high)}"


def number(value: float | None) -> str:
    """Return an amount, such as cores, with about three digits: ``1,204``, ``93``, ``1.2``, ``0.034``."""
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 10 else 1 if abs(value) >= 1 else 3  # noqa: PLR2004
    return f"{round(value, digits) + 0.0:,.{digits}f}"


def _points(share: float, sign: str = "") -> str:
    return f"{round(100 * share, 1) + 0.0:{sign}.1f}"  # + 0.0: never "-0.0"
