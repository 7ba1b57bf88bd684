from __future__ import annotations

import pytest

from tests.cli.test_discover import PPROF, instance


@pytest.fixture(scope="module")
def serving():
    """Address of an instance that lists its profiles."""
    with instance(200, PPROF) as address:
        yield address
