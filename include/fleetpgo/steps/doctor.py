"""Stage 0: check a service before production is touched, and say what will be possible.

Each check has a name, an outcome and a sentence that names what to change. A failure is what would fail the
run, or what nobody may be asked with; all else that is wrong is a warning. Nothing is profiled or pushed. The
command ``fleetpgo doctor`` prints the checks; the DAG's first task, ``preflight``, fails with the failures.
"""

from __future__ import annotations

import math
import os
import secrets
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from fleetpgo.collection.faults import NeverError, NoProfileError, NotNowError
from fleetpgo.collection.probing import probe_target
from fleetpgo.errors import (
    FleetPGOError,
    ForgeError,
    MeasurementError,
    PrometheusError,
    QueryError,
    RefusedError,
    RepositoryError,
    StoreError,
)
from fleetpgo.golang import processes, toolchain
from fleetpgo.measurement.power import expected
from fleetpgo.proposal.forges import Intent
from fleetpgo.proposal.sharing import of_repository
from fleetpgo.proposal.signing import identity_of
from fleetpgo.run import storage
from fleetpgo.selection.counters import require_rate
from fleetpgo.service.files import clashes, load_service, service_files
from fleetpgo.steps.outlook import estimator, expected_queries
from fleetpgo.steps.select import choose
from fleetpgo.steps.turns import limits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from upath import UPath

    from fleetpgo.collection import Access
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.proposal.forges import Forge
    from fleetpgo.run.selected import Selection
    from fleetpgo.service.rules import ServiceRules

_PASSING = (PrometheusError, StoreError, ForgeError, RepositoryError)
"""Failures that may pass by themselves, but for those of _FINAL."""
_FINAL = (QueryError, RefusedError)

_PROBED = 3
"""Instances that are asked until one answers."""

_LONG = timedelta(hours=2)
"""Longest time of a round: the DAG's tasks that fetch have no more."""

_WEEKS = 4
"""Weeks of metrics that are looked for."""


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: what was checked; of a query its key in the service file.
        outcome: ok, a warning, or a failure.
        said: what was found, in a sentence.
        hint: what to change; "" if nothing.
        passing: of a failure, whether it may pass by itself.
    """

    name: str
    outcome: Literal["ok", "warning", "failure"]
    said: str
    hint: str = ""
    passing: bool = False

    @property
    def line(self) -> str:
        """The check on one line."""
        said = " ".join(self.said.split())
        return f"{self.name}: {self.outcome}: {said}" + (f" → {self.hint}" if self.hint else "")


@dataclass(frozen=True)
class Parties:
    """Whom the service needs. Each is made when it is checked; one that cannot be made is a failed check.

    ``forge`` and ``store`` may be None: they are not checked then.
    """

    prometheus: Callable[[], Prometheus]
    access: Callable[[], Access]
    forge: Callable[[], Forge] | None
    store: Callable[[], Path | UPath] | None


def examine(service: ServiceRules, parties: Parties) -> list[Check]:
    """Return all checks of a service, in the order of the service file."""
    checks = list(_clashes(service))
    try:
        prometheus = parties.prometheus()
    except FleetPGOError as error:
        checks.append(_failure("prometheus.connection", error))
    else:
        checks += _metrics(service, prometheus, parties)
    checks += _forge(service, parties)
    checks += _limits(service)
    checks += _store(parties)
    return [*checks, *_worker(service)]


def _failure(name: str, error: FleetPGOError) -> Check:
    passing = isinstance(error, _PASSING) and not isinstance(error, _FINAL)
    return Check(name, "failure", error.message, error.hint, passing=passing)


def _metrics(service: ServiceRules, prometheus: Prometheus, parties: Parties) -> Iterator[Check]:
    """Check all that Prometheus tells, and what follows from it."""
    try:
        chosen = choose(
            service.collection,
            service.selection,
            prometheus,
            seed="doctor",
            end=datetime.now(UTC),
            access=parties.access() if service.selection.source == "store" else None,
        )
    except FleetPGOError as error:
        yield _failure("selection.cpu", error)
        return
    first, sizes = chosen.of_round(1), chosen.datacenters
    names = {each.instance for each in chosen.targets}
    busiest = max(chosen.targets, key=lambda each: each.cores)
    yield Check(
        "selection.cpu",
        "ok",
        f"{sum(sizes.values()):,} instances in {len(sizes)} datacenter(s); the busiest of them, "
        f"{busiest.instance}, uses {busiest.cores:.3g} cores; {len(first)} would be profiled",
    )
    for warning in chosen.warnings:
        yield Check("selection.cpu", "warning", warning)
    if sizes.keys() == {""}:
        yield Check(
            "selection.datacenter_label",
            "warning",
            f"no instance has the label {service.selection.datacenter_label}: all count as one datacenter",
            "name the label in selection.datacenter_label",
        )
    if not service.collection.past:  # nobody waits for what is over
        yield _round(service, chosen)
    yield from _probes(service, parties, chosen)
    yield from _queries(service, prometheus, names)
    weeks = _weeks(service, prometheus)
    if weeks is not None:
        yield Check(
            "measurement.week",
            "ok" if weeks else "warning",
            f"Prometheus has metrics of {'at least ' if weeks == _WEEKS else ''}{weeks} whole week(s)",
            ""
            if weeks
            else "keep metrics for longer than measurement.week (Prometheus: "
            "--storage.tsdb.retention.time), or wait until there are some",
        )
        possible, said, hint = estimator(service, datacenters=len(sizes), weeks=weeks)
        yield Check("estimator", "ok" if possible else "warning", said, hint)
        held_back = service.rollout.treated is not None and len(sizes) > 1
        seen = expected(sum(sizes.values()), held_back=held_back)
        yield Check("power", "ok", f"{seen} (docs/measurement.md)")


def _round(service: ServiceRules, chosen: Selection) -> Check:
    """Say how long a round takes at least: a datacenter's instances are profiled a few at a time."""
    rules = service.collection
    limits = chosen.at_once(rules.max_share)
    counts = Counter(each.datacenter for each in chosen.of_round(1))
    turns = {name: math.ceil(count / limits.get(name, 1)) for name, count in counts.items()}
    slowest = max(turns, key=lambda name: turns[name])
    takes = timedelta(seconds=turns[slowest] * rules.seconds)
    said = (
        f"a round takes at least {takes}: {counts[slowest]} instances of "
        f"{slowest or 'the one datacenter'}, {limits.get(slowest, 1)} at a time (collection.max_share), "
        f"{rules.seconds} s each"
    )
    if takes > _LONG:
        return Check(
            "collection.max_share",
            "warning",
            f"{said}; the tasks that fetch end after {_LONG}",
            "raise collection.max_share, or lower selection.instances or collection.seconds",
        )
    return Check("collection.max_share", "ok", said)


