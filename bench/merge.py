"""The merge against Go's own: CPU time, wall time and peak memory, all timed in turn in one run.

Peer: ``cmd/pprof`` of the Go toolchain, built once, run as ``pprof -proto -symbolize=none``. Inputs:
bench/inputs.py. The first table times the command as it is typed, its start and the proof included; the
second one the library's functions alone, in a process of their own, without the proof. Python's modules are
compiled before the first round, as those of an installed program are, wherever the environment says not to
keep them. The least of some rounds stands for each figure: noise only ever adds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.inputs import make
from bench.machine import described

FOLDER = Path(".local/bench")

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPYCACHEPREFIX": str(FOLDER.resolve() / "pycache"),
    "OPENBLAS_NUM_THREADS": "1",  # as the command sets it
}

LIBRARY = """
import sys
from pathlib import Path
from fleetpgo.pprof import call_edges, merge
from fleetpgo.pprof.minimising import from_edges
profiles = (Path(path).read_bytes() for path in sys.argv[3:])
merged = merge(profiles).data if sys.argv[1] == "full" else from_edges(call_edges(merge(profiles)))
Path(sys.argv[2]).write_bytes(merged)
"""

# A child inherits the peak of the process that started it: this one is small.
WATCH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""

Side = tuple[list[str], Path]
"""A command and what it writes."""


@dataclass(frozen=True)
class Run:
    """One run: CPU and wall seconds, peak memory in MB, bytes of the result."""

    cpu: float
    wall: float
    memory: float
    size: int


def run(side: Side) -> Run:
    """Run a command that writes a file."""
    command, output = side
    watched = [sys.executable, "-I", "-S", "-c", WATCH, *command]
    start, before = time.perf_counter(), os.times()
    done = subprocess.run(watched, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=False)
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise SystemExit(f"{command[0]} failed")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Run(cpu, wall, int(done.stdout) / 1024, output.stat().st_size)


def peer(paths: list[str]) -> Side:
    """Go's pprof."""
    binary, output = FOLDER / "pprof", FOLDER / "peer.pb.gz"
    if not binary.exists():
        subprocess.run(["go", "build", "-o", binary, "cmd/pprof"], check=True)
    return [str(binary), "-proto", "-symbolize=none", f"-output={output}", *paths], output


def typed(paths: list[str], *options: str) -> Side:
    """The command, as it is typed."""
    output = FOLDER / "typed.pb.gz"
    return ["fleetpgo", "profile", "merge", *options, "--output", str(output), *paths], output


def library(kind: str, paths: list[str]) -> Side:
    """The functions alone, to the full or to the minimal profile."""
    output = FOLDER / f"{kind}.pb.gz"
    return [sys.executable, "-c", LIBRARY, kind, str(output), *paths], output


def least(runs: list[Run]) -> Run:
    """The least of each figure."""
    return Run(*(min(getattr(run, field) for run in runs) for field in Run.__dataclass_fields__))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profiles", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--many", type=int, default=10_000, help="inputs for the comparison of memory; 0: skip it"
    )
    asked = parser.parse_args()

    paths = [str(path) for path in make(FOLDER / "inputs", asked.profiles)]
    megabytes = sum(Path(path).stat().st_size for path in paths) / 1e6
    print(described())
    print(f"{len(paths)} profiles, {megabytes:.0f} MB gzipped; least of {asked.rounds} rounds\n")
    sides = {
        "`go tool pprof -proto`": peer(paths),
        "`fleetpgo profile merge`": typed(paths),
        "`fleetpgo profile merge --minimise`": typed(paths, "--minimise"),
        "library: merge": library("full", paths),
        "library: merge, straight to the minimal profile": library("minimal", paths),
    }
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for side in (typed(paths[:1], "--minimise"), library("minimal", paths[:1])):
        run(side)
    for number in range(asked.rounds):
        for name, side in sides.items():
            runs[name].append(run(side))
        print(f"round {number + 1} of {asked.rounds}", file=sys.stderr)
    best = {name: least(of_side) for name, of_side in runs.items()}
    reference = next(iter(best.values()))
    for title, library_s in (("As typed", False), ("The library's functions alone, without the proof", True)):
        print(f"{title}:\n")
        print("| | CPU s | ratio | wall s | ratio | peak MB | ratio | result bytes |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|")
        for name, figures in best.items():
            if figures is reference or name.startswith("library") == library_s:
                print(
                    f"| {name} | {figures.cpu:.2f} | {figures.cpu / reference.cpu:.2f} "
                    f"| {figures.wall:.2f} | {figures.wall / reference.wall:.2f} "
                    f"| {figures.memory:.0f} | {figures.memory / reference.memory:.2f} | {figures.size:,} |"
                )
        print()
    if asked.many:
        many = [str(path) for path in make(FOLDER / "inputs", asked.many)]
        for name, options in (("merge", []), ("merge --minimise", ["--minimise"])):
            memory, few = run(typed(many, *options)).memory, best[f"`fleetpgo profile {name}`"].memory
            print(f"{name}: {asked.many:,} inputs take {memory:.0f} MB, {memory / few:.2f} of {len(paths)}'s")


if __name__ == "__main__":
    main()
