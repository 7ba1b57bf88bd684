"""The demo itself, whole: it takes minutes and most of two processors."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from demo import processes

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def start():
    command = [sys.executable, "-m", "demo.run", "--exit", "--port", str(processes.free_port())]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_every_stage_does_its_work():
    with start() as demo:
        output = demo.stdout.read()
    assert (demo.returncode, "against the instances that kept the old build" in output) == (0, True), output


def test_ctrl_c_leaves_no_process():
    with start() as demo:
        while "Run " not in demo.stdout.readline():
            assert demo.poll() is None
        children = psutil.Process(demo.pid).children(recursive=True)
        assert len(children) > 10
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
