from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def values():
    """The values that docs/production.md tells people to install with."""
    return YAML(typ="safe").load(ROOT / "docs/values.yaml")


@pytest.fixture(scope="session")
def chart_keys():
    """What tools/chart-keys has found in the chart: key, and what stands behind it (`*`, `-> other`)."""
    lines = (ROOT / "tests/testdata/helm/keys.txt").read_text().splitlines()
    keys = {}
    for line in lines:
        if not line.startswith("#"):
            key, _, other = line.partition(" -> ")
            keys[key.removesuffix(".*")] = f"-> {other}" if other else "*" * key.endswith(".*")
    return keys