def _probes(service: ServiceRules, parties: Parties, chosen: Selection) -> Iterator[Check]:
    """Ask one instance for the list of its profiles, and a few more where it does not answer."""
    rules = service.collection
    try:
        access = parties.access()
    except FleetPGOError as error:
        yield _failure("collection.connection", error)
        return
    if rules.source != "pprof_http":
        yield Check("collection.url", "ok", f"not asked: profiles come from the source {rules.source}")
        return
    reasons = []
    for target in chosen.of_round(1)[:_PROBED]:
        try:
            where = probe_target(target, rules, access)
        except NeverError as error:
            yield Check(
                "collection.url",
                "failure",
                f"{target.instance} may not be asked: {error}",
                "correct collection.url, or list its host in collection.allow and its port in "
                "collection.ports",
            )
            return
        except NotNowError as error:
            reasons.append(str(error))
        except NoProfileError as error:
            reasons = [str(error)]
            break
        except FleetPGOError as error:
            yield _failure("collection.url", error)
            return
        else:
            yield Check("collection.url", "ok", f"{where} lists profiles")
            return
    yield Check(
        "collection.url",
        "warning",
        f"{len(reasons)} instance(s) asked, none lists its profiles: {'; '.join(reasons)}",
        "does the service import net/http/pprof, and at the host, port and path of collection.url?",
    )


def _queries(service: ServiceRules, prometheus: Prometheus, names: set[str]) -> Iterator[Check]:
    """Run every other query of the service file, and show what it gives."""
    label = service.selection.instance_label
    for each in expected_queries(service, now=datetime.now(UTC)):
        try:
            if each.cpu:
                require_rate(each.query, each.key)
            answer = prometheus.instant(each.query, partial_response=True)
        except FleetPGOError as error:
            failed = _failure(each.key, error)
            hint = f"correct {each.key}" if isinstance(error, QueryError) else error.hint
            yield Check(failed.name, failed.outcome, failed.said, hint, passing=failed.passing)
            continue
        count = len(answer.series)
        own = {series.labels.get(label, "") for series in answer.series}
        said, hint = each.judge(answer, own & names, label)
        yield Check(each.key, "warning" if hint else "ok", said or f"{count:,} series", hint)


