"""Real parts for the tests: Prometheus on a free port, a Go service in a git origin, a CPU profile."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from fleetpgo import foreign
from fleetpgo.golang.environment import repository_cache
from fleetpgo.prometheus import Prometheus
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.proposal.git import git
from tests.s3 import S3

ROOT = Path(__file__).parents[1]

# What a busy machine does slowly is no fault.
settings.register_profile(
    "fleetpgo", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fleetpgo")

# Airflow reads its configuration when it is first imported, which a test module does: so it stands here.
# Never the user's own Airflow: tools/check gives a fresh home, and so does this for a test run by hand.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="fleetpgo-airflow-")
os.environ |= {
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
}

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Points = Iterable[tuple[float, float]]
    Data = Iterable[tuple[str, Mapping[str, str], Points]]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    server = S3()
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: S3) -> Iterator[S3]:
    """An S3 that is well when the test begins; a test may make it ill."""
    yield s3_server
    s3_server.heal()


TESTDATA = Path(__file__).parent / "testdata"

# Without imports: Go builds its runtime alone for each profile and each set of flags, half of what fmt needs.
TINY = """\
package main

type shape interface{ area() int }

type square struct{ side int }

func (s square) area() int { return s.side * s.side }

func total(shapes []shape) (sum int) {
	for _, s := range shapes {
		sum += s.area()
	}
	return sum
}

func main() { println(total([]shape{square{2}, square{3}})) }
"""


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget a test's secrets when it ends: they would be blotted out of what others say."""
    monkeypatch.setattr(foreign, "_known", ())


@contextmanager
def no_room() -> Iterator[None]:
    """Let no file grow beyond a few bytes, for this process alone: what a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's metadata database: SQLite in the test run's own AIRFLOW_HOME."""
    from airflow.utils.db import initdb  # noqa: PLC0415  # imports Airflow, which not every test needs

    initdb()


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
    for name, labels, points in sorted(data, key=lambda each: each[0]):  # a metric's series lie together
        selector = ",".join(f'{key}="{value}"' for key, value in labels.items())
        lines += [f"{name}{{{selector}}} {value} {at}" for at, value in points]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="session")
def start_prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Data], Prometheus]]:
    """Start a real Prometheus whose database holds the given series."""
    servers = []

    def start(data: Data) -> Prometheus:
        root: Path = tmp_path_factory.mktemp("prometheus")
        (root / "prometheus.yml").write_text("global: {}\n")
        (root / "data.txt").write_text(open_metrics(data))
        subprocess.run(
            # One block rather than one for every two hours: weeks of history are read in seconds.
            [
                *("promtool", "tsdb", "create-blocks-from", "--max-block-duration=2400h", "openmetrics"),
                *(root / "data.txt", root / "data"),
            ],
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


@pytest.fixture(scope="session")
def fleet_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``services/`` and a ``store/`` that real runs have filled; for reading only."""
    from tests.pages import fleet  # noqa: PLC0415  # pandas and aiohttp, which not every test needs

    root: Path = tmp_path_factory.mktemp("fleet")
    fleet.describe(root / "services")
    fleet.build(root / "store", root / "services")
    return root


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


LONGEST = ("tests/dags/test_end_to_end.py", "tests/demo/test_newcomer.py")
"""They build the same packages of Go's library: one after the other, so that the second finds them built."""

SHARED = ("tests/pages/", *LONGEST)


class Parts(LoadFileScheduling):
    """Has the tests of a file, and some of several, run in one process: it makes once what they share."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        shared = next((each for each in SHARED if file.startswith(each)), file)
        return LONGEST[0] if shared in LONGEST else shared


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Parts:
    return Parts(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have what takes longest begin first."""
    begin = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: begin.get(item.nodeid.partition("::")[0], len(LONGEST)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-golden", action="store_true", help="write the golden files; read them after")


BUILT = (
    "tiny",
    "local/forge/tiny",
    # For tests of what runs leave to each other: no test in another process takes their clone's place.
    "local/remembered/tiny",
    "local/shared/tiny",
    *(f"{kind}/forge/acme/tiny" for kind in ("github", "gitlab", "gitea")),
    "local/forge/repair",
    "local/wshim_forge/wshim",
    "github/wshim_forge/acme/tiny",
)
"""The repositories that tests build."""


@pytest.fixture(scope="session")
def go_cache(pytestconfig: pytest.Config) -> Path:
    """A cold cache costs half a minute for each set of flags, so it is kept with pytest's own.

    For the same reason the repositories of the tests have one build cache here; others have one each.
    """
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("go")
    (cache / "go-build").mkdir(exist_ok=True)
    for repository in BUILT:
        own = repository_cache(cache, repository)
        own.mkdir(parents=True, exist_ok=True)
        if not (own / "go-build").exists():
            (own / "go-build").symlink_to(cache / "go-build")
    return cache


def _part_of_go_s(package: str) -> bytes:
    """A part of the profile that the Go compiler itself is built with.

    Of the functions that a small program has, too, it holds a few: the source match has to read the source of
    each package of them.
    """
    goroot = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, check=True).stdout
    shown = rf"^cmd/compile/internal/{package}\.|^internal/runtime/maps\."
    whole = Path(goroot.strip()) / "src/cmd/compile/default.pgo"
    part = [
        "go",
        "tool",
        "pprof",
        "-proto",
        "-symbolize=none",
        f"-show={shown}",
        "-output=/dev/stdout",
        whole,
    ]
    return subprocess.run(part, capture_output=True, check=True).stdout


@pytest.fixture(scope="session")
def go_profile() -> bytes:
    """A profile that Go can build with."""
    return _part_of_go_s("ssa")


@pytest.fixture(scope="session")
def another_profile() -> bytes:
    """Another one, that has a few of the same edges."""
    return _part_of_go_s("types2")


@pytest.fixture
def go_module(tmp_path: Path) -> Path:
    """A Go module of one small program."""
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example.com/tiny\n\ngo 1.24\n")
    (module / "main.go").write_text(TINY)
    return module


@pytest.fixture
def origin(tmp_path: Path, go_module: Path) -> Path:
    """A directory that is a local forge, with the tiny module and its Makefile as ``tiny.git``."""
    forge = tmp_path / "forge"
    forge.mkdir()
    (go_module / "Makefile").write_text("build:\n\tgo build -o bin/tiny .\n")
    (go_module / ".gitignore").write_text("bin/\n*.pprof\n")
    git(go_module, "init", "--quiet", "--initial-branch=main")
    git(go_module, "add", ".")
    # At a set time: the commit is the same in each test, and is built once without a profile.
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message", "Begin"],
        cwd=go_module,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.devnull,
            "GIT_AUTHOR_DATE": "2026-01-05T06:00:00Z",
            "GIT_COMMITTER_DATE": "2026-01-05T06:00:00Z",
        },
        check=True,
    )
    git(forge, "clone", "--quiet", "--bare", str(go_module), "tiny.git")
    return forge


@pytest.fixture
def bare(origin: Path) -> Path:
    """The tiny module's repository on the local forge."""
    return origin / "tiny.git"


@pytest.fixture
def forge(origin: Path) -> LocalForge:
    """The local forge, asked about the tiny module."""
    return LocalForge(str(origin), "tiny")
