"""The DAG that measures the level, in this process, against a real Prometheus."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from fleetpgo.measurement.standing import headline
from fleetpgo.run.measured import Level
from fleetpgo.run.store import RunStore
from tests.measurement.weeks import SAVING, rotated_weeks

SERVICE = """\
prometheus: {connection: metrics}
selection: {cpu: cpu}
repository: {forge: local, connection: forge, project: api}
build: {binary: bin/api}
rollout: {fraction: "vector(1)", baseline: baseline}
measurement: {requests: requests}
"""


@pytest.fixture
def dag(start_prometheus, airflow_database, tmp_path, monkeypatch):
    """Return the level's DAG of a service whose baseline was rotated every week, or was not."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    monkeypatch.setenv("AIRFLOW_CONN_METRICS", start_prometheus(rotated_weeks(now)).address)
    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path))
    monkeypatch.setenv("FLEETPGO_STORE", str(tmp_path / "store"))

    def load(text):
        (tmp_path / "api.yaml").write_text(text)
        from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  # the environment comes first

        bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
        assert bag.import_errors == {}
        return bag.dags["pgo_level__api"]

    return load


def test_its_run_stores_what_pgo_saves_now_and_returns_it_in_a_sentence(dag, tmp_path):
    run = dag(SERVICE).test()
    [task] = run.get_task_instances()
    found = RunStore(tmp_path / "store", "api", f"level__{run.run_id}").read(Level)
    assert (str(run.state), task.task_id) == ("success", "measure_level")
    assert task.xcom_pull(task_ids="measure_level") == headline(found)
    assert found.low < SAVING < found.high


def test_a_level_that_is_not_known_is_a_warning_and_no_failure(dag, tmp_path, capsys):
    one = SERVICE.replace("baseline: baseline", """baseline: 'baseline{instance=~"i0.*"}'""")
    run = dag(one).test()
    found = RunStore(tmp_path / "store", "api", f"level__{run.run_id}").read(Level)
    assert (str(run.state), found.saving) == ("success", None)
    assert "What PGO saves now is not known: the baseline had 1 membership(s)" in "".join(capsys.readouterr())
