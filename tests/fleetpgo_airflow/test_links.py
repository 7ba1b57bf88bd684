"""The buttons, over a store that real runs have filled."""

from __future__ import annotations

import json
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from fleetpgo.run.selected import Selection
from fleetpgo.run.store import RunStore
from tests.pages import fleet
from tests.run.artifacts import measurement, proposed


@pytest.fixture(autouse=True)
def _installation(fleet_root, monkeypatch):
    monkeypatch.setenv("FLEETPGO_STORE", str(fleet_root / "store"))
    monkeypatch.setenv("FLEETPGO_SERVICES", str(fleet_root / "services"))
    monkeypatch.setenv("AIRFLOW_CONN_WSHIM_PROMETHEUS", "http://prometheus.example:9090")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/prefix/")


def links(operator: str, run: str, **arguments) -> dict[str, str]:
    """The buttons of an operator's task in a run: their names and addresses."""
    from fleetpgo_airflow import operators  # noqa: PLC0415  # imports Airflow

    task = getattr(operators, operator)(task_id="task", service="edge", **arguments)
    key = SimpleNamespace(dag_id="pgo_refresh__edge", run_id=run)
    return {link.name: link.get_link(task, ti_key=key) for link in task.operator_extra_links}


def test_the_pull_request_is_a_button():
    assert links("BuildAndOpenPROperator", fleet.SECOND)["Pull request"] == fleet.url(2)


def test_a_forge_without_a_web_server_has_no_button(fleet_root, tmp_path, monkeypatch):
    store = RunStore(tmp_path, "edge", "local")
    store.write(proposed(url="file:///srv/forge/edge.pulls/1.md"))
    monkeypatch.setenv("FLEETPGO_STORE", str(tmp_path))
    assert links("BuildAndOpenPROperator", "local")["Pull request"] == ""


def test_a_store_that_does_not_answer_costs_the_buttons_only(tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setenv("FLEETPGO_STORE", str(tmp_path / "loop"))
    assert links("BuildAndOpenPROperator", fleet.SECOND) == {"Pull request": "", "Profile": ""}


def test_the_profile_is_the_runs_tab():
    assert links("MergeProfilesOperator", fleet.SECOND) == {
        "Profile": "https://airflow.example/prefix/dags/pgo_refresh__edge/runs/"
        "manual__2026-02-09T08%3A30%3A00.123456%2B00%3A00/plugin/fleetpgo-run"
    }


def test_the_query_that_chose_the_instances_is_opened_in_prometheus(fleet_root):
    asked = RunStore(fleet_root / "store", "edge", fleet.SECOND).read(Selection).query
    url = urlsplit(links("SelectInstancesOperator", fleet.SECOND)["Prometheus query"])
    assert (url.scheme, url.path, parse_qs(url.query)["g0.expr"]) == ("http", "/graph", [asked])


def test_no_login_is_part_of_a_button(monkeypatch):
    connection = {"conn_type": "http", "host": "http://reader:secret@prometheus.example:9090"}
    monkeypatch.setenv("AIRFLOW_CONN_WSHIM_PROMETHEUS", json.dumps(connection))
    assert "secret" not in links("SelectInstancesOperator", fleet.SECOND)["Prometheus query"]


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        ("SelectInstancesOperator", {}),
        ("MergeProfilesOperator", {}),
        ("BuildAndOpenPROperator", {}),
        ("MeasureOperator", {"period": "week"}),
    ],
)
def test_before_there_is_something_to_see_there_is_no_button(operator, arguments):
    assert set(links(operator, "new", **arguments).values()) == {""}


def test_a_measurements_queries_are_opened_in_a_panel_each(tmp_path, monkeypatch):
    store = RunStore(tmp_path, "edge", "measured")
    queries = {"evaluated at": "2026-02-03T16:00:00+00:00", "cpu before": "sum(a)", "cpu after": "sum(b)"}
    store.write(measurement(queries=queries), "week")
    monkeypatch.setenv("FLEETPGO_STORE", str(tmp_path))
    found = links("MeasureOperator", "measured", period="week")["Prometheus query"]
    panels = parse_qs(urlsplit(found).query)
    assert (panels["g0.expr"], panels["g1.expr"]) == (["sum(a)"], ["sum(b)"])
    assert panels["g0.moment_input"] == ["2026-02-03 16:00:00"]
