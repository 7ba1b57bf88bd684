"""What a run costs once all bodies have arrived: a line for each stage of `top_up` and `merge_profiles`.

    python -m bench.run                          # make bench-run
    python -m bench.run --instances 10000

The profiles are those of :mod:`bench.inputs`, about 207 KB each. There are 200 different ones; each
instance has one with a date of its own in its gzip header, so no two have the same bytes. They are checked
and stored as a fetching task does it, which `make bench-collect` measures. Then each task runs in a process
of its own, and in a real Airflow. Each stage's CPU is user and system time, that of `go tool preprofile`
included; its memory is the largest resident memory while it lasts. The least of some rounds stands for each
figure: noise only adds. What Go's own tool takes to merge some of the profiles, in turn with the rounds, says
how fast the machine was meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine import described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FOLDER = Path(".local/bench")
VARIANTS = 200
TOGETHER = 6
MIB = 1 << 20
TASKS = ("top_up", "merge_profiles")
START, REST = "start: imports", "the rest"


@dataclass
class Cost:
    """CPU and wall seconds, and the largest resident memory in MB."""

    cpu: float = 0.0
    wall: float = 0.0
    memory: float = 0.0


@dataclass
class Meter:
    """Measures stages; what one of them calls that is a stage itself is not counted twice."""

    costs: dict[str, Cost] = field(default_factory=dict)
    open: list[Cost] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done meanwhile."""
        own, inner = self.costs.setdefault(name, Cost()), Cost()
        if self.open:
            self.open[-1].memory = max(self.open[-1].memory, peak())
        self.open.append(inner)
        forget_peak()
        began, cpu = time.perf_counter(), used()
        try:
            yield
        finally:
            spent = Cost(used() - cpu, time.perf_counter() - began, max(peak(), inner.memory))
            self.open.pop()
            own.cpu += spent.cpu - inner.cpu
            own.wall += spent.wall - inner.wall
            own.memory = max(own.memory, spent.memory)
            if self.open:
                outer = self.open[-1]
                outer.cpu, outer.wall = outer.cpu + spent.cpu, outer.wall + spent.wall
                outer.memory = max(outer.memory, spent.memory)
            forget_peak()

    def watch(self, place: Any, attribute: str, name: str) -> None:  # noqa: ANN401  # a module
        """Measure each call of a function, wherever it is called by this name."""
        function: Callable[..., Any] = getattr(place, attribute)

        def measured(*args: Any, **options: Any) -> Any:  # noqa: ANN401  # whatever it takes and gives
            with self.stage(name):
                return function(*args, **options)

        setattr(place, attribute, measured)


def used() -> float:
    """CPU seconds of this process and of its children that have ended."""
    every = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in every)


