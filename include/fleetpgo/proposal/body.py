"""Title and body of a pull request.

Both are pure functions of plain values. The body starts with the decision in one paragraph; then come what
the reviewer must read, tables, how to check it by hand, and how to pause or reject. Everything in it that
comes from outside (instance and function names, reasons, PromQL) is written so that Markdown, HTML or an
``@mention`` in it stays plain text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from fleetpgo.golang.symbols import short
from fleetpgo.markdown import cell, code, details, fence, listed, promql, prose, table
from fleetpgo.proposal.ensure import Marker, marker_line
from fleetpgo.proposal.etiquette import DO_NOT_UPDATE, TAKE_OVER
from fleetpgo.run.artifacts import FILES
from fleetpgo.run.selected import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fleetpgo.golang.sourcematch import SourceMatch
    from fleetpgo.proposal.verify import Verified

LONGEST_BODY = 60_000
"""Characters of a body: the least that a forge takes is GitHub's 65,536."""


@dataclass(frozen=True)
class Datacenter:
    """Counts of one datacenter's instances and profiles.

    Attributes:
        name: of the datacenter; "" where instances have none.
        asked: instances that were asked for a profile.
        used: those whose profile is in the merge.
        samples: CPU samples in those.
    """

    name: str
    asked: int
    used: int
    samples: int


@dataclass(frozen=True)
class Provenance:
    """The origin of a profile, from the run that made it.

    Attributes:
        run: id of the run.
        query: PromQL that selected the instances.
        selected: how many instances were selected.
        missing: the selected instances whose profile is not in it, each with the reason.
        samples: CPU samples in the profile.
        run_url: where a person looks at the run, if anywhere.
        datacenters: where the instances are.
        figures: further named figures of the profile, such as ``{"edges": "1,204"}``.
        notes: sentences that the reviewer must read.
        guarded: functions that are kept from inlining, each with the link that says why.
        savings: what the latest refreshes saved, the oldest first, each in a few words.
    """

    run: str
    query: str
    selected: int
    missing: Mapping[str, str]
    samples: int
    run_url: str | None = None
    datacenters: Sequence[Datacenter] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    guarded: Mapping[str, str] = field(default_factory=dict)
    savings: Sequence[str] = ()


@dataclass(frozen=True)
class FunctionShare:
    """Share of a profile's edge weight on calls of one function, now and before.

    Attributes:
        function: linker symbol.
        share: in the proposed profile, 0 … 1.
        before: in the current profile; None if there is none.
    """

    function: str
    share: float
    before: float | None


@dataclass(frozen=True)
class Change:
    """The difference of a profile from the current one.

    Attributes:
        overlap: 0 … 1, see :class:`fleetpgo.pprof.Comparison`.
        gained: hot edges that the current profile has not.
        lost: hot edges of the current profile that it has not.
    """

    overlap: float
    gained: int
    lost: int


@dataclass(frozen=True)
class Proposal:
    """All that a pull request tells.

    Attributes:
        service: name of the service.
        branch: that the pull request comes from.
        path: where the profile is in the repository.
        profile: first 12 hex digits of the SHA-256 of the profile.
        size: its bytes.
        current: the same digits of the profile on the base branch; None where there is none.
        current_size: the bytes of that profile.
        change: from that profile to this one; None where there is none that can be read.
        command: the service's build command.
        binary: the path of what it makes.
        wired: other files that the pull request edits, so that they pass the profile on.
        unaware: files that build something without the profile, and are not edited.
        images: a sentence for each container image that the profile does not reach.
        verified: what was found out in the clone.
        match_below: source match below which the reviewer is warned.
        functions: the functions with the most weight, and how that changed.
        provenance: where the profile comes from.
    """

    service: str
    branch: str
    path: str
    profile: str
    size: int
    current: str | None
    current_size: int | None
    change: Change | None
    command: str
    binary: str
    wired: Sequence[str]
    unaware: Sequence[str]
    verified: Verified
    match_below: float
    functions: Sequence[FunctionShare]
    provenance: Provenance
    images: Sequence[str] = ()


