"""The mistakes of a newcomer, each with the whole message that it ends in.

Two more are elsewhere: a connection that is missing (tests/fleetpgo_airflow/test_preflight.py), and a
repository without a Makefile (tests/proposal/test_preflight.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_run import SERVICE


@pytest.fixture
def run(tmp_path, start_prometheus, free_port, origin, go_cache):
    """Run the command in a process of its own; exit code and what it says, with paths and ports left out."""
    now = int(time.time())
    prometheus = start_prometheus(
        [
            ("cpu", {"instance": f"127.0.0.1:{port}", "datacenter": "ams"}, [(now, 1), (now + 200, 1)])
            for port in (free_port, free_port + 1)
        ]
    ).address
    (tmp_path / "services").mkdir()

    def called(*arguments, service=SERVICE, **environment):
        (tmp_path / "services" / "tiny.yaml").write_text(service)
        variables = {
            "FLEETPGO_SERVICES": str(tmp_path / "services"),
            "FLEETPGO_STORE": str(tmp_path / "store"),
            "FLEETPGO_FORGE": str(origin),
            "FLEETPGO_CACHE": str(go_cache),
            "FLEETPGO_PROMETHEUS": prometheus,
            **environment,
        }
        done = subprocess.run(
            [Path(sys.executable).with_name("fleetpgo"), *arguments],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert "Warning" not in done.stderr
        said = done.stderr.replace(str(tmp_path), "").replace(prometheus, "PROMETHEUS")
        for port, name in ((free_port, "P"), (free_port + 1, "Q")):
            said = said.replace(str(port), name)
        return done.returncode, said

    return called


QUORUM = "collection.quorum (not set in tiny.yaml)"
SCHEMA = "→ `fleetpgo services schema` explains every key\n"


def last(said):
    """The error, without the log before it."""
    return said[said.index("fleetpgo: ") :]


def test_a_key_that_is_mistyped(run):
    said = "/services/tiny.yaml:7: collection.per_hots: unknown key; did you mean per_host?\n"
    assert run("services", "check", service=SERVICE.replace("per_host", "per_hots")) == (1, said + SCHEMA)


def test_a_query_that_prometheus_cannot_read(run):
    said = (
        'fleetpgo: Prometheus refuses the query: bad_data: invalid parameter "query": 1:8: parse error: '
        "unclosed left parenthesis\nquery: sum(cpu\n→ correct selection.cpu (tiny.yaml:2)\n"
    )
    assert run("select", "tiny", service=SERVICE.replace("cpu: cpu, target", "cpu: 'sum(cpu', target")) == (
        1,
        said,
    )


def test_a_prometheus_without_http(run):
    code, said = run("select", "tiny", "--prometheus", "localhost:9090")
    assert (code, said.splitlines()[-1]) == (
        2,
        (
            "Error: Invalid value for '--prometheus' (env var: 'FLEETPGO_PROMETHEUS'): localhost:9090 "
            "is no URL; write http://localhost:9090 or https://localhost:9090"
        ),
    )


def test_a_port_that_is_not_allowed(run):
    code, said = run("collect", "tiny", service=SERVICE.replace("[1024, 65535]", "[1, 80]"))
    assert (code, last(said)) == (
        1,
        (
            f"fleetpgo: 0 of 2 instances gave a usable profile; {QUORUM} is 50.0 %. Without a profile:\n"
            "  127.0.0.1:P (ams), 127.0.0.1:Q (ams): its port is not within collection.ports (tiny.yaml:5)\n"
            f"→ repair these instances and trigger a new run, or lower {QUORUM}\n"
        ),
    )


def test_instances_that_cannot_be_reached(run):
    code, said = run("collect", "tiny")
    assert (code, last(said)) == (
        1,
        (
            f"fleetpgo: 0 of 2 instances gave a usable profile; {QUORUM} is 50.0 %. Without a profile:\n"
            "  127.0.0.1:P (ams), 127.0.0.1:Q (ams): unreachable: Cannot connect to host … ssl:default "
            "[Connect call failed (…)]\n"
            "→ correct collection.url (tiny.yaml:4): none could be reached there, "
            "or allow it in the network\n"
        ),
    )


def test_a_log_that_is_no_terminal_is_not_wrapped(run):
    _, said = run("collect", "tiny")
    assert [line for line in said.splitlines() if line.startswith(" ") and "(ams)" not in line] == []


def test_a_store_that_is_none(run):
    code, said = run("collect", "tiny", "--store", "s3:bucket")
    assert (code, said.splitlines()[-2:]) == (
        2,
        [
            (
                "Error: Invalid value for '--store' (env var: 'FLEETPGO_STORE'): the store's address, "
                "s3:…, names no bucket"
            ),
            "→ write a directory, s3://bucket/prefix, or s3://CONNECTION@bucket/prefix",
        ],
    )


def test_no_key_that_shows_a_rollout(run):
    said = "/services/tiny.yaml:12: rollout: give `fraction` or `started`, or fleetpgo cannot see a rollout\n"
    assert run("services", "check", service=SERVICE.replace("started", "revision")) == (1, said + SCHEMA)


def test_a_placeholder_that_is_not_known(run):
    said = (
        "/services/tiny.yaml:12: rollout.treated: unknown placeholder $p; this query takes only $profile "
        "(found: 'cpu{a=\"$p\"}')\n"
    )
    service = SERVICE.replace("""treated: 'cpu{instance=~"(a|c):80"}'""", """treated: 'cpu{a="$p"}'""")
    assert run("services", "check", service=service) == (1, said + SCHEMA)
