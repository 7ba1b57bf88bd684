"""Repair the fetched profiles from the binaries of the revisions that their instances run.

This is a part of the merge step if ``profile.repair`` is true. Each revision is built once. A profile that
cannot be repaired is refused, with the reason, like any unusable profile. If a revision cannot be built, only
the profiles of its instances are lost; the run continues.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.collection import Profile, keep
from fleetpgo.errors import BuildError, ProfileError, RepositoryError, ToolchainError
from fleetpgo.proposal.binaries import build_revision
from fleetpgo.run.artifacts import FetchedProfile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fleetpgo.golang.program import Program
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.proposal.forges import Forge
    from fleetpgo.run.profiled import Record
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

_SHOWN = 12
"""Most characters of a revision that are shown."""

_OFF = "profile.repair is off, so it is not repaired"
_NOWHERE = "this command does not build binaries: use `fleetpgo profile repair`, or the DAG"


@dataclass(frozen=True)
class Origin:
    """What is needed to build the profiled binaries anew, for the names of functions that profiles lack.

    Attributes:
        prometheus: Prometheus with the revision of each instance.
        forge: forge that hosts the repository.
        cache: directory for Go's caches, kept between runs.
    """

    prometheus: Prometheus
    forge: Forge
    cache: Path


@dataclass(frozen=True)
class Mended:
    """Result of the repair.

    Attributes:
        records: the records after the repair; all are fetched, refused or missing, none is repairable.
        figures: name → formatted figure of what was repaired.
        warnings: sentences about what was not repaired.
    """

    records: list[Record]
    figures: Mapping[str, str]
    warnings: tuple[str, ...]


def mend(
    service: ServiceRules,
    store: RunStore,
    records: Sequence[Record],
    origin: Origin | None,
    *,
    limits: pprof.Limits,
    seconds: int,
) -> Mended:
    """Repair the profiles of a run. The store keeps both the fetched and the repaired profile.

    Args:
        service: rules of the service.
        store: artifacts of the run, with the profiles.
        records: records of all instances that were asked.
        origin: what is needed to build binaries; None if this caller cannot build.
        limits: largest allowed profile.
        seconds: requested length of a profile.

    Raises:
        PrometheusError: the query for the revisions fails.
        ForgeError: the forge cannot be reached, or refuses.
    """
    if not service.profile.repair or origin is None:
        why = _NOWHERE if service.profile.repair else _OFF
        return Mended([_refused(each, why) for each in records], {}, ())
    work = _Work(service, store, origin, limits, seconds)
    return work.mend(records)


class _Work:
    """State of one repair: the binaries built so far, and the result of each profile."""

    def __init__(
        self, service: ServiceRules, store: RunStore, origin: Origin, limits: pprof.Limits, seconds: int
    ) -> None:
        self._service, self._store, self._origin = service, store, origin
        self._limits, self._seconds = limits, seconds
        self._programs: dict[str, Program | str] = {}
        self._outcomes: dict[tuple[str, str], Record | str] = {}
        self._done: defaultdict[str, list[pprof.Repaired]] = defaultdict(list)

    def mend(self, records: Sequence[Record]) -> Mended:
        revisions, unknown = self._revisions(records)
        mended = []
        for record in records:
            if record.state != "fetched":
                mended.append(record)
                continue
            revision = revisions.get(record.instance, "")
            mended.append(self._mend(record, revision) if revision else _refused(record, unknown))
        lost = Counter(why for why in self._programs.values() if isinstance(why, str))
        warnings = [f"profiles were not repaired: {why}" for why in lost]
        if unknown and any(each.state == "fetched" and each.instance not in revisions for each in records):
            warnings.append(f"profiles were not repaired: {unknown}")
        return Mended(mended, dict(map(self._figure, self._done)), (*warnings, *self._left()))

    def _revisions(self, records: Sequence[Record]) -> tuple[dict[str, str], str]:
        """Return the known revisions by instance, and the reason why others are unknown."""
        query = self._service.rollout.revision
        assert query is not None  # noqa: S101 -- the service file's rules ask for it
        label = self._service.selection.instance_label
        series = [each.labels for each in self._origin.prometheus.instant(query).series]
        named: dict[str, set[str]] = defaultdict(set)
        for each in series:
            if each.get(label) and each.get("revision"):
                named[each[label]].add(each["revision"])
        every = sorted({each["revision"] for each in series if each.get("revision")})
        if named:  # of an instance with two, which was just replaced, nobody knows which was profiled
            known = {name: min(found) for name, found in named.items() if len(found) == 1}
            return known, "rollout.revision names no revision of this instance, or several"
        if len(every) == 1:
            return {each.instance: every[0] for each in records}, ""
        if not every:
            return {}, "rollout.revision returns no series with the label `revision`"
        return {}, (
            f"rollout.revision returns {len(every)} revisions and does not say which instance runs which: "
            f"keep the label {label} in it"
        )

    def _program(self, revision: str) -> Program | str:
        """Return the functions of a revision's binary, or why it could not be built."""
        if revision not in self._programs:
            try:
                self._programs[revision] = build_revision(
                    self._service, self._origin.forge, revision, self._origin.cache
                )
            except (BuildError, RepositoryError, ToolchainError) as error:
                _log.warning("revision %s: %s", revision, error)
                first = error.message.splitlines()[0]
                self._programs[revision] = f"revision {revision[:_SHOWN]} cannot be built: {first}"
        return self._programs[revision]

    def _mend(self, record: Record, revision: str) -> Record:
        program = self._program(revision)
        if isinstance(program, str):
            return _refused(record, program)
        key = record.sha256, revision
        if key not in self._outcomes:
            self._outcomes[key] = self._outcome(record, program, revision)
        outcome = self._outcomes[key]
        if isinstance(outcome, str):
            return replace(record, state="refused", reason=outcome, repairable=False)
        return replace(
            outcome,
            instance=record.instance,
            datacenter=record.datacenter,
            cores=record.cores,
            same_as=record.same_as,
            reason=record.reason if record.same_as else outcome.reason,
        )

    def _outcome(self, record: Record, program: Program, revision: str) -> Record | str:
        """Return the record of the repaired profile, or why it cannot be used."""
        data = self._store.read(FetchedProfile, record.sha256)
        try:
            repaired = pprof.repair(pprof.decode(data, limits=self._limits), program)
            if not repaired.done:
                if record.repairable:
                    repaired.require_useful(limits=self._limits, seconds=self._seconds)
                self._done[revision].append(repaired)
                return record
            facts = repaired.require_useful(limits=self._limits, seconds=self._seconds)
        except ProfileError as error:
            return f"{error.reason}: {error.message}"
        self._done[revision].append(repaired)
        kept = keep(Profile(repaired.profile.data, facts), self._store)
        said = f"repaired from revision {revision[:_SHOWN]}: {'; '.join(repaired.done)}"
        return replace(record, **asdict(kept) | {"reason": said})

    def _figure(self, revision: str) -> tuple[str, str]:
        """Return the name and the figure of what was repaired from one revision's binary."""
        every = self._done[revision]
        done = [each for each in every if each.done]
        parts = [
            ("start lines filled in", sum(each.start_lines for each in done)),
            ("functions' type arguments restored", sum(each.names for each in done)),
            ("addresses named", sum(each.symbolised for each in done)),
        ]
        told = [
            f"{len(done):,} of {len(every):,} profiles",
            *(f"{count:,} {what}" for what, count in parts if count),
        ]
        return f"Repaired from the binary of revision {revision[:_SHOWN]}", ", ".join(told)

    def _left(self) -> list[str]:
        """Return a sentence per reason why something was not repaired, with the largest share."""
        largest: dict[str, pprof.Left] = {}
        counts: Counter[str] = Counter()
        for left in (left for every in self._done.values() for each in every for left in each.left):
            counts[left.reason] += 1
            if left.reason not in largest or left.share > largest[left.reason].share:
                largest[left.reason] = left
        return [f"not repaired in {counts[why]:,} profiles, at most {left}" for why, left in largest.items()]


def _refused(record: Record, why: str) -> Record:
    """Return the record of a profile that is not repaired: refused if it cannot be used as it is."""
    if not record.repairable:
        return record
    lacks = record.reason.removeprefix("repairable: ")
    return replace(record, state="refused", reason=f"{lacks} {why}", repairable=False)