def title(proposal: Proposal) -> str:
    """The title of a pull request; the same every week, so that it can be searched for and filtered by."""
    return f"Refresh the PGO profile of {proposal.service}"


def body(proposal: Proposal) -> str:
    """The body of a pull request, in Markdown that every forge renders alike.

    It has at most LONGEST_BODY characters. Where that is not enough for everything, whole sections are left
    out, the least needed first, and named.
    """
    head = [_decision(proposal), *_notes(proposal)]
    made = marker_line(Marker(proposal.provenance.run, proposal.profile))
    tail = [_by_hand(proposal), _MANNERS, _footer(proposal.provenance), made]
    sections = [section for make in _SECTIONS if (section := make(proposal)) is not None]
    left_out: list[str] = []
    while True:
        told = [f"### {section.title}\n\n{section.text}" for section in sections]
        if left_out:
            told.append(f"Left out, for its length: {', '.join(left_out)}. The run's artifacts hold it.")
        text = "\n\n".join([*head, *told, *tail])
        if len(text) <= LONGEST_BODY or not sections:
            return text
        left_out.append(sections.pop().title)


# Of a URL's own characters those that mean nothing in a Markdown link.
_URL_CHARACTERS = ":/?#@!$&'*+,;=%~"

_MANNERS = f"""---

- **To pause:** put the label `{DO_NOT_UPDATE}` on this pull request; nothing is changed while it is there.
- **To reject:** close it without merging; it is not proposed again until the profile has become another one.
- fleetpgo makes this branch anew from its base at each run. A commit of yours on it stops that;
  the label `{TAKE_OVER}` lets it go on."""

_LONGEST_QUERY = 5_000
_MOST_FILES = 5


class _Section(NamedTuple):
    title: str
    text: str


def _decision(proposal: Proposal) -> str:
    where, verified = proposal.provenance, proposal.verified
    verb = "Refreshes" if proposal.current else "Adds"
    used = where.selected - len(where.missing)
    profiled = f"{used:,} of {where.selected:,} instances"
    if where.datacenters:
        count = sum(1 for each in where.datacenters if each.used)
        profiled += f" in {count:,} datacenter{'s' if count != 1 else ''}"
    facts = [profiled, f"{where.samples:,} samples"]
    if proposal.change is not None:
        facts.append(f"overlap with the current profile {proposal.change.overlap:.2f}")
    size = _change(verified.without.size, verified.with_profile.size)
    passes = f"and {code(verified.tested)} passes" if verified.tested else "no tests were run"
    sentences = [
        f"{verb} the PGO profile of `{proposal.service}`: {', '.join(facts)}.",
        f"The service builds with it, {passes}; the binary's size changes by {size}.",
    ]
    if verified.match is not None and verified.match.share is not None:
        sentences.append(f"Source match {_share(verified.match.share)}.")
    if proposal.wired:
        files = ", ".join(map(code, proposal.wired))
        sentences.append(f"It also makes {files} pass the profile to `go build`.")
    if where.savings:
        sentences.append(f"The latest refreshes that were measured: {prose('; '.join(where.savings))}.")
    return " ".join(sentences)


def _notes(proposal: Proposal) -> list[str]:
    notes = [*proposal.provenance.notes, *_doubts(proposal)]
    if not notes:
        return []
    return ["### Please note", listed([f"- {prose(note)}" for note in notes])]


def _doubts(proposal: Proposal) -> Iterable[str]:
    """Return findings in the clone that the reviewer may have to act on, as sentences."""
    # Said once: who merges this knows where production is built.
    if proposal.unaware and proposal.current is None:
        files, more = proposal.unaware[:_MOST_FILES], len(proposal.unaware) - _MOST_FILES
        yield (
            f"what production runs may get no profile: Go is also built, without -pgo={proposal.path}, in "
            + ", ".join([*files, *([f"and {more:,} more files"] if more > 0 else [])])
        )
    if proposal.current is None:
        yield from proposal.images
    match = proposal.verified.match
    if match is None:
        yield "the profile was not compared with the source: the task's log says why"
    elif match.share is not None and match.share < proposal.match_below:
        yield (
            f"the profile speaks of another source than this: {_share(match.share)} of its weight is found, "
            f"below {proposal.match_below:g}. Were other releases profiled than the base branch holds?"
        )
    for each in proposal.verified.benchmarks:
        if each.change is not None and each.change > 0:
            yield f"{each.name} ({each.package}) is slower with the profile: {_percent(each.change)}"


