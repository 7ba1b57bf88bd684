"""Run git commands.

:mod:`fleetpgo.proposal.checkout` clones and reads, :mod:`fleetpgo.proposal.commits` writes.

fleetpgo runs the ``git`` program, and errors contain git's own output. Credentials are passed only in the
environment (``GIT_CONFIG_COUNT`` …), never in a URL, argument or file, so they cannot remain in
``.git/config``. Git ignores the configuration of the user and of the system; it reads only ``gitconfig`` in
this module's directory.

A build may write anything into its clone, even configuration that makes git run a program. So after a build,
git gets credentials only in a newly created repository (:mod:`fleetpgo.proposal.commits`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo import foreign
from fleetpgo.errors import RepositoryError
from fleetpgo.golang import processes
from fleetpgo.proposal.signing import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT = 600.0
"""Most seconds of one git command: enough for a clone over a slow line."""

_CONFIGURATION = Path(__file__).with_name("gitconfig")

_US = Identity()

_ALWAYS = {
    "user.name": _US.name,
    "user.email": _US.email,
    # Ahead of what a repository's own configuration says. ext:: would run a program.
    "core.hooksPath": os.devnull,
    "protocol.allow": "never",
    "protocol.http.allow": "always",
    "protocol.https.allow": "always",
    "protocol.ssh.allow": "always",
    "protocol.file.allow": "user",
}
"""Configuration of every command. ``user`` is git's default for file: allowed, but not for submodules."""


def git(directory: Path, *arguments: str, config: Mapping[str, str] | None = None) -> str:
    """Run one git command, and return its output without surrounding white space.

    Args:
        directory: working directory; for commands on a repository, its root.
        arguments: arguments of the command; every user of the machine can see them.
        config: git configuration for this command, passed in the environment; may hold credentials.

    Raises:
        RepositoryError: the command fails or takes longer than ten minutes; with git's own message.
    """
    entries = {**_ALWAYS, **(config or {})}
    # A connection's own authority would lose against that of the environment.
    own = any(key.startswith("http.") and key.endswith(".sslCAInfo") for key in entries)
    environment = processes.passed_on(os.environ, *([] if own else ["GIT_SSL_CAINFO"])) | {
        "LC_ALL": "C.UTF-8",
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(_CONFIGURATION),
        "GIT_TERMINAL_PROMPT": "0",
        # The repository is `directory` or none: a build can put another into a directory above it.
        "GIT_CEILING_DIRECTORIES": str(directory.resolve().parent),
        "GIT_CONFIG_COUNT": str(len(entries)),
    }
    for index, (key, value) in enumerate(entries.items()):
        environment |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    shown = f"git {arguments[0]}"
    try:
        ended = processes.capture(("git", *arguments), directory, environment, seconds=_TIMEOUT)
    except FileNotFoundError as error:
        raise RepositoryError(
            "there is no `git` on the PATH", hint="install git where the task runs"
        ) from error
    except OSError as error:
        raise RepositoryError(f"`{shown}` cannot be run: {error.strerror}") from error
    if ended.stopped:
        raise RepositoryError(
            f"`{shown}` {ended.stopped}, so it was stopped",
            hint="see whether the forge answers, then run again",
        )
    output = ended.output.decode(errors="replace").strip()
    if ended.status:
        words = ended.errors.strip() or foreign.end_of(output, processes.MOST_ERRORS)
        raise RepositoryError(f"`{shown}` failed: {words}")
    return output
