from __future__ import annotations

import pytest

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.asking import Asker
from fleetpgo.prometheus import Answer, Series


class Prometheus:
    """Answers every query with the same series."""

    def __init__(self, *series):
        self._answer = Answer("cpu", series)

    def range(self, *_, **__):
        return self._answer


def series(datacenter, *times):
    labels = {"pod": "api-0", "datacenter": datacenter}
    return Series(labels, tuple((float(at), 1.0) for at in times))


def test_two_instances_of_one_name_at_one_time_are_an_error_that_names_both():
    times = range(0, 1_200, 60)
    ask = Asker(Prometheus(series("ams", *times), series("lhr", *times)))
    with pytest.raises(MeasurementError, match=r"pod api-0 at the same time: .*ams.* and .*lhr"):
        ask.matrix("cpu", [(0, 1_200)], 60, "pod")


def test_an_instance_that_moved_is_one_row():
    ask = Asker(Prometheus(series("ams", 0, 60), series("lhr", 60, 120)))
    values, labels = ask.matrix("cpu", [(0, 180)], 60, "pod")
    assert values["api-0"].tolist() == [1.0, 1.0, 1.0]
    assert labels["api-0"]["datacenter"] == "lhr"
