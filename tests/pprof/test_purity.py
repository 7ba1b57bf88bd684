"""pprof is pure: it starts no process, and neither reads nor sets an environment variable."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from fleetpgo import pprof

MODULES = sorted(Path(pprof.__file__).parent.rglob("*.py"))

FORBIDDEN = {"os", "subprocess", "multiprocessing", "shutil", "signal", "socket", "tempfile", "pathlib"}
"""What processes, the environment, files and networks are reached by."""

STARTED = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn")
"""Events of Python's audit (sys.audit) that a process is started."""

WORK = f"""
import os, sys
before, started = dict(os.environ), []
sys.addaudithook(lambda event, _: event in {STARTED} and started.append(event))
from fleetpgo import pprof
data = open(sys.argv[1], "rb").read()
pprof.check(data)
merged, _ = pprof.guard(pprof.merge([data, data], weights="equal"))
pprof.minimise(merged, prove=None)
pprof.compare(pprof.decode(data), merged)
table = pprof.EdgeTable()
table.add(pprof.pack(list(zip("ab", pprof.edges_of_each([data, merged.data])))))
pprof.sufficiency({{"one": "a", "other": "b"}}, table)
assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())
assert not started, started
"""


def imported(module: Path) -> set[str]:
    """The outermost names of the modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("module", MODULES, ids=[path.stem for path in MODULES])
def test_no_module_can_reach_processes_environment_or_files(module):
    assert imported(module).isdisjoint(FORBIDDEN)


def test_no_step_starts_a_process_or_changes_the_environment():
    profile = Path(__file__).parents[1] / "testdata/profiles"
    path = next(iter(sorted(profile.glob("*.pb.gz"))))
    subprocess.run([sys.executable, "-c", WORK, path], check=True)


@pytest.mark.parametrize("package", ["fleetpgo.cli", "fleetpgo_airflow"])
def test_each_entry_point_keeps_numpy_to_one_thread_before_it_is_loaded(package):
    code = (
        f"import os, sys, {package}; "
        "sys.exit('numpy' in sys.modules or os.environ.get('OPENBLAS_NUM_THREADS') != '1')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PATH": "/usr/bin:/bin"})
