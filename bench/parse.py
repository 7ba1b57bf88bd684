"""What parsing the DAG file costs beyond importing Airflow: python -m bench.parse [services].

Airflow parses the file again and again in the DAG processor, and once more at the start of every task. The
figure is CPU time of a fresh process that finds the byte code of an earlier one, as all of Airflow's do: the
least of four, for what else runs on the machine only adds to it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from fleetpgo.service.files import services_directory

ROOT = Path(__file__).resolve().parents[1]

PARSE = """
import runpy, sys, time
import airflow.sdk, airflow.providers.http.hooks.http, airflow.providers.standard.triggers.temporal
import airflow.providers.standard.operators.hitl, airflow.triggers.base
# At the first asset, Airflow imports the providers that know one scheme or another.
airflow.sdk.Asset("first", uri="first://asset")
started = time.process_time()
runpy.run_path(sys.argv[1])
print(time.process_time() - started)
"""


def seconds(services: int, runs: int = 4) -> float:
    """CPU seconds of parsing the DAG file with that many service files, Airflow being imported already."""
    text = (services_directory() / "wshim.yaml").read_text()
    # One DAG a service, as most have.
    text = re.sub(r"\n  baseline: .*", "", text)
    with tempfile.TemporaryDirectory() as directory:
        files = Path(directory) / "services"
        files.mkdir()
        for number in range(services):
            (files / f"service-{number:03}.yaml").write_text(text)
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "PYTHONPYCACHEPREFIX": f"{directory}/cache",
            "AIRFLOW_HOME": f"{directory}/airflow",
            "FLEETPGO_SERVICES": str(files),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]),
        }
        return min(
            float(
                subprocess.run(
                    [sys.executable, "-c", PARSE, ROOT / "dags" / "pgo_refresh.py"],
                    env=environment,
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout.split()[-1]
            )
            for _ in range(runs)
        )


def main() -> None:
    """Print the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("services", type=int, nargs="?", default=100)
    services = parser.parse_args().services
    print(f"{services} services: {seconds(services):.2f} s of CPU beyond importing Airflow")


if __name__ == "__main__":
    main()
