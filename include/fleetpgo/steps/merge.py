"""Merge the fetched profiles into the one to commit, and record what each instance contributed.

A profile that is not a CPU profile of this service, or that cannot be merged with the others, does not stop
the run. The manifest says why it was refused, and the quorum decides whether the rest is enough.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from fleetpgo import pprof
from fleetpgo.collection import Limits, read_edges, read_records, was_asked
from fleetpgo.errors import ProfileError, QuorumError
from fleetpgo.golang.preprofile import preprofile
from fleetpgo.measurement.figures import percent
from fleetpgo.run.artifacts import FetchedProfile, MergedProfile, ProposedProfile
from fleetpgo.run.digest import digest
from fleetpgo.run.profiled import Agreement, Leading, Manifest
from fleetpgo.selection import merge_weights, read_selection
from fleetpgo.selection.weights import unrepresented
from fleetpgo.steps.contributions import builds, contributions, in_merge
from fleetpgo.steps.enough import disagreement
from fleetpgo.steps.repair import mend
from fleetpgo.steps.toolchains import toolchains

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fleetpgo.run.profiled import Contribution
    from fleetpgo.run.store import RunStore
    from fleetpgo.selection import Selection
    from fleetpgo.service.rules import ServiceRules, SufficiencyRules
    from fleetpgo.steps.repair import Origin

log = logging.getLogger(__name__)

_NAMED = 3
"""Instances that a warning names."""

HELD = (
    "each instance is busy with another CPU profile: a continuous profiler (Pyroscope's, Datadog's) seems to "
    "hold it, and a Go process gives one at a time. Take the profiles from there "
    "(collection.source: pyroscope, parca or command), or switch it off while fleetpgo asks"
)
"""What to do if every instance was busy."""

_LISTED = 10
"""Instances that are named with the reason why they gave no profile."""


def merge_run(
    service: ServiceRules,
    store: RunStore,
    selection: Selection,
    *,
    seconds: int,
    go: str | None,
    origin: Origin | None = None,
) -> Manifest:
    """Merge the profiles that arrived, write both profiles and the manifest.

    Args:
        service: rules of the service.
        store: artifacts of the run, with the profiles.
        selection: the selected instances; of later rounds only those that were asked count.
        seconds: requested length of a profile.
        go: Go command that proves the minimal profile equivalent; None: no proof, the full profile is kept.
        origin: what is needed to build the binaries for ``profile.repair``; None if this caller cannot build.

    Raises:
        QuorumError: fewer instances than the quorum gave a profile; the message names the others.
        ProfileError: the merged profile is below ``profile.fail_below`` (reason ``insufficient``).
    """
    asked = [each for each in selection.targets if each.round == 1 or was_asked(store, each)]
    limits = Limits.of(service.collection, seconds=seconds).of_profiles
    mended = mend(service, store, read_records(store, asked), origin, limits=limits, seconds=seconds)
    instances = contributions(mended.records)
    while True:
        _require_quorum(service, instances)
        given = {each.instance: each.samples for each in in_merge(instances)}
        weights = merge_weights(selection, given)
        instances = [replace(each, weight=weights.get(each.instance, 1.0)) for each in instances]
        used = in_merge(instances)
        try:
            made = _make(
                store,
                {each.instance: each.sha256 for each in used},
                [each.weight for each in used] if selection.strata else "none",
                service,
                limits=limits,
                go=go,
            )
        except ProfileError as error:
            instances = _without_culprit(instances, used, error)
        else:
            break
    for each in instances:
        if each.state != "used":
            log.warning("%s: %s: %s", each.instance, each.state, each.reason)
    merged, minimal, sufficiency, renamed = made.merged, made.minimal, made.sufficiency, made.renamed
    if renamed:
        log.info("kept from inlining (guard list): %s", ", ".join(renamed))
    store.write(MergedProfile(merged))
    store.write(ProposedProfile(minimal.data))
    samples = sum(each.samples for each in used)
    refused = "; ".join(_shortfalls(service.profile.fail_below, samples, sufficiency))
    manifest = Manifest(
        service=service.name,
        run=store.run,
        made_at=datetime.now(UTC),
        query=selection.query,
        seconds=seconds,
        selected=len(instances),
        used=sum(each.state == "used" for each in instances),
        samples=samples,
        edges=minimal.edges,
        hot_edges=minimal.hot_edges,
        profile=digest(minimal.data),
        merged_size=len(merged),
        profile_size=len(minimal.data),
        proof=minimal.proof,
        sufficiency=_agreement(sufficiency),
        renamed=renamed,
        instances=tuple(instances),
        warnings=(
            *selection.warnings,
            *(
                f"{name} ({percent(share)} of the CPU) is not represented: none of its instances gave a "
                "profile"
                for name, share in unrepresented(selection, given).items()
            ),
            *_shortfalls(service.profile.warn_below, samples, sufficiency),
            *mended.warnings,
            *builds(instances),
            *made.toolchains,
            *_in_part(instances),
            *_counted_once(instances),
            *(f"{each} differs much from all others together" for each in sufficiency.outliers),
            *(() if minimal.proven else (f"the profile is committed whole: {minimal.proof}",)),
        ),
        figures={**_figures(made), **mended.figures},
        refused=refused,
    )
    store.write(manifest)
    if refused:
        raise ProfileError(
            f"the merged profile is not sufficient: {refused}",
            reason="insufficient",
            hint="profile more instances, or for longer; or lower profile.fail_below in the service file",
        )
    return manifest


def merge_profiles(
    service: ServiceRules, store: RunStore, *, go: str | None = "go", origin: Origin | None = None
) -> Manifest:
    """Merge the fetched profiles; see :func:`merge_run`."""
    windows = [window.name for window in service.selection.windows]
    chosen = read_selection(store, windows=windows)
    return merge_run(service, store, chosen, seconds=chosen.seconds, go=go, origin=origin)


class _Made(NamedTuple):
    """Result of a merge.

    The full and the minimal profile, the instances' agreement, the renamed functions, and a warning if
    several toolchains built what was profiled.
    """

    merged: bytes
    minimal: pprof.Minimised
    sufficiency: pprof.Sufficiency
    renamed: tuple[str, ...]
    toolchains: Sequence[str]


def _make(
    store: RunStore,
    digests: Mapping[str, str],
    weights: Literal["none"] | Sequence[float],
    service: ServiceRules,
    *,
    limits: pprof.Limits,
    go: str | None,
) -> _Made:
    """Merge, guard, minimise and judge the profiles, given by instance and digest.

    Raises:
        ProfileError: one of them cannot be merged with the others.
    """
    profiles = (store.read(FetchedProfile, each) for each in digests.values())
    merged = pprof.merge(profiles, weights=weights, limits=limits)
    guards = [
        pprof.Guard(function=each.function, since="", until="", issue=each.issue, why="")
        for each in service.profile.guards
    ]
    guarded, renamed = pprof.guard(merged, extra=guards)
    minimal = pprof.minimise(guarded, prove=partial(preprofile, go=go) if go else None)
    agreement = pprof.sufficiency(digests, read_edges(store, list(digests.values()), limits=limits))
    return _Made(merged.data, minimal, agreement, renamed, toolchains(merged))


def _agreement(found: pprof.Sufficiency) -> Agreement:
    most = found.influence
    told = asdict(found) | {"influence": Leading(**asdict(most)) if most else None}
    return Agreement(**told)


def _figures(made: _Made) -> dict[str, str]:
    """Return the profile's figures for people, by name."""
    minimal, agreement = made.minimal, made.sufficiency
    figures = {
        "Call edges": f"{minimal.edges:,}, {minimal.hot_edges:,} of them hot",
        "Merged, as sent": f"{len(made.merged):,} bytes",
        "Minimised": f"{len(minimal.data):,} bytes; proof: {minimal.proof}",
    }
    if agreement.split_half_overlap is not None and agreement.held_out_coverage is not None:
        figures["Overlap of two halves of the instances"] = f"{agreement.split_half_overlap:.2f}"
        figures["Held-out weight covered by the hot edges"] = f"{agreement.held_out_coverage:.2f}"
    if (most := agreement.influence) is not None:
        figures["Instance that changes the hot edges most"] = (
            f"{most.instance}: without it, {most.changed:,} of {most.hot:,} would come or go"
        )
    return figures


