"""A week of a large fleet, from a real Prometheus to a verdict: wall time and peak memory of the measurement.

Two weeks of made-up points every five minutes, written to a fresh database by promtool, which takes most of
the time; only the measurement is timed. It runs as a process of its own: start and imports count. On a busy
machine the processors' time says more than the clock's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import requests

from bench.machine import described

FOLDER = Path(".local/bench/measure")
STEP, WEEK, ROLL = 300, 604_800, 7_200
ROLLOUT = 1_772_442_000  # Unix time, 2026-03-02T09:00Z
DATACENTERS = 20

MEASURE = f"""
import resource, sys, time
from datetime import UTC, datetime, timedelta
began = time.monotonic()
from fleetpgo.service.files import load_service
from fleetpgo.measurement.measuring import measure
from fleetpgo.run.proposed import Rollout
from fleetpgo.prometheus import Prometheus
from pathlib import Path
start = datetime.fromtimestamp({ROLLOUT}, UTC)
rollout = Rollout("0123456789ab", start, start + timedelta(seconds={ROLL}), 0.9)
service = load_service(Path(sys.argv[1]))
measured = measure(Prometheus(sys.argv[2]), service, rollout, period="week", window=timedelta(days=7))
measured.files()
print(measured.comparison.verdict.call, measured.comparison.estimate)
used = resource.getrusage(resource.RUSAGE_SELF)
print(
    f"{{time.monotonic() - began:.1f}} s, {{used.ru_maxrss / 1024:.0f}} MB at most, "
    f"{{used.ru_utime + used.ru_stime:.1f}} CPU-s"
)
"""

SERVICE = """\
prometheus: {connection: bench}
selection: {cpu: cpu}
repository: {forge: local, connection: bench, project: api}
build: {binary: bin/api}
rollout: {fraction: "vector(0.9)", treated: 'build_info{pgo="$profile"}'}
measurement: {cpu: cpu, requests: requests}
"""


def write(file: Path, instances: int) -> None:
    """OpenMetrics of the fleet: a tenth of it held back, a saving of 3 %."""
    random = np.random.default_rng(1)
    times = np.arange(ROLLOUT - WEEK - 3_600, ROLLOUT + WEEK + ROLL + 3_600, STEP)
    stamps = [f" {at}\n" for at in times]
    day = 1 + 0.3 * np.sin(2 * np.pi * times / 86_400)
    with file.open("w") as out:
        for name in ("build_info", "cpu", "requests"):
            for i in range(instances):
                treated = i % 10 > 0
                labels = f'instance="i{i}",datacenter="dc{i // 10 % DATACENTERS}"'
                traffic = 100 * day * np.exp(random.normal(0, 0.02, len(times)))
                cpu = 0.06 * traffic * (1 - 0.03 * (treated & (times >= ROLLOUT)))
                if name == "build_info":
                    values = np.ones(len(times))
                    labels += f',pgo="{"0123456789ab" if treated else "off"}"'
                else:
                    values = cpu if name == "cpu" else traffic
                series = f"{name}{{{labels}}} "
                out.writelines(f"{series}{value:.4f}{at}" for value, at in zip(values, stamps, strict=True))
        out.write("# EOF\n")


def main() -> None:
    """Fill a database, measure, tidy up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=2_000)
    instances = parser.parse_args().instances

    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    write(FOLDER / "data.txt", instances)
    subprocess.run(
        [
            *("promtool", "tsdb", "create-blocks-from", "--max-block-duration=48h", "--quiet", "openmetrics"),
            *(FOLDER / "data.txt", FOLDER / "data"),
        ],
        check=True,
    )
    (FOLDER / "data.txt").unlink()
    (FOLDER / "prometheus.yml").write_text("global: {}\n")
    (FOLDER / "api.yaml").write_text(SERVICE)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    server = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={FOLDER / 'prometheus.yml'}",
            f"--storage.tsdb.path={FOLDER / 'data'}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address={address}",
            "--log.level=error",
        ]
    )
    try:
        while not _ready(f"http://{address}/-/ready"):
            time.sleep(0.2)
        before = _cpu(server)
        subprocess.run([sys.executable, "-c", MEASURE, FOLDER / "api.yaml", f"http://{address}"], check=True)
        print(f"Prometheus: {_cpu(server) - before:.1f} CPU-s; {described()}")
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(FOLDER)


def _cpu(process: subprocess.Popen[bytes]) -> float:
    """CPU-seconds that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def _ready(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


if __name__ == "__main__":
    main()
