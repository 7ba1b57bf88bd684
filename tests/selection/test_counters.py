"""A counter in the place of cores, against a real Prometheus where its past is asked for."""

from __future__ import annotations

import time

import pytest

from fleetpgo.errors import SelectionError
from fleetpgo.selection import select
from fleetpgo.selection.counters import require_rate
from tests.selection.fleets import Answering, rules

MINUTES = range(-65, 2)


@pytest.fixture(scope="module")
def prometheus(start_prometheus):
    """Three instances: CPU seconds that grow at 2 cores, and large machines whose load goes up and down."""
    now = int(time.time())

    def each(name, value):
        return [
            (name, {"instance": f"a{n}:80"}, [(now + 60 * minute, value(n, minute)) for minute in MINUTES])
            for n in range(3)
        ]

    return start_prometheus(
        [
            *each("cpu_seconds", lambda n, minute: 9_000 + 100 * n + 120 * minute),
            *each("large", lambda n, minute: 150 + (minute * (n + 3)) % 7),
            *each("steady", lambda n, _: 100 + n),
        ]
    )


def test_values_that_have_only_risen_are_a_counters(prometheus):
    with pytest.raises(
        SelectionError, match=r"selection\.cpu says that an instance uses 9,\d\d\d cores"
    ) as raised:
        select(prometheus, rules(cpu="cpu_seconds"), seed="")
    assert "rate(process_cpu_seconds_total[5m])" in raised.value.hint


@pytest.mark.parametrize("cpu", ["large", "steady", "rate(cpu_seconds[5m])"])
def test_large_machines_and_rates_are_no_counters(prometheus, cpu):
    assert len(select(prometheus, rules(cpu=cpu), seed="").targets) == 3


@pytest.mark.parametrize(
    "cpu",
    [
        "process_cpu_seconds_total",
        'sum by (instance) (process_cpu_seconds_total{tier="1"})',
        'process_cpu_seconds_total{note="rate("}',
        "process_cpu_seconds_total # rate(x[5m])",
        "avg_over_time(container_cpu_usage_seconds_total[5m])",
    ],
)
def test_the_name_of_a_counter_without_a_rate_is_refused_before_anything_is_asked(cpu):
    with pytest.raises(SelectionError, match=r"selection\.cpu uses \w+_total as cores"):
        select(Answering(({"instance": "a:80"}, 1.0)), rules(cpu=cpu), seed="")


@pytest.mark.parametrize(
    "cpu",
    [
        "rate(process_cpu_seconds_total[5m])",
        "sum by (instance) (irate(process_cpu_seconds_total[5m]))",
        "increase(process_cpu_seconds_total[5m]) / 300",
        "rollup_rate(process_cpu_seconds_total[5m])",
        "instance:process_cpu_seconds_total:rate5m",
        'cpu{metric="process_cpu_seconds_total"}',
        "cpu_totals",
    ],
)
def test_rates_and_recorded_ones_pass(cpu):
    require_rate(cpu)
