"""Read and write files in directories and in object storage with the same functions.

A path is a :class:`pathlib.Path`, or a ``UPath`` on object storage (Airflow's ``ObjectStoragePath`` is one).
A missing file raises :class:`NotThereError`. Every other failure raises :class:`StoreError`, which says
where, why, and what to check. No caller needs to know the exceptions of fsspec, botocore or aiohttp.
"""

from __future__ import annotations

import glob
import os
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fleetpgo import foreign
from fleetpgo.errors import FleetPGOError, NotThereError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from upath import UPath

LIMIT_S = 60.0
"""Seconds that one operation on object storage may take, its own retries included."""


class Observer(Protocol):
    """Is told of each operation: the verb, its seconds, and whether the storage answered."""

    def __call__(self, verb: str, seconds: float, *, well: bool) -> None:
        """Note an operation."""


observers: list[Observer] = []

_LONGEST_REASON = 300
"""Most characters of a server's message in an error."""


def read(path: Path | UPath, *, limit: float = LIMIT_S) -> bytes:
    """Return the bytes at a path; on object storage this is one request.

    Raises:
        NotThereError: the file does not exist.
        StoreError: the store does not answer, or refuses.
    """
    with reaching(path, "read", limit=limit):
        if isinstance(path, Path):
            return path.read_bytes()
        system, bounds = _connected(path, limit)
        data: bytes = system.cat_file(path.path, **bounds)
        return data


def write(path: Path | UPath, data: bytes, *, limit: float = LIMIT_S) -> None:
    """Write bytes to a path atomically, replacing what is there.

    Raises:
        StoreError: the store does not answer, refuses, or has no room.
    """
    with reaching(path, "write", limit=limit):
        if not isinstance(path, Path):
            # In one go: an opened file is uploaded as far as it got when its writer is interrupted.
            system, bounds = _connected(path, limit)
            system.pipe_file(path.path, data, **bounds)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            part.write_bytes(data)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def size(path: Path | UPath, *, limit: float = LIMIT_S) -> int:
    """Return the size of a file in bytes. Raises as :func:`read`."""
    with reaching(path, "look at", limit=limit):
        if isinstance(path, Path):
            return path.stat().st_size
        system, bounds = _connected(path, limit)
        return int(system.info(path.path, **bounds)["size"])


def remove(path: Path | UPath, *, limit: float = LIMIT_S) -> None:
    """Remove a file. Raises as :func:`read`, but S3 does not report a missing file."""
    with reaching(path, "remove", limit=limit):
        if isinstance(path, Path):
            path.unlink()
        else:
            system, bounds = _connected(path, limit)
            system.rm_file(path.path, **bounds)


def names(path: Path | UPath, *, limit: float = LIMIT_S) -> list[str]:
    """List the names in a directory, unsorted; none if the directory does not exist.

    Raises:
        StoreError: the store does not answer or refuses, or the bucket does not exist.
    """
    try:
        with reaching(path, "list", limit=limit):
            if isinstance(path, Path):
                return [item.name for item in path.iterdir()]
            system, bounds = _connected(path, limit)
            found = [str(name).rstrip("/") for name in system.ls(path.path, detail=False, **bounds)]
    except NotThereError:
        return []
    # A folder made by hand is an object of its own name.
    return [name.rpartition("/")[2] for name in found if name.strip("/") != path.path.strip("/")]


def remove_empty(directory: Path | UPath) -> None:
    """Remove a directory's empty directories, and itself if it is empty; object storage has none."""
    if not isinstance(directory, Path):
        return
    for folder in sorted(directory.glob("**/"), reverse=True):
        with suppress(OSError):  # it is not empty
            folder.rmdir()


@dataclass(frozen=True)
class Found:
    """A file: its path relative to the root, size in bytes, and last change (Unix seconds; 0 if unknown).

    ``tag`` changes with the content of an object; "" for files, and where the storage gives none.
    """

    name: str
    size: int
    changed: float
    tag: str = ""


def matching(root: Path | UPath, pattern: str, *, limit: float = LIMIT_S) -> list[Found]:
    """List the files that match a shell pattern, unsorted. Directories never match.

    Args:
        root: a directory, or a bucket.
        pattern: pattern relative to the root.
        limit: seconds that the listing may take.

    Raises:
        StoreError: the storage does not answer or refuses, or the bucket does not exist.
    """
    try:
        with reaching(root, "list", limit=limit):
            if isinstance(root, Path):
                return list(_local(root, pattern))
            system, bounds = _connected(root, limit)
            above = f"{root.path.strip('/')}/"
            listed = system.glob(above + pattern, detail=True, **bounds)
            return [
                Found(str(key).strip("/").removeprefix(above), int(info["size"]), _changed(info), _tag(info))
                for key, info in listed.items()
                if info.get("type") == "file"
            ]
    except NotThereError:
        return []


def files(directory: Path | UPath, *, limit: float = LIMIT_S) -> list[Found]:
    """List the files in a directory, not those in its folders, unsorted; on object storage by one request.

    An empty list if the directory does not exist. Raises as :func:`matching`.
    """
    try:
        with reaching(directory, "list", limit=limit):
            if isinstance(directory, Path):
                return list(_local(directory, "*"))
            system, bounds = _connected(directory, limit)
            listed = system.ls(directory.path, detail=True, **bounds)
            return [
                Found(info["name"].rpartition("/")[2], int(info["size"]), _changed(info), _tag(info))
                for info in listed
                if info["type"] == "file"
            ]
    except NotThereError:
        return []


