"""Real servers for the tests, on free loopback ports, stopped with the test or the session that asked."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from fleetpgo.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Points = Iterable[tuple[float, float]]
    Data = Iterable[tuple[str, Mapping[str, str], Points]]


TESTDATA = Path(__file__).parent / "testdata"


@pytest.fixture
def free_port() -> int:
    """A loopback port on which nothing listens."""
    return _free_port()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def open_metrics(data: Data) -> str:
    """OpenMetrics text of gauges: (name, labels, points (Unix time, value))."""
    lines = []
    for name, labels, points in data:
        selector = ",".join(f'{key}="{value}"' for key, value in labels.items())
        lines += [f"{name}{{{selector}}} {value} {at}" for at, value in points]
    return "\n".join([*sorted(lines), "# EOF", ""])


@pytest.fixture(scope="session")
def start_prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Data], Prometheus]]:
    """Start a real Prometheus whose database holds the given series."""
    servers = []

    def start(data: Data) -> Prometheus:
        root: Path = tmp_path_factory.mktemp("prometheus")
        (root / "prometheus.yml").write_text("global: {}\n")
        (root / "data.txt").write_text(open_metrics(data))
        subprocess.run(
            ["promtool", "tsdb", "create-blocks-from", "openmetrics", root / "data.txt", root / "data"],
            check=True,
            capture_output=True,
        )
        port = _free_port()
        server = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={root / 'prometheus.yml'}",
                f"--storage.tsdb.path={root / 'data'}",
                "--storage.tsdb.retention.time=100y",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            ]
        )
        servers.append(server)
        address = f"http://127.0.0.1:{port}"
        while True:
            assert server.poll() is None, "Prometheus ended"
            try:
                if requests.get(f"{address}/-/ready", timeout=5).ok:
                    return Prometheus(address)
            except requests.ConnectionError:
                time.sleep(0.05)

    yield start
    for server in servers:
        server.kill()
        server.wait()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with a file under tests/testdata; `pytest --write-golden` writes it instead."""

    def compare(name: str, text: str) -> None:
        file = TESTDATA / name
        if request.config.getoption("--write-golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        assert text == file.read_text()

    return compare


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-golden", action="store_true", help="write the golden files; read them after")
