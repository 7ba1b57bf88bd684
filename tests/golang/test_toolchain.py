import logging
import os
import re
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest

from fleetpgo.errors import BuildError, ToolchainError
from fleetpgo.golang import toolchain as gotool
from fleetpgo.golang.environment import build_environment
from fleetpgo.golang.toolchain import Built, build_setting, build_settings

MINUTE = timedelta(minutes=1)
GIB = 1 << 30


def build(checkout, command, binary, *, timeout=MINUTE, memory=4 * GIB, environment):
    return gotool.build(checkout, command, binary, timeout=timeout, memory=memory, environment=environment)


@pytest.fixture
def environment(go_cache):
    return build_environment(os.environ, go_cache, "tiny")


def test_a_build_gives_the_binary_and_its_size(go_module, environment):
    built = build(go_module, ("go", "build", "-o", "bin/tiny", "."), "bin/tiny", environment=environment)

    binary = go_module / "bin" / "tiny"
    assert Built(binary, binary.stat().st_size, built.seconds) == built


def test_a_failing_build_quotes_the_compiler(go_module, environment):
    (go_module / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")

    with pytest.raises(BuildError) as error:
        build(go_module, ("go", "build", "-o", "tiny"), "tiny", environment=environment)

    assert error.value.message == (
        "`go build -o tiny` failed with exit status 1; its last output:\n"
        "# example.com/tiny\n"
        "./main.go:3:15: undefined: undefined"
    )


def test_each_line_of_the_output_is_logged(tmp_path, environment, caplog):
    caplog.set_level(logging.INFO)
    script = "echo one; echo two >&2; touch made"

    build(tmp_path, ("sh", "-c", script), "made", environment=environment)

    assert [f"building: sh -c '{script}'", "one", "two"] == caplog.messages


def test_only_the_last_lines_are_quoted(tmp_path, environment):
    with pytest.raises(BuildError) as error:
        build(tmp_path, ("sh", "-c", "seq 100; exit 3"), "x", environment=environment)

    assert [str(number) for number in range(81, 101)] == error.value.message.splitlines()[1:]


def test_a_build_that_takes_too_long_is_killed_with_its_children(tmp_path, environment):
    script = "sleep 600 & echo $!; wait"

    with pytest.raises(BuildError, match=r"did not end within 0\.5 s, so it was stopped") as error:
        build(
            tmp_path,
            ("sh", "-c", script),
            "x",
            timeout=timedelta(seconds=0.5),
            environment=environment,
        )

    child = int(error.value.message.splitlines()[-1])
    assert _ends(child)


def test_a_build_without_a_binary_is_an_error(tmp_path, environment):
    with pytest.raises(BuildError, match=re.escape("`true` succeeded, but made no bin/x")):
        build(tmp_path, ("true",), "bin/x", environment=environment)


def test_a_binary_of_an_earlier_build_does_not_count(tmp_path, environment):
    (tmp_path / "x").write_text("old")

    with pytest.raises(BuildError, match="made no x"):
        build(tmp_path, ("true",), "x", environment=environment)


def test_a_command_that_is_not_there_is_named(tmp_path, environment):
    with pytest.raises(BuildError, match=r"'\./nowhere' cannot be started: the program was not found"):
        build(tmp_path, ("./nowhere",), "x", environment=environment)


def test_without_go_nothing_is_started(tmp_path):
    with pytest.raises(ToolchainError, match="there is no `go` on the PATH"):
        build(tmp_path, ("true",), "x", environment={"PATH": str(tmp_path)})


def test_the_settings_name_the_profile(go_module, go_profile, environment):
    (go_module / "a.pprof").write_bytes(go_profile)
    command = ("go", "build", "-pgo=a.pprof", "-o", "tiny")
    built = build(go_module, command, "tiny", environment=environment)

    settings = build_settings(built.path, environment=environment)

    assert {"path": "example.com/tiny", "-pgo": str(go_module / "a.pprof"), "-compiler": "gc"} == {
        name: settings[name] for name in ("path", "-pgo", "-compiler")
    }
    assert re.fullmatch(r"go1\.\d+(\.\d+)?", settings["go"])


@pytest.mark.parametrize(
    ("told", "value"),
    [
        ("-pgo=/a/b.pgo", "/a/b.pgo"),
        ('-pgo="/a b/\\"c\\".pgo"', '/a b/"c".pgo'),
        ('-ldflags="-X a=b\\x7f\\u00a0"', "-X a=b\x7f\xa0"),
        ("-ldflags=", ""),
    ],
)
def test_a_setting_with_a_space_is_quoted(told, value):
    assert build_setting(told) == (told.partition("=")[0], value)


def test_a_file_that_is_no_go_binary_is_named(tmp_path, environment):
    (tmp_path / "script").write_text("#!/bin/sh\n")

    with pytest.raises(BuildError, match="script is not a Go binary"):
        build_settings(tmp_path / "script", environment=environment)


def test_an_empty_profile_is_no_profile_to_go(go_module, environment):
    (go_module / "empty.pprof").touch()

    def functions(flag):
        """Name and size of each function; where it lies moves with the length of the build settings."""
        command = ("go", "build", flag, "-o", "tiny")
        built = build(go_module, command, "tiny", environment=environment)
        symbols = subprocess.run(
            ["go", "tool", "nm", "-size", built.path],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        rows = (line.split(maxsplit=3) for line in symbols.splitlines())
        return {row[3]: row[1] for row in rows if row[2] in "Tt"}

    assert functions("-pgo=off") == functions("-pgo=empty.pprof")


def _ends(process):
    """Whether a process that is no child of ours is gone, or a zombie, within a few seconds."""
    for _ in range(100):
        stat = Path(f"/proc/{process}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_process_that_needs_too_much_memory_ends(tmp_path, environment):
    script = "python3 -c 'bytearray(600 << 20)'; touch made"

    with pytest.raises(BuildError, match="MemoryError"):
        build(tmp_path, ("sh", "-ec", script), "made", memory=GIB // 2, environment=environment)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"GOTOOLCHAIN": "local"}, "go.mod requires go >= 1.99 (running go"),
        ({"GOTOOLCHAIN": "auto", "GOPROXY": "off"}, "go: download go1.99.0 for"),
        ({"GOTOOLCHAIN": "path"}, 'go: cannot find "go1.99.0" in PATH'),
    ],
    ids=["local", "auto", "path"],
)
def test_a_toolchain_that_is_not_to_be_had_is_named(go_module, environment, settings, words):
    (go_module / "go.mod").write_text("module example.com/tiny\n\ngo 1.99\n")

    with pytest.raises(ToolchainError, match="needs a Go toolchain that cannot be downloaded") as error:
        build(go_module, ("go", "build", "-o", "x"), "x", environment={**environment, **settings})

    assert words in error.value.message


def test_the_toolchain_that_the_module_asks_for_builds_it(go_module, tmp_path, environment, caplog):
    caplog.set_level(logging.INFO)
    (go_module / "go.mod").write_text("module example.com/tiny\n\ngo 1.24\n\ntoolchain go1.99.1\n")
    # Go finds a toolchain by its name on the PATH; this one says so, and leaves the work to the real one.
    toolchain = tmp_path / "bin" / "go1.99.1"
    toolchain.parent.mkdir()
    toolchain.write_text(
        "#!/bin/sh\nunset GOTOOLCHAIN_INTERNAL_SWITCH_VERSION\necho go1.99.1 builds\n"
        'GOTOOLCHAIN=local exec go "$@"\n'
    )
    toolchain.chmod(0o755)
    settings = {"PATH": f"{toolchain.parent}:{environment['PATH']}", "GOTOOLCHAIN": "auto"}

    build(go_module, ("go", "build", "-o", "x"), "x", environment={**environment, **settings})

    assert "go1.99.1 builds" in caplog.messages


def test_a_binary_that_would_be_removed_outside_the_checkout_is_left_alone(tmp_path, environment):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "profile").write_text("precious")
    (checkout / "bin").symlink_to("../store")

    with pytest.raises(BuildError, match=r"build\.binary in the service file: bin/profile leads out of"):
        build(checkout, ("true",), "bin/profile", environment=environment)

    assert (tmp_path / "store" / "profile").read_text() == "precious"


def test_a_build_that_links_its_binary_to_a_file_elsewhere_is_refused(tmp_path, environment):
    checkout = tmp_path / "checkout"
    checkout.mkdir()

    with pytest.raises(BuildError, match="tiny leads out of the repository, to /etc/passwd"):
        build(checkout, ("ln", "-s", "/etc/passwd", "tiny"), "tiny", environment=environment)


def test_a_build_s_daemon_is_dead_when_the_build_is_done(tmp_path, environment):
    daemon = "(env -i PATH=$PATH setsid sh -c 'echo $$ > pid; exec sleep 600' &)"
    script = f"{daemon}; until [ -s pid ]; do sleep 0.01; done; touch x"

    build(tmp_path, ("sh", "-c", script), "x", environment=environment)

    assert _ends((tmp_path / "pid").read_text().strip())
