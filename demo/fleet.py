"""A fleet of a real Go service on this machine: its repository, its instances, their load, their Prometheus.

    python -m demo.fleet up --root DIR

Everything lies under one folder and listens on 127.0.0.1 only:

    forge/wshim.git   the service's origin, a bare repository
    src/              the deployer's clone, where it is built
    bin/              the binaries, by revision
    prometheus/       configuration and data
    logs/
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from demo import processes
from demo.processes import HOST, DemoError, Process, Running, run, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HERE = Path(__file__).resolve().parent
DATACENTERS = ("ams", "lhr", "sjc")
CPU_SERIES = "instance:container_cpu_time_seconds_total:rate2m"

# Whoever runs the demo may sign commits, or call their main branch otherwise: not here.
GIT_ENV = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", "wshim developers"), ("EMAIL", "wshim@example.com"))
    },
}

PROMETHEUS_CONFIG = """\
global:
  scrape_interval: 2s
  scrape_timeout: 2s
  evaluation_interval: 2s
rule_files: [rules.yml]
scrape_configs:
  - job_name: wshim
    file_sd_configs:
      - files: [targets.json]
"""

# The name is the one that the service's queries use in production, where the window is two minutes. A demo of
# a few minutes cannot wait for that: 20 seconds hold ten scrapes.
PROMETHEUS_RULES = f"""\
groups:
  - name: cpu
    rules:
      - record: {CPU_SERIES}
        expr: sum by (instance, datacenter, tier, job) (rate(process_cpu_seconds_total{{job="wshim"}}[20s]))
