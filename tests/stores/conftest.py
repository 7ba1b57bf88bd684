"""The stores that are asked: real ones, where `make test-stores` names them, else their double."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import requests

from tests.repairing import builds
from tests.stores.pushing import Server

__all__ = ["builds"]

DOUBLE = Path(__file__).parent / "double"
REAL = {"pyroscope": "PYROSCOPE", "parca": "PARCA"}
"""Kind → the variable with the address of a real one."""


@pytest.fixture(scope="session")
def double(pytestconfig):
    """Addresses of the double, by kind. Its build is kept with pytest's cache."""
    made = pytestconfig.cache.mkdir("stores") / "stores"
    subprocess.run(["go", "build", "-o", made, "."], cwd=DOUBLE, check=True)
    with subprocess.Popen([made], stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline().split() for _ in REAL]
        yield dict(lines)
        process.kill()


@pytest.fixture(scope="session", params=REAL)
def server(request):
    """A store: a real one, or the double if no real one is named at all."""
    kind, variable = request.param, REAL[request.param]
    named = os.environ.get(variable, "").rstrip("/")
    if not named and any(os.environ.get(other) for other in REAL.values()):
        pytest.skip(f"{variable}=URL was not given")
    address = named or request.getfixturevalue("double")[kind]
    try:
        requests.get(address, timeout=10)
    except requests.RequestException as error:
        pytest.fail(f"{variable}={address}: nothing answers there: {error}")
    return Server(kind, address)


@pytest.fixture(scope="session")
def is_real(server):
    return bool(os.environ.get(REAL[server.kind]))
