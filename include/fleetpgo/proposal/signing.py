"""Who makes our commits, and how they are signed: by git with a private key, or by the forge that makes them.

A private key comes from the forge's connection. It lies in a file only while ``git commit-tree`` runs, in a
directory of its own whose path no build has seen. Another build of the same user that runs in that moment
could look for it: builds whose authors must not sign belong to workers of their own (``build.queue``).
"""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from fleetpgo import foreign
from fleetpgo.errors import RepositoryError
from fleetpgo.golang import processes
from fleetpgo.service.review import BOT_EMAIL, BOT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fleetpgo.service.review import CommitRules

    MakeCommit = Callable[[Sequence["Entry"], str, str, str], str]
    """Files, the base's commit and its tree, and a message → the full SHA of a commit on top of the base."""

_SECONDS = 60.0

FORGE_EMAIL = "noreply@github.com"
"""Committer of commits that GitHub makes for somebody, who is their author."""


class Entry(NamedTuple):
    """A file of a commit: path from the top, git's mode, and content; None removes it."""

    path: str
    mode: str
    content: bytes | None


@dataclass(frozen=True)
class Identity:
    """Author and committer of our commits.

    Attributes:
        name: as git shows it.
        email: by which our commits are told from people's.
        sign: how commits are signed; None: not at all.
        key: the private key; left out of the repr.
        make: has the forge make and sign a commit in the name of its token's app; None: git makes it.
        others: addresses of fleetpgo's commits for other services on the same branch.
    """

    name: str = BOT_NAME
    email: str = BOT_EMAIL
    sign: Literal["ssh", "gpg"] | None = None
    key: str | None = field(default=None, repr=False)
    make: MakeCommit | None = field(default=None, repr=False)
    others: frozenset[str] = frozenset()

    @property
    def signature(self) -> str:
        """The line that signs a commit off."""
        return f"Signed-off-by: {self.name} <{self.email}>"

    @property
    def addresses(self) -> frozenset[str]:
        """Addresses of our commits, also of those from before the service file named an author."""
        return frozenset({self.email, BOT_EMAIL, *([FORGE_EMAIL] if self.make else ())}) | self.others

    @property
    def signs(self) -> bool:
        """Whether our commits are signed, by whomever."""
        return self.sign is not None or self.make is not None


def identity_of(rules: CommitRules, key: str | None, make: MakeCommit | None) -> Identity:
    """Return who makes a service's commits.

    Args:
        rules: of the service.
        key: the private key in the connection; None if it has none.
        make: has the forge make commits; None if it does not.

    Raises:
        RepositoryError: they are to be signed, and the connection has no key.
    """
    if rules.sign == "forge":
        return Identity(*rules.identity, make=make)
    if rules.sign and not key:
        raise RepositoryError(
            f"commit.sign is {rules.sign}, and the forge's connection has no signing_key",
            hint="put the private key, without a passphrase, into the connection's extra as signing_key (on "
            "the command line: a file that $FLEETPGO_SIGNING_KEY names), or remove commit.sign",
        )
    if key:
        foreign.remember(key)
    name, email = rules.identity
    return Identity(name, email, rules.sign, key if rules.sign else None)


@contextmanager
def signing(identity: Identity) -> Iterator[Mapping[str, str]]:
    """Yield git configuration that makes commits in somebody's name, and signs them.

    Raises:
        RepositoryError: gpg does not take the key.
    """
    who = {"user.name": identity.name, "user.email": identity.email}
    if identity.sign is None or identity.key is None:
        yield who
        return
    with tempfile.TemporaryDirectory(prefix="fleetpgo-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)  # which only this user may enter
        file = home / "key"
        file.touch(mode=0o600)
        file.write_text(with_lines(identity.key), encoding="utf-8")
        if identity.sign == "ssh":
            yield {**who, "gpg.format": "ssh", "user.signingKey": str(file)}
        else:
            yield {**who, "gpg.program": str(_gpg(home, file)), "user.signingKey": identity.email}


def with_lines(key: str) -> str:
    """Return a private key in PEM or of OpenPGP with its line ends, which a form of one line takes."""
    text = key.replace("\\n", "\n").replace("\r", "").strip()
    whole = re.fullmatch(r"(-----BEGIN [\w ]+-----)(.+)(-----END [\w ]+-----)", text)
    if whole is None:  # it has lines
        return f"{text}\n"
    begin, content, end = whole.groups()
    # OpenPGP's headers, of which there are none, end with an empty line.
    return "\n".join([begin, *([""] if "PGP" in begin else []), *content.split(), end, ""])


def _gpg(home: Path, key: Path) -> Path:
    """Import a key into a keyring of its own; return a program that signs with it."""
    gpg = ("gpg", "--homedir", str(home), "--batch", "--no-tty", "--pinentry-mode", "loopback")
    try:
        ended = processes.capture(
            (*gpg, "--import", str(key)), home, processes.passed_on(os.environ), seconds=_SECONDS
        )
    except FileNotFoundError as error:
        raise RepositoryError(
            "commit.sign is gpg, and there is no gpg on the PATH", hint="install gpg where the task runs"
        ) from error
    if ended.failed:
        raise RepositoryError(
            f"gpg does not take the connection's signing_key: {ended.stopped or ended.errors.strip()}",
            hint="export it with `gpg --armor --export-secret-keys`, without a passphrase",
        )
    program = home / "sign"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(gpg)} "$@"\n')
    program.chmod(0o700)
    return program
