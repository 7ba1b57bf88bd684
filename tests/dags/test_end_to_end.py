"""The whole DAG in this process, against a real Go fleet, a real Prometheus and a real git origin."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time

import pytest

from demo.fleet import Fleet
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.run.artifacts import FetchedProfile, MergedProfile, ProposedProfile
from fleetpgo.run.measured import Measurement
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Failed
from fleetpgo.run.store import RunStore
from fleetpgo.service.files import services_directory

CHANGES = {
    # An instance that was just killed is still selected, however slow this machine is.
    'rate2m{job="wshim", tier="1"}': 'rate2m{job="wshim", tier="1"}[10m])',
    "cpu: instance:": "cpu: last_over_time(instance:",
    # Faster than the demo.
    "seconds: 10": "seconds: 4",
    # On a busy machine some of those that live may get too little of it for a profile that counts.
    "quorum: 0.5": "quorum: 0.34",
    "step: 2s": "step: 1s",
    "settle: 25s": "settle: 20s",
    "window: 60s": "window: 10s",
    "week: 110s": "week: 15s",
    "poll: 5s": "poll: 1s",
    # A third build of everything would say what tests/golang/test_decisions.py says.
    "binary: bin/wshim": "binary: bin/wshim\n  explain: false",
}


@pytest.fixture(scope="module")
def environment():
    """Environment variables that are taken back when this module's tests are done."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def fleet(environment, go_cache, tmp_path_factory):
    """Eight instances, six of them in tier 1, where the service file looks."""
    environment.setenv("GOCACHE", str(go_cache / "go-build"))
    with Fleet(tmp_path_factory.mktemp("fleet"), instances=8, requests_per_second=6) as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def described(fleet, environment, go_cache, tmp_path_factory):
    """The service file, and what its tasks are told."""
    services = tmp_path_factory.mktemp("services")
    text = (services_directory() / "wshim.yaml").read_text()
    for old, new in CHANGES.items():
        assert old in text
        text = text.replace(old, new, 1)
    (services / "wshim.yaml").write_text(text)
    variables = {
        "FLEETPGO_SERVICES": str(services),
        "FLEETPGO_STORE": str(fleet.root / "store"),
        "FLEETPGO_CACHE": str(go_cache),
        "AIRFLOW_CONN_WSHIM_PROMETHEUS": fleet.prometheus_url,
        "AIRFLOW_CONN_WSHIM_FORGE": json.dumps(
            {"conn_type": "generic", "extra": {"path": str(fleet.origin.parent)}}
        ),
    }
    for name, value in variables.items():
        environment.setenv(name, value)


@pytest.fixture
def dag(described, airflow_database):
    """Read anew for each test: in one process, Airflow keeps a run's parameters in the DAG."""
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  # the environment comes first

    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    assert bag.import_errors == {}
    return bag.dags["pgo_refresh__wshim"]


def states(run) -> dict[str, list[str]]:
    """Task id → states of its task instances, in the order of the map index."""
    found: dict[str, list[str]] = {}
    for instance in sorted(run.get_task_instances(), key=lambda each: each.map_index):
        found.setdefault(instance.task_id, []).append(str(instance.state))
    return found


STARVED = ("idle", "wrong-duration", "no complete answer")
"""Why an instance that lives may give no profile: for want of a processor."""


def starved(missing, dead) -> set[str]:
    """Those of the missing (instance → reason) that live, each for a reason that is the machine's alone."""
    found = {instance: reason for instance, reason in missing.items() if instance not in dead}
    assert all(reason.startswith(STARVED) for reason in found.values()), found
    return set(found)


def run_store(fleet, run) -> RunStore:
    return RunStore(fleet.root / "store", "wshim", run.run_id)


@pytest.fixture
def killed(fleet):
    """Kill tier-1 instances; bring them back after the test."""
    dead = []

    def kill(count):
        tier_1 = [i for i, instance in enumerate(fleet.instances) if instance.tier == "1"]
        for i in tier_1[:count]:
            fleet.kill(i)
            dead.append(i)
        return [fleet.instances[i].address for i in dead]

    yield kill
    for i in dead:
        fleet.roll([i], fleet.instances[i].binary)
    fleet.wait_ready()


