"""Run ``go tool preprofile``, which prints what Go reads from a profile.

If the output is the same, a minimal profile is equivalent to the full one for the compiler. The tests also
compare the output with fleetpgo's own call edges.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fleetpgo.errors import ToolchainError
from fleetpgo.golang import processes

PREPROFILE_SECONDS = 120

_PASSED_ON = ("HOME", "GOCACHE", "GOPATH", "GOTOOLCHAIN", "GOFLAGS")
"""What the go command needs of the caller's environment to run a tool, which it may have to build first."""


def preprofile(data: bytes, *, go: str = "go") -> bytes:
    """Return what ``go tool preprofile`` prints: the edges as the compiler sees them, heaviest first.

    Raises:
        ToolchainError: there is no such ``go``, it is older than 1.23, or it refuses the profile.
    """
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as folder:
        profile = Path(folder, "in.pprof")
        profile.write_bytes(data)
        try:
            ended = processes.capture(
                [go, "tool", "preprofile", "-i", profile.name],
                Path(folder),
                processes.passed_on(os.environ, *_PASSED_ON),
                seconds=PREPROFILE_SECONDS,
            )
        except OSError as error:
            raise ToolchainError(
                f"`{go} tool preprofile` could not be run: {error}",
                hint="Install Go 1.23 or newer, or name its command.",
            ) from error
    if ended.stopped:
        raise ToolchainError(
            f"`{go} tool preprofile` {ended.stopped}, so it was stopped", hint="Run it again."
        )
    if ended.status:
        raise ToolchainError(
            f"`{go} tool preprofile` failed: {ended.errors.strip()}",
            hint="It needs Go 1.23 or newer, and a profile with start_line (from a program of Go 1.20 or "
            "newer).",
        )
    return ended.output
