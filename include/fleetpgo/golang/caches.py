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
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)

LIMIT = 20 << 30
"""Bytes that the caches of all repositories on a worker may have together."""


def bound(cache: Path, limit: int = LIMIT) -> list[str]:
    """Remove caches of repositories until all have at most `limit` bytes together; return their names.

    The cache of a repository that is being built stays. Without its cache the next build of a repository is
    slow, and not wrong.

    Args:
        cache: directory of all caches; see :func:`fleetpgo.golang.environment.build_environment`.
        limit: in bytes.
    """
    repositories = cache / "repositories"
    if not repositories.is_dir():
        return []
    sizes = {each: _size(each) for each in repositories.iterdir() if each.is_dir()}
    total, gone = sum(sizes.values()), []
    for each in sorted(sizes, key=_last_built):
        if total <= limit:
            break
        if _remove_unused(each):
            total -= sizes[each]
            gone.append(each.name)
    if gone:
        _log.info(
            "removed the caches of %s: all together had more than %s bytes", ", ".join(gone), f"{limit:,}"
        )
    return gone


def _last_built(repository: Path) -> float:
    """Return when the repository was last cloned for a build, Unix time: its directory has changed then."""
    return repository.stat().st_mtime


def _remove_unused(repository: Path) -> bool:
    """Remove a repository's cache, unless a build uses it; return whether it is gone."""
    with (
        _locked(repository) as free,
        tempfile.TemporaryDirectory(dir=repository.parent, prefix="gone-") as gone,
    ):
        if not free:
            return False
        # In one step: a build that begins now makes a cache of its own.
        place = repository.rename(Path(gone) / repository.name)
        _writable(place)
        shutil.rmtree(gone)
    return True


@contextmanager
def _locked(repository: Path) -> Iterator[bool]:
    """Hold every lock of a repository's clones; False: a build holds one."""
    with ExitStack() as held:
        for lock in repository.glob("clone-*.lock"):
            file = held.enter_context(lock.open("a"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
        yield True


def _writable(place: Path) -> None:
    """Let what is below be removed: Go makes directories of modules read-only."""
    for directory, _, _ in os.walk(place):
        Path(directory).chmod(stat.S_IRWXU)


def _size(place: Path) -> int:
    """Return the bytes of all files below a directory; links are not followed."""
    total = 0
    for directory, _, files in os.walk(place):
        for name in files:
            try:
                total += os.lstat(os.path.join(directory, name)).st_size  # noqa: PTH118  # of 100,000 files
            except OSError:  # a build has just removed it
                continue
    return total
