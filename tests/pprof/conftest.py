from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fleetpgo.pprof.codec import plain
from fleetpgo.pprof.codec.kernel import PACKAGE

PROFILES = Path(__file__).parents[1] / "testdata/profiles"
REAL = sorted(PROFILES.glob("*.pb.gz"))


@pytest.fixture(params=REAL, ids=[path.name for path in REAL])
def real(request) -> bytes:
    """A real profile, of each Go version in turn."""
    return request.param.read_bytes()


@pytest.fixture(scope="session")
def reals() -> list[bytes]:
    """All real profiles."""
    return [path.read_bytes() for path in REAL]


@pytest.fixture(scope="session")
def goroot() -> Path:
    return Path(
        subprocess.run(["go", "env", "GOROOT"], capture_output=True, check=True, text=True).stdout.strip()
    )


@pytest.fixture(scope="session")
def default_pgo(goroot) -> bytes:
    """The profile that Go's own compiler is built with."""
    return (goroot / "src/cmd/compile/default.pgo").read_bytes()


@pytest.fixture(scope="module", params=["native", "plain"])
def kernel(request):
    """The module's tests with the inner loops in Rust, and with those in Python."""
    chosen = plain if request.param == "plain" else pytest.importorskip(PACKAGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fleetpgo.pprof.codec.kernel.KERNEL", chosen)
        yield chosen
