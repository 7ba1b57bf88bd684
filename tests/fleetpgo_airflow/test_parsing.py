import gc

import pytest

from fleetpgo.errors import ServiceFileError
from fleetpgo_airflow.parsing import read_all, without_collector
from tests.services import NAME, load


def test_a_file_with_a_mistake_does_not_hide_the_others(tmp_path, monkeypatch):
    service = load(tmp_path, monkeypatch)
    broken = tmp_path / "broken.yaml"
    broken.write_text("[")

    (_, first), (_, second) = read_all([broken, tmp_path / f"{NAME}.yaml"])

    assert isinstance(first, ServiceFileError)
    assert second == service


def test_the_collector_is_off_meanwhile():
    with without_collector():
        assert not gc.isenabled()

    assert gc.isenabled()


def test_the_collector_is_on_again_after_an_error():
    with pytest.raises(ZeroDivisionError), without_collector():
        1 / 0  # noqa: B018  # the error is what counts

    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with without_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
