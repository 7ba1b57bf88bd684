"""Decide which fetched profiles the merge uses, by comparing them with each other.

Each profile has passed its own check. Still, one may be of another kind or of another program than the rest.
Such a profile is refused with a reason, and the quorum decides whether the rest is enough. The merge and the
decision on further rounds both use this module.

The majority decides, first about the kind, then about the program:

1. *Kind*: sample types and period type. On a tie, the kind of Go's own profiler wins.
2. *Import path of package main*. A profile with another path than the majority is refused. Only builds with
   ``-trimpath`` hold the path; a profile without it passes.
3. *Modules*, because the stacks of most servers have no function of package main. A *mark* is a module or a
   function of package main (:mod:`fleetpgo.pprof.programs`). A mark *leads* a profile if it is in the stack
   of at least half of the samples with any mark. A profile is of another program if

   - it lacks a module that leads most profiles,
   - it is led by a module that no profile with the first module has, and
   - it has at least EVIDENCE samples with any mark.

   So modules that programs share, such as grpc, do not count. A profile is used if it has few samples
   outside the standard library, or has the fleet's module in just one stack. The binary's file name is
   ignored, because a canary may have another name. The directory of the build is ignored, too: a program is
   built in many directories, and many programs are built in ``/app``.
4. *Functions of package main*, if modules do not decide. A profile is of another program if a function of
   package main leads most profiles and another one leads this one, and it shares no module and no function
   of package main with the profiles that have the first function.

Equal build ids always mean the same program.
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
"""Fewest samples with a mark. A module in half of all samples is in none of 20 once in a million (2⁻²⁰)."""

LEADING = 0.5
"""Share of the samples with any mark from which a mark leads a profile. "Most profiles" is more than the same
share of them."""


SHORT, MOST_BUILDS = 12, 3
"""Characters of a build id, and number of builds, in a warning."""


def contributions(records: Sequence[Record]) -> list[Contribution]:
    """Return what each target contributes to the merge, in the order of the records."""
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
    """Return the instances whose profile is merged. Of instances that sent equal bytes, only the first is."""
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
    """Yield the records of another kind than the majority. Records of earlier versions have no kind."""
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
    """Yield the records with another program's modules in their stacks; see rule 3 of the module."""
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
    """Yield the records with another program's package main; see rule 4 of the module."""
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
    """Return the marks that lead more than half of the records, the most frequent first."""
    counts = Counter(name for record in records for name in _leading(record, marks(record)))
    return [name for name, count in counts.most_common() if count > LEADING * len(records)]


def _same_for_sure(record: Record, others: Sequence[Record]) -> bool:
    """Return whether one of the others has the same build id, or the same import path of package main."""
    own = _builds_of(record)
    return any(
        not own.isdisjoint(_builds_of(each))
        or (record.main_package and record.main_package == each.main_package)
        for each in others
    )


def builds(instances: Iterable[Contribution]) -> list[str]:
    """Return a warning if the used profiles come from several builds, as during a deploy."""
    used = [each for each in instances if each.state == "used"]
    counts = Counter(build for each in used for build in _builds_of(each))
    if len(counts) <= 1:
        return []
    named = [f"{count} of build {build[:SHORT]}" for build, count in counts.most_common(MOST_BUILDS)]
    more = f" and {len(counts) - MOST_BUILDS} more builds" if len(counts) > MOST_BUILDS else ""
    said = f"{len(counts)} builds of the program: {', '.join(named)}{more}"
    if not (mixed := [each for each in used if each.other_builds]):
        return [f"the instances ran {said}; was a deploy under way?"]
    several = f"{len(mixed)} of {len(used)} hold several, such as that of {mixed[0].instance}"
    why = "a deploy lies in the window that the store was asked for"
    hint = "run again once a whole window (collection.seconds) has passed since the deploy"
    return [f"the profiles are of {said}; {several}: {why}; {hint}"]


def _builds_of(one: Record | Contribution) -> set[str]:
    return {build for build in (one.build_id, *one.other_builds) if build}


def _most_frequent(texts: Iterable[str], *, first: Callable[[str], bool] = bool) -> str:
    """Return the most frequent non-empty text; on a tie, one for which `first` is true."""
    counts = Counter(text for text in texts if text)
    return max(counts, key=lambda text: (counts[text], first(text)), default="")
