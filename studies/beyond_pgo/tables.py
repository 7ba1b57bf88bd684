"""The study's tables, from the rounds that were measured and the binaries that there are."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studies.beyond_pgo.ratios import Ratio, ratio
from studies.beyond_pgo.variants import AGAIN, NONE, PGO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from studies.beyond_pgo.builds import Made
    from studies.beyond_pgo.rounds import Round
    from studies.beyond_pgo.serving import Server

BEGIN, END = "<!-- study:beyond-pgo -->", "<!-- study:end -->"
FEWEST = 10
"""Rounds that a table should have."""


@dataclass(frozen=True)
class Row:
    """One variant of one server.

    Attributes:
        made: its binary.
        cpu_ns: CPU per request, geometric mean over the rounds; None if it was not measured.
        against: the ratio to the build without anything; None for that itself, or if it was not measured.
        died: in how many rounds it died, and what it said; "" if in none.
        beyond: of PGO with something more, the ratio to PGO alone; else None.
    """

    made: Made
    cpu_ns: float | None
    against: Ratio | None
    died: str = ""
    beyond: Ratio | None = None


def rows(server: str, made: Sequence[Made], rounds: Sequence[Round]) -> list[Row]:
    """Return the rows of one server, in the order of its variants."""
    base = _per_request(rounds, server, NONE)
    pgo = [] if _deaths(rounds, server, PGO) else _per_request(rounds, server, PGO)
    found = []
    for each in made:
        if died := _deaths(rounds, server, each.variant):
            found.append(Row(each, None, None, died))
            continue
        own = _per_request(rounds, server, each.variant) if each.binary else []
        cpu = statistics.geometric_mean(own) if own else None
        against = ratio(own, base) if own and each.variant != NONE else None
        beyond = ratio(own, pgo) if own and pgo and each.variant.startswith(f"{PGO}, ") else None
        found.append(Row(each, cpu, against, beyond=beyond))
    return found


def _deaths(rounds: Sequence[Round], server: str, variant: str) -> str:
    """Say in how many rounds a binary died, and what it said first; "" if in none."""
    measured = [each for round_ in rounds for each in round_.measured]
    said = [each.said for each in measured if (each.server, each.variant) == (server, variant) and each.said]
    return f"It died in {len(said)} of {len(rounds)} rounds:\n{said[0]}" if said else ""


def _per_request(rounds: Sequence[Round], server: str, variant: str) -> list[float]:
    measured = [each for round_ in rounds for each in round_.measured]
    return [
        each.cpu_ns / each.requests for each in measured if (each.server, each.variant) == (server, variant)
    ]


def verdict(found: Ratio) -> str:
    """Say in a word whether a difference can be told."""
    if found.holds_one:
        return "~"
    return "less" if found.mean < 1 else "more"


def table(server: Server, found: Sequence[Row]) -> str:
    """Return a server's rows in Markdown, and below them what those said that do not work."""
    version = f" {server.version}, {server.load}" if server.module else f", {server.load}"
    samples = max(row.made.samples for row in found)
    profile = f"; its profile has {samples:,} samples" if samples else ""
    both = any(row.beyond for row in found)
    titles = ["variant", "CPU per request", "against none", "", *(["against pgo", ""] if both else [])]
    lines = [
        f"**{server.name}**{version}{profile}:",
        "",
        _line(*titles, "binary, MB"),
        f"|---|--:|---|---|{'---|---|' if both else ''}--:|",
    ]
    for row in found:
        cpu = "–" if row.cpu_ns is None else duration(row.cpu_ns)
        size = f"{row.made.size / 1e6:.1f}" if row.made.binary else "–"
        if not row.made.binary or row.died:
            against = ["dies" if row.died else "does not work", "see below"]
        elif row.made.variant == NONE:
            against = ["1", ""]
        else:
            against = _told(row.against, "–")
        if both:
            against += ["1", ""] if row.made.variant == PGO and row.against else _told(row.beyond, "")
        lines.append(_line(row.made.variant, cpu, *against, size))
    for row in found:
        if row.made.told or row.died:
            said = "\n".join(filter(None, [row.made.told, row.died]))
            lines += ["", f"{row.made.variant}:", "", "```text", said, "```"]
    return "\n".join(lines)


def _line(*cells: str) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def _told(found: Ratio | None, nothing: str) -> list[str]:
    return [str(found), verdict(found)] if found else [nothing, ""]


def duration(nanoseconds: float) -> str:
    """Return a CPU time as people write it."""
    return f"{nanoseconds / 1e6:.2f} ms" if nanoseconds >= 1e6 else f"{nanoseconds / 1e3:.1f} µs"  # noqa: PLR2004


def heading(rounds: Sequence[Round], machine: Mapping[str, str]) -> str:
    """Say how, when, where and under what load it was measured.

    Args:
        rounds: the measured ones, one at least.
        machine: what to name → what it says of itself; an empty one is not here.
    """
    loads = [load for each in rounds for load in (each.load_before, each.load_after)]
    tools = "; ".join(f"{name}: {told}" for name, told in machine.items() if told)
    few = "" if len(rounds) >= FEWEST else f" That is fewer than {FEWEST} rounds: a trial, no result."
    return (
        f"`make study-beyond`, {rounds[0].began[:10]}: {len(rounds)} rounds, in each all variants of all "
        f"servers in turn, {rounds[0].seconds:g} s of requests each.{few} {tools}. Load average "
        f"before the first round {rounds[0].load_before:.2f}, during the rounds {min(loads[1:]):.2f} to "
        f"{max(loads[1:]):.2f}, the study's own included."
    )


def page(servers: Sequence[tuple[Server, Sequence[Row]]], above: str) -> str:
    """Return all that stands between the marks of docs/beyond-pgo.md."""
    return "\n\n".join([above, *(table(server, found) for server, found in servers)])


def readme(servers: Sequence[tuple[Server, Sequence[Row]]], date: str) -> str:
    """Return the rows of the README: the real servers, with and without more than PGO."""
    lines = [
        f"| {date}: CPU per request against a build without | PGO | PGO, GOAMD64=v3 | the same build again |",
        "|---|---|---|---|",
    ]
    for server, found in servers:
        if server.module:
            against = {row.made.variant: str(row.against or "–") for row in found}
            cells = [against.get(name, "–") for name in ("pgo", "pgo, GOAMD64=v3", AGAIN)]
            lines.append(f"| {server.name}: {server.load} | {' | '.join(cells)} |")
    return "\n".join(lines)


def disturbed(servers: Sequence[tuple[Server, Sequence[Row]]]) -> Iterator[str]:
    """Name the servers of which the same build, measured twice, seems to differ."""
    for server, found in servers:
        for row in found:
            if row.made.variant == AGAIN and row.against and not row.against.holds_one:
                yield f"{server.name}: the same build again has {row.against}, which does not hold 1"


def put(page_text: str, text: str) -> str:
    """Return a page with the text between its marks.

    Raises:
        ValueError: it has no marks.
    """
    marked = re.compile(f"({re.escape(BEGIN)}\n).*?({re.escape(END)})", re.DOTALL)
    written, count = marked.subn(lambda marks: f"{marks[1]}\n{text}\n\n{marks[2]}", page_text)
    if count != 1:
        raise ValueError(f"the page should have {BEGIN} and {END} once")
    return written
