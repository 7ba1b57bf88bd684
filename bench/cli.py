"""CPU that the command needs before it does anything: python -m bench.cli.

A fresh process each time, which finds the byte code of an earlier one: the least of ten, for what else runs
on the machine only adds to it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.machine import described

LIMITS = {
    "--version": 0.20,
    "--help": 0.25,
    "profile --help": 0.25,
    "collect --help": 0.25,
    "measure --help": 0.25,
}
"""Arguments, and the most CPU seconds that they should take."""


def seconds(arguments: str, runs: int = 10) -> float:
    """Return the CPU seconds of ``fleetpgo`` with these arguments."""
    command = [str(Path(sys.executable).with_name("fleetpgo")), *arguments.split()]
    with tempfile.TemporaryDirectory() as cache:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "PYTHONPYCACHEPREFIX": cache,
        }

        def once() -> float:
            before = _children()
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            return _children() - before

        once()
        return min(once() for _ in range(runs))


def _children() -> float:
    """Return the CPU seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(described(), end="\n\n")
    print("| command | CPU s | at most |\n|---|---:|---:|")
    for arguments, limit in LIMITS.items():
        print(f"| `fleetpgo {arguments}` | {seconds(arguments):.2f} | {limit:.2f} |")
