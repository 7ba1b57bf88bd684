"""The alert rules and the dashboard: promtool reads them, and a real Prometheus answers each query."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from fleetpgo.overview.metrics import METRICS
from fleetpgo.run.proposed import Proposed
from fleetpgo.run.store import RunStore
from tests.monitoring.scraping import scraping
from tests.pages import fleet

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "docs/monitoring"


@pytest.fixture(scope="module")
def tool():
    loader = SourceFileLoader("make_dashboard", str(ROOT / "tools/make-dashboard"))
    spec = spec_from_loader("make_dashboard", loader)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def panels():
    return json.loads((PLACE / "dashboard.json").read_text())["panels"]


def used(text):
    """The metrics that a text names."""
    return set(re.findall(r"\bfleetpgo_\w+", text))


def test_promtool_takes_the_rules():
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", PLACE / "alerts.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_when_its_test_says_so():
    done = subprocess.run(
        ["promtool", "test", "rules", PLACE / "alerts.test.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_test_that_it_fires_and_one_that_it_does_not():
    (group,) = YAML(typ="safe").load(PLACE / "alerts.yaml")["groups"]
    alerts = sorted(rule["alert"] for rule in group["rules"])
    tests = YAML(typ="safe").load(PLACE / "alerts.test.yaml")["tests"]
    fires, does_not = (
        sorted(
            each["alertname"]
            for test in tests
            for each in test["alert_rule_test"]
            if bool(each["exp_alerts"]) is expected
        )
        for expected in (True, False)
    )
    assert (fires, does_not) == (alerts, alerts)


def test_alerts_and_panels_name_metrics_that_there_are(panels):
    text = (PLACE / "alerts.yaml").read_text() + json.dumps(panels)
    assert used(text) <= set(METRICS)
    assert set(METRICS) == used(json.dumps(panels))


def test_the_page_describes_each_metric():
    rows = dict(
        re.findall(r"^\| `(fleetpgo_\w+)` \| .* \| (.+) \|$", (PLACE / "index.md").read_text(), re.MULTILINE)
    )
    assert rows == METRICS


def test_the_dashboard_is_what_the_tool_makes(tool):
    assert (PLACE / "dashboard.json").read_text() == tool.make()


def test_each_query_of_the_dashboard_returns_series(panels, fleet_root, tmp_path):
    store = shutil.copytree(fleet_root / "store", tmp_path / "store")
    run = RunStore(store, "edge", fleet.SECOND)  # fleet's has no times of its builds
    run.write(replace(run.read(Proposed), seconds_without=9.0, seconds_with=11.0, cpu_seconds=40.0))
    with scraping(store, tmp_path) as prometheus:
        queries = [target["expr"] for panel in panels for target in panel["targets"]]
        empty = [query for query in queries if not prometheus.instant(query).series]
    assert (len(queries) >= 15, empty) == (True, [])
