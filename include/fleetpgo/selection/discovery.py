"""The Go services that a Prometheus knows: who could be refreshed, and how much CPU each uses.

``go_info`` is exported by every program with the Go client's default collectors
(https://pkg.go.dev/github.com/prometheus/client_golang/prometheus/collectors#NewGoCollector), and
``process_cpu_seconds_total`` by its process collector, which is missing on some systems. There cAdvisor's
``container_cpu_usage_seconds_total`` is used, joined by namespace and pod. Services are told apart by the
label ``job``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleetpgo.errors import SelectionError

if TYPE_CHECKING:
    from fleetpgo.prometheus import Answer, Prometheus, Series

WINDOW = "5m"
"""Over which CPU is averaged: the usual scrape intervals fit into it several times."""

_INFO = "count by (job, version) (go_info)"
_INSTANCES = "topk by (job) (1, go_info)"
_CPU = {
    "process_cpu_seconds_total": (
        f"sum by (job) (rate(process_cpu_seconds_total[{WINDOW}]) and on (job, instance) go_info)"
    ),
    "container_cpu_usage_seconds_total": (
        'sum by (job) (max by (job, namespace, pod) (go_info{pod!=""}) * on (namespace, pod) group_left () '
        "sum by (namespace, pod) "
        f'(rate(container_cpu_usage_seconds_total{{container!="", container!="POD"}}[{WINDOW}])))'
    ),
}


@dataclass(frozen=True)
class GoService:
    """A Go service as Prometheus shows it.

    Attributes:
        job: the value of its label ``job``.
        instances: how many processes export ``go_info``.
        cores: CPU that they use together, in cores; None if no metric tells.
        metric: the CPU metric that told; "" if none.
        versions: their Go versions, as ``go_info`` has them, with the number of instances of each.
        instance: the label ``instance`` of one of them.
    """

    job: str
    instances: int
    cores: float | None
    metric: str
    versions: dict[str, int]
    instance: str


@dataclass(frozen=True)
class Discovered:
    """The Go services that a Prometheus knows, those with most CPU first, and what it warned of."""

    services: list[GoService] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def discover(prometheus: Prometheus) -> Discovered:
    """Ask a Prometheus for its Go services.

    Raises:
        SelectionError: it has no ``go_info``.
        PrometheusError: it cannot be asked.
    """
    warnings: dict[str, None] = {}

    def ask(query: str) -> tuple[Series, ...]:
        answer = prometheus.instant(query, partial_response=True)
        warnings.update(dict.fromkeys(answer.warnings))
        return answer.series

    versions: dict[str, dict[str, int]] = {}
    for series in ask(_INFO):
        versions.setdefault(_job(series), {})[series.labels.get("version", "")] = int(series.value)
    if not versions:
        raise SelectionError(
            f"Prometheus at {prometheus.address} has no series of go_info, which every Go program with the "
            "Prometheus client's default collectors exports",
            hint="is this the Prometheus that scrapes the services? Without go_info, write the service file "
            "by hand (docs/service-file.md)",
        )
    example = {_job(series): series.labels.get("instance", "") for series in ask(_INSTANCES)}
    cores: dict[str, tuple[float, str]] = {}
    for metric, query in _CPU.items():
        if cores.keys() >= versions.keys():
            break
        for series in ask(query):
            cores.setdefault(_job(series), (series.value, metric))
    services = [
        GoService(
            job=job,
            instances=sum(of.values()),
            cores=cores[job][0] if job in cores else None,
            metric=cores[job][1] if job in cores else "",
            versions=dict(sorted(of.items())),
            instance=example.get(job, ""),
        )
        for job, of in versions.items()
    ]
    return Discovered(sorted(services, key=lambda each: (-(each.cores or 0.0), each.job)), list(warnings))


def discover_seen(answer: Answer, label: str) -> Discovered:
    """Return the services that a store of profiles has seen; it does not know their Go versions.

    Args:
        answer: one series for each instance: the CPU it uses.
        label: tells services apart.

    Raises:
        SelectionError: it has seen none.
    """
    if not answer.series:
        raise SelectionError(
            f"the store of profiles has seen no service in the last hour\nquery: {answer.query}",
            hint="is this the server that profilers upload to? It may need a tenant ($FLEETPGO_HEADERS)",
        )
    cores: dict[str, list[float]] = {}
    for series in answer.series:
        cores.setdefault(series.labels.get(label, ""), []).append(series.value)
    services = [
        GoService(job=name, instances=len(of), cores=sum(of), metric=answer.query, versions={}, instance="")
        for name, of in cores.items()
    ]
    return Discovered(sorted(services, key=lambda each: (-(each.cores or 0.0), each.job)))


def _job(series: Series) -> str:
    return series.labels.get("job", "")
