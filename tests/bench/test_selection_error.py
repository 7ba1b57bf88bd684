from __future__ import annotations

from statistics import fmean

import pytest

from bench.selection_error import errors


@pytest.fixture(scope="module")
def error():
    """Strategy → its mean error on eight simulated fleets."""
    return {name: fmean(values) for name, values in errors(instances=40, fleets=8).items()}


def test_a_drawn_selection_shows_a_fleet_of_differing_datacenters_better_than_its_busiest(error):
    assert error["stratified, proportional"] < error["weighted"] < error["topk"]


def test_without_the_weights_the_bias_of_an_equal_allocation_stays(error):
    assert error["stratified, equal"] < 0.75 * error["the same without weights"]
