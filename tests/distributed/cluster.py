"""Airflow as in production: PostgreSQL, Celery workers on Redis, logins of its own, artifacts on S3.

The two workers share what machines share: the queue, the database, the object storage, the forge. Each has a
working directory, a home, temporary files and Go caches of its own.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import psutil

from demo import processes
from demo.airflow import USER, Airflow
from demo.processes import DemoError, Process
from tests.distributed.servers import BUCKET, KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.distributed.servers import Servers

WORKERS = ("worker-1", "worker-2")
STORE = f"s3://fleetpgo_store@{BUCKET}/store"

# In production: 300 seconds. A lost worker's task is seen after this time without a sign of life.
HEARTBEAT_TIMEOUT_S = 40


class Cluster(Airflow):
    """Starts and stops Airflow's components and the workers.

    Args:
        root: the folder for their homes and their logs.
        port: of the web interface and the API.
        servers: running when the cluster starts.
        variables: environment of the tasks: connections.
    """

    def __init__(self, root: Path, port: int, servers: Servers, variables: Mapping[str, str]) -> None:
        self._password = secrets.token_hex(16)
        self._root = root
        store = {
            "conn_type": "aws",
            "login": KEYS["aws_access_key_id"],
            "password": KEYS["aws_secret_access_key"],
            "extra": {"endpoint_url": servers.s3, "region_name": KEYS["region_name"]},
        }
        # As docker-compose.yaml has them.
        settings = {
            "CORE__EXECUTOR": "CeleryExecutor",
            "CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
            "CORE__FERNET_KEY": "",  # the database is gone within minutes
            "API__SECRET_KEY": secrets.token_hex(24),
            "API_AUTH__JWT_SECRET": secrets.token_hex(48),
            "DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{servers.database}",
            "CELERY__RESULT_BACKEND": servers.results,
            "CELERY__BROKER_URL": servers.broker,
            "LOGGING__BASE_LOG_FOLDER": str(root / "logs" / "tasks"),
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT_S),
        }
        super().__init__(
            root,
            port,
            {
                **{f"AIRFLOW__{name}": value for name, value in settings.items()},
                "FLEETPGO_STORE": STORE,
                "AIRFLOW_CONN_FLEETPGO_STORE": json.dumps(store),
                **variables,
            },
        )

    @property
    def password(self) -> str:
        """The password of the first user."""
        return self._password

    def start(self) -> None:
        """Make the database, start the components, make the first user, start the workers."""
        super().start()
        who = ["--username", USER, "--password", self._password, "--email", "admin@example.com"]
        who += ["--role", "Admin", "--firstname", "Ada", "--lastname", "Admin"]
        processes.run(["airflow", "users", "create", *who], self.home, self._env)
        for name in WORKERS:
            self._start_worker(name)

    def _start_worker(self, name: str) -> None:
        home = self._root / name
        temporary = home / "tmp"
        temporary.mkdir(parents=True)
        env = {**self._env, "AIRFLOW_HOME": str(home), "TMPDIR": str(temporary)}
        for shared in ("GOCACHE", "GOMODCACHE", "FLEETPGO_CACHE"):
            env.pop(shared, None)
        command = ["airflow", "celery", "worker", "--celery-hostname", f"{name}@%h", "--concurrency", "2"]
        self._components[name] = processes.start(
            name, [*command, "--skip-serve-logs"], self._logs, env, cwd=home
        )

    def components(self) -> list[Process]:
        """What should be running: components and workers."""
        return list(self._components.values())

    def compiling(self) -> str | None:
        """The worker that runs the Go compiler now; None if neither does."""
        for name in WORKERS:
            worker = self._components.get(name)
            if worker and any(_name(each) == "compile" for each in worker.family()):
                return name
        return None

    def kill(self, name: str) -> None:
        """SIGKILL to a component and to all that it has started; it is missed from now on."""
        self._components.pop(name).kill()

    def asset_events(self) -> int:
        """How often assets were updated."""
        total: int = self._call("GET", "assets/events")["total_entries"]
        return total

    def fleet(self) -> list[dict[str, object]]:
        """The rows of the Fleet page."""
        answer = self._session.get(f"{self.url}/fleetpgo/api/fleet", timeout=30)
        if not answer.ok:
            raise DemoError(f"The Fleet page answers {answer.status_code}: {answer.text}")
        rows: list[dict[str, object]] = answer.json()["services"]
        return rows


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:  # it has ended
        return ""
