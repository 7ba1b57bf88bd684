"""A newcomer's first hour as it is typed, from ``fleetpgo discover`` to a pull request that is measured.

    python -m demo.transcript --write docs/first-hour.md

Runs every command on the fleet of :mod:`demo.newcomer` and writes down what it prints. The tests run the same
commands as far as the dry run (:func:`look_around`) and compare what is said with the page.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from demo import processes
from demo.newcomer import Shop
from fleetpgo.markdown import fence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SERVICE = "catalog"

_BEFORE_S, _AFTER_S = 8 * 60, 18 * 60
"""Seconds of metrics: a window of 2 minutes and a rate of 5; a deploy settles for a quarter of an hour."""

_LONGEST = 170
"""Lines of one command's output that the page shows."""

_INTRODUCTION = """\
# The first hour

What a newcomer types, and what fleetpgo answers. The repository is `demo/newcomer/` of fleetpgo's own: two
services of one Go module, a Makefile with a pattern rule, a Dockerfile, and no metric that names a build. No
file is edited by hand. Prometheus is at `$FLEETPGO_PROMETHEUS`, the repositories are below `$FLEETPGO_FORGE`.

This page is made by `make transcript` (about half an hour, most of it waiting for metrics).
"""


@dataclass(frozen=True)
class Step:
    """A command as it was typed.

    Args:
        title: what it is for, as a sentence.
        command: the line; "" for what somebody else does, a reviewer or a deployer.
        output: what it printed, both streams.
        seconds: how long it took.
        status: its exit code.
    """

    title: str
    command: str = ""
    output: str = ""
    seconds: float = 0
    status: int = 0


class Shell:
    """Runs commands with the addresses of a fleet in the environment, and nothing else of fleetpgo's."""

    def __init__(self, shop: Shop, cache: Path | None = None) -> None:
        self.folder = shop.root / "newcomer"
        self.folder.mkdir()
        self._environment: Mapping[str, str] = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FLEETPGO_")},
            "FLEETPGO_PROMETHEUS": shop.prometheus_url,
            "FLEETPGO_FORGE": str(shop.origin.parent),
            "FLEETPGO_STORE": str(self.folder / "store"),
            "FLEETPGO_SERVICES": str(self.folder / "services"),
            "FLEETPGO_CACHE": str(cache or self.folder / "cache"),
            "COLUMNS": "118",
        }

    def run(self, title: str, command: str) -> Step:
        """Run a command line; variables in it are expanded as the shell does."""
        begun = time.monotonic()
        done = subprocess.run(
            ["sh", "-c", f"{command} 2>&1"],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        return Step(title, command, done.stdout, time.monotonic() - begun, done.returncode)


def look_around(shell: Shell, *, seconds: int = 30) -> Iterator[Step]:
    """Yield what a newcomer does before anything is changed, up to a dry run of ``seconds`` a profile."""
    yield shell.run("Which services are worth it?", "fleetpgo discover")
    yield shell.run("Describe one.", f"fleetpgo init {SERVICE} --repository $FLEETPGO_FORGE/shop.git")
    yield shell.run("What it wrote:", f"cat $FLEETPGO_SERVICES/{SERVICE}.yaml")
    yield shell.run("Check it.", f"fleetpgo doctor {SERVICE}")
    shorter = "" if seconds == 30 else f" --seconds {seconds}"  # noqa: PLR2004  the default of the service file
    yield shell.run("Refresh, but open nothing yet.", f"fleetpgo run {SERVICE} --dry-run{shorter}")


def _whole(shop: Shop, shell: Shell) -> Iterator[Step]:
    """Yield all steps, from the first look to the measurement."""
    begun = time.monotonic()
    yield from look_around(shell)
    yield shell.run("Open the pull request, with the profiles that are there.", _go_on(shell))
    yield shell.run("Too early to measure:", f"fleetpgo measure {SERVICE} --run latest")
    time.sleep(max(0.0, begun + _BEFORE_S - time.monotonic()))
    shop.merge()
    yield Step("A reviewer merges it.")
    start = datetime.now(UTC)
    shop.deploy(SERVICE)
    yield Step("A deployer builds main, and restarts all instances but one of each datacenter.")
    time.sleep(_AFTER_S)
    yield shell.run(
        "Measure two minutes against the two before. (For a week it is `--run latest --wait`, and no times.)",
        f"fleetpgo measure {SERVICE} --window 2m --rollout-start {start:%Y-%m-%dT%H:%M:%SZ} "
        f"--rollout-end {shop.deployed:%Y-%m-%dT%H:%M:%SZ}",
    )


def _go_on(shell: Shell) -> str:
    """Return the command that continues the dry run."""
    (run,) = (path.name for path in (shell.folder / "store" / SERVICE).iterdir())
    return f"fleetpgo run {SERVICE} --run {run}"


def page(steps: list[Step], machine: str) -> str:
    """Return the page as Markdown."""
    parts = [_INTRODUCTION]
    for step in steps:
        parts.append(step.title + "\n")
        if step.command:
            lines = step.output.rstrip().splitlines()
            more = [f"… {len(lines) - _LONGEST:,} more lines"] if len(lines) > _LONGEST else []
            shown = "\n".join([f"$ {step.command}", *lines[:_LONGEST], *more])
            quotes = fence(shown, 3)
            parts.append(f"{quotes}console\n{shown}\n{quotes}\n")
    typed = [step for step in steps if step.command.startswith("fleetpgo")]
    minutes = sum(step.seconds for step in typed) / 60
    parts.append(
        f"{len(typed)} commands; they took {minutes:.0f} minutes, the rest was waiting for metrics "
        f"({machine}, {datetime.now(UTC):%Y-%m-%d}).\n"
    )
    return "\n".join(parts)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m demo.transcript", description="A newcomer's first hour.")
    parser.add_argument("--write", type=Path, required=True, metavar="FILE", help="the page")
    args = parser.parse_args()
    processes.exit_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as folder, Shop(Path(folder)) as shop:
        shop.wait_ready()
        shell, steps = Shell(shop), []
        for step in _whole(shop, shell):
            print(step.title, step.command, f"({step.seconds:.0f} s)", flush=True)
            if step.status not in (0, 3):  # 3: too early to measure
                raise SystemExit(f"{step.command} ended with {step.status}:\n{step.output}")
            steps.append(step)
            # After each step: what has been said is not lost if a later one fails.
            text = page(steps, f"{os.cpu_count()} cores").replace(f"{folder}/newcomer", "$HOME")
            text = text.replace(sys.prefix, "$HOME/venv")
            args.write.write_text(text.replace(folder, ""), encoding="utf-8")


if __name__ == "__main__":
    main()