"""


@dataclass
class Instance:
    """One process of the service; a roll replaces `process` and `binary`."""

    address: str  # host:port, Prometheus' `instance` label
    datacenter: str
    tier: str
    binary: Path
    process: Process

    @property
    def pid(self) -> int:
        """The id of the process that serves at the address now."""
        return self.process.pid


class Fleet(Running):
    """Starts, changes and stops the fleet; a context manager. Use it from the main thread.

    Args:
        root: the folder for everything; what is there of an earlier fleet (the origin) is used again.
        instances: how many; they are dealt to the datacenters in turn, and every fourth is in tier 2, the
            others in tier 1.
        requests_per_second: the load on each instance.
        prometheus_port: a TCP port, or None for any free one.
        datacenters: names of the datacenters.
    """

    def __init__(
        self,
        root: Path,
        instances: int = 6,
        requests_per_second: float = 15,
        prometheus_port: int | None = None,
        datacenters: Sequence[str] = DATACENTERS,
    ) -> None:
        self.datacenters = datacenters
        self.root = root.resolve()
        self.origin = self.root / "forge" / "wshim.git"
        self.instances: list[Instance] = []
        self._size = instances
        self._rate = requests_per_second
        self._source = self.root / "src" / "wshim"
        self._bin = self.root / "bin"
        self._logs = self.root / "logs"
        self._others: list[Process] = []
        self._prometheus_port = (
            processes.free_port()
            if prometheus_port is None
            else processes.claim_port(prometheus_port, "Prometheus")
        )

    @property
    def prometheus_url(self) -> str:
        """Where Prometheus answers, without a slash at the end."""
        return f"http://{HOST}:{self._prometheus_port}"

    def start(self) -> None:
        """Make the origin, build the service and the load generator, start everything."""
        if not self.origin.exists():
            self._make_origin()
        self._bin.mkdir(exist_ok=True)
        binary = self.build()
        loadgen = self._bin / "loadgen"
        run(["go", "build", "-trimpath", "-o", loadgen, "."], HERE / "loadgen")
        for i in range(self._size):
            address = f"{HOST}:{processes.free_port()}"
            self.instances.append(
                Instance(
                    address=address,
                    datacenter=self.datacenters[i % len(self.datacenters)],
                    tier="2" if i % 4 == 3 else "1",  # noqa: PLR2004  the rule is the documentation
                    binary=binary,
                    process=self._serve(i, address, binary),
                )
            )
        self._wait_healthy(self.instances)
        self._start_prometheus()
        urls = [f"http://{instance.address}/push" for instance in self.instances]
        self._others.append(
            processes.start("loadgen", [loadgen, "-rate", str(self._rate), *urls], self._logs)
        )

    def stop(self) -> None:
        """Stop everything that was started."""
        processes.stop_all(self._processes())
        self._others.clear()
        self.instances.clear()

    def check(self) -> None:
        """Raise DemoError if anything of the fleet has ended."""
        for process in self._processes():
            process.check()

    def wait_ready(self, timeout_s: float = 60) -> None:
        """Wait until Prometheus holds the CPU series of every instance."""
        wait_until(
            lambda: self._series() == {instance.address for instance in self.instances},
            f"{CPU_SERIES} of all {self._size} instances in Prometheus",
            self._processes(),
            timeout_s,
        )

    def build(self, ref: str = "origin/main", *, digest: str = "", pgo: str = "") -> Path:
        """Build a commit of the origin and return the binary.

        Args:
            ref: the commit, as git names it.
            digest: of the profile, as the binary exposes it; default: that of the profile in the commit.
            pgo: ``off`` builds without the profile that the commit's Makefile passes.
        """
        if not self._source.exists():
            run(["git", "clone", "--quiet", self.origin, self._source], self.root, GIT_ENV)
        run(["git", "fetch", "--quiet", "origin"], self._source, GIT_ENV)
        commit = run(["git", "rev-parse", "--verify", ref], self._source, GIT_ENV).strip()
        run(["git", "checkout", "--quiet", "--detach", commit], self._source, GIT_ENV)
        variables = {"DIGEST": digest, "PGO": pgo}
        given = [f"{name}={value}" for name, value in variables.items() if value]
        run(["make", "build", *given], self._source)
        name = f"wshim-{commit[:12]}" + (f"-{digest}" if digest else "")
        # A running binary cannot be overwritten, but its name can point to another file.
        return Path(shutil.move(self._source / "bin" / "wshim", self._bin / name))

    def roll(self, indices: Iterable[int], binary: Path) -> None:
        """Restart these instances, one after the other, with this binary at the same addresses."""
        for i in indices:
            instance = self.instances[i]
            instance.process.stop()
            instance.process = self._serve(i, instance.address, binary)
            instance.binary = binary
            self._wait_healthy([instance])

    def kill(self, i: int) -> None:
        """Kill an instance, as a crash would."""
        process = self.instances[i].process
        process.signal(signal.SIGKILL)
        process.popen.wait()

    def _processes(self) -> list[Process]:
        return [*self._others, *(instance.process for instance in self.instances)]

    def _make_origin(self) -> None:
        self.origin.parent.mkdir(parents=True, exist_ok=True)
        run(["git", "init", "--quiet", "--bare", "--initial-branch=main", self.origin], self.root, GIT_ENV)
        run(["git", "clone", "--quiet", self.origin, self._source], self.root, GIT_ENV)
        shutil.copytree(
            HERE / "wshim", self._source, ignore=shutil.ignore_patterns("bin"), dirs_exist_ok=True
        )
        run(["git", "add", "."], self._source, GIT_ENV)
        run(["git", "commit", "--quiet", "-m", "Add the push gateway"], self._source, GIT_ENV)
        run(["git", "push", "--quiet", "origin", "HEAD:main"], self._source, GIT_ENV)

    def _serve(self, i: int, address: str, binary: Path) -> Process:
        # As in a container of one core: with more, Go's scheduler and collector take what happens to be idle.
        environment = {**os.environ, "GOMAXPROCS": "1"}
        return processes.start(f"wshim-{i}", [binary, "-listen", address], self._logs, environment)

    def _wait_healthy(self, instances: list[Instance]) -> None:
        wait_until(
            lambda: all(answers(f"http://{instance.address}/healthz") for instance in instances),
            "every instance of wshim answers /healthz",
            [instance.process for instance in instances],
            timeout_s=15,
        )

    def _start_prometheus(self) -> None:
        folder = self.root / "prometheus"
        folder.mkdir(exist_ok=True)
        targets = [
            {
                "targets": [instance.address],
                "labels": {"datacenter": instance.datacenter, "tier": instance.tier},
            }
            for instance in self.instances
        ]
        (folder / "targets.json").write_text(json.dumps(targets, indent=2))
        (folder / "rules.yml").write_text(PROMETHEUS_RULES)
        (folder / "prometheus.yml").write_text(PROMETHEUS_CONFIG)
        flags = [
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{self._prometheus_port}",
            "--log.level=warn",
        ]
        prometheus = processes.start("prometheus", ["prometheus", *flags], self._logs)
        self._others.append(prometheus)
        wait_until(
            lambda: answers(f"{self.prometheus_url}/-/ready"),
            "Prometheus is ready",
            [prometheus],
            timeout_s=30,
        )

    def _series(self) -> set[str]:
        try:
            answer = requests.get(
                f"{self.prometheus_url}/api/v1/query", params={"query": CPU_SERIES}, timeout=10
            ).json()
        except requests.RequestException:  # busy: the next question may be answered
            return set()
        return {series["metric"]["instance"] for series in answer["data"]["result"]}


def answers(url: str) -> bool:
    """Return whether a GET succeeds."""
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def main() -> None:
    """Bring a fleet up and keep it until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m demo.fleet", description="A local fleet of wshim.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="bring a fleet up and keep it until Ctrl-C")
    up.add_argument("--root", type=Path, required=True, help="folder for everything the fleet makes")
    up.add_argument("--instances", type=int, default=6)
    up.add_argument("--requests-per-second", type=float, default=15, help="load on each instance")
    up.add_argument("--prometheus-port", type=int, help="default: any free port")
    args = parser.parse_args()

    processes.exit_on_sigterm()
    try:
        with Fleet(args.root, args.instances, args.requests_per_second, args.prometheus_port) as fleet:
            fleet.wait_ready()
            print(f"Prometheus  {fleet.prometheus_url}")
            print(f"origin      {fleet.origin}")
            for instance in fleet.instances:
                print(f"wshim       {instance.address}  {instance.datacenter}  tier {instance.tier}")
            print("Ctrl-C ends it.", flush=True)
            for _ in itertools.count():
                time.sleep(60)
    except KeyboardInterrupt:
        pass
    except DemoError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
