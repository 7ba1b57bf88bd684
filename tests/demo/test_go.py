"""The demo's Go programs: their own tests and checks."""

import shutil
import subprocess
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "demo"

pytestmark = pytest.mark.skipif(not shutil.which("go"), reason="needs go on PATH")


@pytest.mark.parametrize("program", ["wshim", "loadgen", "newcomer"])
@pytest.mark.parametrize("check", ["vet", "test"])
def test_go_has_nothing_to_say_against(program, check):
    done = subprocess.run(
        ["go", check, "./..."], cwd=DEMO / program, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