def _without_culprit(
    instances: Sequence[Contribution], used: Sequence[Contribution], error: ProfileError
) -> list[Contribution]:
    """Return the instances, with the one whose profile cannot be merged marked as refused.

    Where the error does not say which one, it is about the size of what all have in common, and the largest
    goes.
    """
    largest = max(range(len(used)), key=lambda place: used[place].size)
    culprit = used[largest if error.profile is None else error.profile]
    reason = f"{error.reason}: {error.message}"
    return [
        replace(each, state="refused", reason=reason, weight=1.0)
        if culprit.instance in (each.instance, each.same_as)
        else each
        for each in instances
    ]


def _require_quorum(service: ServiceRules, instances: Sequence[Contribution]) -> None:
    # One process that answers for several was asked once.
    asked = [each for each in instances if not each.same_as]
    lost = [each for each in asked if each.state != "used"]
    used, quorum = len(asked) - len(lost), service.collection.quorum
    if not used or used < quorum * len(asked):
        raise QuorumError(
            f"{used} of {len(asked)} instances gave a usable profile; collection.quorum is "
            f"{percent(quorum)}. Without a profile:\n" + "\n".join(_grouped(lost)),
            hint=_hint(lost, used=used),
        )


def _hint(lost: Sequence[Contribution], *, used: int) -> str:
    """Return what to do about instances that gave no profile."""

    def all_are(reason: str) -> bool:
        return bool(lost) and not used and all(each.reason.startswith(reason) for each in lost)

    if all_are("busy:"):
        return HELD
    if all_are("unreachable"):
        return "correct collection.url: none could be reached there, or allow it in the network"
    return "repair these instances and trigger a new run, or lower collection.quorum"


