"""A bound for the caches of builds on a worker: those of repositories that were built longest ago go first.

Go forgets entries of its build cache after five days, and never a downloaded module: those of one large
service are 5 to 6 GB. The archives that all repositories share, in ``modules``, stay.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)

LIMIT = 20 << 30
"""Bytes that the caches of all repositories on a worker may have together."""

_BLOCK = 512
"""Bytes of a block, as ``stat`` counts them on every file system."""


def bound(cache: Path, limit: int = LIMIT, *, keep: Path | None = None) -> list[str]:
    """Remove caches of repositories until all have at most `limit` bytes together; return their names.

    The cache of a repository that is being built stays. Without its cache the next build of a repository is
    slow, and not wrong.

    Args:
        cache: directory of all caches; see :func:`fleetpgo.golang.environment.build_environment`.
        limit: in bytes, on the disk.
        keep: directory of a repository that is about to be built: it stays as well.
    """
    repositories = cache / "repositories"
    if not repositories.is_dir():
        return []
    with locked(cache / "bound.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as mine:
        return _bound(repositories, limit, keep) if mine else []


def _bound(repositories: Path, limit: int, keep: Path | None) -> list[str]:
    gone_to = repositories.with_name("gone")
    _remove(gone_to)  # what a killed one has left
    # Of a link, which no build of ours makes, neither the size nor the content is the caches'.
    own = [each for each in repositories.iterdir() if each.is_dir() and not each.is_symlink()]
    sizes = {each: _size(each) for each in own}
    total, gone = sum(sizes.values()), []
    for each in sorted(sizes, key=_last_built):
        if total <= limit:
            break
        if (keep is None or each.name != keep.name) and _remove_unused(each, gone_to):
            total -= sizes[each]
            gone.append(each.name)
    if gone:
        _log.info(
            "removed the caches of %s: all together had more than %s bytes", ", ".join(gone), f"{limit:,}"
        )
    return gone


@contextmanager
def locked(file: Path, how: int) -> Iterator[bool]:
    """Hold a lock; False: with ``LOCK_NB``, somebody else holds it.

    Args:
        file: its file, which is made. Builds can write here, so a link is refused, and a pipe does not block.
        how: of :func:`fcntl.flock`.

    Raises:
        RepositoryError: it cannot be opened.
    """
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        lock = os.open(file, flags, 0o600)
    except OSError as error:
        raise RepositoryError(
            f"the lock {file} cannot be opened: {error.strerror}",
            hint="let this user write there, and remove the lock if it is no plain file",
        ) from error
    try:
        try:
            fcntl.flock(lock, how)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)


def use_lock(repository: Path) -> Path:
    """Return a repository's lock: builds hold it shared, whoever removes the directory alone.

    It lies beside the repository's directory, which is moved away before it is removed.
    """
    return repository.with_name(f"{repository.name}.lock")


def _last_built(repository: Path) -> float:
    """Return when the repository was last cloned for a build, Unix time: its directory has changed then."""
    return repository.stat().st_mtime


def _remove_unused(repository: Path, gone_to: Path) -> bool:
    """Remove a repository's cache, moved away before, unless a build uses it; return whether it is gone."""
    try:
        with locked(use_lock(repository), fcntl.LOCK_EX | fcntl.LOCK_NB) as free:
            if not free:
                return False
            # In one step: a build that begins then makes a cache of its own.
            gone_to.mkdir(exist_ok=True)
            repository.rename(gone_to / repository.name)
    except (RepositoryError, OSError) as error:
        _log.warning("the cache of %s stays: %s", repository.name, error)
        return False
    return _remove(gone_to)


def _remove(place: Path) -> bool:
    """Remove a directory, and return whether it is gone; Go makes directories of modules read-only."""
    _open(place)
    shutil.rmtree(place, ignore_errors=True)
    if place.exists():
        _log.warning("%s cannot be removed: let this user own all that is in it", place)
        return False
    return True


def _open(place: Path) -> None:
    """Let everything below a directory be listed and removed."""
    with suppress(OSError):
        place.chmod(stat.S_IRWXU)
    for directory, below, _ in os.walk(place):
        for name in below:
            each = Path(directory, name)
            with suppress(OSError):
                if not each.is_symlink():
                    each.chmod(stat.S_IRWXU)


def _size(place: Path) -> int:
    """Return the bytes on the disk of all files below a directory; links are not followed."""
    total = 0
    for directory, below, files in os.walk(place):
        for name in below:
            if not os.access(os.path.join(directory, name), os.R_OK | os.X_OK):  # noqa: PTH118  # as below
                _open(Path(directory, name))
        for name in files:
            try:
                total += os.lstat(os.path.join(directory, name)).st_blocks * _BLOCK  # noqa: PTH118  # of 100,000 files
            except OSError:  # a build has just removed it
                continue
    return total
