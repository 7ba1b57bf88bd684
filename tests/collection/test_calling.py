"""A program that prints the profiles: what comes of each way in which it may end."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import psutil
import pytest

from fleetpgo.errors import ServiceFileError
from tests.collection.instances import OK, PROFILE, cpu_profile, port_of, rules, serving, target_at


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Make `fetch-pprof` of lines of shell, first on PATH."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "profile").write_bytes(PROFILE)
    (tmp_path / "other").write_bytes(cpu_profile(comment="other"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")

    def make(lines):
        file = tmp_path / "bin" / "fetch-pprof"
        file.write_text(f"#!/bin/sh\nhere={shlex.quote(str(tmp_path))}\n{lines}\n")
        file.chmod(0o755)

    return make


@pytest.fixture
def call(fetch):
    """Collect from instances by the program."""

    async def call_it(*targets, command="fetch-pprof $host --seconds $seconds", **changes):
        return await fetch(
            *(targets or [target_at("a.example:80")]), source="command", command=command, allow=(), **changes
        )

    return call_it


async def test_what_the_program_prints_is_the_profile(program, call):
    program('cat "$here/profile"')
    (record,) = await call()
    assert (record.state, record.samples, record.size) == ("fetched", 80, len(PROFILE))


async def test_each_placeholder_is_an_argument_or_a_part_of_one(program, call, tmp_path):
    program('printf "%s\\n" "$@" >"$here/arguments"; cat "$here/profile"')
    target = target_at("a.example:80", pod="api-0")
    await call(target, command="fetch-pprof --host=$host '$instance and $seconds' $pod")
    assert (tmp_path / "arguments").read_text() == "--host=a.example\na.example:80 and 1\napi-0\n"


async def test_the_program_sees_no_variable_but_those_that_it_is_given(program, call, tmp_path, monkeypatch):
    monkeypatch.setenv("FLEETPGO_TOKEN", "s3cret")
    monkeypatch.setenv("HOME", str(tmp_path))
    program('env >"$here/environment"; cat "$here/profile"')
    await call(environment={"KUBECONFIG": "/etc/kube"})
    seen = dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines())
    assert (seen["KUBECONFIG"], seen["HOME"]) == ("/etc/kube", str(tmp_path))
    assert "FLEETPGO_TOKEN" not in seen


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (
            "echo trying >&2; echo 'no route to host' >&2; exit 7",
            "ended with exit status 7: no route to host",
        ),
        ("exit 3", "fetch-pprof ended with exit status 3"),
        ("kill -9 $$", "fetch-pprof ended with signal 9"),
        ("echo 'Could not enable CPU profiling: already in use' >&2; exit 1", "busy: fetch-pprof ended with"),
        ("printf '\\033[31mred\\007' >&2; exit 1", "exit status 1: red�"),
        ("exit 0", "empty"),
        ("echo '<html>log in</html>'", "html"),
        ('head -c 50 "$here/profile"', "truncated"),
        ("head -c 2000000 /dev/zero", "larger than 1,000,000 bytes (collection.max_bytes)"),
        ("sleep 100", "fetch-pprof did not end within"),
        ("sleep 100 & sleep 100", "fetch-pprof did not end within"),
    ],
)
async def test_why_there_is_no_profile_is_told(program, call, lines, reason):
    program(lines)
    (record,) = await call(max_bytes=1_000_000, attempts=1, grace="1s")
    assert record.state != "fetched"
    assert reason in record.reason


async def test_a_program_that_fails_is_called_again(program, call):
    program('[ -e "$here/twice" ] && cat "$here/profile" && exit; : >"$here/twice"; exit 1')
    (record,) = await call(attempts=2)
    assert record.state == "fetched"


async def test_a_program_that_is_not_there_ends_the_round_with_the_key(call):
    with pytest.raises(ServiceFileError, match=r"collection\.command: there is no program fetch-pprof"):
        await call()


async def test_no_more_run_at_once_than_the_service_file_allows(program, call, tmp_path):
    program(
        'mkdir "$here/running" 2>/dev/null || { echo two at once >&2; exit 1; }\n'
        'sleep 0.2; rmdir "$here/running"; cat "$here/$([ "$1" = a ] && echo profile || echo other)"'
    )
    records = await call(target_at("a:80"), target_at("b:80"), limits={"ams": 1}, attempts=1)
    assert [each.state for each in records] == ["fetched", "fetched"]


async def test_what_the_program_leaves_behind_ends_with_it(program, call, tmp_path):
    program('setsid sleep 300 >/dev/null 2>&1 & echo $! >"$here/pid"; cat "$here/profile"')
    (record,) = await call()
    assert record.state == "fetched"
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


async def test_a_label_that_is_no_word_is_never_an_argument(program, call):
    program('cat "$here/profile"')
    target = target_at("a:80", pod="--config=/etc/passwd")
    (record,) = await call(target, command="fetch-pprof --pod $pod")
    assert "the label pod='--config=/etc/passwd' may not be part of a request" in record.reason


async def test_two_instances_with_the_same_call_are_called_once(program, call, tmp_path):
    program('echo called >>"$here/calls"; cat "$here/profile"')
    first, second = await call(target_at("a:80"), target_at("a:81"))
    assert (first.state, second.state) == ("fetched", "refused")
    assert "collection.command needs a label that tells them apart" in second.reason
    assert (tmp_path / "calls").read_text() == "called\n"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"source": "command"}, "the source command needs `command`"),
        ({"command": "fetch $host"}, "no other source takes it"),
        ({"source": "command", "command": "fetch --all"}, "every instance gets the same profile"),
        ({"source": "command", "command": "$host --all $seconds"}, "a label may not choose the program"),
        ({"source": "command", "command": "fetch $host $"}, "a lone \\$ is not a placeholder"),
        ({"source": "command", "command": "fetch $host", "allow": ["*.example"]}, "have no effect"),
        ({"environment": {"A": "b"}}, "only the source command takes `environment`"),
        ({"source": "command", "command": "A=b fetch $host"}, "would be taken for a program"),
    ],
)
def test_a_command_that_cannot_work_is_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        rules(**{"allow": (), **keys})


MANUAL = (Path(__file__).parents[2] / "docs/collection.md").read_text()


@pytest.fixture
def helper(program, tmp_path):
    """Put the manual's helper on PATH, with a kubectl of lines of shell."""

    def make(kubectl):
        (text,) = re.findall(r"```sh\n(#!/bin/sh\n# pod-profile.*?)```", MANUAL, re.DOTALL)
        for name, lines in (("pod-profile", text), ("kubectl", f"#!/bin/sh\n{kubectl}\n")):
            (tmp_path / "bin" / name).write_text(lines)
            (tmp_path / "bin" / name).chmod(0o755)
        return "pod-profile $namespace $pod $seconds"

    return make


async def test_the_manuals_helper_gets_a_profile_through_a_forwarded_port(helper, call):
    async with serving(OK) as pod:
        line = f"Forwarding from 127.0.0.1:{port_of(pod)} -> 6060"
        command = helper(f"[ $5 = :6060 ] && sleep 0.2 && echo '{line}'\nexec sleep 300")
        (record,) = await call(target_at("a:80", namespace="shop", pod="api-0"), command=command)
    assert (record.state, record.samples, record.reason) == ("fetched", 80, "")
    assert pod.heard[0].startswith(b"GET /debug/pprof/profile?seconds=1 HTTP/1.1")


async def test_the_manuals_helper_ends_where_kubectl_does(helper, call):
    command = helper("echo 'pods \"api-0\" not found' >&2; exit 1")
    (record,) = await call(target_at("a:80", namespace="shop", pod="api-0"), command=command, attempts=1)
    assert record.reason.startswith("pod-profile ended with exit status 1: ")
