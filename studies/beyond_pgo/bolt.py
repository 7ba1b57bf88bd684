"""LLVM's BOLT on a Go binary, with the samples of our own profile.

BOLT reads samples as ``perf2bolt`` writes them. Without branch records (LBR) that is one line for each
address: ``1 SYMBOL OFFSET COUNT`` after a line ``no_lbr EVENT``
(bolt/lib/Profile/DataReader.cpp, ``readInNoLBRMode``). The addresses are those on top of the stacks.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studies.beyond_pgo.measuring import MachineError, not_the_machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fleetpgo.pprof import Profile

PROGRAM = "llvm-bolt"
FLAGS = ("-reorder-blocks=ext-tsp", "-dyno-stats")
_LEAST_NUMBERS = 3


class BoltError(Exception):
    """BOLT is not here, or refused the binary; the message has its output."""


@dataclass(frozen=True)
class Symbol:
    """A function of the binary: where it begins, its size in bytes, its name."""

    start: int
    size: int
    name: str


def leaves(profile: Profile) -> Counter[int]:
    """Return how often each code address was on top of a stack."""
    columns = profile.columns
    deep = np.flatnonzero(columns.depths)
    starts = np.cumsum(columns.depths) - columns.depths
    top = columns.stacks[starts[deep]]
    counts: Counter[int] = Counter()
    for row, weight in zip(top.tolist(), columns.values[deep, columns.value_index].tolist(), strict=True):
        counts[int(columns.locations[row, 1])] += weight
    return counts


def read_symbols(told: str) -> list[Symbol]:
    """Read what ``go tool nm -n -size`` prints, functions only, by address."""
    symbols = []
    for line in told.splitlines():
        parts = line.split(None, _LEAST_NUMBERS)
        if len(parts) > _LEAST_NUMBERS and parts[2] in "Tt" and int(parts[1]):
            symbols.append(Symbol(int(parts[0], 16), int(parts[1]), parts[3]))
    return sorted(symbols, key=lambda symbol: symbol.start)


def fdata(counts: Mapping[int, int], symbols: Sequence[Symbol]) -> str:
    """Return the samples in BOLT's format, by function and offset; those in no function are left out."""
    starts = [symbol.start for symbol in symbols]
    lines = []
    for address, count in sorted(counts.items()):
        at = bisect_right(starts, address) - 1
        if at >= 0 and address < symbols[at].start + symbols[at].size:
            name = symbols[at].name.replace(" ", "\\ ")
            lines.append(f"1 {name} {address - symbols[at].start:x} {count}\n")
    return "no_lbr cycles:\n" + "".join(lines)


def version() -> str:
    """Return the version of BOLT, or ""."""
    if not shutil.which(PROGRAM):
        return ""
    told = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False).stdout
    return next((line.strip() for line in told.splitlines() if "version" in line), "")


def rewrite(binary: Path, profile: Profile, into: Path) -> str:
    """Let BOLT rewrite a binary; return its output.

    Raises:
        BoltError: there is no BOLT, or it failed.
        MachineError: it had no room, or was killed.
    """
    if not shutil.which(PROGRAM):
        raise BoltError(f"there is no {PROGRAM} on the PATH (Debian: bolt-22)")
    told = subprocess.run(
        ["go", "tool", "nm", "-n", "-size", str(binary)], capture_output=True, text=True, check=True
    ).stdout
    samples = into.with_suffix(".fdata")
    samples.write_text(fdata(leaves(profile), read_symbols(told)))
    done = subprocess.run(
        [PROGRAM, str(binary), "-o", str(into), f"-data={samples}", *FLAGS],
        capture_output=True,
        text=True,
        check=False,
    )
    output = (done.stdout + done.stderr).strip()
    if done.returncode == -signal.SIGKILL:
        raise MachineError(f"{PROGRAM} was killed")
    if done.returncode:
        not_the_machine(output)
    if done.returncode or not into.exists():
        raise BoltError(f"{PROGRAM} ended with {done.returncode}:\n{first_lines(output, 12)}")
    return output


def first_lines(text: str, count: int) -> str:
    """Return the first lines of a text that say something."""
    return "\n".join(_cut(line) for line in [each for each in text.splitlines() if each.strip()][:count])


def _cut(line: str, most: int = 150) -> str:
    return line if len(line) <= most else line[: most - 1] + "…"


TELLING = ("BOLT-WARNING", "BOLT-ERROR", "out of", "modified layout", "overwritten", "Target architecture")


def summary(output: str) -> str:
    """Return the lines of BOLT's output that say what it did, and its warnings."""
    return first_lines(
        "\n".join(line for line in output.splitlines() if any(word in line for word in TELLING)), 10
    )
