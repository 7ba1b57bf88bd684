"""Title and body of a pull request.

Both are pure functions of plain values. The body starts with the decision in one paragraph; then come what
to expect, what the reviewer must read, and how to pause or reject. The tables and how to check by hand are
folded below that. Everything in it that comes from outside (instance and function names, reasons, PromQL) is
written so that Markdown, HTML or an ``@mention`` in it stays plain text.

Each section has a file of its own.
"""

from __future__ import annotations

import re
from string import Template

from fleetpgo.markdown import details
from fleetpgo.proposal.body.benchmarks import benchmarks
from fleetpgo.proposal.body.build import build
from fleetpgo.proposal.body.closing import MANNERS, by_hand, footer
from fleetpgo.proposal.body.compiler import compiler
from fleetpgo.proposal.body.decision import decision, gains
from fleetpgo.proposal.body.functions import functions
from fleetpgo.proposal.body.guards import guards
from fleetpgo.proposal.body.notes import notes
from fleetpgo.proposal.body.profile import profile
from fleetpgo.proposal.body.provenance import provenance
from fleetpgo.proposal.body.source import source
from fleetpgo.proposal.body.values import Change, Datacenter, FunctionShare, Proposal, Provenance
from fleetpgo.proposal.body.variants import variants
from fleetpgo.proposal.ensure import Marker, marker_line

__all__ = [
    "Change",
    "Datacenter",
    "FunctionShare",
    "Proposal",
    "Provenance",
    "body",
    "message",
    "section",
    "title",
]

LONGEST_BODY = 60_000
"""Characters of a body: the least that a forge takes is GitHub's 65,536."""

_SHA = re.compile(r"[0-9a-f]{40}")

# As they are shown. Where there is no room for all, the last go first.
_SECTIONS = (profile, build, benchmarks, variants, provenance, compiler, functions, source, guards)


def title(proposal: Proposal) -> str:
    """Return the title of a pull request, which says what changes; the service file has a template."""
    return _filled(proposal.title, proposal)


def message(proposal: Proposal) -> str:
    """Return the commit's message. It names no run, so the same change gives the same commit."""
    return f"{title(proposal)}\n\n{_filled(proposal.message, proposal)}\n"


def _filled(template: str, proposal: Proposal) -> str:
    first = proposal.current is None
    change = (
        gains(proposal.change) if proposal.change else "its first profile" if first else "another profile"
    )
    own = f"{'Add' if first else 'Refresh'} the PGO profile of {proposal.service}"
    if proposal.provenance.release:
        release = proposal.provenance.release
        own += f" for release {release[:12] if _SHA.fullmatch(release) else release}"
    return Template(template).substitute(
        title=own if first else f"{own}: {change}",
        service=proposal.service,
        change=change,
        path=proposal.path,
        profile=proposal.profile,
    )


def body(proposal: Proposal) -> str:
    """Return the body of a pull request, in Markdown that all forges render in the same way.

    It has at most LONGEST_BODY characters. Where that is not enough for everything, whole sections are left
    out, the least needed first, and named.
    """
    marker = Marker(proposal.provenance.run, proposal.profile)
    return _text(proposal, [MANNERS], marker, LONGEST_BODY)


def section(proposal: Proposal, services: int) -> str:
    """Return what the pull request of a group says of one service.

    Args:
        proposal: what the service's commit brings.
        services: how many services are of the group: each has a share of the whole text.
    """
    marker = Marker(proposal.provenance.run, proposal.profile, proposal.service)
    return f"## {proposal.service}\n\n{_text(proposal, [], marker, LONGEST_BODY // services)}"


def _text(proposal: Proposal, manners: list[str], about: Marker, most: int) -> str:
    head = [decision(proposal), *notes(proposal), *manners]
    tail = [by_hand(proposal), footer(proposal.provenance), marker_line(about)]
    sections = [section for make in _SECTIONS if (section := make(proposal)) is not None]
    left_out: list[str] = []
    while True:
        told = [details(section.title, section.text) for section in sections]
        if left_out:
            told.append(f"Left out, for its length: {', '.join(left_out)}. The run's artifacts hold it.")
        text = "\n\n".join([*head, *told, *tail])
        if len(text) <= most or not sections:
            return text
        left_out.append(sections.pop().title)
