"""What tasks tell Airflow's metrics: by the StatsD client of the image, over a socket."""

from __future__ import annotations

import socket

import pytest
from airflow.sdk._shared.observability.metrics import stats as airflow_stats
from airflow.sdk.observability.metrics import statsd_logger

from fleetpgo.errors import StoreError
from fleetpgo.run import storage
from fleetpgo.run.profiled import Manifest, Record
from fleetpgo.run.proposed import Proposed
from fleetpgo.run.store import RunStore
from fleetpgo_airflow import stats
from tests.pages import fleet


@pytest.fixture
def told(monkeypatch):
    """What the tasks have sent so far: a function that returns it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(server.getsockname()[1]))
        monkeypatch.setattr(airflow_stats, "_factory", statsd_logger.get_statsd_logger)
        monkeypatch.setattr(airflow_stats, "_backend", None)
        monkeypatch.setattr(storage, "observers", [])  # others watch the store, too
        server.settimeout(0.2)

        def read():
            found = []
            try:
                while True:
                    found += server.recv(65_536).decode().splitlines()
            except TimeoutError:
                return found

        yield read


@pytest.fixture
def run(fleet_root):
    return RunStore(fleet_root / "store", "edge", fleet.SECOND)


def test_requests_are_counted_by_their_outcome(told, run):
    stats.fetched("edge", [run.read(Record, key) for key in run.keys(Record)])
    assert sorted(told()) == [
        *["airflow.fleetpgo.edge.fetches.fetched:1|c"] * 4,
        "airflow.fleetpgo.edge.fetches.missing:1|c",
        "airflow.fleetpgo.edge.fetches.refused:1|c",
    ]


def test_a_merge_tells_its_instances_and_samples(told, run):
    manifest = run.read(Manifest)
    stats.merged("edge", manifest)
    assert told() == [
        "airflow.fleetpgo.edge.instances.used:4|g",
        "airflow.fleetpgo.edge.instances.refused:1|g",
        "airflow.fleetpgo.edge.instances.missing:1|g",
        f"airflow.fleetpgo.edge.samples:{manifest.samples}|g",
    ]


def test_a_build_tells_its_wall_and_cpu(told):
    made = Proposed("b", "main", "1" * 12, unchanged=False, dry_run=False)
    stats.proposed("my.edge", made.__class__(**{**vars(made), "seconds_with": 2.0, "cpu_seconds": 9.5}))
    assert told() == [
        "airflow.fleetpgo.my_edge.build.with:2000.000000|ms",
        "airflow.fleetpgo.my_edge.build.cpu:9500.000000|ms",
        "airflow.fleetpgo.my_edge.proposals.opened:1|c",
    ]


def test_operations_of_the_store_and_its_errors_are_told(told, run, monkeypatch, tmp_path):
    monkeypatch.setattr(storage, "observers", [])
    stats.watch_store()
    stats.watch_store()
    run.read(Manifest)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        storage.write(tmp_path / "file" / "below", b"")
    names = [each.partition(":")[0] for each in told()]
    assert names == ["airflow.fleetpgo.store.read", "airflow.fleetpgo.store_errors.write"]


def test_a_missing_artifact_is_no_error_of_the_store(told, run, monkeypatch):
    monkeypatch.setattr(storage, "observers", [])
    stats.watch_store()
    assert RunStore(run.root, "edge", "none").find(Manifest) is None
    assert [each.partition(":")[0] for each in told()] == ["airflow.fleetpgo.store.read"]