def _profile(proposal: Proposal) -> _Section:
    verified = proposal.verified
    rows = ["| profile | SHA-256 begins with | bytes | source match |", "|---|---|---:|---:|"]
    if proposal.current is not None and proposal.current_size is not None:
        stale = _matched(verified.current_match)
        rows.append(f"| current | `{proposal.current}` | {proposal.current_size:,} | {stale} |")
    rows.append(
        f"| proposed | `{proposal.profile}` | {proposal.size:,} | {_matched(verified.match)} |",
    )
    told = [f"It is committed as {code(proposal.path)}."]
    if proposal.change is not None:
        told.append(
            f"Overlap of the two {proposal.change.overlap:.2f}; hot call edges gained "
            f"{proposal.change.gained:,}, lost {proposal.change.lost:,}."
        )
    told.append(
        "Source match is the share of call weight whose caller, callee and line the base branch still has."
    )
    return _Section("Profile", " ".join(told) + "\n\n" + "\n".join(rows))


def _build(proposal: Proposal) -> _Section:
    without, built = proposal.verified.without, proposal.verified.with_profile
    rows = [
        "| build | binary, bytes | time, s |",
        "|---|---:|---:|",
        f"| without a profile | {without.size:,} | {without.seconds:.1f} |",
        f"| with the profile | {built.size:,} | {built.seconds:.1f} |",
        f"| change | {_change(without.size, built.size)} | {built.seconds - without.seconds:+.1f} |",
    ]
    told = (
        f"Both by {code(proposal.command)} with {code(proposal.verified.toolchain)}: only what the file "
        "of the profile held differed, and the two binaries differ. Go's build cache is kept between runs, "
        "so the times say little."
    )
    if proposal.verified.flags:
        told += f" `go version -m` says of them: {', '.join(map(code, proposal.verified.flags))}."
    return _Section("Build", "\n".join(rows) + f"\n\n{told}")


def _benchmarks(proposal: Proposal) -> _Section | None:
    found = proposal.verified.benchmarks
    if not found:
        return None
    rows = [
        f"| {cell(each.package)} | {cell(each.name)} | {each.without:,.1f} | {each.with_profile:,.1f} | "
        f"{'~' if each.change is None else _percent(each.change)} | {each.p:.3f} |"
        for each in found
    ]
    return _Section(
        "Benchmarks",
        table(
            "| package | benchmark | without, ns | with, ns | change | p |",
            "|---|---|---:|---:|---:|---:|",
            rows,
        )
        + "\n\nMedians of an operation, both sides in turn; p by the Mann-Whitney U test, `~` where it is "
        "0.05 or more. They say what the profile does to this code on one machine, not what the fleet saves.",
    )


def _optimised(proposal: Proposal) -> _Section | None:
    did = proposal.verified.optimised
    if did is None:
        return None
    rows = [
        f"| {call.change} | {cell(short(call.caller))} → {cell(short(call.callee))} | "
        f"{_percent(call.share, sign='')} |"
        for call in did.hottest
    ]
    counted = (
        f"Because of the profile the compiler inlined hot calls in {did.inlined:,} places, and devirtualised "
        f"{did.devirtualised:,} indirect calls."
    )
    calls = table("| change | call | weight |", "|---|---|---:|", rows)
    text = f"{counted}\n\n{details('Those with the most weight', calls)}" if rows else counted
    return _Section("What the compiler did with it", text)


