"""A fleet of 10,000 instances that use 0.01 core each, from selection to a dry run of its pull request.

    python -m bench.light            # make bench-light

Together they use a hundred cores, and each gives about thirty samples in thirty seconds. The service is the
demo's: a real profile of it under load is taken once, and each instance answers with as many
samples of that as it uses CPU time for, drawn anew. A real Prometheus holds the CPU of each. What is measured
are the commands, each with all processes that it starts; the servers that play the fleet are not counted, but
run on the same processors. Answers come after a second, and say that they cover thirty.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import requests
from ruamel.yaml import YAML

from demo import processes
from demo.fleet import CPU_SERIES, Fleet
from fleetpgo.pprof import profile_pb2
from fleetpgo.service.files import services_directory

INSTANCES, CORES, SECONDS = 10_000, 0.01, 30
DATACENTERS = 10
SAMPLES_A_SECOND = 100
SEED = 20_261_129
ANSWERS_AFTER = 1.0
"""Seconds: nothing is gained by waiting for thirty."""

BASE_SECONDS = 20

SELECTION = {"cpu": f'{CPU_SERIES}{{job="wshim"}}', "strategy": "stratified", "instances": 450}
URL = "http://$host:{port}/debug/pprof/profile?seconds=$seconds"
"""What differs from the demo's service file: all else is as it is by default."""


def address(number: int) -> str:
    """Where instance `number` is."""
    return f"127.1.{number // 250}.{1 + number % 250}"


def base_profile(fleet: Fleet) -> profile_pb2.Profile:
    """A profile of the demo's service under load."""
    url = f"http://{fleet.instances[0].address}/debug/pprof/profile?seconds={BASE_SECONDS}"
    answer = requests.get(url, timeout=10 * BASE_SECONDS)
    answer.raise_for_status()
    return profile_pb2.Profile.FromString(gzip.decompress(answer.content))


def drawn(base: profile_pb2.Profile, number: int) -> bytes:
    """What instance `number` answers: its samples, drawn from a profile's stacks."""
    random = np.random.default_rng([SEED, number])
    weights = np.array([sample.value[0] for sample in base.sample], np.float64)
    draws = random.multinomial(random.poisson(CORES * SECONDS * SAMPLES_A_SECOND), weights / weights.sum())
    own = profile_pb2.Profile()
    own.CopyFrom(base)
    del own.sample[:]
    for row in np.flatnonzero(draws):
        sample = own.sample.add()
        sample.CopyFrom(base.sample[row])
        sample.value[:] = [int(draws[row]), int(draws[row]) * base.period]
    own.duration_nanos = SECONDS * 10**9
    return gzip.compress(own.SerializeToString(), 1)


class Instances:
    """All instances, on one port of as many addresses; a context manager that gives the port."""

    def __init__(self, base: profile_pb2.Profile) -> None:
        self._base = base
        self._numbers = {address(number): number for number in range(INSTANCES)}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> int:
        self._thread.start()
        # Loopback only: every address of 127.0.0.0/8 leads here.
        starting = asyncio.start_server(self._answer, "0.0.0.0", 0, backlog=2_000)  # noqa: S104
        server = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        return int(server.sockets[0].getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(ANSWERS_AFTER)
            body = drawn(self._base, self._numbers[writer.get_extra_info("sockname")[0]])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the asker went away
        finally:
            writer.close()


def prometheus(folder: Path) -> tuple[processes.Process, str]:
    """A Prometheus that holds the CPU of each instance, and its URL."""
    folder.mkdir()
    (folder / "prometheus.yml").write_text("global: {}\n")
    now = int(time.time())
    series = "".join(
        f'{CPU_SERIES}{{instance="{address(number)}:6060",datacenter="dc{number % DATACENTERS}",'
        f'job="wshim"}} {CORES} {at}\n'
        for number in range(INSTANCES)
        # It looks back for five minutes; those that come are for the commands.
        for at in range(now, now + 1800, 240)
    )
    (folder / "data.txt").write_text(f"{series}# EOF\n")
    processes.run(
        [
            "promtool",
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            str(folder / "data.txt"),
            str(folder / "data"),
        ],
        folder,
    )
    port = processes.free_port()
    flags = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={processes.HOST}:{port}",
        "--log.level=warn",
    ]
    server = processes.start("prometheus", ["prometheus", *flags], folder)
    url = f"http://{processes.HOST}:{port}"

    def holds_all() -> bool:
        try:
            answer = requests.get(f"{url}/api/v1/query", params={"query": f"count({CPU_SERIES})"}, timeout=60)
            found = answer.json()["data"]["result"]
        except (requests.RequestException, KeyError, ValueError):  # it starts
            return False
        return bool(found) and float(found[0]["value"][1]) == INSTANCES

    processes.wait_until(holds_all, "Prometheus holds every instance", [server], timeout_s=300)
    return server, url


def measured(*command: str | Path, environment: dict[str, str]) -> tuple[float, str]:
    """CPU seconds of a command, and its standard output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(list(map(str, command)), env=environment, stdout=subprocess.PIPE, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu, done.stdout.decode()


def main() -> None:
    """Print the table, for docs/selection.md."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with Fleet(folder / "demo", instances=1, requests_per_second=80) as fleet:
            fleet.wait_ready()
            base, forge = base_profile(fleet), fleet.origin.parent
        with Instances(base) as port:
            server, url = prometheus(folder / "prometheus")
            try:
                _run(folder, url, port, forge)
            finally:
                processes.stop_all([server])


def _run(folder: Path, url: str, port: int, forge: Path) -> None:
    services = folder / "services"
    services.mkdir()
    yaml = YAML(typ="safe")
    described = yaml.load(services_directory() / "wshim.yaml")
    collection = {"url": URL.format(port=port), "allow": ["127.0.0.0/8"]}
    described |= {"selection": SELECTION, "collection": collection}
    yaml.dump(described, services / "wshim.yaml")
    environment = {**os.environ, "FLEETPGO_SERVICES": str(services), "FLEETPGO_STORE": str(folder / "store")}
    fleetpgo = Path(sys.executable).with_name("fleetpgo")
    print(described(), end="\n\n")
    print("| command | CPU s | result |\n|---|---:|---|")
    cpu, said = measured(
        *(fleetpgo, "select", "wshim", "--prometheus", url, "--json"), environment=environment
    )
    chosen = json.loads(said)["targets"]
    first = sum(each["round"] == 1 for each in chosen)
    print(f"| `fleetpgo select` | {cpu:.1f} | {first:,} of {INSTANCES:,} instances a round |")
    cpu, said = measured(
        *(fleetpgo, "collect", "wshim", "--prometheus", url, "--json"), environment=environment
    )
    manifest = json.loads(said)
    result = f"{manifest['used']:,} of {manifest['selected']:,} profiles, {manifest['samples']:,} samples, "
    result += f"{manifest['edges']:,} call edges, {manifest['hot_edges']:,} of them hot"
    print(f"| `fleetpgo collect` | {cpu:.1f} | {result} |", flush=True)
    for warning in manifest["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    cpu, said = measured(
        *(fleetpgo, "propose", "wshim", "--forge", forge, "--cache", folder / "cache", "--dry-run", "--json"),
        environment=environment,
    )
    proposed = json.loads(said)
    result = proposed["reason"] or f"{proposed['path']}, source match {proposed['source_match']:.2f}"
    print(f"| `fleetpgo propose --dry-run` | {cpu:.1f} | {result} |")


if __name__ == "__main__":
    main()
