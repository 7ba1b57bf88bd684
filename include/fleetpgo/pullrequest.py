"""What a pull request says, and that there is only one.

Title and body are pure functions of plain values. Everything in them that comes from outside (instance and
function names, reasons, PromQL) is written so that Markdown, HTML or an ``@mention`` in it stays plain text.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.config import Review
    from fleetpgo.forges import Forge, PullRequest
    from fleetpgo.gotool import Built


HANDED_OVER = "fleetpgo"
"""The label that says: reviewers, assignees and all other labels are set."""


@dataclass(frozen=True)
class Provenance:
    """Where a profile comes from, as the run that made it knows.

    Attributes:
        run: id of the run.
        query: PromQL that selected the instances.
        selected: how many instances were selected.
        missing: the selected instances whose profile is not in it, each with the reason.
        samples: CPU samples in the profile.
        run_url: where a person looks at the run, if anywhere.
        figures: further named figures of the profile, such as ``{"edges": "1,204"}``.
        notes: sentences that the reviewer must read.
    """

    run: str
    query: str
    selected: int
    missing: Mapping[str, str]
    samples: int
    run_url: str | None = None
    figures: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Proposal:
    """All that a pull request tells.

    Attributes:
        service: name of the service.
        path: where the profile is in the repository.
        profile: first 12 hex digits of the SHA-256 of the profile.
        size: its bytes.
        current: the same digits of the profile on the base branch; None where there is none.
        current_size: the bytes of that profile.
        toolchain: version of Go that built the service.
        without: the build without a profile.
        with_profile: the build with this profile, by the same command and flags.
        provenance: where the profile comes from.
    """

    service: str
    path: str
    profile: str
    size: int
    current: str | None
    current_size: int | None
    toolchain: str
    without: Built
    with_profile: Built
    provenance: Provenance


@dataclass(frozen=True)
class Marker:
    """What a program reads in the body of a pull request.

    Attributes:
        run: id of the run that wrote the body.
        profile: first 12 hex digits of the SHA-256 of the profile that it proposes.
    """

    run: str
    profile: str


def title(proposal: Proposal) -> str:
    """The title of a pull request; the same every week, so that it can be searched for and filtered by."""
    return f"Refresh the PGO profile of {proposal.service}"


def body(proposal: Proposal) -> str:
    """The body of a pull request, in Markdown that every forge renders alike."""
    return "\n\n".join(
        [
            _decision(proposal),
            _profile(proposal),
            _build(proposal),
            *_notes(proposal.provenance),
            *_provenance(proposal.provenance),
            _FOOTER,
            _marker_line(Marker(proposal.provenance.run, proposal.profile)),
        ]
    )


def marker(text: str) -> Marker | None:
    """The marker in the body of a pull request; None where there is none that can be read."""
    # The last one: whatever a name or reason further up may look like, ours is at the end.
    lines = re.findall(r"^<!-- fleetpgo (\{.*\}) -->\s*$", text, re.MULTILINE)
    try:
        return Marker(**json.loads(lines[-1]))
    except (IndexError, TypeError, ValueError):
        return None


def ensure_pull_request(
    forge: Forge, branch: str, base: str, title: str, body: str, review: Review
) -> PullRequest:
    """The one open pull request from a branch, with this base, title and body: found, updated or opened.

    The label `fleetpgo` is put on it last. Where it is missing, handing the pull request over was cut off,
    and is done again; where it is there, people's changes to reviewers and labels are left as they are.

    Raises:
        ForgeError: if the forge cannot be reached, or refuses.
    """
    found = forge.find(branch)
    if found is None or found.state != "open":
        found = forge.create(branch, base, title, body, draft=review.draft)
    elif (found.title, found.body, found.base) != (title, body, base):
        found = forge.update(found.number, title, body, base if found.base != base else None)
    if HANDED_OVER not in found.labels:
        forge.hand_over(found.number, review)
        forge.label(found.number, add=(*review.labels, HANDED_OVER))
    return found


def code(value: str) -> str:
    """A value as a Markdown code span, in which nothing is markup and nobody is mentioned.

    A code span ends at the first run of as many backticks as it began with; so it begins with more than the
    value has anywhere. Not for table cells: those end at a ``|`` even inside a code span.
    """
    line = " ".join(value.split()) or " "
    if len(line) > _LONGEST_VALUE:
        line = f"{line[:_LONGEST_VALUE]}…"
    fence = _fence(line, 1)
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def prose(value: str) -> str:
    """A sentence as Markdown text: markup in it is escaped, and an invisible space keeps mentions silent."""
    line = re.sub(r"([\\`*_\[\]<>&~|])", r"\\\1", " ".join(value.split()))
    return re.sub(r"([@#])", "\\1\u200b", line)


# Of a URL's own characters those that mean nothing in a Markdown link.
_URL_CHARACTERS = ":/?#@!$&'*+,;=%~"

_FOOTER = """---

