"""The text of a group's pull request: a head, and a section between marks for each service.

Each run writes its own service's section, and leaves the others' as they are. Text only: whose commit is on
the branch says :mod:`fleetpgo.proposal.group`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from fleetpgo.markdown import code
from fleetpgo.proposal.ensure import Marker, marker, marker_line
from fleetpgo.proposal.etiquette import DO_NOT_UPDATE, REBASE, REBASE_BOX, TAKE_OVER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Absent = Literal["withdrawn", "rejected", "conflict"]
"""Why a service's commit is not on the branch: its own run or a person has taken it out, or it did not apply
to the base any more."""

_SECTION = re.compile(
    r"^<!-- fleetpgo:section (?P<service>[a-z0-9_-]+) -->\n"
    r"(?P<text>.*?)\n<!-- fleetpgo:end (?P=service) -->[ \t]*$",
    re.MULTILINE | re.DOTALL,
)

_NAMED = 3
"""Services that a title names."""


def sections(body: str) -> dict[str, str]:
    """Return the sections in a body: service → text, in their order."""
    # A forge's form makes lines end with \r\n.
    return {found["service"]: found["text"] for found in _SECTION.finditer(body.replace("\r\n", "\n"))}


def marker_of(name: str, body: str) -> Marker | None:
    """Return what programs read about a service in the body of its, or its group's, pull request."""
    found = sections(body)
    return marker(found.get(name, "")) if found else marker(body)


def live(body: str) -> list[str]:
    """Return the services whose section says that their commit is on the branch."""
    return [
        name
        for name, text in sections(body).items()
        if (about := marker(text)) is not None and not about.absent
    ]


def replaced(body: str, group: str, name: str, text: str | None, lost: Iterable[str] = ()) -> str:
    """Return a body with another section of one service.

    Args:
        body: the body as it is; "" for a new one.
        group: name of the group.
        name: the service.
        text: its new section; None: as it is.
        lost: other services whose commit is not on the branch any more, as it did not apply to the base.
    """
    found = sections(body)
    if text is not None:
        found[name] = text
    for each in lost:
        about = marker(found.get(each, ""))
        if about is not None and not about.absent:
            why = "its commit did not apply to the base any more; its own run makes it anew"
            found[each] = absent(each, "conflict", about, why)
    return compose(group, found)


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
