"""A real Prometheus that scrapes the endpoint of the metrics over a store that real steps have filled."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import requests
import uvicorn

from demo.processes import free_port
from fleetpgo.prometheus import Prometheus
from fleetpgo_airflow import monitoring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "a-token-of-its-own"  # noqa: S105  # that is what it is
CONFIG = """\
global: {{ scrape_interval: 1s }}
scrape_configs:
  - job_name: fleetpgo
    metrics_path: /metrics
    authorization: {{ credentials: {token} }}
    static_configs: [{{ targets: ["127.0.0.1:{port}"] }}]
"""


@contextmanager
def scraping(store: Path, root: Path) -> Iterator[Prometheus]:
    """Serve the metrics of a store, and yield a Prometheus that has scraped them."""
    os.environ |= {"FLEETPGO_STORE": str(store), "FLEETPGO_METRICS_TOKEN": TOKEN}
    served, port = free_port(), free_port()
    server = uvicorn.Server(uvicorn.Config(monitoring.app, port=served, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    (root / "prometheus.yml").write_text(CONFIG.format(token=TOKEN, port=served))
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={root / 'prometheus.yml'}",
            f"--storage.tsdb.path={root / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    try:
        prometheus = Prometheus(f"http://127.0.0.1:{port}")
        while not _ready(prometheus):
            assert process.poll() is None, "Prometheus ended"
            time.sleep(0.1)
        yield prometheus
    finally:
        process.kill()
        process.wait()
        server.should_exit = True
        thread.join()
        for name in ("FLEETPGO_STORE", "FLEETPGO_METRICS_TOKEN"):
            del os.environ[name]


def _ready(prometheus: Prometheus) -> bool:
    try:
        if not requests.get(f"{prometheus.address}/-/ready", timeout=5).ok:
            return False
    except requests.ConnectionError:
        return False
    return bool(prometheus.instant("fleetpgo_store_up == 1").series)