def _functions(proposal: Proposal) -> _Section | None:
    if not proposal.functions:
        return None
    rows = [
        f"| {cell(short(each.function))} | {_percent(each.share, sign='')} |"
        + ("" if each.before is None else f" {100 * (each.share - each.before):+.1f} |")
        for each in proposal.functions
    ]
    head, line = "| function | weight of calls to it |", "|---|---:|"
    if proposal.functions[0].before is not None:
        head, line = f"{head} change, points |", f"{line}---:|"
    return _Section("Top functions", table(head, line, rows))


def _source(proposal: Proposal) -> _Section | None:
    match = proposal.verified.match
    if match is None:
        return None
    told = [f"Compared is {_percent(match.compared, sign='')} of the call weight."]
    if match.excluded:
        left_out = ", ".join(f"{why} {_percent(share, sign='')}" for why, share in match.excluded.items())
        told.append(f"Left out: {left_out}.")
    text = " ".join(told)
    if match.lost:
        rows = [
            f"| {cell(each.edge.caller)} | {each.edge.offset} | {cell(each.edge.callee)} | {each.why} | "
            f"{_percent(each.share, sign='')} |"
            for each in match.lost
        ]
        calls = table(
            "| caller | line in it | callee | gone is | of the compared weight |",
            "|---|---:|---|---|---:|",
            rows,
        )
        text += "\n\n" + details(f"Calls that the source does not have: {len(match.lost):,}", calls)
    return _Section("Source match", text)


def _guards(proposal: Proposal) -> _Section | None:
    guarded = proposal.provenance.guarded
    if not guarded:
        return None
    rows = [f"| {cell(function)} | {prose(why)} |" for function, why in guarded.items()]
    return _Section(
        "Kept from inlining",
        "These functions are renamed in the profile, so that the compiler does not inline them.\n\n"
        + table("| function | why |", "|---|---|", rows),
    )


def _provenance(proposal: Proposal) -> _Section:
    where = proposal.provenance
    lines = [
        f"- Instances: {where.selected - len(where.missing):,} of {where.selected:,} selected",
        f"- Samples: {where.samples:,}",
        *(f"- {prose(name)}: {prose(value)}" for name, value in where.figures.items()),
    ]
    parts = ["\n".join(lines)]
    if where.datacenters:
        rows = [
            f"| {cell(each.name or 'without a name')} | {each.asked:,} | {each.used:,} | {each.samples:,} |"
            for each in where.datacenters
        ]
        parts.append(table("| datacenter | asked | used | samples |", "|---|---:|---:|---:|", rows))
    if where.missing:
        lost = [f"- {code(instance)}: {code(reason)}" for instance, reason in where.missing.items()]
        parts.append(details(f"Selected, but not in it: {len(where.missing):,}", listed(lost)))
    query = promql(where.query, _LONGEST_QUERY, whole=f"the run's {FILES[Selection].name}")
    parts.append(details("PromQL that selected the instances", query))
    return _Section("Where the profile comes from", "\n\n".join(parts))


def _by_hand(proposal: Proposal) -> str:
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
    return f"### By hand\n\n{quotes}sh\n{commands}\n{quotes}"


def _footer(where: Provenance) -> str:
    run = code(where.run)
    if where.run_url:
        run = f"[{run}]({quote(where.run_url, safe=_URL_CHARACTERS)})"
    return f"Made by fleetpgo, run {run}."


# As they are shown. Where there is no room for all, the last go first.
_SECTIONS = (
    _profile,
    _build,
    _benchmarks,
    _provenance,
    _optimised,
    _functions,
    _source,
    _guards,
)


def _matched(match: SourceMatch | None) -> str:
    return "–" if match is None or match.share is None else _share(match.share)


def _share(value: float) -> str:
    """A share with two digits, of which only the whole is 1.00."""
    return f"{min(value, 0.99):.2f}" if value < 1 else "1.00"


def _percent(value: float, *, sign: str = "+") -> str:
    return f"{100 * value:{sign}.1f} %"


def _change(before: int, after: int) -> str:
    return _percent((after - before) / before)
