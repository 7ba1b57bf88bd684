"""Waits for a turn share what they read of the fleet's service files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fleetpgo.proposal.sharing import by_repository
from fleetpgo.service.files import load_named
from fleetpgo_airflow.fleet import SHARED_S, SharedFleet
from tests.services import REST, TEXT


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the files of services where Airflow looks for them; return the first one's rules."""
    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path))

    def write_all(**projects):
        for name, project in projects.items():
            (tmp_path / f"{name}.yaml").write_text(TEXT + REST.replace("project: api", f"project: {project}"))
        return load_named(next(iter(projects)))

    return write_all


def names(services):
    return [each.name for each in services]


def test_the_others_of_the_repository_are_found(write):
    service = write(api="shop", web="shop", other="elsewhere")

    assert names(SharedFleet().beside(service)) == ["web"]


def test_looks_within_half_a_minute_share_a_reading(write):
    service, times = write(api="shop"), iter([0, SHARED_S - 1])
    shared = SharedFleet(clock=lambda: next(times))
    shared.beside(service)
    write(web="shop")

    assert shared.beside(service) == []


def test_a_new_file_is_seen_after_half_a_minute(write):
    service, times = write(api="shop"), iter([0, SHARED_S])
    shared = SharedFleet(clock=lambda: next(times))
    shared.beside(service)
    write(web="shop")

    assert names(shared.beside(service)) == ["web"]


def test_looks_at_once_read_the_files_once(write):
    service, readings = write(api="shop", web="shop"), []
    shared = SharedFleet(read=lambda: readings.append(1) or by_repository())

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(shared.beside, [service] * 8))

    assert (len(readings), [names(each) for each in found]) == (1, [["web"]] * 8)


def test_services_that_move_to_another_repository_together_see_each_other_at_once(write):
    shared = SharedFleet(clock=lambda: 0)
    shared.beside(write(api="shop", web="shop"))
    service = write(api="market", web="market")

    assert names(shared.beside(service)) == ["web"]
