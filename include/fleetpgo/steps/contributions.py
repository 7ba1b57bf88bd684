"""Which of the profiles that were fetched count, judged in relation to each other.

Each has passed its own check. Still one may be of another kind than the others, or of another program: it is
refused by name, like one that did not pass, and the quorum decides whether the rest will do. The merge and
the decision on further rounds both ask here.

What most instances answer decides, first by kind, then by program:

1. *Kind*: sample types and period type. Where two kinds are equally frequent, Go's own counts.
2. *Modules*, for most servers' stacks hold no function of package main. A module leads a profile if at least
   half of those samples have it in their stack that have any (which modules count:
   :mod:`fleetpgo.pprof.modules`). A profile is of another program if

   - it lacks a module that leads most profiles,
   - a module leads it that no profile with the first one has, and
   - it has at least EVIDENCE samples with any module.

   So what programs share, such as grpc, tells nothing. Nor does a profile with few samples outside the
   standard library, nor one that has the fleet's module in a single stack: both are used. And the name of the
   program's file is not asked for: a canary has another one.
3. *Package main*, where it is in both profiles: it must be that of most.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fleetpgo.collection import Record

GO_KIND = "samples/count, cpu/nanoseconds each cpu/nanoseconds"
"""``Facts.kind`` of what Go's runtime writes."""

EVIDENCE = 20
"""Samples with a module. A module that is in half of all would be in none of so many once in a million."""

LEADING = 0.5
"""Share of the samples with any module from which a module leads a profile, and share of the profiles that
are most."""


@dataclass(frozen=True)
class Contribution:
    """What one instance that was asked gave: a profile that was used, one that was refused, or none.

    `weight` is the factor of its profile in the merge (:mod:`fleetpgo.selection.weights`); `same_as` the
    instance that it could not be told apart from.
    """

    instance: str
    datacenter: str
    cores: float
    state: Literal["used", "refused", "missing"]
    reason: str = ""
    size: int = 0
    sha256: str = ""
    samples: int = 0
    weight: float = 1.0
    same_as: str = ""


def contributions(records: Sequence[Record]) -> list[Contribution]:
    """Return what became of each target that was asked, in the order of the records."""
    refused: dict[str, str] = {}
    for rule in (_of_another_kind, _of_other_modules, _of_another_main):
        judged = [each for each in records if each.state == "fetched" and each.instance not in refused]
        refused.update({record.instance: reason for record, reason in rule(judged)})
    return [_contribution(record, refused.get(record.instance, "")) for record in records]


def _contribution(record: Record, refusal: str) -> Contribution:
    account = Contribution(
        record.instance,
        record.datacenter,
        record.cores,
        "used" if record.state == "fetched" else record.state,
        record.reason,
        record.size,
        record.sha256,
        record.samples,
        same_as=record.same_as,
    )
    return replace(account, state="refused", reason=refusal) if refusal else account


def _of_another_kind(records: Sequence[Record]) -> Iterable[tuple[Record, str]]:
    """Those that cannot be added to most others. A record of an earlier version does not say its kind."""
    usual = _most_frequent((record.kind for record in records), first=lambda kind: kind == GO_KIND)
    for record in records:
        if record.kind and record.kind != usual:
            yield record, f"incompatible: it counts {record.kind}; most instances count {usual}"


def _of_other_modules(records: Sequence[Record]) -> Iterable[tuple[Record, str]]:
    """Those whose stacks pass through another program's modules; see the module's docstring."""
    telling = [record for record in records if record.outside >= EVIDENCE]
    leading = {record.instance: _leading(record) for record in telling}
    counts = Counter(module for modules in leading.values() for module in modules)
    usual = [module for module, count in counts.most_common() if count > LEADING * len(telling)]
    for record in telling:
        for lacking in (module for module in usual if module not in record.modules):
            others = [each for each in telling if lacking in each.modules]
            if record.main_package and record.main_package in {each.main_package for each in others}:
                continue
            seen = {module for each in others for module in each.modules}
            if own := [module for module in leading[record.instance] if module not in seen]:
                yield record, f"another-binary: its stacks are in {own[0]}, those of most are in {lacking}"
                break


def _leading(record: Record) -> list[str]:
    return [name for name, samples in record.modules.items() if samples >= LEADING * record.outside]


def _of_another_main(records: Sequence[Record]) -> Iterable[tuple[Record, str]]:
    usual = _most_frequent(record.main_package for record in records)
    for record in records:
        if record.main_package and record.main_package != usual:
            yield record, f"another-binary: {record.main_package} instead of {usual}"


def _most_frequent(texts: Iterable[str], *, first: Callable[[str], bool] = bool) -> str:
    """The most frequent of the texts that are not empty; of equally frequent ones, one that comes first."""
    counts = Counter(text for text in texts if text)
    return max(counts, key=lambda text: (counts[text], first(text)), default="")
