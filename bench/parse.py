"""What parsing the DAG file costs: python -m bench.parse [services …].

The DAG processor parses the file again and again; a task that starts parses it for its own DAG alone. The
figures are CPU time of a fresh process that finds the byte code of an earlier one, as all of Airflow's do:
the least of four, for what else runs on the machine only adds to it. *Beyond importing Airflow* is what
services cost: a worker has imported Airflow when a task starts. The last two rows have no byte code at all,
as an image has that brings none and sets ``PYTHONDONTWRITEBYTECODE``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.machine import described
from fleetpgo.service.files import services_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]

PARSE = """
import json, os, runpy, sys, time
import airflow.sdk, airflow.providers.http.hooks.http, airflow.providers.standard.triggers.temporal
import airflow.providers.standard.operators.hitl, airflow.triggers.base
# At the first asset, Airflow imports the providers that know one scheme or another.
airflow.sdk.Asset("first", uri="first://asset")
# As a starting task does.
from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager
read = set()
def note(event, arguments):
    if event == "open" and str(arguments[0]).startswith(os.environ["FLEETPGO_SERVICES"] + os.sep):
        read.add(arguments[0])
sys.addaudithook(note)
began = time.process_time()
with _airflow_parsing_context_manager(dag_id=sys.argv[2] or None):
    runpy.run_path(sys.argv[1])
ended = time.process_time()
print(json.dumps({"beyond": ended - began, "whole": ended, "files": len(read)}))
"""


@dataclass(frozen=True)
class Parsed:
    """One parse: CPU seconds beyond importing Airflow and of the whole process, and service files read."""

    beyond: float
    whole: float
    files: int


@contextmanager
def fleet(services: int) -> Iterator[Path]:
    """A directory with that many service files, `service-000` and on, below one for caches."""
    text = (services_directory() / "wshim.yaml").read_text()
    # One DAG a service, as most have.
    text = re.sub(r"\n  baseline: .*", "", text)
    with tempfile.TemporaryDirectory() as directory:
        files = Path(directory) / "services"
        files.mkdir()
        for number in range(services):
            (files / f"service-{number:03}.yaml").write_text(text)
        yield files


def parse(files: Path, dag: str = "", runs: int = 4, *, compiled: bool = True) -> Parsed:
    """Parse the DAG file in fresh processes; return the least.

    Args:
        files: the service files.
        dag: the DAG of the task that starts; "": all, as the DAG processor does.
        runs: how many times.
        compiled: whether byte code of an earlier process is there.
    """
    place = files.parent
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        **({} if compiled else {"PYTHONDONTWRITEBYTECODE": "1"}),
        "PYTHONPYCACHEPREFIX": str(place / ("cache" if compiled else "none")),
        "AIRFLOW_HOME": str(place / "airflow"),
        "FLEETPGO_SERVICES": str(files),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]),
    }
    found = [
        Parsed(
            **json.loads(
                subprocess.run(
                    [sys.executable, "-c", PARSE, ROOT / "dags" / "pgo_refresh.py", dag],
                    env=environment,
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout.splitlines()[-1]
            )
        )
        for _ in range(runs)
    ]
    return Parsed(min(each.beyond for each in found), min(each.whole for each in found), found[-1].files)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("services", type=int, nargs="*", default=[100, 1_000])
    counts = parser.parse_args().services
    print(described(), end="\n\n")
    print("| | services | service files read | CPU s beyond importing Airflow | CPU s, whole process |")
    print("|---|---:|---:|---:|---:|")
    task = "pgo_refresh__service-000"
    for count in counts:
        with fleet(count) as files:
            parse(files, runs=1)  # leaves its byte code
            row("the DAG processor parses the file", count, parse(files))
            row("a task starts", count, parse(files, task))
    with fleet(counts[-1]) as files:
        bare = parse(files, runs=2, compiled=False)
        row("the DAG processor, without byte code", counts[-1], bare)
        row("a task starts, without byte code", counts[-1], parse(files, task, runs=2, compiled=False))


def row(what: str, services: int, parsed: Parsed) -> None:
    """Print a row."""
    print(f"| {what} | {services:,} | {parsed.files:,} | {parsed.beyond:.2f} | {parsed.whole:.2f} |")


if __name__ == "__main__":
    main()
