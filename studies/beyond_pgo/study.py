"""What comes after PGO? Servers built in variants, and measured in turn: CPU per request, with intervals.

    python -m studies.beyond_pgo.study --write docs

First all is made that is missing: the servers' sources, a build without anything, a profile of it, a binary
for each variant (``--prepare`` ends there). Then each round measures every variant of every server once, in
random order. A variant's ratio is that to the build without anything in the same round. What is finished is
kept below ``--into``; a new Go, LLVM or release of a server makes its own part anew.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from demo.processes import DemoError
from fleetpgo.errors import FleetPGOError
from studies.beyond_pgo import bolt, linking, rounds, tables
from studies.beyond_pgo.builds import DoesNotWorkError, c_version, go_version, prepare
from studies.beyond_pgo.measuring import DiedError, MachineError
from studies.beyond_pgo.servers import SERVERS
from studies.beyond_pgo.variants import FEW, FULL, WITH_C
from studies.beyond_pgo.wshim import WSHIM, WSHIM_C

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from studies.beyond_pgo.serving import Server
    from studies.beyond_pgo.variants import Variant

PROFILE_SECONDS = 20
LEAST = 2
FAILURES = (
    DemoError, DiedError, DoesNotWorkError, FleetPGOError, MachineError, OSError,
    linking.CannotPatchError, subprocess.SubprocessError,
)  # fmt: skip
"""What ends a run with a sentence."""


def subjects(names: Sequence[str]) -> list[tuple[Server, Sequence[Variant]]]:
    """Return the servers of these names, all if there are none, each with its variants."""
    known: list[tuple[Server, Sequence[Variant]]] = [(WSHIM, FULL)]
    if c_version():
        known.append((WSHIM_C, WITH_C))
    known += [(server, FEW) for server in SERVERS]
    if unknown := set(names) - {server.name for server, _ in known}:
        listed = ", ".join(server.name for server, _ in known)
        raise SystemExit(f"there is no server {', '.join(sorted(unknown))}: choose of {listed}")
    return [each for each in known if not names or each[0].name in names]


def machine() -> dict[str, str]:
    """Return what the machine and the tools say of themselves."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "Machine": f"{os.cpu_count()} × {model[1] if model else platform.machine()}",
        "Go": go_version().removeprefix("go version "),
        "BOLT": bolt.version(),
        "C": c_version(),
    }


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def unfit(names: Collection[str], count: int) -> str:
    """Say why tables of these servers and so many rounds are not for the pages; "" if they are."""
    if count < tables.FEWEST:
        return f"{count} rounds are fewer than {tables.FEWEST}"
    if missing := [each.name for each in (WSHIM, WSHIM_C, *SERVERS) if each.name not in names]:
        return f"it is without {', '.join(missing)}"
    return ""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the study and write its tables."""
    parser = argparse.ArgumentParser(prog="python -m studies.beyond_pgo.study", description=__doc__)
    parser.add_argument(
        "--prepare", action="store_true", help="make profiles and binaries, and measure nothing"
    )
    parser.add_argument("--servers", default="", help="names with commas between them; default: all")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one measurement")
    parser.add_argument(
        "--profile-seconds", type=int, default=PROFILE_SECONDS, help="of one profile of three"
    )
    parser.add_argument("--into", type=Path, default=Path(".local/beyond_pgo"), help="what is finished")
    parser.add_argument("--write", type=Path, help="directory of the docs whose marked part is replaced")
    arguments = parser.parse_args(argv)
    if arguments.rounds < LEAST:
        parser.error(f"--rounds: an interval takes {LEAST} at least")
    try:
        study(arguments)
    except FAILURES as error:
        raise SystemExit(f"{error}\nWhat is finished is kept; run it again to go on.") from error


def study(arguments: argparse.Namespace) -> None:
    """Prepare, measure, and write, as the arguments say."""
    into = arguments.into.absolute()
    into.mkdir(parents=True, exist_ok=True)
    chosen = subjects([name.strip() for name in arguments.servers.split(",") if name.strip()])
    made = [
        (server, prepare(server, variants, into, seconds=arguments.profile_seconds, say=say))
        for server, variants in chosen
    ]
    if arguments.prepare:
        return
    pairs = [(server, each) for server, all_ in made for each in all_ if each.binary]
    reason = unfit({server.name for server, _ in chosen}, arguments.rounds)
    if arguments.write and reason:
        print(f"this run writes no tables into {arguments.write}: {reason}", file=sys.stderr, flush=True)
    told = machine()
    finished = rounds.run(
        into / "rounds.jsonl",
        pairs,
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        machine=told["Machine"],
        say=say,
    )
    found = [(server, tables.rows(server.name, all_, finished)) for server, all_ in made]
    text = tables.page(found, tables.heading(finished, told))
    say(f"\n{text}")
    for line in tables.disturbed(found):
        say(f"\n{line}: measure again on a quiet machine, or with more --rounds")
    if arguments.write and not reason:
        page, readme = arguments.write / "beyond-pgo.md", arguments.write.parent / "README.md"
        page.write_text(tables.put(page.read_text(), text))
        readme.write_text(tables.put(readme.read_text(), tables.readme(found, finished[0].began[:10])))


if __name__ == "__main__":
    main()
