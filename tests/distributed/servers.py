"""PostgreSQL, Redis and an S3-compatible store on this machine, below one folder, on 127.0.0.1 only."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from typing import TYPE_CHECKING

import boto3
import requests
from upath import UPath

from demo import processes
from demo.processes import HOST, Process, Running

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

USER = "airflow"
BUCKET = "fleetpgo"
KEYS = {"aws_access_key_id": "fleetpgo", "aws_secret_access_key": "secret", "region_name": "us-east-1"}

# PostgreSQL refuses to run as root. As this user it may still go through root's directories to its programs.
# A change of user ends the bond to the parent's end, so that is asked for anew.
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=TERM"]
NOBODY += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"]


class Servers(Running):
    """Starts and stops them; a context manager. Use it from the main thread.

    Args:
        root: the folder for their data and their logs.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._password = secrets.token_hex(16)
        self._ports = {name: processes.free_port() for name in ("postgres", "redis", "s3")}
        self._running: list[Process] = []

    @property
    def database(self) -> str:
        """Address of PostgreSQL's database, login included, without a scheme."""
        return f"{USER}:{self._password}@{HOST}:{self._ports['postgres']}/postgres"

    @property
    def broker(self) -> str:
        """Address of Redis."""
        return f"redis://:{self._password}@{HOST}:{self._ports['redis']}/0"

    @property
    def results(self) -> str:
        """Address of what Celery's tasks return, in Redis."""
        return self.broker.removesuffix("0") + "1"

    @property
    def s3(self) -> str:
        """Address of the object storage."""
        return f"http://{HOST}:{self._ports['s3']}"

    def store(self) -> UPath:
        """The artifact store in the object storage, for us to read."""
        login = {"key": KEYS["aws_access_key_id"], "secret": KEYS["aws_secret_access_key"]}
        return UPath(f"s3://{BUCKET}/store", client_kwargs={"endpoint_url": self.s3}, **login)

    def start(self) -> None:
        """Start all three, and make the bucket."""
        self._start_postgres()
        self._start_redis()
        self._start_s3()

    def stop(self) -> None:
        """Stop them."""
        processes.stop_all(self._running)
        self._running.clear()

    def check(self) -> None:
        """Raise DemoError if one has ended."""
        for server in self._running:
            server.check()

    def _start_postgres(self) -> None:
        home = self._root / "postgres"
        home.mkdir()
        password = home / "password"
        password.touch(mode=0o600)
        password.write_text(self._password)
        user: list[str] = []
        if os.geteuid() == 0:
            user = NOBODY
            for path in (home, password):
                shutil.chown(path, "nobody", "nogroup")
        # In English, whatever the machine speaks: its words end up in a log for us.
        variables = {**os.environ, "LC_ALL": "C.UTF-8"}
        initdb = ["initdb", f"--username={USER}", f"--pwfile={password}", "--auth=scram-sha-256", "--no-sync"]
        processes.run([*user, *initdb, "--encoding=UTF8", f"--pgdata={home / 'data'}"], self._root, variables)
        settings = {
            "listen_addresses": HOST,
            "port": self._ports["postgres"],
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off",  # a power cut may cost this database
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._run("postgres", [*user, "postgres", "-D", home / "data", *options], variables)
        processes.wait_until(lambda: self._accepts("postgres"), "PostgreSQL listens", self._running, 60)

    def _start_redis(self) -> None:
        home = self._root / "redis"
        home.mkdir(mode=0o700)
        configuration = home / "redis.conf"
        configuration.write_text(
            f'bind {HOST}\nport {self._ports["redis"]}\nrequirepass {self._password}\nsave ""\ndir {home}\n'
        )
        self._run("redis", ["redis-server", configuration])
        processes.wait_until(lambda: self._accepts("redis"), "Redis listens", self._running, 30)

    def _start_s3(self) -> None:
        self._run("s3", ["moto_server", "-H", HOST, "-p", str(self._ports["s3"])])
        processes.wait_until(lambda: _answers(self.s3), "the object storage answers", self._running, 60)
        boto3.client("s3", endpoint_url=self.s3, **KEYS).create_bucket(Bucket=BUCKET)

    def _run(self, name: str, argv: list[str | Path], env: Mapping[str, str] | None = None) -> None:
        self._running.append(processes.start(name, argv, self._root / "logs", env))

    def _accepts(self, name: str) -> bool:
        try:
            socket.create_connection((HOST, self._ports[name]), timeout=1).close()
        except OSError:
            return False
        return True


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False
