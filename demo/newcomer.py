"""A newcomer's fleet on this machine: two services of one repository that knows nothing of fleetpgo.

Neither exports a metric that names its build or its profile. Everything lies under one folder and listens on
127.0.0.1 only:

    forge/shop.git    the repository's origin, a bare repository
    src/              the deployer's clone, where the services are built
    prometheus/       configuration and data
    logs/
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import requests

from demo import processes
from demo.fleet import GIT_ENV, HERE, answers
from demo.processes import HOST, Process, Running, run, wait_until
from fleetpgo.proposal.forges.local import LocalForge

if TYPE_CHECKING:
    from pathlib import Path

SERVICES = ("catalog", "orders")
DATACENTERS = ("ams", "lhr")

_CONFIG = """\
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
"""


class Shop(Running):
    """Starts, changes and stops the fleet; a context manager. Use it from the main thread.

    Args:
        root: the folder for everything.
        instances: how many of each service; instance i is in datacenter i mod 2.
        requests_per_second: the load on each instance.
    """

    def __init__(self, root: Path, *, instances: int = 4, requests_per_second: float = 8) -> None:
        self.root = root.resolve()
        self.origin = self.root / "forge" / "shop.git"
        self.prometheus_url = f"http://{HOST}:{processes.free_port()}"
        self._source, self._logs = self.root / "src", self.root / "logs"
        self._rate = requests_per_second
        self._addresses = {
            service: [f"{HOST}:{processes.free_port()}" for _ in range(instances)] for service in SERVICES
        }
        self.deployed = datetime.min.replace(tzinfo=UTC)
        """When the last deploy was done."""
        self._serving: dict[str, Process] = {}
        self._others: list[Process] = []

    def start(self) -> None:
        """Make the origin, build the services, start everything."""
        self.origin.parent.mkdir(parents=True)
        run(["git", "init", "--quiet", "--bare", "--initial-branch=main", self.origin], self.root, GIT_ENV)
        run(["git", "clone", "--quiet", self.origin, self._source], self.root, GIT_ENV)
        shutil.copytree(
            HERE / "newcomer", self._source, ignore=shutil.ignore_patterns("bin"), dirs_exist_ok=True
        )
        run(["git", "add", "."], self._source, GIT_ENV)
        run(["git", "commit", "--quiet", "-m", "Open the shop"], self._source, GIT_ENV)
        run(["git", "push", "--quiet", "origin", "HEAD:main"], self._source, GIT_ENV)
        run(["make"], self._source)
        for service, addresses in self._addresses.items():
            for address in addresses:
                self._serve(service, address)
        loadgen = self.root / "loadgen"
        run(["go", "build", "-trimpath", "-o", loadgen, "."], HERE / "loadgen")
        urls = [f"http://{address}/" for each in self._addresses.values() for address in each]
        self._others.append(
            processes.start("loadgen", [loadgen, "-rate", str(self._rate), *urls], self._logs)
        )
        self._start_prometheus()

    def stop(self) -> None:
        """Stop everything that was started."""
        processes.stop_all([*self._others, *self._serving.values()])
        self._others.clear()
        self._serving.clear()

    def merge(self) -> None:
        """Merge the pull request that is open, as a reviewer would."""
        forge = LocalForge(str(self.origin.parent), self.origin.stem)
        (waiting,) = (each for each in forge.pull_requests() if each.state == "open")
        forge.merge(waiting.number)

    def wait_ready(self) -> None:
        """Wait until Prometheus knows each instance long enough: a young one's rate of minutes is too low."""
        count = str(sum(map(len, self._addresses.values())))
        wait_until(lambda: self._counted() == count, "the CPU of every instance", self._others, 120)

    def deploy(self, service: str) -> None:
        """Build a service from the origin's main branch, and restart all instances but one per datacenter."""
        run(["git", "pull", "--quiet", "--ff-only", "origin", "main"], self._source, GIT_ENV)
        run(["make", f"bin/{service}"], self._source)
        for address in self._addresses[service][len(DATACENTERS) :]:
            self._serving[address].stop()
            self._serve(service, address)
        self.deployed = datetime.now(UTC)

    def _serve(self, service: str, address: str) -> None:
        # A running binary cannot be overwritten: each process has its own.
        binary = self.root / "bin" / address
        binary.parent.mkdir(exist_ok=True)
        binary.unlink(missing_ok=True)
        shutil.copy(self._source / "bin" / service, binary)
        process = processes.start(address, [binary, "-listen", address], self._logs)
        self._serving[address] = process
        wait_until(
            lambda: answers(f"http://{address}/metrics"), f"{service} answers at {address}", [process], 30
        )

    def _counted(self) -> str:
        """Return how many instances were scraped long enough, as Prometheus writes it."""
        query = {"query": "count(count_over_time(process_cpu_seconds_total[5m]) > 45)"}
        try:
            answer = requests.get(f"{self.prometheus_url}/api/v1/query", params=query, timeout=10).json()
        except requests.RequestException:  # busy: the next question may be answered
            return ""
        return next((series["value"][1] for series in answer["data"]["result"]), "")

    def _start_prometheus(self) -> None:
        folder = self.root / "prometheus"
        folder.mkdir()
        jobs = [
            {
                "job_name": service,
                "static_configs": [
                    {"targets": addresses[number :: len(DATACENTERS)], "labels": {"datacenter": datacenter}}
                    for number, datacenter in enumerate(DATACENTERS)
                ],
            }
            for service, addresses in self._addresses.items()
        ]
        config = folder / "prometheus.yml"
        config.write_text(_CONFIG + "\n".join(f"  - {json.dumps(job)}" for job in jobs) + "\n")
        address = self.prometheus_url.removeprefix("http://")
        flags = [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
        prometheus = processes.start(
            "prometheus", ["prometheus", f"--config.file={config}", *flags, "--log.level=warn"], self._logs
        )
        self._others.append(prometheus)
        wait_until(lambda: answers(f"{self.prometheus_url}/-/ready"), "Prometheus is ready", [prometheus], 30)
