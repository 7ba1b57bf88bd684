"""Builds of a clone: by the repository's own command, within the limits of the service file, and remembered.

The build with an empty profile is the same for each profile that is proposed on top of a commit. It is built
once and remembered (:mod:`fleetpgo.proposal.remembered`).
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fleetpgo.errors import BuildError, RepositoryError
from fleetpgo.golang import worktree
from fleetpgo.golang.environment import (
    build_environment,
    clone_directory,
    download_modules,
    repository_cache,
)
from fleetpgo.golang.processes import MOST_LINES
from fleetpgo.golang.toolchain import Built, build, build_settings, log_line, run, version
from fleetpgo.proposal.checkout import clone, read, write
from fleetpgo.proposal.remembered import Plain, recall, remember
from fleetpgo.proposal.sharing import Beside, in_group
from fleetpgo.proposal.signing import identity_of
from fleetpgo.proposal.wiring.edits import BaseBuild
from fleetpgo.proposal.wiring.recording import recording

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.forges import Forge
    from fleetpgo.proposal.signing import Identity
    from fleetpgo.service.rules import BuildRules, ServiceRules

_log = logging.getLogger(__name__)


@contextmanager
def clone_to_build(service: ServiceRules, forge: Forge, cache: Path) -> Iterator[Checkout]:
    """Yield a clone of the service's base, at the path of all of its builds; remove it at the end.

    Args:
        service: rules of the service.
        forge: forge that hosts the repository.
        cache: directory for Go's caches, kept between runs.

    Raises:
        RepositoryError: git fails.
        ForgeError: the forge gives no credentials.
    """
    repository = service.repository
    with (
        clone_directory(cache, repository.identity) as directory,
        clone(
            forge.clone_url,
            repository.base,
            service.branch,
            config=forge.git_config(),
            submodules=repository.submodules,
            directory=directory,
            identity=identity_in_group(service, forge),
        ) as checkout,
    ):
        yield checkout


def identity_in_group(service: ServiceRules, forge: Forge) -> Identity:
    """Return who makes a service's commits, and in a group whose others on its branch are fleetpgo's, too."""
    own = identity_of(service.commit, forge.signing_key, forge.make_commit)
    return in_group(own, service) if service.repository.group else own


@dataclass(frozen=True)
class Runner:
    """Runs the repository's own commands within the limits of the service file.

    Attributes:
        directory: the clone.
        rules: the commands and the limits.
        environment: all that a command sees.
    """

    directory: Path
    rules: BuildRules
    environment: Mapping[str, str]

    def build(self, seen: Callable[[str], None] = log_line, most: int = MOST_LINES) -> Built:
        """Build the service; see :func:`fleetpgo.golang.toolchain.build`."""
        return build(
            self.directory,
            self.rules.command,
            self.rules.binary,
            timeout=self.rules.timeout,
            memory=self.rules.memory,
            environment=self.environment,
            seen=seen,
            most=most,
        )

    def run(self, command: Sequence[str]) -> None:
        """Run another command; see :func:`fleetpgo.golang.toolchain.run`."""
        run(
            self.directory,
            command,
            timeout=self.rules.timeout,
            memory=self.rules.memory,
            environment=self.environment,
        )


def runner_of(checkout: Checkout, service: ServiceRules, cache: Path) -> Runner:
    """Return what runs a service's commands in a clone.

    Args:
        checkout: the clone.
        service: whose commands they are.
        cache: directory for Go's caches, kept between runs.
    """
    environment = build_environment(os.environ, cache, service.repository.identity)
    return Runner(checkout.path, service.build, {**environment, **service.build.environment})


def record_build(
    checkout: Checkout,
    service: ServiceRules,
    cache: Path,
    *,
    modules: Iterable[Path],
    profile: str | None,
    beside: Beside = Beside(),  # noqa: B008 -- it is frozen
) -> Recorded:
    """Build the base branch with an empty profile, and record its ``go build`` calls.

    Args:
        checkout: the clone; git must not run in it any more.
        service: whose build it is.
        cache: directory for Go's caches, kept between runs.
        modules: directories of the repository's Go modules.
        profile: path of the profile, as far as it is known before the build; None: it is not.
        beside: what the build makes for other services.

    Raises:
        ToolchainError: if Go is missing, or is not the one that the repository asks for.
        BuildError: if the service does not build.
    """
    download_modules(checkout.path, modules, os.environ, cache, memory=service.build.memory)
    # To Go an empty file is no profile.
    kept = worktree.listing(checkout.path)
    return build_plain(checkout, service, cache, {profile: b""} if profile else {}, beside, kept)


@dataclass(frozen=True)
class Recorded:
    """A build of the base branch with some files in place, an empty profile among them.

    Attributes:
        plain: what was built.
        files: path and content of those files.
        beside: what the build made for other services, whose profiles were empty, too.
        kept: the paths of a fresh clone.
        remembered: whether an earlier run built it.
    """

    plain: Plain
    files: Mapping[str, bytes] = field(default_factory=dict)
    beside: Beside = field(default_factory=Beside)
    kept: Collection[str] = frozenset()
    remembered: bool = False


def build_plain(
    checkout: Checkout,
    service: ServiceRules,
    cache: Path,
    files: Mapping[str, bytes],
    beside: Beside,
    kept: Collection[str],
) -> Recorded:
    """Build the base branch with some files in place, unless an earlier run did; then restore the files.

    Args:
        checkout: the clone; git must not run in it any more.
        service: whose build it is.
        cache: directory for Go's caches, kept between runs.
        files: path and content.
        beside: what the build makes for other services.
        kept: the paths of a fresh clone. What an earlier build added is removed: make could take it for up to
            date.

    Raises:
        ToolchainError: if Go is missing, or is not the one that the repository asks for.
        BuildError: if the service does not build.
    """
    runner = runner_of(checkout, service, cache)
    folder = repository_cache(cache, service.repository.identity) / "builds"
    placed = {**dict.fromkeys(beside.profiles, b""), **files}
    identity = (
        checkout.base_commit,
        str(checkout.path),
        *service.build.command,
        service.repository.submodules,
        version(environment=runner.environment),
        *(f"{name}={value}" for name, value in sorted(runner.environment.items())),
        *(f"{name} {hashlib.sha256(content).hexdigest()}" for name, content in sorted(placed.items())),
    )
    if found := recall(folder, identity, service.build.binary):
        _log.info("%s is not built again without a profile: an earlier run did", checkout.base_commit[:12])
        return Recorded(found, files, beside, kept, remembered=True)
    worktree.remove_others(checkout.path, kept)
    before = {name: read(checkout, name) for name in placed}
    for name, content in placed.items():
        write(checkout, name, content)
    _log.info("building %s with no profile", checkout.base)
    with recording(runner.environment) as (environment, calls):
        built = replace(runner, environment=environment).build()
    settings = build_settings(built.path, environment=runner.environment)
    plain = Plain(BaseBuild(tuple(calls), settings), built, digest(built.path))
    others = {name: _other(runner, plain, name) for name in beside.binaries}
    made = {name: each for name, each in others.items() if each}
    remember(folder, identity, {**made, service.build.binary: plain})
    for name, old in before.items():
        if old is None:
            worktree.resolve(checkout.path, name).unlink(missing_ok=True)
        else:
            write(checkout, name, old)
    return Recorded(plain, files, beside, kept)


def _other(runner: Runner, plain: Plain, binary: str) -> Plain | None:
    """Return the same build with another of its binaries; None if that is none of Go's."""
    try:
        path = worktree.resolve(runner.directory, binary)
        if not path.is_file():
            return None
        settings = build_settings(path, environment=runner.environment)
        built = replace(plain.built, path=path, size=path.stat().st_size)
        return Plain(replace(plain.base, settings=settings), built, digest(path))
    except (BuildError, RepositoryError, OSError):
        return None


def digest(binary: Path) -> str:
    """Return the SHA-256 of a file."""
    with binary.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
