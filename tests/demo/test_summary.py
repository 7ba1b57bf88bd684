"""The demo's last words."""

import io
import subprocess

import pytest
from rich.console import Console

from demo import summary
from demo.processes import DemoError
from fleetpgo.run.store import RunStore


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path, "wshim", "manual__1")
    group = {
        "instances": 3,
        "cpu_per_request_before": 0.005,
        "cpu_per_request_after": 0.0045,
        "saved_share_per_request": 0.1,
    }
    measured = {
        "raw": group,
        "groups": {"treated": group},
        "estimate": {"method": "A", "saving": 0.1, "low": 0.08, "high": 0.12},
        "verdict": {"call": "saved", "reasons": []},
    }
    store.write_json(
        "manifest.json",
        {
            "used": 4,
            "selected": 5,
            "samples": 1234,
            "profile": "abc",
            "profile_size": 900,
            "merged_size": 9000,
        },
    )
    store.write_json(
        "pull_request.json",
        {"pull_request": 7, "url": "file:///7.md", "size_without": 10_000, "size_with": 11_000},
    )
    store.write_json("measure_rollout.json", measured)
    untold = {"call": "inconclusive", "reasons": ["too few datacenters"]}
    store.write_json("measure_week.json", {**measured, "estimate": None, "verdict": untold})
    return store


def shown(store):
    out = io.StringIO()
    summary.show(Console(file=out, width=120), store, elapsed_s=330)
    return " ".join(out.getvalue().split())


@pytest.mark.parametrize(
    "words",
    [
        "instances fetched 4 of 5",
        "samples 1,234",
        "abc: 900 bytes of 9,000 merged",
        "#7 file:///7.md",
        "10,000 → 11,000 bytes",
        "5.5 minutes",
        "treated │ 3 │ 5.000 ms │ 4.500 ms │ -10.0 %",
        "saved: 10.0 % [8.0, 12.0] of the CPU (95 % interval) against the instances that kept the old build",
        "inconclusive; too few datacenters",
    ],
)
def test_the_summary_says(store, words):
    assert words in shown(store)


def origin(tmp_path, makefile):
    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments],
            cwd=tmp_path,
            check=True,
        )

    git("init", "--quiet", "--initial-branch=main")
    (tmp_path / "pgo").mkdir()
    (tmp_path / "pgo" / "profile.pprof").write_bytes(b"profile")
    (tmp_path / "Makefile").write_text(makefile)
    git("add", ".")
    git("commit", "--quiet", "-m", "All")
    return tmp_path


def test_an_origin_that_builds_with_the_profile_passes(tmp_path):
    summary.check_origin(origin(tmp_path, "build:\n\tgo build -pgo=pgo/profile.pprof .\n"))


def test_an_origin_whose_makefile_ignores_the_profile_is_an_error(tmp_path):
    with pytest.raises(DemoError, match="does not pass -pgo"):
        summary.check_origin(origin(tmp_path, "build:\n\tgo build .\n"))