def below(root: Path | UPath, folder: str, *, limit: float = LIMIT_S) -> list[Found]:
    """List the files below a folder of a store, hidden ones as well, unsorted. Links lead nowhere.

    Raises as :func:`matching`.
    """
    if not isinstance(root, Path):
        return matching(root, f"{folder}/**", limit=limit)
    with reaching(root, "list", limit=limit):
        return [
            Found(str(file.relative_to(root)), about.st_size, about.st_mtime)
            for directory, _, files in os.walk(root / folder, onerror=_refuse)
            for file in (Path(directory) / name for name in files)
            if (about := _about(file, follow=False)) and stat.S_ISREG(about.st_mode)
        ]


def _local(root: Path, pattern: str) -> Iterator[Found]:
    for name in glob.iglob(pattern, root_dir=root, recursive=True):  # noqa: PTH207  # pathlib's has no root_dir
        about = _about(root / name, follow=True)
        if about and stat.S_ISREG(about.st_mode):  # a pipe would be waited for without an end
            yield Found(name, about.st_size, about.st_mtime)


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # somebody has just removed it
        raise error


def _about(file: Path, *, follow: bool) -> os.stat_result | None:
    try:
        return file.stat(follow_symlinks=follow)
    except OSError:  # it was there a moment ago; it is a link to itself
        return None


def _changed(info: Mapping[str, Any]) -> float:
    """Return when an object was last changed; s3fs and gcsfs use different keys for it."""
    value = info.get("LastModified") or info.get("mtime")
    return value.timestamp() if isinstance(value, datetime) else 0.0


def _tag(info: Mapping[str, Any]) -> str:
    """Return an object's entity tag; s3fs and gcsfs use different keys for it."""
    return str(info.get("ETag") or info.get("etag") or "")


@contextmanager
def reaching(path: Path | UPath, verb: str, *, limit: float = LIMIT_S) -> Iterator[None]:
    """Convert errors of the storage into NotThereError or StoreError.

    Args:
        path: the path that is accessed.
        verb: what is done to it, for the message. With ``write`` a missing path is a StoreError.
        limit: seconds that the operation may take, for the message.
    """
    begin, well = time.monotonic(), False
    try:
        yield
        well = True
    except FleetPGOError:
        raise
    # Besides OSError: botocore's and aiohttp's own, IndexError (a cut body), ValueError (a bad endpoint),
    # ImportError (no s3fs), Airflow's (no such connection). They have no other ancestor in common.
    except Exception as error:
        if isinstance(path, Path) and not isinstance(error, OSError):
            raise
        codes = _codes(error)
        absent = isinstance(error, (FileNotFoundError, NotADirectoryError)) and "NoSuchBucket" not in codes
        if absent and verb != "write":
            well = True
            raise NotThereError(
                f"artifact {path} is not in the store",
                hint="clear the task that writes it, and its downstream tasks",
            ) from error
        raise StoreError(
            f"the store cannot {verb} {path}{_endpoint(path)}: {_why(error, codes, limit)}",
            hint=_advice(path, error, codes),
        ) from error
    finally:
        for observer in observers:
            observer(verb, time.monotonic() - begin, well=well)


def _connected(path: UPath, limit: float) -> tuple[Any, dict[str, Any]]:
    """Return the path's file system, and the arguments that limit the time of each operation."""
    system = path.fs
    if "s3" in system.protocol:
        # A read in parts begins with a request for the size.
        system.max_concurrency = 1
        # botocore tries five times; s3fs by default tries all of that five times.
        system.retries = 2
    return system, {"timeout": limit} if system.async_impl else {}


def _codes(error: BaseException | None) -> list[str]:
    """Return the server's codes of the failure, from botocore's error at the end of the chain."""
    codes = []
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict) and (code := response.get("Error", {}).get("Code")):
            codes.append(str(code))
        error = error.__cause__ or error.__context__
    return codes


def _why(error: Exception, codes: list[str], limit: float) -> str:
    """Return the reason in one short line without secrets."""
    if type(error).__name__ == "FSTimeoutError":
        return f"no answer within {limit:g} s"
    said = getattr(error, "strerror", None) or str(error)
    kind = codes[0] if codes else "" if isinstance(error, OSError) else type(error).__name__
    text = ": ".join(part for part in (kind, said) if part) or type(error).__name__
    return foreign.line(text, _LONGEST_REASON)


def _endpoint(path: Path | UPath) -> str:
    """Return an object storage's endpoint, if it is not the provider's default."""
    if isinstance(path, Path):
        return ""
    try:
        address = getattr(path.fs, "endpoint_url", None)
    except Exception:  # noqa: BLE001  # it is why we are here, and told already
        return ""
    return f" at {address}" if address else ""


def _advice(path: Path | UPath, error: Exception, codes: list[str]) -> str:
    if isinstance(path, Path):
        return (
            "check FLEETPGO_STORE: is the disk mounted and not full, and may this user read and write there?"
        )
    if isinstance(error, ImportError):
        return "install the package that the store's scheme needs: `pip install s3fs` for s3://"
    if "NoSuchBucket" in codes:
        return "create the bucket, or correct its name in FLEETPGO_STORE"
    if isinstance(error, PermissionError):
        return (
            "check the credentials and their permissions: s3:GetObject, s3:PutObject, s3:DeleteObject and "
            "s3:ListBucket (without s3:ListBucket, S3 answers 403 for a missing object)"
        )
    return (
        "check that the object storage is up, and check FLEETPGO_STORE and its connection's endpoint_url and "
        "login. Tasks are retried, and waiting tasks continue once it is back"
    )
