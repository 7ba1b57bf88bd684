import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fleetpgo.golang import descendants, output, processes
from fleetpgo.golang.processes import Ended, capture, follow

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def shell(directory, script, *, seconds=60.0, **options):
    """Run a shell script: how it ended, and the lines that it printed."""
    lines = []
    ended = follow(
        ("sh", "-c", script), directory, ENVIRONMENT, seconds=seconds, seen=lines.append, **options
    )
    return replace(ended, last=()), lines


def is_alive(pid):
    """Whether a process runs; one that is dead and not yet taken away does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_output_and_errors_are_kept_apart(tmp_path):
    ended = capture(("sh", "-c", "echo out; echo err >&2; exit 3"), tmp_path, ENVIRONMENT, seconds=60)

    assert Ended(3, "", b"out\n", "err\n") == ended


def test_lines_of_both_streams_come_as_they_are_printed(tmp_path):
    assert (Ended(0), ["one", "two", "three"]) == shell(tmp_path, "echo one; echo two >&2; printf three")


def test_a_command_sees_its_environment_and_nothing_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_FORGE", "s3cret")

    _, lines = shell(tmp_path, "env")

    assert {line.partition("=")[0] for line in lines} <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_"}


def test_a_command_gets_no_input(tmp_path):
    assert (Ended(0), ["end"]) == shell(tmp_path, "cat; echo end")


def test_only_what_every_command_may_have_is_passed_on():
    caller = {"PATH": "/bin", "HTTPS_PROXY": "http://proxy", "HOME": "/root", "GOFLAGS": "-v"}

    assert processes.passed_on(caller, "GOFLAGS") == {
        "PATH": "/bin",
        "HTTPS_PROXY": "http://proxy",
        "GOFLAGS": "-v",
    }


def test_a_command_that_takes_too_long_is_stopped(tmp_path):
    ended, lines = shell(tmp_path, "echo begun; sleep 600", seconds=0.5)

    assert (Ended(-9, "did not end within 0.5 s"), ["begun"]) == (ended, lines)


# Each starts a process that would live on, and that leaves its number in a file.
DAEMONS = {
    "in the background": "sh daemon &",
    "in a session of its own": "setsid sh daemon &",
    "an orphan": "(setsid sh daemon &)",
    "with no environment": "(env -i PATH=$PATH setsid sh daemon &)",
    "through several sessions": "(setsid sh -c '(setsid sh -c \"(setsid sh daemon &)\" &)' &)",
    "that keeps no pipe": "(setsid sh daemon > /dev/null 2>&1 &)",
}


@pytest.mark.parametrize("daemon", DAEMONS.values(), ids=DAEMONS.keys())
@pytest.mark.parametrize("stopped", [False, True], ids=["that ends", "that is stopped"])
def test_nothing_that_a_command_starts_outlives_it(tmp_path, daemon, stopped):
    (tmp_path / "daemon").write_text("echo $$ > pid; exec sleep 600")
    script = f"{daemon}\nuntil [ -s pid ]; do sleep 0.01; done\n{'sleep 600' if stopped else 'exit 0'}"

    # Long enough for a busy machine to start the daemon; a script that is to be stopped takes all of it.
    ended, _ = shell(tmp_path, script, seconds=3 if stopped else 300)

    assert (stopped, False) == (bool(ended.stopped), is_alive(int((tmp_path / "pid").read_text())))


def test_a_daemon_whose_parent_died_while_it_was_looked_for_is_ended(tmp_path, monkeypatch):
    look, looks = descendants._processes, []

    def look_while_the_parent_dies():
        """The first look saw the daemon before its parent died, and the parent after that."""
        daemon, parent = (int((tmp_path / name).read_text()) for name in ("pid", "parent"))
        while not looks and is_alive(parent):
            time.sleep(0.01)
        looks.append(1)
        for each in look():
            stale = len(looks) == 1 and each.pid == daemon
            yield each._replace(parent=parent) if stale else each

    monkeypatch.setattr(descendants, "_processes", look_while_the_parent_dies)
    (tmp_path / "daemon").write_text("echo $$ > pid; exec sleep 600")
    (tmp_path / "between").write_text("echo $$ > parent; setsid sh daemon & wait")
    ended, _ = shell(tmp_path, "sh between & until [ -s pid ]; do sleep 0.01; done", seconds=300)

    assert (False, False) == (ended.failed, is_alive(int((tmp_path / "pid").read_text())))


def test_a_pipe_that_a_daemon_holds_is_not_waited_for(tmp_path):
    ended, lines = shell(tmp_path, "(setsid sleep 600 &); echo done", seconds=300)

    assert (Ended(0), ["done"]) == (ended, lines)


def test_a_daemon_that_never_stops_talking_does_not_hold_up_the_end(tmp_path):
    ended, lines = shell(tmp_path, "(setsid yes &); sleep 0.2; exit 4", seconds=300)

    assert (Ended(4), {"y"}) == (ended, set(lines))


def test_a_caller_that_is_stopped_leaves_nothing_behind(tmp_path):
    def stop(line):
        raise KeyboardInterrupt

    (tmp_path / "daemon").write_text("echo $$ > pid; exec sleep 600")

    with pytest.raises(KeyboardInterrupt):
        follow(
            ("sh", "-c", "(setsid sh daemon &); until [ -s pid ]; do sleep 0.01; done; echo x; sleep 600"),
            tmp_path,
            ENVIRONMENT,
            seconds=300,
            seen=stop,
        )

    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_processes_of_others_are_left_alone(tmp_path):
    inner = []

    def start_another(line):
        inner.append(shell(tmp_path, "sleep 0.1; echo inner"))

    # One command that ends while another one runs, and a child in our session that neither has started.
    other = subprocess.Popen(["sleep", "600"])
    try:
        follow(
            ("sh", "-c", "echo go; sleep 0.3; echo end"),
            tmp_path,
            ENVIRONMENT,
            seconds=300,
            seen=lambda line: start_another(line) if line == "go" else inner.append(line),
        )
        assert ([(Ended(0), ["inner"]), "end"], True) == (inner, is_alive(other.pid))
    finally:
        other.kill()
        other.wait()


def test_a_long_line_costs_neither_memory_nor_log(tmp_path):
    # Twice what is shown of all lines.
    script = f"head -c {2 * processes.MOST_LINES} /dev/zero | tr '\\0' x; echo; echo next"

    _, lines = shell(tmp_path, script)

    assert [f"{'x' * output.LONGEST_LINE}…", "next"] == lines


def test_lines_without_an_end_in_sight_are_not_shown(tmp_path):
    _, lines = shell(tmp_path, "seq 100000", most=1 << 10)

    assert (lines[:2], lines[-1]) == (
        ["1", "2"],
        "… [it printed more than 1,024 bytes: the rest is not shown]",
    )
    assert sum(map(len, lines)) < 1 << 11


def test_the_last_lines_are_kept_whatever_was_shown(tmp_path):
    ended = follow(("seq", "100000"), tmp_path, ENVIRONMENT, seconds=300, seen=str, most=9)

    assert tuple(map(str, range(99981, 100001))) == ended.last


def test_output_that_is_read_as_a_whole_has_an_end(tmp_path):
    ended = capture(("yes",), tmp_path, ENVIRONMENT, seconds=300, most=1 << 20)

    assert ("printed more than 1,048,576 bytes", 1 << 20) == (ended.stopped, len(ended.output))


def test_the_last_words_of_errors_are_kept(tmp_path):
    ended = capture(
        ("sh", "-c", "yes | head -c 1000000 >&2; echo last >&2"), tmp_path, ENVIRONMENT, seconds=300
    )

    assert (processes.MOST_ERRORS, True) == (len(ended.errors), ended.errors.endswith("y\nlast\n"))


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (r"\033[31mred\033[0m", "red"),
        (r"a\tb", "a\tb"),
        (r"\033]0;title\007text", "text"),
        (r"bell\007", "bell�"),
        (r"over\rwritten", "over�written"),
        (r"\342\200\256txt.exe", "�txt.exe"),
        (r"\377", "�"),
    ],
    ids=["colour", "tab", "title", "bell", "return", "direction", "no UTF-8"],
)
def test_lines_are_cleaned(tmp_path, printed, shown):
    assert (Ended(0), [shown]) == shell(tmp_path, f"printf '{printed}\\n'")


def test_a_program_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        capture(("nowhere",), tmp_path, ENVIRONMENT, seconds=60)