def peak() -> float:
    """The largest resident memory since :func:`forget_peak`, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / MIB


def forget_peak() -> None:
    """Begin the largest resident memory anew (proc_pid_clear_refs(5))."""
    Path("/proc/self/clear_refs").write_text("5")


def opened(folder: Path) -> tuple[Any, Any]:
    """The service and the store of the run."""
    from bench.in_airflow import SERVICE  # noqa: PLC0415  # imports are a stage of their own
    from fleetpgo.run.store import RunStore  # noqa: PLC0415  # likewise
    from fleetpgo.service.files import load_service  # noqa: PLC0415  # likewise

    (folder / "services").mkdir(exist_ok=True)
    file = folder / "services" / "bench.yaml"
    file.write_text(SERVICE.format(port=1))
    return load_service(file), RunStore(folder / "store", "bench", "run")


def arrive(folder: Path, instances: int) -> None:
    """Check and store a profile of each instance, as the tasks that fetch do."""
    from bench.inputs import make  # noqa: PLC0415  # not in the processes that are measured
    from fleetpgo import pprof  # noqa: PLC0415  # likewise
    from fleetpgo.collection import keep, write_record  # noqa: PLC0415  # likewise
    from fleetpgo.collection.examining import Profile  # noqa: PLC0415  # likewise
    from fleetpgo.collection.packs import Packer  # noqa: PLC0415  # likewise
    from fleetpgo.run.profiled import Record  # noqa: PLC0415  # likewise
    from fleetpgo.selection import Selection, Target  # noqa: PLC0415  # likewise

    _, store = opened(folder)
    bodies = [path.read_bytes() for path in make(FOLDER / "inputs", min(VARIANTS, instances))]
    targets = [Target(f"i{number}:80", "ams", 1.0, {}) for number in range(instances)]
    store.write(Selection(tuple(targets), datacenters={"ams": instances}, seconds=30))
    known, packer = pprof.KnownNames(), Packer(store)
    for first in range(0, instances, TOGETHER):
        part = targets[first : first + TOGETHER]
        data = [dated(bodies[number % len(bodies)], number) for number in range(first, first + len(part))]
        outcomes = pprof.check_each(data, known=known, edges=True)
        for target, body, checked in zip(part, data, outcomes, strict=True):
            assert isinstance(checked, pprof.Checked)  # the inputs are good  # noqa: S101
            kept = keep(Profile(body, *checked), store)
            assert checked.edges is not None  # they were asked for  # noqa: S101
            packer.add(kept.sha256, checked.edges)
            record = Record(target.instance, target.datacenter, 1.0, **vars(kept), state="fetched")
            write_record(store, record)
    packer.write()


def dated(body: bytes, number: int) -> bytes:
    """The same profile with another time in its gzip header (RFC 1952, MTIME)."""
    return body[:4] + number.to_bytes(4, "little") + body[8:]


def task(name: str, folder: Path) -> dict[str, Cost]:
    """Run one of the tasks; what each of its stages cost."""
    meter = Meter()
    with meter.stage(START):
        from fleetpgo import pprof  # noqa: PLC0415  # it is what is measured
        from fleetpgo.steps import collect, enough, merge  # noqa: PLC0415  # likewise

        service, store = opened(folder)
    for place in (enough, merge):
        meter.watch(place, "read_records", "records of the instances")
        meter.watch(place, "contributions", "which profiles count")
        meter.watch(place, "read_edges", "call edges of the profiles")
    meter.watch(pprof, "sufficiency", "sufficiency and outliers")
    meter.watch(pprof, "merge", "merged profile, from the bytes")
    meter.watch(pprof, "minimise", "minimise")
    meter.watch(merge, "preprofile", "proof")
    meter.watch(merge, "toolchains", "toolchains")
    with meter.stage(REST):
        if name == "top_up":
            asyncio.run(collect.top_up(service, store))
        else:
            merge.merge_profiles(service, store)
    return meter.costs


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--instances", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3, help="how often each task is measured")
    parser.add_argument("--no-airflow", action="store_true", help="leave out the run in Airflow")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        what, folder = args.part[0], Path(args.part[1])
        if what == "arrive":
            arrive(folder, args.instances)
        else:
            print(json.dumps({name: vars(cost) for name, cost in task(what, folder).items()}))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        _part("arrive", folder, *sys.argv[1:])
        _in_process(folder, args.instances, args.rounds)
        if not args.no_airflow:
            _in_airflow(folder, args.instances)


def _part(what: str, folder: Path, *options: str) -> str:
    argv = [sys.executable, "-m", "bench.run", "--part", what, str(folder), *options]
    return subprocess.run(
        argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout


def _in_process(folder: Path, instances: int, rounds: int) -> None:
    print(described())
    print(f"{instances:,} instances, each task in a process of its own; least of {rounds} rounds\n")
    print("| task | stage | CPU s | wall s | peak MB |\n|---|---|---:|---:|---:|")
    from bench import merge  # noqa: PLC0415  # not in the processes that are measured
    from bench.inputs import make  # noqa: PLC0415  # likewise

    paths = [str(path) for path in make(FOLDER / "inputs", VARIANTS)]
    pprof, gos = merge.peer(paths), []
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in TASKS}
    for number in range(rounds):
        gos.append(merge.run(pprof))
        # Each round begins with what has arrived; the second task finds what the first one has kept.
        own = folder / str(number)
        shutil.copytree(folder / "store", own / "store", copy_function=os.link)
        for name in TASKS:
            runs[name].append(json.loads(_part(name, own).splitlines()[-1]))
        shutil.rmtree(own)
    every = []
    for name, of_task in runs.items():
        for stage in sorted(of_task[0], key=lambda stage: stage == REST):
            cost = _least([Cost(**run[stage]) for run in of_task])
            _print(f"`{name}`", stage, cost)
            if stage != START:
                every.append(cost)
    _print("both", "without their start", _sum(every))
    print(f"\n`go tool pprof -proto` takes {merge.least(gos).cpu:.1f} CPU s to merge {len(paths)} profiles.")


def _least(costs: Sequence[Cost]) -> Cost:
    return Cost(*(min(getattr(cost, name) for cost in costs) for name in ("cpu", "wall", "memory")))


def _sum(costs: Sequence[Cost]) -> Cost:
    return Cost(
        sum(cost.cpu for cost in costs), sum(cost.wall for cost in costs), max(cost.memory for cost in costs)
    )


def _print(task_name: str, stage: str, cost: Cost) -> None:
    print(f"| {task_name} | {stage} | {cost.cpu:.2f} | {cost.wall:.2f} | {cost.memory:.0f} |", flush=True)


def _in_airflow(folder: Path, instances: int) -> None:
    from bench import in_airflow  # noqa: PLC0415  # requests and psutil are not for the processes above

    walls, cpu, idle = in_airflow.merging(folder / "store" / "bench" / "run", folder)
    print(f"\n{instances:,} instances, in Airflow:\n")
    print("| task | wall s |\n|---|---:|")
    for name in TASKS:
        print(f"| `{name}` | {walls[name]:.1f} |")
    print(f"\nBoth take {cpu:.1f} CPU s beyond a run whose tasks do nothing, which takes {idle:.1f}.")


if __name__ == "__main__":
    main()
