"""What the pages' API promises, and that real answers keep it."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import quote

import jsonschema
import pytest

from tests.pages import fleet

RUNS = "/api/runs/{dag_id}/{run_id}"
OLD = Path(__file__).parents[1] / "testdata/stores/before-versions/edge"
API = "/fleetpgo/api/runs/pgo_refresh__edge"


@pytest.fixture(scope="module")
def described():
    """The application's OpenAPI document."""
    from fleetpgo_airflow.pages.app import app  # noqa: PLC0415  # imports Airflow

    return app.openapi()


def schema_of(described, path):
    """The schema of a route's answer, to check one with."""
    answers = described["paths"][path]["get"]["responses"]
    return {**answers["200"]["content"]["application/json"]["schema"], "components": described["components"]}


def test_each_route_of_the_api_is_described(described):
    assert sorted(described["paths"]) == [
        "/api/fleet",
        RUNS,
        f"{RUNS}/artifacts/{{name}}",
        f"{RUNS}/difference",
        f"{RUNS}/difference/{{part}}.pb.gz",
    ]


def test_each_json_answer_is_a_closed_object(described):
    open_ones = {
        name
        for name, schema in described["components"]["schemas"].items()
        if name.endswith("Answer") and schema.get("additionalProperties") is not False
    }
    assert open_ones == set()


def test_each_route_says_how_it_fails(described):
    for path, operation in described["paths"].items():
        assert {"500", "503"} <= operation["get"]["responses"].keys(), path


def test_a_field_that_is_missing_is_no_answer(described):
    with pytest.raises(jsonschema.ValidationError, match="'level' is a required property"):
        jsonschema.validate({"services": [], "now": "x"}, schema_of(described, "/api/fleet"))


def test_the_fleets_answer_is_as_described(served, described):
    answer = served.get("/fleetpgo/api/fleet", "admin").json()
    jsonschema.validate(answer, schema_of(described, "/api/fleet"))
    assert {row["service"]: row["refreshes"] for row in answer["services"]} == {
        "edge": 1,
        "gateway": 0,
        "quiet": 0,
    }


@pytest.mark.parametrize("run", [fleet.FIRST, fleet.SECOND, "new"])
def test_a_runs_answer_is_as_described(served, described, run):
    answer = served.get(f"{API}/{quote(run, safe='')}", "edge").json()
    jsonschema.validate(answer, schema_of(described, RUNS))
    assert answer["run"] == run


@pytest.mark.parametrize("run", [fleet.FIRST, fleet.SECOND])
def test_a_difference_is_as_described(served, described, run):
    answer = served.get(f"{API}/{quote(run, safe='')}/difference", "edge").json()
    jsonschema.validate(answer, schema_of(described, f"{RUNS}/difference"))
    assert (answer is None) == (run == fleet.FIRST)


def test_a_run_of_before_the_versions_is_answered(served, described):
    (measured, _) = sorted(OLD.iterdir())
    copy = shutil.copytree(measured, served.store / "edge" / "old")
    answer = served.get(f"{API}/old", "edge").json()
    shutil.rmtree(copy)
    jsonschema.validate(answer, schema_of(described, RUNS))
    assert {stage["state"] for stage in answer["stages"]} == {"done"}
    assert [each["call"] for each in answer["measurements"]] == ["saved", "saved"]


def test_no_text_of_an_answer_can_steer_a_page():
    from fleetpgo_airflow.pages.responses import DatacenterAnswer, RunAnswer  # noqa: PLC0415  # imports Airflow

    steers, clean = "a\x1b[2J\u202eb\0\x07\udc80", "a�b���"
    found = DatacenterAnswer.model_validate(
        {"name": steers, "asked": 1, "fetched": 0, "reasons": {steers: 1}}
    )
    run = RunAnswer.model_validate(
        {name: steers if name in ("service", "run", "stopped") else () for name in RunAnswer.model_fields}
        | {"warnings": [steers], "sufficiency": None, "has_profile": False, "state": None}
    )

    assert (found.name, found.reasons, run.stopped, run.warnings) == (clean, {clean: 1}, clean, (clean,))


def test_a_name_that_is_no_text_is_shown_as_far_as_it_is():
    from fleetpgo_airflow.pages.responses import FunctionAnswer  # noqa: PLC0415

    assert FunctionAnswer(function="main.\udcff", old=0, new=1).model_dump_json() == (
        '{"function":"main.\N{REPLACEMENT CHARACTER}","old":0.0,"new":1.0}'
    )
