"""What looking at the store loads into whoever looks, such as Airflow's API server."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
import fleetpgo.overview
print(*{"aiohttp", "pandas", "scipy", "matplotlib", "github", "gitlab"} & sys.modules.keys())
"""


def test_the_overview_loads_no_client_and_no_plotting():
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
