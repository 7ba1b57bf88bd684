"""Who sees what, asked of a real API server by users with different rights."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute

from fleetpgo.run.artifacts import MergedProfile
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.store import RunStore
from tests.pages import fleet

DAG = "pgo_refresh__edge"
RUN = quote(fleet.SECOND, safe="")
API = f"/fleetpgo/api/runs/{DAG}/{RUN}"
VALUES = {"dag_id": DAG, "run_id": RUN, "name": "manifest.json", "part": "grown", "path:path": "page.js"}


def every_route() -> list[str]:
    """Each route of the application, filled in so that it leads to something."""
    from fleetpgo_airflow.pages.app import app  # noqa: PLC0415  # imports Airflow

    paths = [route.path for route in app.routes if isinstance(route, APIRoute)]
    for name, value in VALUES.items():
        paths = [path.replace(f"{{{name}}}", value) for path in paths]
    return [f"/fleetpgo{path}" for path in paths]


def test_the_application_has_no_other_kind_of_route():
    from fleetpgo_airflow.pages.app import app  # noqa: PLC0415

    assert [type(route) for route in app.routes if not isinstance(route, APIRoute)] == []


def test_every_route_refuses_an_anonymous_request(served):
    assert {path: served.get(path).status_code for path in every_route()} == dict.fromkeys(every_route(), 401)


def test_every_route_answers_a_user_who_may_read_the_dag(served):
    assert {path: served.get(path, "edge").status_code for path in every_route()} == dict.fromkeys(
        every_route(), 200
    )


def test_every_route_about_a_run_refuses_a_user_who_may_not_read_its_dag(served):
    about = [path for path in every_route() if DAG in path]
    assert len(about) >= 4
    assert {path: served.get(path, "gateway").status_code for path in about} == dict.fromkeys(about, 403)


@pytest.mark.parametrize(
    ("user", "services"),
    [("admin", ["edge", "gateway", "quiet"]), ("edge", ["edge"]), ("gateway", ["gateway"])],
)
def test_the_fleet_is_what_the_user_may_read(served, user, services):
    answer = served.get("/fleetpgo/api/fleet", user)
    assert [row["service"] for row in answer.json()["services"]] == services


def test_what_the_fleet_has_reclaimed_is_summed_over_what_the_user_may_read(served):
    assert len(served.get("/fleetpgo/api/fleet", "edge").json()["reclaimed"]) == 1
    assert served.get("/fleetpgo/api/fleet", "gateway").json()["reclaimed"] == []


@pytest.mark.parametrize(
    "path",
    [
        f"{API}/artifacts/..%2Fmanifest.json",
        f"{API}/artifacts/..%2F..%2F..%2Fservices%2Fedge.yaml",
        f"{API}/artifacts/profiles",
        f"{API}/artifacts/stop.json",
        f"/fleetpgo/api/runs/{DAG}/../artifacts/manifest.json",
        f"/fleetpgo/api/runs/{DAG}/%2E%2E/artifacts/manifest.json",
        "/fleetpgo/api/runs/pgo_refresh__..%2Fedge/x/artifacts/manifest.json",
        "/fleetpgo/api/runs/pgo_refresh__%2E%2E/x/artifacts/manifest.json",
        "/fleetpgo/static/../app.py",
        "/fleetpgo/static/%2E%2E%2Fapp.py",
        "/fleetpgo/static//etc/passwd",
    ],
)
def test_no_name_leads_out_of_what_is_shown(served, path):
    assert served.get(path, "admin").status_code == 404


def test_an_artifact_is_an_attachment_with_the_bytes_of_the_store(served):
    answer = served.get(f"{API}/artifacts/merged.pb.gz", "edge")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="merged.pb.gz"'
    assert answer.content == RunStore(served.store, "edge", fleet.SECOND).read(MergedProfile)


def test_every_answer_bounds_what_a_page_may_load(served):
    for path in every_route():
        headers = served.get(path, "edge").headers
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert "frame-ancestors 'self'" in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff", path


def test_a_damaged_artifact_is_named_to_the_user(served):
    store = RunStore(served.store, "edge", "damaged")
    store.directory.mkdir()
    store.path(Manifest).write_bytes(b"{")
    answer = served.get(f"/fleetpgo/api/runs/{DAG}/damaged", "edge")
    store.remove(Manifest)
    assert answer.status_code == 500
    assert "manifest.json is not JSON" in answer.json()["detail"]


def test_a_store_that_cannot_be_read_is_a_sentence_and_no_crash(served):
    loop = served.store / "edge" / "loop"
    loop.symlink_to(loop)
    run = served.get(f"/fleetpgo/api/runs/{DAG}/loop", "edge")
    loop.unlink()
    assert run.status_code == 503
    assert run.json()["detail"].startswith(f"the store cannot read {loop}/manifest.json: Too many levels")


def test_a_dag_that_refreshes_no_service_has_no_page(served):
    answer = served.get("/fleetpgo/api/runs/another_dag/x", "admin")
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        "another_dag is not the refresh of a service, so there is no profile to show",
    )
