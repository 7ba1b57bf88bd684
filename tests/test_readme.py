"""The README's commands: each is run by a test or by CI, and this says which."""

from __future__ import annotations

import re
from pathlib import Path

from tests.readme import README, commands

MAKE = {"make demo", "make test"}  # CI runs `make test`; tests/demo/test_demo.py runs `make demo DEMO_EXIT=1`


def test_every_make_command_is_one_that_ci_or_a_slow_test_runs():
    assert {line for line in commands() if line.startswith("make ")} == MAKE


def test_every_other_command_is_run_against_a_real_fleet():
    # tests/demo/test_newcomer.py runs these, with the fleet's own addresses for the exported ones.
    others = [line for line in commands() if not line.startswith(("make ", "fleetpgo ", "export "))]
    assert others == []


def test_every_link_leads_to_a_file():
    root = Path(__file__).parents[1]
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert [link for link in links if not (root / link).exists()] == []