fleetpgo makes this branch anew from its base at each run. A commit of yours on it stops that; close the pull
request and delete the branch to start afresh."""

_LONGEST_VALUE = 300
"""Characters of one name or reason that are shown."""

_MOST_LISTED = 20
"""Missing instances that are named; a forge takes some 65,000 characters in all."""


def _decision(proposal: Proposal) -> str:
    where = proposal.provenance
    verb = "Refreshes" if proposal.current else "Adds"
    fetched = where.selected - len(where.missing)
    change = _change(proposal.without.size, proposal.with_profile.size)
    return (
        f"{verb} the PGO profile of `{proposal.service}`: {fetched:,} of {where.selected:,} instances, "
        f"{where.samples:,} samples. The service builds with it; the binary's size changes by {change}."
    )


def _profile(proposal: Proposal) -> str:
    rows = ["| profile | SHA-256 begins with | bytes |", "|---|---|---:|"]
    if proposal.current is not None and proposal.current_size is not None:
        rows.append(f"| current | `{proposal.current}` | {proposal.current_size:,} |")
    rows.append(f"| proposed | `{proposal.profile}` | {proposal.size:,} |")
    return f"### Profile\n\nIt is committed as {code(proposal.path)}.\n\n" + "\n".join(rows)


def _build(proposal: Proposal) -> str:
    without, built = proposal.without, proposal.with_profile
    rows = [
        "| build | binary, bytes | time, s |",
        "|---|---:|---:|",
        f"| without a profile | {without.size:,} | {without.seconds:.1f} |",
        f"| with the profile | {built.size:,} | {built.seconds:.1f} |",
        f"| change | {_change(without.size, built.size)} | {built.seconds - without.seconds:+.1f} |",
    ]
    told = (
        f"Built with {code(proposal.toolchain)}; `go version -m` shows the profile in the second binary. "
        "Go's build cache is kept between runs, so the times say little."
    )
    return "### Build\n\n" + "\n".join(rows) + f"\n\n{told}"


def _notes(where: Provenance) -> list[str]:
    if not where.notes:
        return []
    return ["### Please note", "\n".join(f"- {prose(note)}" for note in where.notes)]


def _provenance(where: Provenance) -> list[str]:
    run = code(where.run)
    lines = [
        f"- run: [{run}]({quote(where.run_url, safe=_URL_CHARACTERS)})" if where.run_url else f"- run: {run}",
        f"- instances: {where.selected - len(where.missing):,} of {where.selected:,} selected",
        f"- samples: {where.samples:,}",
        *(f"- {prose(name)}: {code(value)}" for name, value in where.figures.items()),
    ]
    fence = _fence(where.query, 3)
    parts = ["### Where the profile comes from", "\n".join(lines)]
    if where.missing:
        listed = [
            f"- {code(instance)}: {code(reason)}"
            for instance, reason in itertools.islice(where.missing.items(), _MOST_LISTED)
        ]
        if len(where.missing) > _MOST_LISTED:
            listed.append(
                f"- and {len(where.missing) - _MOST_LISTED:,} more; the run's manifest has them all"
            )
        parts.append(_details(f"Selected, but not in it: {len(where.missing):,}", "\n".join(listed)))
    parts.append(_details("PromQL that selected the instances", f"{fence}promql\n{where.query}\n{fence}"))
    return parts


def _details(summary: str, text: str) -> str:
    """A part that is folded away. The empty lines are what makes a forge read the inside as Markdown."""
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def _marker_line(about: Marker) -> str:
    # A ">" in the run's id could end the comment early.
    text = json.dumps(asdict(about)).replace(">", r"\u003e")
    return f"<!-- fleetpgo {text} -->"


def _change(before: int, after: int) -> str:
    return f"{(after - before) / before:+.1%}".replace("%", " %")


def _fence(value: str, least: int) -> str:
    """More backticks than follow each other anywhere in a value."""
    return "`" * max(least, *(len(run) + 1 for run in re.findall("`+", value)), 0)
