"""The merge against Go's own: CPU time, wall time and peak memory, both timed in turn in one run.

Peer: ``cmd/pprof`` of the Go toolchain, built once, run as ``pprof -proto -symbolize=none``. Inputs:
bench/inputs.py. Each side runs as a process of its own, so start and imports count; what the imports take
is shown apart. Python's modules are compiled before the first round, as those of an installed program are,
wherever the environment says not to keep them. The least of some rounds stands for each figure: noise only
ever adds.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.inputs import make

FOLDER = Path(".local/bench")

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPYCACHEPREFIX": str(FOLDER.resolve() / "pycache"),
    "OPENBLAS_NUM_THREADS": "1",  # as the command sets it
}

OURS = """
import resource, sys, time
from pathlib import Path
from fleetpgo.pprof import merge, merge_edges
from fleetpgo.pprof.minimising import from_edges
used = resource.getrusage(resource.RUSAGE_SELF)
print("imports", used.ru_utime + used.ru_stime)
profiles = (Path(path).read_bytes() for path in sys.argv[3:])
merged = merge(profiles).data if sys.argv[1] == "full" else from_edges(merge_edges(profiles))
Path(sys.argv[2]).write_bytes(merged)
# Not ru_maxrss: a child inherits that of the process that started it.
print(Path("/proc/self/status").read_text())
"""


@dataclass(frozen=True)
class Run:
    """One run: CPU and wall seconds, peak memory in MB, CPU seconds of the imports, bytes of the result."""

    cpu: float
    wall: float
    memory: float
    imports: float
    size: int


def run(command: list[str], output: Path) -> Run:
    """Run a command that writes ``output``."""
    start, before = time.perf_counter(), os.times()
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    said, _ = process.communicate()
    wall, after = time.perf_counter() - start, os.times()
    if process.returncode:
        raise SystemExit(f"{command[0]} failed")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    imports = re.search(r"imports ([\d.]+)", said)
    peak = re.search(r"VmHWM:\s*(\d+) kB", said) or re.search(r"peak (\d+)", said)
    return Run(
        cpu=cpu,
        wall=wall,
        memory=int(peak[1]) / 1024 if peak else 0.0,
        imports=float(imports[1]) if imports else 0.0,
        size=output.stat().st_size,
    )


def peer(paths: list[str]) -> tuple[list[str], Path]:
    """Go's pprof, under a shell that reports the peak memory of its child."""
    binary, output = FOLDER / "pprof", FOLDER / "peer.pb.gz"
    if not binary.exists():
        subprocess.run(["go", "build", "-o", binary, "cmd/pprof"], check=True)
    watch = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL); "
        "print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-S", "-c", watch]
    return [*command, str(binary), "-proto", "-symbolize=none", f"-output={output}", *paths], output


def ours(kind: str, paths: list[str]) -> tuple[list[str], Path]:
    """Our merge, to the full or to the minimal profile."""
    output = FOLDER / f"{kind}.pb.gz"
    return [sys.executable, "-c", OURS, kind, str(output), *paths], output


def least(runs: list[Run]) -> Run:
    """The least of each figure."""
    return Run(*(min(getattr(run, field) for run in runs) for field in Run.__dataclass_fields__))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profiles", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--many", type=int, default=1000, help="inputs for the comparison of memory; 0: skip it"
    )
    asked = parser.parse_args()

    paths = [str(path) for path in make(FOLDER / "inputs", asked.profiles)]
    megabytes = sum(Path(path).stat().st_size for path in paths) / 1e6
    print(f"{len(paths)} profiles, {megabytes:.0f} MB gzipped; least of {asked.rounds} rounds\n")
    sides = {
        "go tool pprof": peer(paths),
        "merge": ours("full", paths),
        "merge, minimal": ours("minimal", paths),
    }
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for kind in ("full", "minimal"):
        run(*ours(kind, paths[:1]))
    for _ in range(asked.rounds):
        for name, (command, output) in sides.items():
            runs[name].append(run(command, output))
    best = {name: least(of_side) for name, of_side in runs.items()}
    reference = best["go tool pprof"]
    print("| | CPU s | ratio | of it imports | wall s | ratio | peak MB | ratio | result bytes |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, figures in best.items():
        print(
            f"| {name} | {figures.cpu:.2f} | {figures.cpu / reference.cpu:.2f} | {figures.imports:.2f} "
            f"| {figures.wall:.2f} | {figures.wall / reference.wall:.2f} "
            f"| {figures.memory:.0f} | {figures.memory / reference.memory:.2f} | {figures.size:,} |"
        )
    if asked.many:
        many = [str(path) for path in make(FOLDER / "inputs", asked.many)]
        print()
        for name, kind in (("merge", "full"), ("merge, minimal", "minimal")):
            command, output = ours(kind, many)
            memory = run(command, output).memory
            ratio = memory / best[name].memory
            print(f"{name}: {asked.many} inputs take {memory:.0f} MB, {ratio:.2f} of {len(paths)}'s")


if __name__ == "__main__":
    main()
