"""The tests of the call edges, tested: each of these mistakes must make one of them fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MISTAKES = {
    "line offset off by one": (
        "callers.lines - callers.start_lines",
        "callers.lines - callers.start_lines + 1",
    ),
    "inlined lines dropped": (
        "inlined = lines.counts > 1",
        "inlined = lines.counts > 1000",
    ),
    "recursion on one line merged": (
        "addresses.take(inner) != addresses.take(outer)",
        "addresses.take(inner) < 0",
    ),
    "a step counted twice in a sample": (
        "doubted[first]",
        "doubted",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("right", "wrong"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_call_edges_is_caught(tmp_path, right, wrong):
    shutil.copytree(ROOT / "include", tmp_path / "include")
    file = tmp_path / "include/fleetpgo/pprof/callgraph.py"
    code = file.read_text()
    assert code.count(right) == 1
    file.write_text(code.replace(right, wrong))
    tests = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/pprof/test_callgraph.py",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "include")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tests.returncode == pytest.ExitCode.TESTS_FAILED, tests.stdout
