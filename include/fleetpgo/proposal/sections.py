"""The text of a group's pull request: a head, and a section between marks for each service.

Each run writes its own service's section, and leaves the others' as they are. Text only: whose commit is on
the branch says :mod:`fleetpgo.proposal.members`. Whoever may edit the pull request can write anything in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from fleetpgo.markdown import code
from fleetpgo.proposal.ensure import Marker, marker, marker_line
from fleetpgo.proposal.etiquette import DO_NOT_UPDATE, REBASE, REBASE_BOX, TAKE_OVER
from fleetpgo.service.rules import NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Absent = Literal["withdrawn", "rejected", "conflict"]
"""One of :data:`fleetpgo.proposal.ensure.ABSENT`."""

_MARK = re.compile(r"<!-- fleetpgo:(?P<which>section|end) (?P<service>[a-z0-9_-]{1,63}) -->[ \t]*")

_NAMED = 3
"""Services that a title names."""

LONGEST_BODY = 65_000
"""Characters of the whole text: the least that a forge takes is GitHub's 65,536."""


def sections(body: str) -> dict[str, str]:
    """Return the sections in a body: service → text, in their order."""
    found: dict[str, str] = {}
    service, text = "", list[str]()
    # A forge's form makes lines end with \r\n.
    for line in body.replace("\r\n", "\n").split("\n"):
        mark = _MARK.fullmatch(line)
        if mark is None:
            text.append(line)
        elif mark["which"] == "section" and NAME.fullmatch(mark["service"]):
            service, text = mark["service"], []
        elif mark["service"] == service:
            found[service] = "\n".join(text)
            service = ""
    return found


def marker_of(name: str, body: str) -> Marker | None:
    """Return what programs read about a service in the body of its, or its group's, pull request."""
    found = sections(body)
    about = marker(found.get(name, "")) if found else marker(body)
    return about if about is not None and about.service == (name if found else "") else None


def live(body: str) -> dict[str, Marker]:
    """Return the services whose section says that their commit is on the branch, and what it says."""
    return {
        name: about
        for name in sections(body)
        if (about := marker_of(name, body)) is not None and not about.absent
    }


def replaced(
    body: str,
    group: str,
    name: str,
    text: str | None,
    lost: Mapping[str, Marker] | None = None,
    there: Collection[str] = (),
) -> str:
    """Return a body with another section of one service.

    Args:
        body: the body as it is; "" for a new one.
        group: name of the group.
        name: the service.
        text: its new section; None: as it is.
        lost: other services whose commit is not on the branch any more, as it did not apply to the base, and
            what their section said then. One that says something else by now is left as it is.
        there: services whose commit is on the branch; one without a section gets one that says so.
    """
    found = sections(body)
    if text is not None:
        found[name] = text
    for each, before in (lost or {}).items():
        if marker_of(each, body) == before:
            why = "its commit did not apply to the base any more, or was in it; its own run makes it anew"
            found[each] = absent(each, "conflict", before, why)
    for each in there:
        found.setdefault(each, f"## {each}\n\nIts commit is on the branch. Its own run writes the text.")
    while len(whole := compose(group, found)) > LONGEST_BODY:
        longest = max(found, key=lambda each: (each != name, len(found[each])))
        about = marker(found[longest])
        short = f"## {longest}\n\nLeft out, for the length of all: the run's artifacts hold it."
        short += f"\n\n{marker_line(about)}" if about else ""
        if len(short) >= len(found[longest]):
            del found[longest]
        else:
            found[longest] = short
    return whole


def inherited(body: str, number: int, heads: Mapping[str, str], *, rejected: bool) -> str:
    """Return the sections that a new pull request has from the one before: of profiles that people rejected.

    Args:
        body: of the one before, which has ended.
        number: its number.
        heads: service → full SHA of its commit in it, where that is known.
        rejected: whether people closed it unmerged.
    """
    found = {}
    for name, text in sections(body).items():
        about = marker_of(name, body)
        if about is not None and about.absent == "rejected":
            found[name] = text
        elif about is not None and not about.absent and rejected:
            made = Marker(about.run, about.profile, head=heads.get(name, ""))
            found[name] = absent(name, "rejected", made, f"it was closed unmerged, as pull request {number}")
    return "\n\n".join(_marked(found))


def absent(name: str, how: Absent, about: Marker, why: str) -> str:
    """Return the section of a service whose commit is not on the branch.

    Args:
        name: the service.
        how: in a word, for programs.
        about: the run and the profile that the section is about.
        why: in a sentence without its first capital, in Markdown.
    """
    made = marker_line(Marker(about.run, about.profile, name, about.head, how))
    return f"## {name}\n\nNot in this pull request: {why}.\n\n{made}"


def compose(group: str, found: Mapping[str, str]) -> str:
    """Return the whole text of a group's pull request."""
    names = live("\n".join(_marked(found)))
    count = f"{len(names)} service{'s' if len(names) != 1 else ''}"
    head = (
        f"Proposes the PGO profiles of {count} of the group {code(group)}: "
        f"{', '.join(map(code, names)) or 'none'}. Each has one commit, so that one can be reverted, and one "
        "section, whose builds and checks are of that commit on the base alone.\n\n---\n\n"
        f"- **To pause:** put the label `{DO_NOT_UPDATE}` on this pull request; nothing is changed while it "
        "is there.\n"
        "- **To reject:** close it without merging; none of the profiles is proposed again until it has "
        "become another one.\n"
        "- Each run makes this branch anew from its base, and replaces the commit and the section of its own "
        f"service. A commit of yours on it stops that; the label `{TAKE_OVER}` lets it go on.\n"
        f"- [ ] {REBASE_BOX} make this branch anew from its base now (or the label `{REBASE}`)"
    )
    return "\n\n".join([head, *_marked(found)])


def _marked(found: Mapping[str, str]) -> list[str]:
    return [
        f"<!-- fleetpgo:section {name} -->\n{text}\n<!-- fleetpgo:end {name} -->"
        for name, text in found.items()
    ]


def title_of(group: str, body: str) -> str:
    """Return the title of a group's pull request, which names whose profiles it proposes."""
    names = live(body)
    if not names or len(names) > _NAMED:
        return f"Refresh the PGO profiles of {len(names)} services ({group})"
    profiles = "profile" if len(names) == 1 else "profiles"
    return f"Refresh the PGO {profiles} of {', '.join(names)} ({group})"
