"""The demo's service, run under load."""

from __future__ import annotations

import socket
import subprocess
import time

import requests


def profile_under_load(binary, loadgen, seconds):
    """A CPU profile of the binary while the load generator pushes to it, as it serves it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    server = subprocess.Popen([binary, "-listen", address], stderr=subprocess.DEVNULL)
    load = subprocess.Popen([loadgen, "-rate", "60", f"http://{address}/push"], stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                requests.get(f"http://{address}/metrics", timeout=60)
                break
            except requests.ConnectionError:
                assert server.poll() is None
                time.sleep(0.1)
        return requests.get(f"http://{address}/debug/pprof/profile?seconds={seconds}", timeout=600).content
    finally:
        for process in (load, server):
            process.kill()
            process.wait()
