"""A Thanos that has lost a datacenter and does not say so: what selection, its page and a measurement say.

The stub answers as a real querier was seen to: what a real Prometheus answers, without the series of the
datacenter, without a warning. Its list of stores has the error, for the five minutes until it forgets it.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from click.testing import CliRunner

from fleetpgo import overview
from fleetpgo.cli.main import cli
from fleetpgo.errors import SelectionError
from fleetpgo.measurement.measuring import measure
from fleetpgo.prometheus import Prometheus
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.store import RunStore
from fleetpgo.steps.select import select_instances
from tests.measurement.conftest import fleet, rollout  # noqa: F401  # fixtures
from tests.measurement.conftest import service as measured_service  # noqa: F401
from tests.services import load
from tests.steps.rounds import service

ERROR = "rpc error: code = Unavailable"

STORES = {
    "status": "success",
    "data": {
        "sidecar": [
            {"name": f"sidecar-{name}:10901", "lastError": error, "labelSets": [{"datacenter": name}]}
            for name, error in (("ams", None), ("lis", ERROR))
        ],
        "store": None,
    },
}
LOST = f'Thanos has lost the store sidecar-lis:10901, which holds {{datacenter="lis"}}: {ERROR}'


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        stores = self.server.stores
        if self.path != "/api/v1/stores" or stores is None:
            self.answer(404, b"404 page not found\n")
        else:
            self.answer(200, json.dumps(stores).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {"Content-Type": self.headers["Content-Type"]}
        told = requests.post(f"{self.server.behind}{self.path}", body, headers=headers, timeout=60).json()
        found = told["data"]["result"]
        if told["data"]["resultType"] != "scalar":
            told["data"]["result"] = [
                each for each in found if each["metric"].get("datacenter") not in self.server.dropped
            ]
        self.answer(200, json.dumps(told).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def thanos(prometheus, *dropped, stores=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.behind, server.dropped, server.stores = prometheus.address, dropped, stores
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Prometheus(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def prometheus(start_prometheus):
    now = int(time.time())
    places = [("ams", 1), ("ams", 2), ("fra", 3), ("fra", 4), ("lis", 5), ("lis", 6)]
    return start_prometheus(
        [
            (
                "cpu",
                {"instance": f"10.0.0.{n}:80", "datacenter": name},
                [(now, 1.0 + n), (now + 240, 1.0 + n)],
            )
            for name, n in places
        ]
    )


@pytest.fixture
def root(tmp_path, prometheus):
    """A store with a run that merged, and had the whole fleet."""
    last = RunStore(tmp_path, "wshim", "last")
    select_instances(service(), last, prometheus)
    last.write(Manifest(query="cpu", selected=6, samples=1, instances=()))
    return tmp_path


def selected(prometheus, root, **rules):
    return select_instances(service(**rules), RunStore(root, "wshim", "now"), prometheus)[0]


def test_a_store_that_thanos_lists_as_lost_is_named(prometheus, tmp_path):
    with thanos(prometheus, "lis", stores=STORES) as asked:
        assert selected(asked, tmp_path).warnings == (LOST,)


def test_a_lost_store_is_a_partial_answer(prometheus, tmp_path):
    with (
        thanos(prometheus, "lis", stores=STORES) as asked,
        pytest.raises(SelectionError, match="the answer is partial: Thanos has lost the store sidecar-lis"),
    ):
        selected(asked, tmp_path, partial_response=False)


def test_a_prometheus_has_lost_no_store(prometheus):
    assert prometheus.lost_stores() == ()


def test_an_error_of_an_old_thanos_is_an_object(prometheus):
    old = {"data": {"store": [{"name": "gateway:10901", "lastError": {"op": "dial"}}]}}
    with thanos(prometheus, stores=old) as asked:
        assert asked.lost_stores() == ("Thanos has lost the store gateway:10901: {'op': 'dial'}",)


def test_a_datacenter_that_vanishes_without_any_hint_is_warned_of_on_the_runs_page(prometheus, root):
    with thanos(prometheus, "lis") as asked:
        chosen = selected(asked, root)
    said = (
        "lis, 33 % of the last run, is not there: is it switched off, or lost? "
        "The next run is compared with this one; name it in selection.expect if every run must have it"
    )
    assert (chosen.warnings, chosen.datacenters) == ((said,), {"ams": 2, "fra": 2})
    assert overview.look_at_run(RunStore(root, "wshim", "now")).warnings == (said,)


def test_the_command_says_it_too(prometheus, root, tmp_path, monkeypatch):
    load(tmp_path, monkeypatch)
    described = (tmp_path / "api.yaml").read_text()
    (tmp_path / "wshim.yaml").write_text(described)
    with thanos(prometheus, "lis", stores=STORES) as asked:
        arguments = ["select", "wshim", "--prometheus", asked.address, "--store", str(root)]
        done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "warning: lis, 33 % of the last run, is not there" in done.stderr
    assert f"warning: {LOST}" in done.stderr


def test_a_datacenter_that_is_expected_must_be_there(prometheus, tmp_path):
    with (
        thanos(prometheus, "lis") as asked,
        pytest.raises(SelectionError, match=r"no instance of lis is in the answer, and selection\.expect"),
    ):
        selected(asked, tmp_path, expect=("ams", "fra", "lis"))


def test_a_larger_loss_than_missing_above_is_refused(prometheus, root):
    with (
        thanos(prometheus, "lis") as asked,
        pytest.raises(SelectionError, match=r"33 % of the last run's instances are not in the answer"),
    ):
        selected(asked, root, missing_above=0.2)


def test_a_run_of_another_query_is_not_compared(prometheus, root):
    assert selected(prometheus, root, cpu='cpu{datacenter="ams"}').warnings == ()


def test_a_whole_fleet_is_warned_of_nothing(prometheus, root):
    assert selected(prometheus, root, missing_above=0, expect=("ams", "fra", "lis")).warnings == ()


def judged(asked, service, given, **told):
    found = measure(asked, service, given, period="rollout", window=timedelta(minutes=30), **told)
    return found.comparison.verdict


def test_a_measurement_while_a_store_is_lost_is_invalid(fleet, measured_service, rollout):  # noqa: F811
    with thanos(fleet, "sjc", stores=STORES) as asked:
        verdict = judged(asked, measured_service, rollout)
    assert (verdict.call, LOST in verdict.reasons) == ("invalid", True)


def test_a_measurement_that_lacks_a_datacenter_of_the_fleet_is_invalid(fleet, measured_service, rollout):  # noqa: F811
    with thanos(fleet, "sjc") as asked:
        assert judged(asked, measured_service, rollout).call != "invalid"  # nothing in the data tells
        verdict = judged(asked, measured_service, rollout, datacenters=["ams", "lhr", "sjc"])
    said = "sjc: no value at all, and the fleet has instances there: does Prometheus not reach it?"
    assert (verdict.call, said in verdict.reasons) == ("invalid", True)
