"""Finds and reads an instance's files in a directory or a bucket, within limits."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.collection.faults import NeverError, NotNowError
from fleetpgo.collection.sources.files import File, globs, has_time, span_of
from fleetpgo.errors import NotThereError, ServiceFileError, StoreError
from fleetpgo.run import storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upath import UPath

    from fleetpgo.collection.access import Access
    from fleetpgo.service.profiling import CollectionRules

MOST = 2_000
"""Files of an instance that are read: one for each five minutes of a week."""


class Reader:
    """Reads what the pattern of a service file names.

    Args:
        rules: with the pattern. Without one there is nothing to read.
        access: opens the directory or the bucket.

    Raises:
        ServiceFileError: the storage cannot be opened.
    """

    def __init__(self, rules: CollectionRules, access: Access) -> None:
        self._most = rules.max_bytes
        self._root_text = _root(rules.files) if rules.files else ""
        try:
            self._root: Path | UPath | None = access.open_root(self._root_text) if rules.files else None
        except StoreError as error:
            raise ServiceFileError(f"collection.files: {error.message}", hint=error.hint) from error

    def find(self, pattern: str, host: str, start: float, end: float) -> tuple[list[tuple[float, File]], str]:
        """Find the profile files of a host whose time lies between two others, the newest first.

        Args:
            pattern: pattern of the files' names, its placeholders replaced.
            host: the host whose files they are.
            start: earliest time, in Unix seconds.
            end: latest time, in Unix seconds.

        Returns:
            Pairs of time and file; and a sentence on files left out, if there are too many, else "".

        Raises:
            NotNowError: the directory or the bucket cannot be read.
        """
        root = self._root
        if root is None:
            raise NeverError("collection.files names no files")
        found: dict[str, tuple[float, storage.Found]] = {}
        odd = set[str]()
        timed = has_time(pattern)
        with _told():
            for each in globs(pattern, start, end):
                for file in storage.matching(root, each.removeprefix(self._root_text).lstrip("/")):
                    path = f"{self._root_text.rstrip('/')}/{file.name}"
                    span = span_of(pattern, path) if timed else (file.changed, file.changed + 1)
                    if not span:
                        odd.add(file.name)
                    elif span[0] < end and span[1] > start:
                        found[path] = span[0], file
        said = (
            f"the paths of {len(odd):,} files tell no time, such as {File(root / min(odd), host).shown}"
            if odd
            else ""
        )
        newest = sorted(found.values(), key=lambda each: (-each[0], each[1].name))
        taken: list[tuple[float, File]] = []
        size = 0
        for moment, file in newest:
            # What is too large by itself is not read.
            size += file.size if file.size <= self._most else 0
            if size > self._most or len(taken) == MOST:
                why = "collection.max_bytes" if size > self._most else "no more are read of an instance"
                kept = f"the newest {len(taken):,} of {len(newest):,} files are used ({why})"
                return taken, "; ".join(filter(None, (kept, said)))
            taken.append((moment, File(root / file.name, host)))
        return taken, said

    def read(self, file: File) -> bytes:
        """Return the bytes of a file.

        Raises:
            NeverError: it is too large, no longer there, or may not be read.
            NotNowError: the bucket does not answer.
        """
        try:
            with _told():
                if storage.size(file.path) > self._most:
                    raise NeverError(f"larger than {self._most:,} bytes (collection.max_bytes)")
                return storage.read(file.path)
        except NotNowError as error:
            cause = error.__cause__.__cause__ if error.__cause__ else None
            # Of a directory that can be listed, it is this file's own fault.
            if isinstance(file.path, Path) and isinstance(cause, OSError):
                raise NeverError(f"{cause.strerror}") from error
            raise


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except NotThereError as error:
        raise NeverError("it was removed while files were read") from error
    except StoreError as error:
        raise NotNowError(f"collection.files: {error.message}") from error


def _root(pattern: str) -> str:
    """Return the bucket of a pattern, or the root directory."""
    scheme, slashes, rest = pattern.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}" if slashes else "/"