def _weeks(service: ServiceRules, prometheus: Prometheus) -> int | None:
    """Return for how many whole weeks back Prometheus has the CPU; None if that cannot be asked."""
    now = datetime.now(UTC)
    found = 0
    try:
        for week in range(1, _WEEKS + 1):
            query = f"count({service.measurement.cpu}\n)"
            if not prometheus.instant(query, at=now - timedelta(weeks=week)).series:
                break
            found = week
    except (PrometheusError, MeasurementError):
        return None  # the query was run before, and is reported there
    return found


def _clashes(service: ServiceRules) -> Iterator[Check]:
    """Yield a failure if another service writes the same profile."""
    sound = []
    for file in service_files():
        try:
            load_service(file)
        except FleetPGOError:
            continue  # its own doctor says so
        sound.append(file)
    said = [each for each in clashes(sound) if f"{service.name}.y" in each]
    for each in said:
        yield Check("repository.profile", "failure", each)


def _forge(service: ServiceRules, parties: Parties) -> Iterator[Check]:
    """Check the repository, its base and the token, as far as the forge tells."""
    repository = service.repository
    if parties.forge is None:
        yield Check("repository.connection", "warning", "the forge is not checked", "give --forge")
        return
    try:
        forge = parties.forge()
        forge.check(repository.base)
        found = forge.obstacles(intent_of(service))
        identity_of(service.commit, forge.signing_key, forge.make_commit)
    except FleetPGOError as error:
        yield _failure("repository.connection", error)
        return
    for each in found:
        yield Check("repository.rights", "failure" if each.fatal else "warning", each.said, each.hint)
    if any(each.fatal for each in found):
        return
    yield Check(
        "repository.connection",
        "ok",
        f"{repository.project} on the forge ({repository.forge}) has the branch {repository.base} and can be "
        "pushed to",
    )


def _limits(service: ServiceRules) -> Iterator[Check]:
    """Say what limits the runs of the service's repository."""
    others = of_repository(service)
    limits = limits_of(service, others)
    said = [
        *([f"{limits.open} open pull request(s)"] if limits.open is not None else []),
        *([f"{limits.builds_per_hour} build(s) an hour"] if limits.builds_per_hour is not None else []),
    ]
    if said:
        yield Check(
            "repository.limits",
            "ok",
            f"at most {' and '.join(said)}, for the {1 + len(others)} service(s) of "
            f"{service.repository.project}: a run beyond that waits",
        )


def intent_of(service: ServiceRules) -> Intent:
    """Return what the service is going to propose."""
    repository = service.repository
    return Intent(repository.base, service.branch, repository.profile, signed=service.commit.sign is not None)


def require_rights(service: ServiceRules, forge: Forge) -> None:
    """Check that the repository and its base are there, and that nothing known keeps a proposal from them.

    It takes a few requests, so it comes before anything is profiled or built.

    Raises:
        RefusedError: something does, in the forge's own words.
        ForgeError: the forge cannot be reached.
    """
    forge.check(service.repository.base)
    fatal = [each for each in forge.obstacles(intent_of(service)) if each.fatal]
    if fatal:
        raise RefusedError(
            "; ".join(each.said for each in fatal), hint="; ".join(each.hint for each in fatal)
        )


def _store(parties: Parties) -> Iterator[Check]:
    """Write, read and remove a file in the store."""
    if parties.store is None:
        yield Check("store", "warning", "the store is not checked", "give --store, or set FLEETPGO_STORE")
        return
    try:
        root = parties.store()
        place, token = root / f"doctor-{secrets.token_hex(4)}", secrets.token_bytes(8)
        storage.write(place, token)
        read = storage.read(place)
        storage.remove(place)
    except FleetPGOError as error:
        yield _failure("store", error)
        return
    if read != token:
        yield Check("store", "failure", f"{root} gives other bytes back than it was given", "check the store")
    yield Check("store", "ok", f"{root} can be written to and read from")


def _worker(service: ServiceRules) -> Iterator[Check]:
    """Check the programs that the build needs on this machine."""
    environment = processes.passed_on(os.environ) | {"HOME": tempfile.gettempdir()}
    try:
        yield Check("Go", "ok", toolchain.version(environment=environment))
    except FleetPGOError as error:
        yield _failure("Go", error)
    for program in ("git", service.build.command[0]):
        if "/" in program:  # the repository's own
            continue
        if found := shutil.which(program, path=environment.get("PATH")):
            yield Check(program, "ok", found)
        else:
            yield Check(
                program,
                "failure",
                f"there is no {program} on the PATH",
                f"install {program} where the task runs"
                + (", or correct build.command" if program != "git" else ""),
            )
