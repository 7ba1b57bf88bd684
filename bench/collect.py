"""What collecting from a thousand instances costs, beside a shell loop of curl; and what selecting costs.

    python -m bench.collect            # make bench-collect
    python -m bench.collect --seconds 10 --instances 100

Each row is measured in a process of its own: wall time, CPU (user + system, its children's included), and
its largest resident memory (not for the shell, which starts a process for each instance). The least of some
rounds stands for each figure: noise only ever adds. What a round has written stays until the end, as ext4
takes its time to make files where thousands have just been deleted. The server that plays the instances is
another process, and not counted, but runs on the same processors. Airflow's row is measured once and in
another way: see :mod:`bench.in_airflow`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from bench import in_airflow
from bench.fleet_server import INSTANCES, address
from bench.machine import described
from fleetpgo.collection import collect
from fleetpgo.prometheus import Prometheus
from fleetpgo.run.store import RunStore
from fleetpgo.selection import Target, select
from fleetpgo.service.profiling import CollectionRules, SelectionRules

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SERIES = 100_000
DATACENTERS = 50
MIB = 1 << 20
WAYS = {
    "fleetpgo": "collecting",
    "fleetpgo in Airflow, 8 slots": "airflow",
    "bash: `curl … & wait`": "curling",
}


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time and CPU, bytes of memory (None: not measured), and what came of it."""

    wall: float
    cpu: float
    memory: int | None
    got: str


@contextmanager
def fleet(folder: Path, seconds: int) -> Iterator[int]:
    """A thousand instances; their port."""
    argv = [sys.executable, "-m", "bench.fleet_server", str(folder / "profiles"), str(seconds)]
    server = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout  # it was asked for  # noqa: S101
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()


def collecting(port: int, seconds: int, instances: int, folder: Path) -> str:
    """Collect from so many instances at once."""
    # A socket and a file for each instance: more than the usual 1,024.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    rules = CollectionRules(
        url=f"http://$host:{port}/debug/pprof/profile?seconds=$seconds",
        allow=("127.0.0.0/8",),
        concurrency=instances,
        attempts=1,
    )
    targets = [Target(address(number), "ams", 1.0, {}) for number in range(instances)]
    store = RunStore(folder, "bench", "run")
    records = asyncio.run(collect(targets, rules, store, seconds=seconds, limits={"ams": instances}))
    return f"{sum(record.state == 'fetched' for record in records)} profiles"


def curling(port: int, seconds: int, instances: int, folder: Path) -> str:
    """The shell's way: all at once in the background, failures ignored."""
    path = f":{port}/debug/pprof/profile?seconds={seconds}"
    script = "".join(
        f"curl -s -o {number}.pb.gz 'http://{address(number)}{path}' &\n" for number in range(instances)
    )
    subprocess.run(["bash", "-c", script + "wait"], cwd=folder, check=True)
    return f"{len(list(folder.glob('*.pb.gz'))):,} files, good or not"


def write_answers(folder: Path) -> None:
    """What Prometheus would answer of 100,000 instances in 50 datacenters: their CPU, and their number."""
    sizes = [
        {"metric": {"datacenter": f"dc{n}"}, "value": [1_700_000_000.0, str(SERIES // DATACENTERS)]}
        for n in range(DATACENTERS)
    ]
    instances = [
        {
            "metric": {
                "instance": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}:6060",
                "datacenter": f"dc{n % DATACENTERS}",
                "job": "api",
                "tier": "1",
            },
            "value": [1_700_000_000.0, str(1 + n % 977 / 100)],
        }
        for n in range(SERIES)
    ]
    for name, result in (("sizes", sizes), ("instances", instances)):
        answer = {"status": "success", "data": {"resultType": "vector", "result": result}}
        (folder / name).write_text(json.dumps(answer))


def asking(folder: Path) -> str:
    """Select against a server that answers so."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            body = folder / ("sizes" if b"query=count" in query else "instances")
            self.send_response(200)
            self.send_header("Content-Length", str(body.stat().st_size))
            self.end_headers()
            with body.open("rb") as file:
                while part := file.read(MIB):
                    self.wfile.write(part)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        rules = SelectionRules(cpu="cpu", strategy="stratified")
        chosen = select(Prometheus(f"http://127.0.0.1:{server.server_port}"), rules, seed="run")
        server.shutdown()
    return f"{len(chosen.of_round(1))} of {sum(chosen.datacenters.values()):,}"


def measured(what: str, folder: Path, port: int = 0, seconds: int = 0, instances: int = 0) -> Cost:
    """Do it in a process of its own."""
    argv = [sys.executable, "-m", "bench.collect", "--row", what, str(folder)]
    done = subprocess.run(
        [*argv, *map(str, (port, seconds, instances))], check=True, stdout=subprocess.PIPE, text=True
    )
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def row(what: str, folder: Path, port: int, seconds: int, instances: int) -> None:
    """The process of its own: do it, and print what it cost."""
    before = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    started = time.monotonic()
    match what:
        case "collecting":
            got = collecting(port, seconds, instances, folder)
        case "curling":
            got = curling(port, seconds, instances, folder)
        case "airflow":
            wall, cpu, got = in_airflow.collecting(port, seconds, instances, folder)
            print(json.dumps({"wall": wall, "cpu": cpu, "memory": None, "got": got}))
            return
        case _:
            got = asking(folder)
    wall = time.monotonic() - started
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(sum(each[:2]) for each in used) - before
    memory = None if what == "curling" else _peak_memory()
    print(json.dumps({"wall": wall, "cpu": cpu, "memory": memory, "got": got}))


def _peak_memory() -> int:
    """Bytes. Not ru_maxrss, which a process inherits from the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    """Print the table, for docs/speed.md."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, help="only profiles of that length; default: 10 and 30")
    parser.add_argument("--instances", type=int, default=INSTANCES, help="so many; default and most: 1000")
    parser.add_argument("--rounds", type=int, default=2, help="how often each row is measured")
    parser.add_argument("--row", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        what, folder, *numbers = args.row
        row(what, Path(folder), *map(int, numbers))
        return
    print(described(), end="\n\n")
    print("| what | wall s | CPU s | peak MB | result |\n|---|---:|---:|---:|---|")
    with tempfile.TemporaryDirectory() as made:
        for seconds in [args.seconds] if args.seconds else [10, 30]:
            with fleet(Path(made, str(seconds)), seconds) as port:
                for name, what in WAYS.items():
                    costs = []
                    for number in range(1 if what == "airflow" else args.rounds):
                        folder = Path(made, f"{what}-{seconds}-{number}")
                        folder.mkdir()
                        costs.append(measured(what, folder, port, seconds, args.instances))
                    _print(f"{args.instances:,} instances × {seconds} s, {name}", costs)
        write_answers(Path(made))
        costs = [measured("asking", Path(made)) for _ in range(args.rounds)]
        _print(f"selection over {SERIES:,} series", costs)


def _print(name: str, costs: Sequence[Cost]) -> None:
    """Print a row: the least of each figure."""
    wall, cpu = min(each.wall for each in costs), min(each.cpu for each in costs)
    memories = [each.memory / MIB for each in costs if each.memory is not None]
    memory = f"{min(memories):.0f}" if memories else "–"
    print(f"| {name} | {wall:.1f} | {cpu:.1f} | {memory} | {costs[0].got} |", flush=True)


if __name__ == "__main__":
    main()
