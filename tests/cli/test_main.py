from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fleetpgo.cli.main import cli
from fleetpgo.cli.propose import _latest
from fleetpgo.errors import ArtifactError
from fleetpgo.run.artifacts import FetchedProfile
from fleetpgo.run.profiled import Manifest, Record
from fleetpgo.run.selected import Selection
from fleetpgo.run.store import RunStore
from fleetpgo.service.files import services_directory
from tests import services
from tests.collection.instances import OK, cpu_profile, http, make_certificates, serving, serving_tls


def run(*arguments: str, **environment: str):
    return CliRunner(env=environment).invoke(cli, arguments)


@pytest.fixture
def broken(tmp_path):
    text = (services_directory() / "wshim.yaml").read_text()
    (tmp_path / "wshim.yaml").write_text(text)
    (tmp_path / "broken.yaml").write_text(text.replace("binary:", "binaries:"))
    return tmp_path


def test_check_names_every_mistake_and_fails(broken):
    done = run("services", "check", FLEETPGO_SERVICES=str(broken))
    assert done.exit_code == 1
    assert f"{broken / 'wshim.yaml'}: ok" in done.output
    assert "build.binaries: unknown key" in done.output


def test_check_of_a_directory_checks_all_its_files(broken):
    done = run("services", "check", str(broken))
    assert (done.exit_code, f"{broken / 'wshim.yaml'}: ok" in done.output) == (1, True)


@pytest.mark.parametrize("command", ["check", "list"])
def test_an_empty_directory_of_services_is_an_error(tmp_path, command):
    done = run("services", command, FLEETPGO_SERVICES=str(tmp_path))
    assert f"{tmp_path} holds no service file" in str(done.exception)


def test_a_directory_of_services_that_is_not_there_is_an_error(tmp_path):
    done = run("services", "check", FLEETPGO_SERVICES=str(tmp_path / "none"))
    assert "does not exist" in str(done.exception)


