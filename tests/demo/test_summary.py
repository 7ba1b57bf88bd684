"""The demo's last words."""

import io
import subprocess
from datetime import UTC, datetime

import pytest
from rich.console import Console

from demo import summary
from demo.processes import DemoError
from fleetpgo.run.measured import Judgement, Level
from fleetpgo.run.store import RunStore
from tests.run.artifacts import manifest, measurement, proposed


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path, "wshim", "manual__1")
    store.write(manifest(profile="abc"))
    store.write(proposed(pull_request=7, url="file:///7.md"))
    store.write(measurement(period="rollout"), "rollout")
    untold = Judgement("inconclusive", ("too few datacenters",))
    store.write(measurement(estimate=None, verdict=untold), "week")
    return store


LEVEL = Level(
    datetime(2026, 1, 7, tzinfo=UTC),
    3,
    saving=0.05,
    low=0.03,
    high=0.07,
    cores=0.5,
    cores_low=0.3,
    cores_high=0.7,
    basis="6 instances that ran both builds in 3 memberships",
)


def shown(store):
    out = io.StringIO()
    summary.show(Console(file=out, width=120), store, elapsed_s=330, level=LEVEL)
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
        "PGO saves 5.0 % [3.0, 7.0], 0.500 cores [0.300, 0.700], now (95 % interval), against a baseline",
        "6 instances that ran both builds in 3 memberships",
    ],
)
def test_the_summary_says(store, words):
    assert words in shown(store)


def test_a_level_that_is_known_passes():
    summary.check_level(LEVEL)


def test_a_level_that_is_not_known_is_an_error_with_its_reason():
    with pytest.raises(DemoError, match="not known: the baseline had 1 membership"):
        summary.check_level(Level(LEVEL.at, 1, reason="the baseline had 1 membership(s)"))


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
    summary.check_origin(origin(tmp_path, "build:\n\tgo build -pgo=$(or $(PGO),pgo/profile.pprof) .\n"))


def test_an_origin_whose_makefile_ignores_the_profile_is_an_error(tmp_path):
    with pytest.raises(DemoError, match="does not pass -pgo"):
        summary.check_origin(origin(tmp_path, "build:\n\tgo build .\n"))
