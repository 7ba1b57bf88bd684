"""The end of a body: how to check it by hand, how to pause or reject, and the run."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from fleetpgo.markdown import code, details, fence
from fleetpgo.proposal.etiquette import DO_NOT_UPDATE, REBASE, REBASE_BOX, TAKE_OVER

if TYPE_CHECKING:
    from fleetpgo.proposal.body.values import Proposal, Provenance

# Of a URL's own characters those that mean nothing in a Markdown link.
_URL_CHARACTERS = ":/?#@!$&'*+,;=%~"

MANNERS = f"""---

- **To pause:** put the label `{DO_NOT_UPDATE}` on this pull request; nothing is changed while it is there.
- **To reject:** close it without merging; it is not proposed again until the profile has become another one.
- fleetpgo makes this branch anew from its base at each run. A commit of yours on it stops that;
  the label `{TAKE_OVER}` lets it go on.
- [ ] {REBASE_BOX} make this branch anew from its base now (or the label `{REBASE}`)"""
"""How people pause or reject."""


def by_hand(proposal: Proposal) -> str:
    """Return the commands by which a reviewer checks the pull request."""
    commands = "\n".join(
        [
            f"git fetch origin {proposal.branch} && git switch --detach FETCH_HEAD",
            proposal.command,
            f"go version -m {proposal.binary} | grep -e -pgo  # names {proposal.path}",
            f"fleetpgo profile top {proposal.path}",
            f"fleetpgo profile match {proposal.path} .  # from the module's directory",
        ]
    )
    quotes = fence(commands, 3)
    return details("By hand", f"{quotes}sh\n{commands}\n{quotes}")


def footer(where: Provenance) -> str:
    """Return the line that names the run."""
    run = code(where.run)
    if where.run_url:
        run = f"[{run}]({quote(where.run_url, safe=_URL_CHARACTERS)})"
    return f"Made by fleetpgo, run {run}."
