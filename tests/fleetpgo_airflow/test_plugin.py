"""What Airflow loads from the plugins' folder, in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, sys
from airflow import plugins_manager
plugins_manager.ensure_plugins_loaded()
loaded = sorted(name for name in sys.modules if name.startswith("fleetpgo"))
apps, _ = plugins_manager.get_fastapi_plugins()
print(json.dumps([plugins_manager.get_import_errors(), loaded, [app["url_prefix"] for app in apps]]))
"""


def test_only_who_asks_for_the_application_imports_it():
    process = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True)
    errors, loaded, prefix = json.loads(process.stdout.splitlines()[-1])
    # Airflow asks each installed package for its provider's description.
    described = ["fleetpgo_airflow", "fleetpgo_airflow.provider"]
    assert (errors, loaded, prefix) == (
        {},
        [*described, "fleetpgo_plugin"],
        ["/fleetpgo", "/fleetpgo-monitoring"],
    )
