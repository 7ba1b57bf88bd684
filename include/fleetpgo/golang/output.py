"""Limit the output of a command, and clean the lines that are shown (:mod:`fleetpgo.foreign`)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from fleetpgo import foreign

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_LINE = 4096
"""Most bytes of a line that are shown; the rest is dropped."""

_LAST_LINES = 20


class Kept:
    """Keeps the first or the last bytes of a stream."""

    def __init__(self, most: int, *, first: bool) -> None:
        self.kept = bytearray()
        self._most, self._first = most, first

    def take(self, chunk: bytes) -> str:
        """Take more output. Return why the command must be stopped; "" if it may continue."""
        self.kept += chunk
        if len(self.kept) <= self._most:
            return ""
        if self._first:
            del self.kept[self._most :]
            return f"printed more than {self._most:,} bytes"
        del self.kept[: -self._most]
        return ""


class Lines:
    """Splits a stream into clean lines of limited length, and passes them to a callback up to a limit.

    Attributes:
        last: the last 20 lines, also those beyond the limit.
    """

    def __init__(self, seen: Callable[[str], None], most: int) -> None:
        self._seen, self._most = seen, most
        self._line = bytearray()
        self._long = False
        # What is cut off may be the end of a secret.
        self._kept = LONGEST_LINE + foreign.longest_secret()
        self._shown = 0
        self.last: deque[str] = deque(maxlen=_LAST_LINES)

    def take(self, chunk: bytes) -> str:
        """Take more output, and pass on its complete lines. Always return "": no length stops the command."""
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            self._add(part)
            self._show()
        self._add(rest)
        return ""

    def finish(self) -> None:
        """Pass on the last line if it has no newline."""
        if self._line:
            self._show()

    def _add(self, part: bytes) -> None:
        room = self._kept - len(self._line)
        self._long = self._long or len(part) > room
        self._line += part[:room]

    def _show(self) -> None:
        line = self._line.decode(errors="replace").rstrip()
        cut = self._long
        self._line.clear()
        self._long = False
        self.last.append(foreign.beginning(line, LONGEST_LINE, whole=not cut))
        if self._shown > self._most:
            return
        self._shown += len(self.last[-1]) + 1
        if self._shown > self._most:
            self._seen(f"… [it printed more than {self._most:,} bytes: the rest is not shown]")
        else:
            self._seen(self.last[-1])
