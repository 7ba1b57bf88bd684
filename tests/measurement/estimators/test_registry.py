from __future__ import annotations

import subprocess
import sys

from fleetpgo.measurement.estimators.registry import ESTIMATORS, between_times, early, label


def test_the_order_is_that_of_what_must_be_assumed():
    assert [each.letter for each in ESTIMATORS] == ["A", "B", "S", "E"]


def test_the_label_of_an_estimator_that_is_not_known_says_so():
    assert label("Z") == "by estimator Z, which this version of fleetpgo does not have"


def test_an_estimator_that_is_not_known_is_trusted_with_nothing():
    assert [letter for letter in "ABSEZ" if between_times(letter)] == ["B", "E", "Z"]
    assert [letter for letter in "ABSEZ" if early(letter)] == ["S", "E", "Z"]


def test_labels_cost_no_scipy():
    code = "import sys, fleetpgo.measurement.estimators.registry; sys.exit('scipy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
