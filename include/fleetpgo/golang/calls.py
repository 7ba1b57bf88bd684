"""Find direct calls in machine code.

The code is not disassembled; it is searched for the one call instruction that Go's compiler uses. The caller
must check that each target is the start of a function: other bytes that look like a call do not hit one.

Sources: Intel 64 Software Developer's Manual, CALL rel32 (E8); Arm A64, BL (imm26).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

AMD64, ARM64 = 62, 183
"""EM_X86_64 and EM_AARCH64."""

_CALL, _CALL_BYTES = b"\xe8", 5
_BL, _BL_BITS = 0b100101, 26


def direct_calls(code: bytes, machine: int) -> Iterator[tuple[int, int]]:
    """Yield the offset of each direct call in a function's machine code, and the offset that it calls.

    Both are in bytes from the start of the code. Nothing is yielded for machines that are not known.

    Args:
        code: the function's machine code.
        machine: ``e_machine`` of the ELF file.
    """
    if machine == AMD64:
        at = code.find(_CALL)
        while 0 <= at <= len(code) - _CALL_BYTES:
            distance = int.from_bytes(code[at + 1 : at + _CALL_BYTES], "little", signed=True)
            yield at, at + _CALL_BYTES + distance
            at = code.find(_CALL, at + 1)
    elif machine == ARM64:
        words = np.frombuffer(code, "<u4", len(code) // 4)
        for row in np.flatnonzero(words >> _BL_BITS == _BL).tolist():
            distance = int(words[row]) & (1 << _BL_BITS) - 1
            distance -= (distance >> _BL_BITS - 1) << _BL_BITS
            yield 4 * row, 4 * (row + distance)
