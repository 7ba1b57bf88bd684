"""What a benchmark ran on, in a line: figures without it mean little."""

from __future__ import annotations

import importlib.util
import os
import platform
from datetime import UTC, datetime


def described() -> str:
    """Return the date, the machine's kind, its load a minute long, and what reads profiles."""
    reads = "native code" if importlib.util.find_spec("fleetpgo_kernel") else "Python"
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}), load average "
        f"{os.getloadavg()[0]:.1f}; profiles are read by {reads}"
    )
