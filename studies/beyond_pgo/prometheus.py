"""Prometheus: the queries of a dashboard over an hour of stored series."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from demo.processes import HOST, free_port, run
from studies.beyond_pgo.serving import Ask, Running, Server, launch, send

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGIN, LENGTH_S, STEP_S = 1_767_225_600, 3600, 15
JOBS, INSTANCES, ROUTES, CODES = 4, 5, 6, (200, 404, 500)
BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "+Inf")
PANELS = (
    "sum by (job) (rate(http_requests_total[5m]))",
    (
        'sum by (route) (rate(http_requests_total{code=~"5.."}[5m]))'
        " / sum by (route) (rate(http_requests_total[5m]))"
    ),
    "histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))",
    'topk(5, sum by (instance, route) (rate(http_requests_total{job="job-1"}[1m])))',
    "avg_over_time(process_resident_memory_bytes[10m]) / 1e6",
    "max by (job) (process_resident_memory_bytes) / on (job) sum by (job) (rate(http_requests_total[5m]))",
)


@dataclass(frozen=True)
class Prometheus(Server):
    """A database of time series. Its data are made by promtool, once, and kept beside the binary."""

    def start(self, binary: Path, directory: Path) -> Running:
        """Start a process on a copy of the data; it scrapes nothing."""
        shutil.copytree(blocks(binary.parent), directory / "data")
        config, address = directory / "prometheus.yml", f"{HOST}:{free_port()}"
        config.write_text("global: {}\n")
        return launch(
            [
                binary, f"--config.file={config.absolute()}", f"--web.listen-address={address}",
                f"--storage.tsdb.path={(directory / 'data').absolute()}",
            ],
            directory,
            address=address,
            ready=f"http://{address}/-/ready",
            pprof=f"http://{address}/debug/pprof/profile",
        )  # fmt: skip

    def drive(self, running: Running, requests: int, seed: int) -> None:
        """Send the range queries of a dashboard's panels."""
        send(running.address, asks(), requests, seed)


def asks() -> list[Ask]:
    """Return a request for each panel and each of three half hours."""
    return [
        Ask(f"/api/v1/query_range?{urlencode(asked)}", b'"values":[[')
        for query, start in product(PANELS, (BEGIN + 900, BEGIN + 1200, BEGIN + 1800))
        for asked in [{"query": query, "start": start, "end": start + 1800, "step": 30}]
    ]


def blocks(folder: Path) -> Path:
    """Return a directory with the series; it is made if this file's do not exist yet."""
    data = folder / f"data-{sha256(Path(__file__).read_bytes()).hexdigest()[:12]}"
    if not data.exists():
        partial = data.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        text = partial / "openmetrics.txt"
        with text.open("w") as file:
            file.writelines(openmetrics())
        run(["promtool", "tsdb", "create-blocks-from", "openmetrics", text, partial / "blocks"], cwd=folder)
        (partial / "blocks").rename(data)
        shutil.rmtree(partial)
    return data


def openmetrics() -> Iterator[str]:
    """Yield lines of the series, the same each time: counters, histograms and gauges of a few services."""
    draw = random.Random(1)  # noqa: S311  not for secrets
    times = range(BEGIN, BEGIN + LENGTH_S, STEP_S)
    targets = [
        f'job="job-{job}",instance="10.0.{job}.{instance}:8080"'
        for job, instance in product(range(JOBS), range(INSTANCES))
    ]
    routes = [f'{target},route="/api/v1/{route}"' for target in targets for route in range(ROUTES)]

    yield "# TYPE http_requests counter\n"
    for labels, code in product(routes, CODES):
        count, pace = 0, draw.randint(5, 300)
        for at in times:
            count += int(pace * draw.random())
            yield f'http_requests_total{{{labels},code="{code}"}} {count} {at}\n'
    yield "# TYPE http_request_duration_seconds histogram\n"
    for labels in routes:
        counts = [0] * len(BOUNDS)
        for at in times:
            added = 0
            for number, bound in enumerate(BOUNDS):
                added += draw.randrange(40)
                counts[number] += added
                yield f'http_request_duration_seconds_bucket{{{labels},le="{bound}"}} {counts[number]} {at}\n'
    yield "# TYPE process_resident_memory_bytes gauge\n"
    for labels in targets:
        for at in times:
            yield f"process_resident_memory_bytes{{{labels}}} {draw.randint(80, 300) << 20} {at}\n"
    yield "# EOF\n"


PROMETHEUS = Prometheus(
    name="Prometheus",
    module="github.com/prometheus/prometheus",
    version="v0.316.0",
    package="github.com/prometheus/prometheus/cmd/prometheus",
    load="a dashboard's range queries in PromQL",
    tags="remove_all_sd",
)
