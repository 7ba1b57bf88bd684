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


def start(*module):
    return subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def demo_run():
    return "demo.run", "--exit", "--port", str(processes.free_port())


def test_every_stage_does_its_work():
    with start(*demo_run()) as demo:
        output = demo.stdout.read()
    said = ["against the instances that kept the old build", "PGO saves ", ", now (95 % interval)"]
    assert (demo.returncode, [each for each in said if each not in output]) == (0, []), output


@pytest.mark.parametrize(
    ("command", "line"),
    [(demo_run(), "Run "), (("tests.distributed.run",), "build_and_open_pr  running")],
    ids=["demo", "distributed"],
)
def test_ctrl_c_leaves_no_process(command, line):
    with start(*command) as demo:
        while line not in demo.stdout.readline():
            assert demo.poll() is None
        children = psutil.Process(demo.pid).children(recursive=True)
        assert len(children) > 10
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