def _in_part(instances: Sequence[Contribution]) -> list[str]:
    """Return a warning if of some instances something was left out: how many, and the first."""
    found = [each for each in instances if each.state == "used" and each.reason and not each.same_as]
    if not found:
        return []
    first, why = found[0].instance, found[0].reason.removeprefix("cut: ")
    return [f"of {len(found):,} of {len(instances):,} instances only a part is used, as of {first}: {why}"]


def _grouped(lost: Sequence[Contribution]) -> Iterator[str]:
    """Yield a line for each reason, with the instances that have it, whatever names of theirs are in it."""
    groups: dict[str, list[Contribution]] = {}
    for each in lost:
        host, _, port = each.instance.rpartition(":")
        alike = (
            each.reason.replace(each.instance, "…")
            .replace(f"'{host}', {port}", "…")
            .replace(f"port {port} ", "its port ")
        )
        groups.setdefault(alike, []).append(each)
    for alike, own in groups.items():
        named = ", ".join(f"{each.instance} ({each.datacenter})" for each in own[:_LISTED])
        more = f" and {len(own) - _LISTED:,} more" if len(own) > _LISTED else ""
        yield f"  {named}{more}: {alike if len(own) > 1 else own[0].reason}"


def _counted_once(instances: Sequence[Contribution]) -> list[str]:
    """Return a warning if some instances cannot be told apart: how many, and which."""
    twins = [f"{each.instance} from {each.same_as}" for each in instances if each.same_as]
    if not twins:
        return []
    named = ", ".join(twins[:_NAMED]) + (f" and {len(twins) - _NAMED:,} more" if len(twins) > _NAMED else "")
    said = f"{len(twins):,} of {len(instances):,} instances cannot be told apart from others"
    return [f"{said}, which answer the same and count once: {named}"]


def _shortfalls(least: SufficiencyRules, samples: int, found: pprof.Sufficiency) -> list[str]:
    """Return a sentence for each figure that is below its bound."""
    few = f"samples: {samples:,}, below {least.samples:,}, so some of what is hot may be missing"
    return ([few] if samples < least.samples else []) + disagreement(least, found)
