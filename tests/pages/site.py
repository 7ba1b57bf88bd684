"""A real API server of Airflow with the plugin, over the store of :mod:`tests.pages.fleet`."""

from __future__ import annotations

import os
import secrets
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from demo import processes
from tests.pages import fleet, people

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = "127.0.0.1"
RUNS = (("edge", fleet.FIRST), ("edge", fleet.SECOND), ("gateway", fleet.LIVE))


@dataclass(frozen=True)
class Site:
    """Where the server is, where its files are, and what proves who each user is."""

    url: str
    store: Path
    services: Path
    tokens: dict[str, str]
    pid: int

    def get(self, path: str, user: str | None = None, *, patience: float = 60) -> requests.Response:
        """What a browser gets that is signed in as that user, or as nobody; it waits so many seconds."""
        cookies = {"_token": self.tokens[user]} if user else {}
        return requests.get(f"{self.url}{path}", cookies=cookies, timeout=patience)

    def api(self, method: str, path: str, **content: object) -> requests.Response:
        """What Airflow's own REST API answers the user ``admin``."""
        return requests.request(
            method,
            f"{self.url}/api/v2{path}",
            json=content or None,
            headers={"Authorization": f"Bearer {self.tokens['admin']}"},
            timeout=60,
        )


def environment(root: Path) -> dict[str, str]:
    """Variables of an Airflow below that folder that knows the services there."""
    settings = {
        "CORE__DAGS_FOLDER": str(fleet.ROOT / "dags"),
        "CORE__PLUGINS_FOLDER": str(fleet.ROOT / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        # A busy machine may take long to parse the DAGs of 1,000 services.
        "CORE__DAGBAG_IMPORT_TIMEOUT": "600",
        "CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "API__WORKERS": "1",
        # Of this folder, even if its airflow.cfg was written for another.
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{root}/airflow/airflow.db",
        "LOGGING__LOGGING_LEVEL": "WARNING",
    }
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        "AIRFLOW_HOME": str(root / "airflow"),
        "FLEETPGO_STORE": str(root / "store"),
        "FLEETPGO_SERVICES": str(root / "services"),
        "PYTHONPATH": os.pathsep.join([str(fleet.ROOT), os.environ.get("PYTHONPATH", "")]),
    }


@contextmanager
def serving(root: Path) -> Iterator[Site]:
    """Serve what is below that folder: ``store/`` and ``services/``."""
    variables = environment(root)
    (root / "airflow").mkdir(exist_ok=True)
    processes.run(["airflow", "db", "migrate"], root, variables)
    port = str(processes.free_port())
    server = processes.start(
        "api-server", ["airflow", "api-server", "--host", HOST, "--port", port], root / "logs", variables
    )
    try:
        # While the server starts.
        processes.run(["airflow", "dags", "reserialize"], root, variables)
        password = secrets.token_hex(16)
        processes.run([sys.executable, "-m", "tests.pages.people", password], root, variables)
        url = f"http://{HOST}:{port}"
        while not _answers(url):
            server.check()
            time.sleep(0.2)
        tokens = {name: _token(url, name, password) for name in people.USERS}
        yield Site(url, root / "store", root / "services", tokens, server.pid)
    finally:
        server.stop()


def start_runs(site: Site) -> None:
    """Tell Airflow of the runs that are in the store; nothing executes them."""
    for service, run in RUNS:
        answer = site.api("POST", f"/dags/pgo_refresh__{service}/dagRuns", dag_run_id=run, logical_date=None)
        assert answer.ok, answer.text


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/api/v2/version", timeout=5).ok
    except requests.ConnectionError:
        return False


def _token(url: str, name: str, password: str) -> str:
    answer = requests.post(f"{url}/auth/token", json={"username": name, "password": password}, timeout=60)
    assert answer.ok, answer.text
    token: str = answer.json()["access_token"]
    return token
