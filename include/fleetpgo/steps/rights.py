"""Whether the forge will take the proposal: asked before anything is profiled or built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.errors import RefusedError
from fleetpgo.proposal.forges import Intent

if TYPE_CHECKING:
    from fleetpgo.proposal.forges import Forge
    from fleetpgo.service.rules import ServiceRules


def intent_of(service: ServiceRules) -> Intent:
    """Return what the service is going to propose."""
    repository = service.repository
    return Intent(repository.base, service.branch, repository.profile, signed=service.commit.sign is not None)


def require_rights(service: ServiceRules, forge: Forge) -> None:
    """Check that the repository and its base are there, and that nothing known keeps a proposal from them.

    It takes a few requests, so it comes before anything is profiled or built.

    Raises:
        RefusedError: something does, in the forge's own words.
        ForgeError: the forge cannot be reached.
    """
    forge.check(service.repository.base)
    fatal = [each for each in forge.obstacles(intent_of(service)) if each.fatal]
    if fatal:
        raise RefusedError(
            "; ".join(each.said for each in fatal), hint="; ".join(each.hint for each in fatal)
        )
