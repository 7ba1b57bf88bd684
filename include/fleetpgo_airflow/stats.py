"""What tasks tell Airflow's own metrics, by whichever means the deployment has on: StatsD or OpenTelemetry.

The service stands in the name, because plain StatsD has no labels. docs/monitoring has a mapping for
Prometheus' exporter, which makes labels of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.observability import stats

from fleetpgo.run import storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.measurement.comparison import Comparison
    from fleetpgo.run.profiled import Manifest, Record
    from fleetpgo.run.proposed import Proposed


def fetched(service: str, records: Sequence[Record]) -> None:
    """Count the requests of a task by their outcome: ``fleetpgo.<service>.fetches.<outcome>``."""
    for record in records:
        stats.incr(_name(service, "fetches", record.state))


def merged(service: str, manifest: Manifest) -> None:
    """Tell of a merge: ``….instances.<state>`` and ``….samples``."""
    for state in ("used", "refused", "missing"):
        stats.gauge(
            _name(service, "instances", state), sum(each.state == state for each in manifest.instances)
        )
    stats.gauge(_name(service, "samples"), manifest.samples)


def proposed(service: str, result: Proposed) -> None:
    """Tell of a build: ``….build.without`` and ``….build.with`` in milliseconds, ``….build.cpu`` likewise."""
    for name, seconds in (
        ("without", result.seconds_without),
        ("with", result.seconds_with),
        ("cpu", result.cpu_seconds),
    ):
        if seconds is not None:
            stats.timing(_name(service, "build", name), 1_000 * seconds)
    outcome = "unchanged" if result.unchanged else "dry_run" if result.dry_run else "opened"
    stats.incr(_name(service, "proposals", outcome))


def measured(service: str, comparison: Comparison) -> None:
    """Tell of a measurement: ``….verdicts.<verdict>``, ``….saving.<bound>`` in millionths of the CPU."""
    stats.incr(_name(service, "verdicts", comparison.verdict.call.replace(" ", "_")))
    if found := comparison.estimate:
        for bound, share in (("low", found.low), ("value", found.saving), ("high", found.high)):
            stats.gauge(_name(service, "saving", bound), round(1_000_000 * share))


def _store(verb: str, seconds: float, *, well: bool) -> None:
    """Tell of an operation of the store: ``fleetpgo.store.<verb>`` in milliseconds, or an error."""
    name = verb.replace(" ", "_")
    if well:
        stats.timing(f"fleetpgo.store.{name}", 1_000 * seconds)
    else:
        stats.incr(f"fleetpgo.store_errors.{name}")


def watch_store() -> None:
    """Have each operation of the store told, once in a process."""
    if _store not in storage.observers:
        storage.observers.append(_store)


def _name(service: str, *parts: str) -> str:
    # A dot would begin another part.
    return ".".join(("fleetpgo", service.replace(".", "_"), *parts))
