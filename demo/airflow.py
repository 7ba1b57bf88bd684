"""A real Airflow on this machine: its four components on SQLite, and the few calls of its REST API we need.

The components are started one by one rather than by ``airflow standalone``: each gets its log, each is
watched, and nothing listens beyond 127.0.0.1.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from demo import processes
from demo.processes import HOST, DemoError, Process, Running

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT = Path(__file__).resolve().parents[1]
USER = "admin"

CONFIG = {
    "CORE__DAGS_FOLDER": str(PROJECT / "dags"),
    "CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
    "CORE__LOAD_EXAMPLES": "False",
    "CORE__EXECUTOR": "LocalExecutor",
    # SQLite takes one writer at a time: with the default of 32, tasks get stuck behind a locked database.
    "CORE__PARALLELISM": "6",
    # The demo triggers its one run: without this, unpausing a weekly DAG starts another one at once.
    "SCHEDULER__USE_JOB_SCHEDULE": "False",
    "API__HOST": HOST,
    "API__WORKERS": "1",
    # Five tasks that start at once on two busy processors each parse the DAG file: seconds become a minute.
    "CORE__DAGBAG_IMPORT_TIMEOUT": "120",
    "DAG_PROCESSOR__REFRESH_INTERVAL": "15",
    # The fleet's CPU is measured on this very machine: parse the DAG files seldom.
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",
    "LOGGING__COLORED_CONSOLE_LOG": "False",
    # The button in a connection's form.
    "CORE__TEST_CONNECTION": "Enabled",
}


class Airflow(Running):
    """Starts and stops Airflow, and speaks to its API; a context manager. Use it from the main thread.

    Args:
        root: the folder for its home and its logs.
        port: of the web interface and the API.
        variables: environment of the tasks: connections, where artifacts go. An option of Airflow in it
            (``AIRFLOW__…``) goes before that of :data:`CONFIG`.
    """

    def __init__(self, root: Path, port: int, variables: Mapping[str, str]) -> None:
        self.url = f"http://{HOST}:{port}"
        self.home = root / "airflow"
        self._logs = root / "logs"
        self._components: dict[str, Process] = {}
        self._session = requests.Session()
        # While Go builds, two processors are busy, and an answer may fail or come late.
        retry = Retry(total=3, backoff_factor=1, status_forcelist=(500, 503), raise_on_status=False)
        self._session.mount("http://", HTTPAdapter(max_retries=retry))
        # What configures another Airflow of the user's must not reach this one, least of all its database.
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            **{f"AIRFLOW__{name}": value for name, value in CONFIG.items()},
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW_HOME": str(self.home),
            **variables,
        }

    def start(self) -> None:
        """Make the database and start the components; :meth:`wait_ready` waits for them."""
        self.home.mkdir(parents=True, exist_ok=True)
        processes.run(["airflow", "db", "migrate"], self.home, self._env)
        self.start_component("api-server")
        self.start_component("scheduler", "--skip-serve-logs")
        self.start_component("dag-processor")
        self.start_component("triggerer", "--skip-serve-logs")

    def start_component(self, name: str, *options: str) -> None:
        """Start a component by its command."""
        self._components[name] = processes.start(
            f"airflow-{name}", ["airflow", name, *options], self._logs, self._env
        )

    def restart_component(self, name: str, *options: str) -> None:
        """Kill a component, as a crash would, and start it again."""
        component = self._components[name]
        component.signal(signal.SIGKILL)
        component.popen.wait()
        self.start_component(name, *options)

    def stop(self) -> None:
        """Stop the components."""
        processes.stop_all(list(self._components.values()))
        self._components.clear()

    def check(self) -> None:
        """Raise DemoError if a component has ended."""
        for component in self._components.values():
            component.check()

    @property
    def password(self) -> str:
        """The password of :data:`USER`, made by the API server at its first start."""
        file = self.home / "simple_auth_manager_passwords.json.generated"
        password: str = json.loads(file.read_text())[USER]
        return password

    def wait_ready(self, dag_id: str, timeout_s: float = 300) -> None:
        """Wait until all components are healthy and the DAG is there, then log in."""
        components = list(self._components.values())
        processes.wait_until(self._is_healthy, "Airflow is healthy", components, timeout_s)
        token = self._session.post(
            f"{self.url}/auth/token", json={"username": USER, "password": self.password}, timeout=30
        )
        token.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
        processes.wait_until(lambda: self._has(dag_id), f"DAG {dag_id} is parsed", components, timeout_s)

    def finish(self, dag_id: str, run_id: str, timeout_s: float = 120) -> None:
        """Wait until a DAG run has succeeded.

        Raises:
            DemoError: it failed, with the end of its last task's log, or did not end in time.
        """
        ended = {"success", "failed"}
        components = list(self._components.values())
        what = f"the run {run_id} of {dag_id} has ended"
        processes.wait_until(lambda: self.run_state(dag_id, run_id) in ended, what, components, timeout_s)
        if self.run_state(dag_id, run_id) == "failed":
            log = self.task_log(self.task_instances(dag_id, run_id)[-1])
            raise DemoError(f"{dag_id} failed. The end of its log:\n{log}")

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG: the watchers of its assets come with the next parse of its file."""
        self._call("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def asset_state(self, name: str, key: str) -> Any:  # noqa: ANN401  # JSON
        """The value of a key in the state of an asset; None if it has none."""
        for asset in self._call("GET", f"assets?name_pattern={quote(name)}")["assets"]:
            states = self._call("GET", f"assets/{asset['id']}/state-store")["asset_state_store"]
            for each in states:
                if asset["name"] == name and each["key"] == key:
                    return each["value"]
        return None

    def runs(self, dag_id: str) -> list[str]:
        """The ids of a DAG's runs, the oldest first."""
        runs = self._call("GET", f"dags/{dag_id}/dagRuns?order_by=run_after")["dag_runs"]
        return [run["dag_run_id"] for run in runs]

    def trigger(self, dag_id: str, conf: Mapping[str, object]) -> str:
        """Unpause a DAG and start a run with these params; returns the run's id."""
        self.unpause(dag_id)
        run = self._call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        run_id: str = run["dag_run_id"]
        return run_id

    def run_state(self, dag_id: str, run_id: str) -> str:
        """The state of a DAG run: queued, running, success or failed."""
        state: str = self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
        return state

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run, as the REST API describes them."""
        answer = self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=100")
        instances: list[dict[str, Any]] = answer["task_instances"]
        return instances

    def task_log(self, instance: Mapping[str, Any], lines: int = 25) -> str:
        """The end of the log of a task instance's last try, with what was raised."""
        content = self._call(
            "GET",
            "dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs/{try_number}"
            "?map_index={map_index}".format(**instance),
        )["content"]
        texts = []
        for event in content[-lines:]:
            texts.append(event["event"])
            texts += [
                f"{cause['exc_type']}: {cause['exc_value']}" for cause in event.get("error_detail") or ()
            ]
        return "\n".join(texts)

    def _is_healthy(self) -> bool:
        try:
            health = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except requests.RequestException:
            return False
        return all(
            health[part]["status"] == "healthy" for part in ("scheduler", "dag_processor", "triggerer")
        )

    def _has(self, dag_id: str) -> bool:
        errors = self._call("GET", "importErrors")["import_errors"]
        if errors:
            raise DemoError(f"{errors[0]['filename']} cannot be loaded:\n{errors[0]['stack_trace']}")
        return self._session.get(f"{self.url}/api/v2/dags/{dag_id}", timeout=30).ok

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401  # JSON
        try:
            answer = self._session.request(method, f"{self.url}/api/v2/{path}", json=body, timeout=30)
        except requests.RequestException as error:
            raise DemoError(f"Airflow's API does not answer {method} {path}: {error}") from error
        if not answer.ok:
            raise DemoError(f"Airflow's API answers {answer.status_code} to {method} {path}: {answer.text}")
        return answer.json()
