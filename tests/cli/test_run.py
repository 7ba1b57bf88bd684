"""``fleetpgo run`` and ``measure --run`` from a fleet to a measured pull request, on real parts."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from fleetpgo.cli.main import cli
from fleetpgo.proposal.git import git
from fleetpgo.run.artifacts import ProposedProfile, ProposedText
from fleetpgo.run.proposed import Merge, Turn
from fleetpgo.run.store import RunStore
from tests.collection.instances import cpu_profile, http, serving
from tests.run.artifacts import PROFILE, manifest, proposed

SERVICE = """\
prometheus: {connection: prometheus}
selection: {cpu: cpu, target_samples: 1, instances: 2}
collection:
  url: http://$instance/debug/pprof/profile?seconds=$seconds
  ports: [1024, 65535]
  allow: [127.0.0.1]
  per_host: 100
  max_share: 1
  seconds: 1
repository: {forge: local, connection: forge, project: tiny, profile: pgo/profile.pprof}
build: {binary: bin/tiny, explain: false}
rollout: {started: process_start_time_seconds, treated: 'cpu{instance=~"(a|c):80"}'}
measurement: {cpu: cpu, step: 10s, settle: 20s, window: 2m, week: 10m}
"""


@pytest.fixture
def call(tmp_path, origin, go_cache, monkeypatch):
    """Call the command with what it takes from the environment; the result."""
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "tiny.yaml").write_text(SERVICE)
    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path / "services"))
    environment = {
        "FLEETPGO_STORE": str(tmp_path / "store"),
        "FLEETPGO_FORGE": str(origin),
        "FLEETPGO_CACHE": str(go_cache),
    }
    return lambda *arguments: CliRunner(env=environment).invoke(cli, arguments)


async def refresh(call, start_prometheus, *options):
    """Run it on two instances whose CPU is spent in main.total."""
    now = int(time.time())
    async with AsyncExitStack() as running:
        fleet = [
            await running.enter_async_context(serving(http(cpu_profile(80 + n, work=b"main.total"))))
            for n in range(2)
        ]
        prometheus = start_prometheus(
            [
                ("cpu", {"instance": each.target.instance, "datacenter": "ams"}, [(now, 1), (now + 200, 1)])
                for each in fleet
            ]
        )
        return await asyncio.to_thread(
            call, "run", "tiny", "--prometheus", prometheus.address, "--run", "first", *options
        )


async def test_a_dry_run_prints_the_text_and_the_diff_and_pushes_nothing(call, start_prometheus, bare):
    done = await refresh(call, start_prometheus, "--dry-run")

    assert done.exit_code == 0, done.output
    text, _, diff = done.stdout.partition("\ndiff --git ")
    assert text.startswith("# Add the PGO profile of tiny")
    assert "+\tgo build -pgo=$(or $(PGO),pgo/profile.pprof) -o bin/tiny ." in diff
    assert "Binary files /dev/null and b/pgo/profile.pprof differ" in diff
    assert git(bare, "branch", "--list", "fleetpgo/*") == ""


async def test_a_run_opens_the_pull_request_with_the_text_that_it_keeps(
    call, start_prometheus, forge, tmp_path
):
    done = await refresh(call, start_prometheus, "--json")

    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    pull_request = forge.get(record["pull_request"])
    assert record["text"] == f"# {pull_request.title}\n\n{pull_request.body}"
    assert RunStore(tmp_path / "store", "tiny", "first").read(ProposedText).decode() == record["text"]
    assert (record["run"], record["manifest"]["used"]) == ("first", 2)


def test_a_forge_that_is_not_there_is_said_before_anybody_is_profiled(call, tmp_path):
    done = call("run", "tiny", "--prometheus", "http://127.0.0.1:9", "--forge", str(tmp_path / "none"))
    assert done.exit_code == 1
    assert "tiny" in str(done.exception)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("command", ["run", "propose"])
def test_a_variant_that_the_service_file_lacks_is_said_before_anything_is_done(call, tmp_path, command):
    done = call(command, "tiny", "--variant", "v9")

    assert "has no v9; it has none" in str(done.exception)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("as_json", [True, False])
def test_a_dry_run_of_a_proposal_says_what_the_variants_give(call, tmp_path, go_profile, as_json):
    file = tmp_path / "services" / "tiny.yaml"
    file.write_text(SERVICE.replace("bin/tiny,", "bin/tiny, variants: {small: {flags: -ldflags=-s}},"))
    store = RunStore(tmp_path / "store", "tiny", "first")
    store.write(manifest(service="tiny", run="first"))
    store.write(ProposedProfile(go_profile))

    done = call("propose", "tiny", "--variant", "small", "--dry-run", *(["--json"] if as_json else []))

    assert done.exit_code == 0, done.output
    if as_json:
        (small,) = json.loads(done.stdout)["variants"]
        assert (small["name"], small["failed"]) == ("small", "")
    else:
        assert "| `small` | `-ldflags=-s` | `go1." in done.stdout
        assert done.stdout.endswith("\n\ndry run: nothing was pushed\n")


@pytest.fixture
def merged(bare, forge, tmp_path):
    """A run whose pull request was merged twelve minutes ago; the time."""
    when = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=12)
    git(bare, "branch", "fleetpgo/tiny", "main")
    pull_request = forge.create("fleetpgo/tiny", "main", "Add a profile", "")
    store = RunStore(tmp_path / "store", "tiny", "first")
    store.write(manifest(service="tiny", run="first"))
    store.write(proposed(pull_request=pull_request.number, url=pull_request.url, head=pull_request.head))
    store.write(Merge("merged", when, git(bare, "rev-parse", "main")))
    return when


def fleet(start_prometheus, *, restarted):
    """Two instances in each datacenter; one of them is restarted at a time and uses less from then on."""
    now = int(time.time())
    times = range(now - 3_600, now + 300, 10)
    data = []
    for name, datacenter in (("a:80", "ams"), ("b:80", "ams"), ("c:80", "lhr"), ("d:80", "lhr")):
        labels = {"instance": name, "datacenter": datacenter}
        new = restarted if name in ("a:80", "c:80") else now + 9_999
        data += [
            ("cpu", labels, [(at, (0.9 if at >= new else 1.0) + at % 30 / 1_000) for at in times]),
            ("process_start_time_seconds", labels, [(at, new if at >= new else 1_000) for at in times]),
        ]
    return start_prometheus(data)


def test_the_latest_run_is_measured_by_start_times_and_told_in_the_pull_request(
    call, start_prometheus, merged, forge
):
    prometheus = fleet(start_prometheus, restarted=int(merged.timestamp()) + 60)

    done = call("measure", "tiny", "--run", "latest", "--json", "--prometheus", prometheus.address)

    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert (record["period"], record["rollout"]["profile"]) == ("week", PROFILE)
    # Who is held back is stated: no metric names the profile of a build.
    assert record["groups"].keys() == {"treated", "control"}
    assert "Measured over" in forge.read_comment(1, "measurement")


def test_too_early_says_from_when_it_can_be_measured(call, start_prometheus, merged):
    prometheus = fleet(start_prometheus, restarted=int(time.time()) - 60)

    done = call("measure", "tiny", "--run", "latest", "--prometheus", prometheus.address)

    assert done.exit_code == 3, done.output
    assert "to 100.0 % of the instances; measurable at " in done.output


def test_without_a_pull_request_there_is_nothing_to_measure(call, tmp_path):
    done = call("measure", "tiny", "--run", "latest", "--prometheus", "http://127.0.0.1:9")
    assert "no run of tiny in" in str(done.exception)


def test_a_limit_of_the_repository_ends_it_before_anybody_is_profiled(call, tmp_path):
    file = tmp_path / "services" / "tiny.yaml"
    file.write_text(SERVICE.replace("project: tiny,", "project: tiny, limits: {builds_per_hour: 1},"))
    now = datetime.now(UTC)
    RunStore(tmp_path / "store", "tiny", "earlier").write(Turn(builds=(now,)))
    done = call("run", "tiny", "--prometheus", "http://127.0.0.1:9", "--run", "second")

    assert done.exit_code == 1
    assert "1 build(s) of tiny have begun within an hour" in str(done.exception)
    assert "run again later" in done.exception.hint
