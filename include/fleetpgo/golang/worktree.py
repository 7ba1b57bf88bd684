"""Read and write files of a work tree whose content is not trusted.

A symbolic link may point anywhere, and a file may be a device or endless. So links are resolved, and the
result must be inside the tree and outside ``.git``. Only regular files of limited size are read.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

MOST = 64 << 20
"""Bytes of the largest file that is read: larger than any source file or profile that is committed."""


def resolve(root: Path, name: str | Path) -> Path:
    """Resolve a path of a work tree. The file need not exist.

    Args:
        root: the work tree, or another directory that must not be left.
        name: path below it.

    Raises:
        RepositoryError: if that is not in the tree, or is git's own; or it goes through links without an end.
    """
    top = root.resolve()
    try:
        there = (top / name).resolve()
    except (OSError, RuntimeError) as error:
        raise RepositoryError(
            f"{name} cannot be followed: its links lead to each other, or are too many",
            hint="replace the link by the file itself",
        ) from error
    if not there.is_relative_to(top) or ".git" in map(str.lower, there.relative_to(top).parts):
        raise RepositoryError(
            f"{name} leads out of the repository, to {there}",
            hint="replace the link by the file itself, or name another path in the service file",
        )
    return there


def read(root: Path, name: str | Path, most: int = MOST) -> bytes | None:
    """Return the content of a file of a work tree; None where there is none.

    Args:
        root: the work tree.
        name: path below it; links are followed inside the tree.
        most: bytes that the file may have.

    Raises:
        RepositoryError: if it is no plain file, is larger, cannot be read, or is not in the tree.
    """
    there = resolve(root, name)
    try:
        # Not blocking: to open a named pipe waits for whoever writes to it.
        descriptor = os.open(there, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RepositoryError(f"{name} cannot be read: {error.strerror}") from error
    try:
        _require_plain(os.fstat(descriptor), name)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise RepositoryError(
            f"{name} is larger than {most >> 20} MiB",
            hint="keep it out of the repository, or name another path in the service file",
        )
    return content


def write(root: Path, name: str | Path, content: bytes) -> None:
    """Write one file of a work tree, with the directories above it. A file that is there keeps its mode.

    Raises:
        RepositoryError: if something else than a plain file is there, it is not in the tree, or the disk has
            no room. Then what was there is untouched.
    """
    there = resolve(root, name)
    mode = None
    with suppress(FileNotFoundError, NotADirectoryError):
        found = there.lstat()
        _require_plain(found, name)
        mode = stat.S_IMODE(found.st_mode)
    try:
        there.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RepositoryError(
            f"{name} cannot be written: {error.strerror}: {error.filename}",
            hint="name another path in the service file",
        ) from error
    # A new file takes its place: the one that is there may have a second name outside the tree.
    part = there.with_name(f".fleetpgo-{secrets.token_hex(4)}")
    try:
        part.write_bytes(content)
        part.chmod(mode or 0o644)
        part.replace(there)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RepositoryError(
            f"{name} cannot be written: {error.strerror}",
            hint=f"free space in {tempfile.gettempdir()}, or set TMPDIR to another directory",
        ) from error


def listing(root: Path) -> frozenset[str]:
    """Return the paths of all files and directories of a work tree but git's own; links are not followed."""
    return frozenset(_entries(root, ""))


def remove_others(root: Path, kept: Collection[str]) -> None:
    """Remove what is not among some paths of a work tree: what a build left there.

    Args:
        root: the work tree.
        kept: what :func:`listing` gave before; a file that has changed since stays as it is.
    """
    # Moved first: a build may leave directories that only their owner's rights make removable.
    with tempfile.TemporaryDirectory(dir=root.parent, prefix="gone-", ignore_cleanup_errors=True) as gone:
        for number, entry in enumerate([*_entries(root, "", kept)]):
            if entry not in kept:
                with suppress(OSError):
                    (root / entry).rename(root.parent / gone / str(number))


def _entries(root: Path, below: str, kept: Collection[str] | None = None) -> Iterator[str]:
    """Yield each path below a directory; go into directories that are kept alone."""
    with suppress(OSError), os.scandir(root / below) as found:
        for each in found:
            if each.name == ".git":
                continue
            path = f"{below}{each.name}"
            yield path
            if each.is_dir(follow_symlinks=False) and (kept is None or path in kept):
                yield from _entries(root, f"{path}/", kept)


def _require_plain(found: os.stat_result, name: str | Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "a device, pipe or socket"
        raise RepositoryError(f"{name} is not a file: {kind}", hint="name another path in the service file")
