"""Share the build without a profile between the services of a repository that one command builds.

The build has an empty profile for each of these services, whichever service it is for. So it is the same
build for all of them, and its cached result (:mod:`fleetpgo.proposal.remembered`) can be reused.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import ProfileError, RepositoryError, ServiceFileError
from fleetpgo.golang import worktree
from fleetpgo.proposal.checkout import read
from fleetpgo.proposal.signing import FORGE_EMAIL
from fleetpgo.proposal.wiring.mains import likely_profile
from fleetpgo.service.files import load_service, service_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.signing import Identity
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Beside:
    """What a service's build command makes for other services.

    Attributes:
        binaries: their paths.
        profiles: where their profiles likely belong.
    """

    binaries: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()


def by_repository() -> dict[str, list[ServiceRules]]:
    """Read all service files; return the services of each repository, by its identity.

    A service file with a mistake names none: its own run says so.
    """
    found: dict[str, list[ServiceRules]] = {}
    for file in service_files():
        try:
            service = load_service(file)
        except ServiceFileError:
            continue
        found.setdefault(service.repository.identity, []).append(service)
    return found


def beside(service: ServiceRules, fleet: Mapping[str, Iterable[ServiceRules]]) -> list[ServiceRules]:
    """Return the other services of a service's repository.

    Args:
        service: rules of the service.
        fleet: what :func:`by_repository` has found.
    """
    return [other for other in fleet.get(service.repository.identity, ()) if other.name != service.name]


def of_repository(service: ServiceRules) -> list[ServiceRules]:
    """Read all service files; return the other services that name the same repository."""
    return beside(service, by_repository())


def of_group(service: ServiceRules) -> list[ServiceRules]:
    """Return the other services of the same group; none without a group."""
    group = service.repository.group
    if group is None:
        return []
    return [other for other in of_repository(service) if other.repository.group == group]


def in_group(identity: Identity, service: ServiceRules) -> Identity:
    """Return who makes a service's commits on the branch of a group, where others' are fleetpgo's as well."""
    return replace(identity, others=addresses_of([service, *of_repository(service)]))


def addresses_of(services: Iterable[ServiceRules]) -> frozenset[str]:
    """Return the addresses of fleetpgo's commits for some services."""
    given = list(services)
    forge = {FORGE_EMAIL} if any(each.commit.sign == "forge" for each in given) else set()
    return frozenset(each.commit.identity[1] for each in given) | forge


def built_alike(service: ServiceRules) -> list[ServiceRules]:
    """Return the other services whose files name the same repository, base, command and environment."""
    return [other for other in of_repository(service) if _build(other) == _build(service)]


def _build(service: ServiceRules) -> tuple[object, ...]:
    repository, build = service.repository, service.build
    return (
        repository.identity,
        repository.base,
        repository.submodules,
        build.command,
        build.environment,
    )


def find_beside(checkout: Checkout, mains: Sequence[str], others: Iterable[ServiceRules]) -> Beside:
    """Return what a build makes for other services, as far as their files and the repository tell.

    What the repository holds under a binary's path, or what is no profile, is left alone: a mistake in the
    file of one service must not end the run of another.

    Args:
        checkout: the clone, which no build has touched.
        mains: directories of its main packages.
        others: the services.
    """
    binaries, profiles = [], []
    for other in others:
        path = other.repository.profile or likely_profile(mains, other.build.binary)
        try:
            if worktree.resolve(checkout.path, other.build.binary).exists():
                continue
            if path and (content := read(checkout, path)):
                pprof.decode(content)
        except (RepositoryError, ProfileError) as error:
            _log.info("the build is not shared with %s: %s", other.name, error.message)
            continue
        binaries.append(other.build.binary)
        profiles += [path] if path else []
    return Beside(tuple(sorted(binaries)), tuple(sorted(profiles)))