def commands(command, name="fleetpgo"):
    """Every command and group, with what a user writes to call it."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            yield from commands(command.get_command(context, each), f"{name} {each}")


@pytest.mark.parametrize(
    ("name", "command"), list(commands(cli)), ids=lambda each: each if isinstance(each, str) else ""
)
def test_help_is_text_without_marks_of_its_source(name, command):
    shown = command.get_help(click.Context(command, info_name=name))
    assert re.findall(r"\x08|\\b|``|:mod:", shown) == []


def test_help_loads_nothing_that_is_slow_to_load():
    code = (
        "import sys; from fleetpgo.cli.main import COMMANDS, cli\n"
        "for name in COMMANDS: cli([name, '--help'], standalone_mode=False)\n"
        "print({'numpy', 'pandas', 'pydantic', 'requests', 'aiohttp', 'ruamel', 'github'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_an_error_names_the_key_and_its_line(service, start_prometheus):
    done = run(
        "select", "api", "--matchers", 'revision="gone"', "--prometheus", fleet(start_prometheus, "a:80")
    )
    assert "selection.instance_label (not set in api.yaml)" in str(done.exception)


def test_a_query_that_prometheus_refuses_is_told_with_its_key_and_line(
    tmp_path, monkeypatch, start_prometheus
):
    (tmp_path / "services").mkdir()
    services.load(tmp_path / "services", monkeypatch)
    file = tmp_path / "services" / "api.yaml"
    file.write_text(file.read_text().replace("{cpu: cpu,", "{cpu: 'sum(',"))
    done = run("select", "api", "--prometheus", fleet(start_prometheus, "a:80"))
    assert "selection.cpu (api.yaml:2)" in str(done.exception)


def test_check_refuses_two_services_that_write_one_profile(tmp_path):
    text = (services_directory() / "wshim.yaml").read_text()
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text(text)

    done = run("services", "check", FLEETPGO_SERVICES=str(tmp_path))

    assert done.exit_code == 1
    assert "b.yaml:35: repository.profile: a.yaml writes the same file, pgo/profile.pprof" in done.output


def test_the_services_are_listed_for_programs():
    (wshim,) = json.loads(run("services", "list", "--json").output)
    assert (wshim["name"], wshim["repository"]["project"]) == ("wshim", "wshim")


def test_the_schema_is_a_json_schema_of_a_service_file():
    schema = json.loads(run("services", "schema").output)
    assert {"selection", "repository", "build", "rollout"} <= set(schema["required"])


def test_select_shows_who_would_be_profiled(start_prometheus):
    now = int(time.time())
    labels = {"job": "wshim", "tier": "1", "datacenter": "ams"}
    series = "instance:container_cpu_time_seconds_total:rate2m"
    prometheus = start_prometheus(
        [
            (series, {**labels, "instance": f"{name}:80"}, [(now, cores)])
            for name, cores in (("a", 1), ("b", 2))
        ]
    )
    done = run("select", "wshim", "--instances", "1", "--json", "--prometheus", prometheus.address)
    chosen = [(each["round"], each["instance"], each["cores"]) for each in json.loads(done.output)["targets"]]
    assert chosen == [(1, "b:80", 2.0), (2, "a:80", 1.0)]


@pytest.fixture
def service(tmp_path, monkeypatch):
    (tmp_path / "services").mkdir()
    return services.load(tmp_path / "services", monkeypatch)


def fleet(start_prometheus, *instances, **labels):
    """The address of a Prometheus that knows the instances, the first the busiest."""
    now = int(time.time())
    cpu = [
        ("cpu", {"instance": name, "datacenter": "ams"}, [(now, 9.0 - place), (now + 60, 9.0 - place)])
        for place, name in enumerate(instances)
    ]
    builds = [
        ("api_build_info", {"instance": name, **labels}, [(now, 1), (now + 60, 1)]) for name in instances[1:]
    ]
    return start_prometheus(cpu + builds).address


def test_select_takes_the_builds_to_choose_from(service, start_prometheus):
    prometheus = fleet(start_prometheus, "a:80", "b:80", revision="new")
    done = run("select", "api", "--matchers", 'revision="new"', "--json", "--prometheus", prometheus)
    assert [each["instance"] for each in json.loads(done.stdout)["targets"]] == ["b:80"]


def test_select_says_how_many_of_a_datacenter_are_profiled_at_once(service, start_prometheus):
    done = run("select", "api", "--prometheus", fleet(start_prometheus, "a:80", "b:80"))
    assert "ams: 2 instances, at most 2 profiled at once" in done.output
    assert "query: topk(3, cpu)" in done.output


def test_select_refuses_what_is_no_matcher(service, start_prometheus):
    done = run("select", "api", "--matchers", "revision", "--prometheus", "http://127.0.0.1:9")
    assert "write matchers as in PromQL" in str(done.exception)


async def start_collect(store, prometheus, *options, **environment):
    """A real `fleetpgo collect` of the run "r"."""
    return await asyncio.create_subprocess_exec(
        *("fleetpgo", "collect", "api", "--run", "r", "--store", store, "--prometheus", prometheus, *options),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_collect_sends_the_headers_and_keeps_them_to_itself(service, start_prometheus, tmp_path):
    async with serving(OK) as ams:
        prometheus = fleet(start_prometheus, ams.target.instance)
        collect = await start_collect(
            tmp_path / "store", prometheus, "--json", FLEETPGO_HEADERS="X-Token: s3cr3t-t0k3n"
        )
        out, said = await collect.communicate()
    assert collect.returncode == 0
    assert b"\r\nX-Token: s3cr3t-t0k3n\r\n" in ams.heard[0]
    manifest = json.loads(out)
    assert (manifest["used"], manifest["samples"]) == (1, 80)
    written = [file.read_bytes() for file in (tmp_path / "store").rglob("*") if file.is_file()]
    assert not any(b"s3cr3t-t0k3n" in text for text in (out, said, *written))


async def test_collect_takes_certificates_from_its_options(service, start_prometheus, tmp_path):
    file = tmp_path / "services" / "api.yaml"
    file.write_text(file.read_text().replace("http://", "https://"))
    made = make_certificates(tmp_path)
    files = ("--ca", made.authority, "--cert", made.both, "--key", made.both)
    async with serving_tls(made, OK, ask_for_certificate=True) as ams:
        prometheus = fleet(start_prometheus, ams.target.instance)
        collect = await start_collect(tmp_path / "store", prometheus, "--seconds", "1", *files)
        await collect.communicate()
    assert collect.returncode == 0
    assert len(ams.heard) == 1


async def test_collect_takes_the_number_and_the_length_from_its_options(service, start_prometheus, tmp_path):
    async with serving(http(cpu_profile(100))) as one, serving(OK) as other:
        prometheus = fleet(start_prometheus, one.target.instance, other.target.instance)
        collect = await start_collect(tmp_path / "store", prometheus, "--instances", "2", "--seconds", "1")
        await collect.communicate()
    assert b"?seconds=1 " in one.heard[0]
    assert len(other.heard) == 1


async def test_collect_prints_what_the_reviewer_will_be_warned_of(service, start_prometheus, tmp_path):
    async with serving(OK) as ams:
        collect = await start_collect(
            tmp_path / "store", fleet(start_prometheus, ams.target.instance), "--seconds", "1"
        )
        _, said = await collect.communicate()
    assert b"warning: samples: 80, below 10,000" in said


@pytest.mark.parametrize("headers", ["X-Token", ": x", "X-Token:"])
def test_collect_refuses_headers_that_are_none(service, tmp_path, headers):
    RunStore(tmp_path, "api", "r").write(Selection((), seconds=1))
    done = run(
        *("collect", "api", "--run", "r", "--store", str(tmp_path), "--prometheus", "http://127.0.0.1:9"),
        FLEETPGO_HEADERS=headers,
    )
    assert done.exit_code == 2
    assert "holds a line that is not `Name: value`" in done.output


async def test_a_collect_killed_half_way_and_repeated_fetches_only_the_rest(
    service, start_prometheus, tmp_path
):
    held = asyncio.Event()

    async def hold(_writer):
        await held.wait()

    store, undisturbed = (RunStore(tmp_path / name, "api", "r") for name in ("killed", "undisturbed"))
    async with AsyncExitStack() as running:
        running.callback(held.set)
        answers = [http(cpu_profile(50 + number)) for number in range(4)]
        quick = [await running.enter_async_context(serving(answer)) for answer in answers[:2]]
        slow = [await running.enter_async_context(serving(hold, answer)) for answer in answers[2:]]
        prometheus = fleet(start_prometheus, *(each.target.instance for each in (*quick, *slow)))

        killed = await start_collect(store.root, prometheus, "--instances", "4")
        # What is waited for happens in another process.
        while len(store.keys(Record)) < 2 or not all(each.heard for each in slow):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        killed.kill()
        await killed.communicate()
        assert killed.returncode == -signal.SIGKILL

        again = await start_collect(store.root, prometheus, "--instances", "4")
        await again.communicate()
        assert again.returncode == 0
        assert [len(each.heard) for each in (*quick, *slow)] == [1, 1, 2, 2]

        other = await start_collect(undisturbed.root, prometheus, "--instances", "4")
        await other.communicate()
    ours, theirs = (each.read(Manifest) for each in (store, undisturbed))
    assert ours == replace(theirs, made_at=ours.made_at)
    assert ours.used == 4
    assert store.keys(FetchedProfile) == undisturbed.keys(FetchedProfile)


def test_a_failure_is_told_without_a_traceback(free_port):
    done = subprocess.run(
        ["fleetpgo", "select", "wshim", "--prometheus", f"http://127.0.0.1:{free_port}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "fleetpgo: cannot reach Prometheus" in done.stderr
    assert "Traceback" not in done.stderr


def test_proposing_without_a_collected_run_says_how_to_make_one(tmp_path):
    done = run("propose", "wshim", "--store", str(tmp_path), "--forge", str(tmp_path))
    assert done.exit_code == 2
    assert "make one with `fleetpgo collect`" in done.output


def test_propose_names_the_manifest_that_cannot_be_read(tmp_path):
    (tmp_path / "api" / "one").mkdir(parents=True)
    (tmp_path / "api" / "one" / "manifest.json").write_text('{"service": "api"}')
    with pytest.raises(ArtifactError, match=r"one/manifest\.json cannot be read: query: Field required"):
        _latest(tmp_path, "api")


def test_a_command_that_is_terminated_ends_as_by_an_exception(tmp_path):
    """So a clone goes, and what a build started is ended."""
    program = (
        "import sys, time; from pathlib import Path\n"
        "from fleetpgo.cli import main\n"
        "from fleetpgo.golang.environment import clone_directory\n"
        "def command():\n"
        "    with clone_directory(Path(sys.argv[1]), 'acme/tiny') as place:\n"
        "        print(place, flush=True); time.sleep(600)\n"
        "main.cli = command; main.main()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        place = Path(process.stdout.readline().strip())
        assert place.is_dir()
        process.terminate()

    assert process.returncode == 128 + signal.SIGTERM
    assert not place.exists()
