"""Decide which fetched profiles the merge uses, by comparing them with each other.

Each profile has passed its own check. Still, one may be of another kind or of another program than the rest.
Such a profile is refused with a reason, and the quorum decides whether the rest is enough. The merge and the
decision on further rounds both use this module.

What most instances answer decides, first by kind, then by program:

1. *Kind*: sample types and period type. Where two kinds are equally frequent, Go's own counts.
2. *Import path of package main*, where both say it: only builds with ``-trimpath`` do. It must be that of
   most.
3. *Modules*, for most servers' stacks hold no function of package main. A mark (a module, or a function of
   package main: :mod:`fleetpgo.pprof.programs`) leads a profile if at least half of those samples have it in
   their stack that have any. A profile is of another program if

   - it lacks a module that leads most profiles,
   - a module leads it that no profile with the first one has, and
   - it has at least EVIDENCE samples with any mark.

   So what programs share, such as grpc, tells nothing. Nor does a profile with few samples outside the
   standard library, nor one that has the fleet's module in a single stack: both are used. And the name of the
   program's file is not asked for: a canary has another one. Nor is the folder that it was built in: one
   program is built in many, and many programs in ``/app``.
4. *Functions of package main* tell where modules do not. A profile is of another program if such a function
   leads most profiles and another one leads it, and it has no function of package main and no module in
   common with any of these.

Equal build ids are one program, whatever its instances do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo.run.profiled import Contribution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fleetpgo.run.profiled import Record

GO_KIND = "samples/count, cpu/nanoseconds each cpu/nanoseconds"
"""``Facts.kind`` of what Go's runtime writes."""

EVIDENCE = 20
"""Samples with a module. A module that is in half of all would be in none of so many once in a million."""

LEADING = 0.5
"""Share of the samples with any module from which a module leads a profile, and share of the profiles that
are most."""


SHORT, MOST_BUILDS = 12, 3
"""Letters of a build id, and builds, that a warning names."""


def contributions(records: Sequence[Record]) -> list[Contribution]:
    """Return what became of each target that was asked, in the order of the records."""
    refused: dict[str, str] = {}
    for rule in (_of_another_kind, _of_another_main, _of_other_modules, _of_other_functions):
        judged = [each for each in records if each.state == "fetched" and each.instance not in refused]
        refused.update({record.instance: reason for record, reason in rule(judged)})
    # Equal bytes share a fate.
    return [
        _contribution(record, refused.get(record.instance) or refused.get(record.same_as, ""))
        for record in records
    ]


def in_merge(instances: Iterable[Contribution]) -> list[Contribution]:
    """Return those whose own profile is in the merge. Of several that sent equal bytes, this is the first."""
    return [each for each in instances if each.state == "used" and not each.same_as]


def _contribution(record: Record, refusal: str) -> Contribution:
    account = Contribution(
        record.instance,
        record.datacenter,
        "used" if record.state == "fetched" else record.state,
        record.cores,
        record.reason,
        record.size,
        record.sha256,
        0 if record.same_as else record.samples,
        build_id=record.build_id,
        other_builds=record.other_builds,
        same_as=record.same_as,
    )
    return replace(account, state="refused", reason=refusal) if refusal else account


def _of_another_kind(records: Sequence[Record]) -> Iterable[tuple[Record, str]]:
    """Return those of another kind than most. A record of an earlier version does not say its kind."""
    usual = _most_frequent((record.kind for record in records), first=lambda kind: kind == GO_KIND)
    for record in records:
        if record.kind and record.kind != usual:
            yield record, f"incompatible: it counts {record.kind}; most instances count {usual}"


def _of_another_main(records: Sequence[Record]) -> Iterable[tuple[Record, str]]:
    usual = _most_frequent(record.main_package for record in records)
    for record in records:
        if record.main_package and record.main_package != usual:
            yield record, f"another-binary: {record.main_package} instead of {usual}"


def _of_other_modules(records: Sequence[Record]) -> Iterable[tuple[Record, str]]:
    """Return those with another program's modules in their stacks; see the module's docstring."""
    telling = [record for record in records if record.outside >= EVIDENCE]
    usual = _leading_most(telling, lambda record: record.modules)
    for record in telling:
        for lacking in (module for module in usual if module not in record.modules):
            others = [each for each in telling if lacking in each.modules]
            if _same_for_sure(record, others):
                continue
            seen = {module for each in others for module in each.modules}
            if own := [module for module in _leading(record, record.modules) if module not in seen]:
                yield record, f"another-binary: its stacks are in {own[0]}, those of most are in {lacking}"
                break


def _of_other_functions(records: Sequence[Record]) -> Iterable[tuple[Record, str]]:
    """Return those with another package main; see the module's docstring."""
    telling = [record for record in records if record.outside >= EVIDENCE]
    usual = _leading_most(telling, lambda record: record.main_functions)
    for record in telling:
        for lacking in (function for function in usual if function not in record.main_functions):
            others = [each for each in telling if lacking in each.main_functions]
            own = _leading(record, record.main_functions)
            common = {name for each in others for name in (*each.modules, *each.main_functions)}
            if own and common.isdisjoint({*record.modules, *record.main_functions}):
                if not _same_for_sure(record, others):
                    yield (
                        record,
                        f"another-binary: its stacks are in {own[0]}, those of most are in {lacking}",
                    )
                break


def _leading(record: Record, marks: Mapping[str, int]) -> list[str]:
    return [name for name, samples in marks.items() if samples >= LEADING * record.outside]


def _leading_most(records: Sequence[Record], marks: Callable[[Record], Mapping[str, int]]) -> list[str]:
    """Return the marks that lead most records, the most frequent first."""
    counts = Counter(name for record in records for name in _leading(record, marks(record)))
    return [name for name, count in counts.most_common() if count > LEADING * len(records)]


def _same_for_sure(record: Record, others: Sequence[Record]) -> bool:
    """Whether one of the others is of the same build, or of the same package main."""
    own = _builds_of(record)
    return any(
        not own.isdisjoint(_builds_of(each))
        or (record.main_package and record.main_package == each.main_package)
        for each in others
    )


def builds(instances: Iterable[Contribution]) -> list[str]:
    """Return warnings if the profiles that are used are of several builds, as in the middle of a deploy."""
    used = [each for each in instances if each.state == "used"]
    counts = Counter(build for each in used for build in _builds_of(each))
    if len(counts) <= 1:
        return []
    named = [f"{count} of build {build[:SHORT]}" for build, count in counts.most_common(MOST_BUILDS)]
    more = f" and {len(counts) - MOST_BUILDS} builds more" if len(counts) > MOST_BUILDS else ""
    said = f"{len(counts)} builds of the program: {', '.join(named)}{more}"
    if not (mixed := [each for each in used if each.other_builds]):
        return [f"the instances ran {said}; was a deploy under way?"]
    several = f"{len(mixed)} of {len(used)} hold several, as that of {mixed[0].instance}"
    why = "a deploy lies in the window that the store was asked for"
    hint = "run again once a whole window (collection.seconds) lies after it"
    return [f"the profiles are of {said}; {several}: {why}; {hint}"]


def _builds_of(one: Record | Contribution) -> set[str]:
    return {build for build in (one.build_id, *one.other_builds) if build}


def _most_frequent(texts: Iterable[str], *, first: Callable[[str], bool] = bool) -> str:
    """Return the most frequent non-empty text; on a tie, one for which `first` is true."""
    counts = Counter(text for text in texts if text)
    return max(counts, key=lambda text: (counts[text], first(text)), default="")