def test_below_the_quorum_the_run_fails_and_names_who_is_missing(fleet, dag, killed, capsys):
    dead = killed(4)
    run = dag.test(run_conf={"instances": 6, "seconds": 4, "dry_run": True})
    found = states(run)
    fetched = found["fetch_profile"].count("success")
    assert fetched <= 2
    assert (run.state, found["fetch_profile"].count("skipped")) == ("failed", 6 - fetched)
    assert found["merge_profiles"] == ["failed"]
    assert found["build_and_open_pr"] == ["upstream_failed"]
    assert run_store(fleet, run).read(Failed, "merge_profiles").reason.startswith(f"{fetched} of 6 instances")
    said = "".join(capsys.readouterr())
    assert re.search(
        rf"{fetched} of 6 instances gave a usable profile; collection\.quorum .*is 34\.0 %", said
    )
    for address in dead:
        assert re.search(rf"{address} \((ams|lhr|sjc)\).*: unreachable", said)


@pytest.mark.timeout(600)  # four builds of Go's standard library, if its cache is cold
def test_the_whole_loop(fleet, dag, killed):
    forge = LocalForge(str(fleet.origin.parent), "wshim")
    dead = killed(1)

    measured = threading.Event()

    def review_and_deploy():
        while not (waiting := [each for each in forge.pull_requests() if each.state == "open"]):
            time.sleep(0.5)
        forge.merge(waiting[0].number)
        fleet.roll([4, 5, 6, 7], fleet.build())  # the rest, one of them dead, is the control group
        measured.wait()  # instances die with the thread that started them: see below

    human = threading.Thread(target=review_and_deploy, daemon=True)
    human.start()
    try:
        run = dag.test(run_conf={"instances": 6})
    finally:
        fleet.roll(range(8), fleet.instances[0].binary)
        measured.set()
    store = run_store(fleet, run)

    # The manifest accounts for all six: the dead one is missing.
    manifest = store.read(Manifest)
    missing = {each.instance: each.reason for each in manifest.instances if each.state != "used"}
    assert set(missing) == set(dead) | starved(missing, dead)
    assert (manifest.used, manifest.selected) == (6 - len(missing), 6)

    # Every stage did its work; whoever is missing is skipped, not failed.
    found = states(run)
    assert run.state == "success"
    fetched = ["skipped"] * len(missing) + ["success"] * manifest.used
    assert sorted(found.pop("fetch_profile")) == fetched
    assert set(map(tuple, found.values())) == {("success",)}

    # The pull request names them, too, and is merged with its comment.
    (pull_request,) = forge.pull_requests()
    assert (pull_request.state, pull_request.branch) == ("merged", "fleetpgo/wshim")
    assert all(address in pull_request.body for address in missing)
    assert list(forge.comments(pull_request.number)) == ["measurement"]

    # The origin's main holds the profile and passes it on.
    def on_main(path):
        show = ["git", "-C", str(fleet.origin), "show", f"main:{path}"]
        return subprocess.run(show, check=True, capture_output=True).stdout

    assert on_main("pgo/profile.pprof") == store.read(ProposedProfile)
    assert b"go build -pgo=$(or $(PGO),pgo/profile.pprof)" in on_main("Makefile")

    # Both measurements have their figures and windows.
    for period, seconds in (("rollout", 10), ("week", 15)):
        measured = store.read(Measurement, period)
        assert measured.whole["raw"]["before"]["cores"] > 0
        assert f"[{seconds}s:1s]" in measured.queries["cpu after"]
        assert measured.groups["treated"].instances == 4

    # And what was merged is what Go's own tool makes of the same inputs.
    profiles = [str(store.path(FetchedProfile, key)) for key in store.keys(FetchedProfile)]
    theirs = fleet.root / "theirs.pb.gz"
    go = shutil.which("go")
    subprocess.run(
        [go, "tool", "pprof", "-proto", "-symbolize=none", f"-output={theirs}", *profiles],
        check=True,
        capture_output=True,
    )
    views = [
        subprocess.run([go, "tool", "preprofile", "-i", path], check=True, capture_output=True).stdout
        for path in (theirs, store.path(MergedProfile), store.path(ProposedProfile))
    ]
    assert views[0] == views[1] == views[2]
