"""The environment of a build: a few variables, and a home and caches for its repository alone.

A build of one repository must not influence a build of another one through its home directory, Go settings or
build cache. Repositories share only the downloaded modules, in the form of a module proxy in a directory: Go
checks modules from a proxy against ``go.sum``. A build never sees a password. If the module proxy needs one,
fleetpgo itself downloads the modules before the build.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import logging
import re
import tempfile
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fleetpgo.errors import RepositoryError
from fleetpgo.golang import processes, worktree
from fleetpgo.golang.caches import locked, use_lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_log = logging.getLogger(__name__)

_MODULES = ("GONOPROXY", "GONOSUMDB", "GOPRIVATE", "GOSUMDB")
"""How Go finds modules, besides GOPROXY."""

PASSED_ON = ("LANG", "GOFLAGS", "GOTOOLCHAIN", *_MODULES)
"""The variables of the worker that a build sees, besides those of every command."""

_DOWNLOAD_SECONDS, _ENV_SECONDS = 600.0, 60.0


def build_environment(caller: Mapping[str, str], cache: Path, repository: str) -> dict[str, str]:
    """Return the environment of a repository's builds.

    Args:
        caller: the worker's environment, of which :data:`PASSED_ON` is taken, without passwords.
        cache: directory of all repositories' homes and caches, kept between runs; made if it is not there.
        repository: a text that identifies the repository.
    """
    own = repository_cache(cache, repository)
    directories = {
        "HOME": own / "home",
        "GOCACHE": own / "go-build",
        "GOPATH": own / "gopath",
        "GOMODCACHE": own / "gopath" / "pkg" / "mod",
    }
    for directory in directories.values():
        directory.mkdir(parents=True, exist_ok=True)
    passed = processes.passed_on(caller, *PASSED_ON)
    for name in [name for name, value in passed.items() if name.lower().endswith("_proxy") and "@" in value]:
        _log.warning("%s holds a password, which a build must not see: it gets no such proxy", name)
        del passed[name]
    return (
        # What `go env -w` wrote changes no build, not even the repository's own.
        {"GOFLAGS": "", "GOENV": "off"}
        | passed
        | {"GOPROXY": f"{_shared(cache).as_uri()},{_without_passwords(caller)}".rstrip(",|")}
        | {name: str(directory.absolute()) for name, directory in directories.items()}
    )


def repository_cache(cache: Path, repository: str) -> Path:
    """Return the directory for the home and the caches of one repository's builds."""
    readable = re.sub(r"[^\w.-]+", "-", repository, flags=re.ASCII)[-40:]
    return cache / "repositories" / f"{readable}-{hashlib.sha256(repository.encode()).hexdigest()[:12]}"


@contextmanager
def clone_directory(cache: Path, repository: str) -> Iterator[Path]:
    """Yield an empty directory for a clone that is built, the same one in each run; remove it at the end.

    The path must not change, because Go's build cache and the binary depend on it. If another run uses the
    directory, the next free one is used. Remains of a killed run are removed.

    Args:
        cache: as for :func:`build_environment`.
        repository: a text that identifies the repository.
    """
    own = repository_cache(cache, repository).absolute()
    own.parent.mkdir(parents=True, exist_ok=True)
    with locked(use_lock(own), fcntl.LOCK_SH):
        own.mkdir(exist_ok=True)
        for number in itertools.count():
            with locked(own / f"clone-{number}.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as mine:
                if not mine:
                    continue
                place = own / f"clone-{number}"
                _remove(place)
                place.mkdir()
                try:
                    yield place
                finally:
                    _remove(place)
                return


def _remove(place: Path) -> None:
    """Remove a directory in which a build may have left anything, also a link or what only reading allows."""
    with (
        suppress(FileNotFoundError),
        tempfile.TemporaryDirectory(dir=place.parent, prefix="gone-", ignore_cleanup_errors=True) as gone,
    ):
        place.rename(Path(gone) / place.name)


def download_modules(
    checkout: Path, modules: Iterable[Path], caller: Mapping[str, str], cache: Path, *, memory: int
) -> None:
    """Download what modules require into the cache that all builds share, with the worker's own GOPROXY.

    No code of the repository is run, and no version control program (``GOVCS``). What cannot be downloaded
    here is left for the build to fetch.

    Args:
        checkout: a clone that no build has touched.
        modules: directories of its modules; of modules inside each other only the outermost.
        caller: the worker's environment; its GOPROXY may hold a password.
        cache: as for :func:`build_environment`.
        memory: bytes of data that the go command may have.
    """
    every = set(modules)
    for module in sorted(every):
        if every.isdisjoint(module.parents) and not (module / "vendor" / "modules.txt").exists():
            _download(checkout, module, caller, cache, memory)
    # Without their lists of versions: a query for the newest one must go to the proxy behind.
    for versions in _shared(cache).glob("**/@v/list"):
        versions.unlink(missing_ok=True)


def _download(checkout: Path, module: Path, caller: Mapping[str, str], cache: Path, memory: int) -> None:
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as directory:
        own = Path(directory)
        why = ""
        try:
            # Copies: go writes into both where something is missing, and the build must find them untouched.
            for name in ("go.mod", "go.sum"):
                content = worktree.read(checkout, (module / name).relative_to(checkout))
                (own / name).write_bytes(content or b"")
        except RepositoryError as error:
            why = error.message
        else:
            ended = processes.capture(
                ("go", "mod", "download", f"-modfile={own / 'go.mod'}"),
                module,
                processes.passed_on(caller, "GOPROXY", *_MODULES)
                | {
                    **dict.fromkeys(("HOME", "GOPATH", "GOCACHE"), directory),
                    "GOMODCACHE": str((cache / "modules").absolute()),
                    "GOENV": "off",
                    "GOFLAGS": "",
                    "GOWORK": "off",
                    # A toolchain would be kept, and next time run, where builds can write.
                    "GOTOOLCHAIN": "local",
                    "GOVCS": "*:off",
                },
                seconds=_DOWNLOAD_SECONDS,
                memory=memory,
            )
            if ended.failed:
                why = ended.stopped or " ".join(ended.errors.split())[-500:]
        if why:
            _log.info("the modules of %s are not downloaded before the build: %s", module.name, why)


def _shared(cache: Path) -> Path:
    """Return the directory that Go can use as a module proxy: https://go.dev/ref/mod#module-cache."""
    return cache.absolute() / "modules" / "cache" / "download"


@lru_cache
def _default_proxy(path: str) -> str:
    """Return Go's own GOPROXY, for workers that set none; "direct" if there is no Go to ask."""
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as directory:
        try:
            told = processes.capture(
                ("go", "env", "GOPROXY"),
                Path(directory),
                {"PATH": path, "GOENV": "off", "HOME": directory},
                seconds=_ENV_SECONDS,
            )
        except OSError:
            return "direct"
    return told.output.decode(errors="replace").strip() or "direct"


def _without_passwords(caller: Mapping[str, str]) -> str:
    """Return the worker's GOPROXY without entries that hold a password; "" if none is left."""
    kept = ""
    proxies = caller.get("GOPROXY") or _default_proxy(caller.get("PATH", ""))
    for address, separator in re.findall(r"([^,|]+)([,|]?)", proxies):
        if "@" in urlsplit(address.strip()).netloc:
            _log.warning(
                "GOPROXY holds a password, which a build must not see: it gets the modules that `go mod "
                "download` finds before it, and no such proxy"
            )
        else:
            kept += address + separator
    return kept
