"""What parsing the DAG file costs beyond importing Airflow: python -m bench.parse [services].

Airflow parses the file again and again in the DAG processor, and once more at the start of every task. The
figure is CPU time of a fresh process, for what else runs on the machine must not count.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fleetpgo.services import services_directory

ROOT = Path(__file__).resolve().parents[1]

PARSE = """
import runpy, sys, time
import airflow.sdk, airflow.providers.http.hooks.http, airflow.providers.standard.triggers.temporal
import airflow.triggers.base
started = time.process_time()
runpy.run_path(sys.argv[1])
print(time.process_time() - started)
"""


def seconds(services: int) -> float:
    """CPU seconds of parsing the DAG file with that many service files, Airflow being imported already."""
    text = (services_directory() / "wshim.yaml").read_text()
    with tempfile.TemporaryDirectory() as directory:
        for number in range(services):
            (Path(directory) / f"service-{number:03}.yaml").write_text(text)
        home = Path(directory) / "airflow"
        done = subprocess.run(
            [sys.executable, "-c", PARSE, ROOT / "dags" / "pgo_refresh.py"],
            env={
                **os.environ,
                "AIRFLOW_HOME": str(home),
                "FLEETPGO_SERVICES": directory,
                "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]),
            },
            check=True,
            capture_output=True,
            text=True,
        )
        shutil.rmtree(home, ignore_errors=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Print the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("services", type=int, nargs="?", default=100)
    services = parser.parse_args().services
    print(f"{services} services: {seconds(services):.2f} s of CPU beyond importing Airflow")


if __name__ == "__main__":
    main()
