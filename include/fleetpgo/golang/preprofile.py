"""What Go itself reads from a profile: the proof of a minimal one, and the oracle of our call edges."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from fleetpgo.errors import ToolchainError

PREPROFILE_SECONDS = 120


def preprofile(data: bytes, *, go: str = "go") -> bytes:
    """What ``go tool preprofile`` prints: the edges as the compiler sees them, heaviest first.

    Raises:
        ToolchainError: there is no such ``go``, it is older than 1.23, or it refuses the profile.
    """
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as folder:
        profile = Path(folder, "in.pprof")
        profile.write_bytes(data)
        try:
            done = subprocess.run(
                [go, "tool", "preprofile", "-i", profile.name],
                cwd=folder,
                capture_output=True,
                check=True,
                timeout=PREPROFILE_SECONDS,
            )
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise ToolchainError(
                f"`{go} tool preprofile` failed: {said}",
                hint="It needs Go 1.23 or newer, and a profile with start_line (from a program of Go 1.20 or "
                "newer).",
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolchainError(
                f"`{go} tool preprofile` could not be run: {error}",
                hint="Install Go 1.23 or newer, or name its command.",
            ) from error
    return done.stdout
