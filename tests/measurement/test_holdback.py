from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.measurement.holdback import estimate

COLUMNS = ["datacenter", "treated", "cpu_before", "cpu_after", "requests_before", "requests_after"]


def usage(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def test_the_figures_are_those_of_a_hand_calculation():
    found, _ = estimate(
        usage(
            ("ams", True, 1.0, 0.90, 100.0, 100.0),
            ("ams", False, 1.0, 1.0, 100.0, 100.0),
            ("lhr", True, 1.0, 0.94, 100.0, 100.0),
            ("lhr", False, 1.0, 1.0, 100.0, 100.0),
        )
    )
    differences = [math.log(0.90), math.log(0.94)]
    tau = sum(differences) / 2
    half = 12.7062 * abs(differences[0] - differences[1]) / 2  # t(97.5 %, 1 degree of freedom); s/√2 = |Δ|/2
    assert found.saving == pytest.approx(1 - math.exp(tau))
    assert (found.low, found.high) == (
        pytest.approx(1 - math.exp(tau + half), abs=1e-4),
        pytest.approx(1 - math.exp(tau - half), abs=1e-4),
    )
    assert found.cores == pytest.approx(1.84 * found.saving / (1 - found.saving))


@given(
    saving=st.floats(-0.5, 0.5),
    common=st.lists(st.floats(0.5, 2), min_size=2, max_size=10),
    traffic=st.floats(0.5, 2),
)
def test_what_happens_to_both_groups_of_a_datacenter_is_not_the_build(saving, common, traffic):
    rows = []
    for number, factor in enumerate(common):
        rows += [
            (f"dc{number}", True, 2.0, 2.0 * factor * traffic * (1 - saving), 50.0, 50.0 * traffic),
            (f"dc{number}", False, 1.0, 1.0 * factor, 70.0, 70.0),
        ]
    found, _ = estimate(usage(*rows))
    assert found.saving == pytest.approx(saving, abs=1e-9)
    assert found.high - found.low == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([("ams", True, 1.0, 1.0, 1.0, 1.0)], "0 datacenter"),
        ([("ams", True, 1.0, 1.0, 1.0, 1.0), ("ams", False, 1.0, 1.0, 1.0, 1.0)], "1 datacenter"),
    ],
)
def test_too_few_datacenters_give_no_interval_and_say_so(rows, why):
    found, reason = estimate(usage(*rows))
    assert found is None
    assert reason.startswith(why)
