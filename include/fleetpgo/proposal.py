"""The step that ends in a pull request: clone, wire, build twice, commit, push, propose.

The target repository and the forge are the only state. The step may be interrupted anywhere and run again:
the branch, its commit and the pull request are found and brought up to date, never duplicated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from fleetpgo.config import Service
    from fleetpgo.forges import Forge
    from fleetpgo.pullrequest import Provenance


@dataclass(frozen=True)
class Proposed:
    """What came of proposing a profile; plain values only, for ``dataclasses.asdict`` and JSON.

    Attributes:
        branch: branch that the pull request comes from.
        base: branch that it goes to.
        profile: first 12 hex digits of the SHA-256 of the profile's bytes.
        unchanged: the base branch holds exactly this profile already: nothing was built, pushed or opened.
        dry_run: everything was done but the push and the pull request.
        head: full SHA of the pushed commit; None where nothing was pushed.
        pull_request: its number; None where none was opened.
        url: where a person reads it; None where none was opened.
        toolchain: version of Go that built the service, such as ``go1.27.3``.
        size_without: bytes of the binary built without a profile; this and the rest are None if unchanged.
        size_with: bytes of the binary built with this profile.
        seconds_without: how long the build without a profile took.
        seconds_with: how long the build with this profile took.
    """

    branch: str
    base: str
    profile: str
    unchanged: bool
    dry_run: bool
    head: str | None = None
    pull_request: int | None = None
    url: str | None = None
    toolchain: str | None = None
    size_without: int | None = None
    size_with: int | None = None
    seconds_without: float | None = None
    seconds_with: float | None = None


def propose(
    service: Service,
    forge: Forge,
    profile: bytes,
    provenance: Provenance,
    *,
    dry_run: bool,
    cache: Path,
) -> Proposed:
    """Propose a profile to a service's repository as a pull request.

    Args:
        service: whose repository and build it is.
        forge: where the repository is.
        profile: the bytes to commit at ``service.repository.profile``.
        provenance: where the profile comes from; told in the pull request.
        dry_run: do everything but the push and the pull request.
        cache: directory for Go's caches, kept between runs.

    Raises:
        RepositoryError: if git fails, or the Makefile cannot be made to pass the profile on.
        ToolchainError: if Go is missing.
        BuildError: if the service does not build, with the compiler's last words.
        ForgeError: if the forge cannot be reached, or refuses.
    """
    raise NotImplementedError
