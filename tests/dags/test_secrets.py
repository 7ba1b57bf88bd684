"""What a run of the DAG leaves in Airflow's own database, in logs and in the store: no token."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from fleetpgo.run.store import RunStore
from tests import services
from tests.collection.instances import OK, http
from tests.dags.instances import served

TOKEN = "t0k3n-of-the-connection"  # noqa: S105  # that is what it is
SECRET = "s3cr3t-of-the-header"  # noqa: S105  # likewise
ECHO = http(f"who is Bearer {TOKEN} with {SECRET}?".encode(), "503 Service Unavailable")


@pytest.fixture
def dag_and_instances(airflow_database, start_prometheus, tmp_path, monkeypatch, origin):
    """The DAG up to the merge, and its two instances: one is fine, one repeats what it was sent."""
    (origin / "tiny.git").rename(origin / "api.git")
    (tmp_path / "services").mkdir()
    services.load(tmp_path / "services", monkeypatch, connection="api_pprof", max_tasks=1)
    connection = {"conn_type": "http", "password": TOKEN, "extra": {"headers": {"X-Client-Secret": SECRET}}}
    with served((OK,), (ECHO,)) as instances:
        now = int(time.time())
        labels = [{"instance": each.target.instance, "datacenter": "ams"} for each in instances]
        prometheus = start_prometheus([("cpu", each, [(now, 1.0), (now + 120, 1.0)]) for each in labels])
        variables = {
            "FLEETPGO_STORE": str(tmp_path / "store"),
            "AIRFLOW_CONN_PROMETHEUS": prometheus.address,
            "AIRFLOW_CONN_FORGE": json.dumps({"conn_type": "generic", "extra": {"path": str(origin)}}),
            "AIRFLOW_CONN_API_PPROF": json.dumps(connection),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  # the environment comes first

        bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
        assert bag.import_errors == {}
        dag = bag.dags["pgo_refresh__api"].partial_subset("merge_profiles", include_upstream=True)
        yield dag, instances


def files(folder: Path, pattern: str = "*") -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob(pattern) if file.is_file())


def test_no_token_is_in_airflows_database_its_logs_or_the_store(dag_and_instances, tmp_path, caplog):
    dag, instances = dag_and_instances
    finished = dag.test(run_conf={"instances": 2})
    assert finished.state == "success"
    for instance in instances:
        assert all(secret.encode() in instance.heard[0] for secret in (TOKEN, SECRET))
    store = RunStore(tmp_path / "store", services.NAME, finished.run_id)
    home = Path(os.environ["AIRFLOW_HOME"])
    written = {
        "the store": files(store.directory),
        "Airflow's database": files(home, "airflow.db*"),
        "the log": caplog.text.encode(),  # before Airflow masks anything
        "whatever else Airflow wrote": files(home),
    }
    # What the instance said has come into an XCom, the log and the store: without the secrets in it.
    said = "who is ••• with •••?"
    forms = (said.encode(), json.dumps(said).strip('"').encode())
    assert [place for place in written if not any(form in written[place] for form in forms)] == []
    leaks = [
        (place, secret)
        for place, content in written.items()
        for secret in (TOKEN, SECRET)
        if secret.encode() in content
    ]
    assert leaks == []
