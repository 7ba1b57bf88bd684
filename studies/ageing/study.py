"""How fast does a profile age? One release's profile against the source of all releases of the year after it.

    python -m studies.ageing.study --write docs

The server is one that builds from Go's module proxy: NATS. The release of a year before the newest is
built, and gets load over TCP while its CPU profile is taken. Then `fleetpgo profile match` says for each
later release how much of the profile's weight its source still has. A release counts if it is the highest so
far, so a line that only gets patches is left when the next one begins. What is finished is kept below
``--into``, and not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from fleetpgo import pprof
from fleetpgo.golang.packages import packages
from fleetpgo.golang.sourcematch import Sources
from fleetpgo.run.digest import digest
from studies.beyond_pgo.nats import NATS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleetpgo.pprof import Edges

YEAR = timedelta(days=365)
SECONDS = 30
BATCHES = 500
BEGIN, END = "<!-- study:ageing -->", "<!-- study:end -->"


@dataclass(frozen=True)
class Release:
    """A release of the module."""

    version: str
    at: datetime


@dataclass(frozen=True)
class Row:
    """How well the profile fits one release.

    Attributes:
        version: the release.
        days: since the profiled one.
        share: matched weight of the compared, 0 … 1.
        lost: the heaviest edge that is gone, in words.
    """

    version: str
    days: int
    share: float
    lost: str


def go(*arguments: str, into: Path) -> str:
    """Run the go command with caches below a directory, and return what it prints."""
    done = subprocess.run(
        ["go", *arguments], env=environment(into), capture_output=True, text=True, check=False, cwd=into
    )
    if done.returncode:
        raise SystemExit(f"go {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout


def environment(into: Path) -> dict[str, str]:
    """That of this process, with Go's directories below one of ours."""
    own = {"GOPATH": into / "gopath", "GOCACHE": into / "go-build", "GOBIN": into / "bin"}
    return (
        os.environ | {name: str(path.absolute()) for name, path in own.items()} | {"GOFLAGS": "-modcacherw"}
    )


def releases(into: Path) -> list[Release]:
    """Return the releases of the year before the newest, each the highest so far, the oldest first."""
    versions = json.loads(go("list", "-m", "-json", "-versions", f"{NATS.module}@latest", into=into))[
        "Versions"
    ]
    known: list[Release] = []
    for version in reversed([each for each in versions if "-" not in each]):  # the highest first
        told = json.loads(go("list", "-m", "-json", f"{NATS.module}@{version}", into=into))
        at = datetime.fromisoformat(told["Time"])
        if known and at < known[0].at - YEAR:
            break
        known.append(Release(version, at))
    return list(highest_so_far(known))[::-1]


def highest_so_far(falling: Sequence[Release]) -> Iterator[Release]:
    """Yield those releases, given by falling version, that came before every higher one."""
    earliest = datetime.max.replace(tzinfo=UTC)
    for each in falling:
        if each.at < earliest:
            yield each
            earliest = each.at


def profile(release: Release, into: Path) -> bytes:
    """Return a CPU profile of a release under load; the file is kept."""
    file = into / f"{release.version}.pprof"
    if not file.exists():
        go("install", f"{NATS.module}@{release.version}", into=into)
        partial = file.with_suffix(".partial")
        take(into / "bin" / "nats-server", partial)
        partial.rename(file)
    return file.read_bytes()


def take(server: Path, file: Path) -> None:
    """Run the server, publish to it and read from it, and write its CPU profile of that time."""
    with (
        tempfile.TemporaryDirectory(prefix="ageing-") as directory,
        NATS.start(server, Path(directory)) as running,
        ThreadPoolExecutor(1) as pool,
    ):
        NATS.drive(running, BATCHES, seed=1)
        taken = pool.submit(NATS.profile, running, SECONDS, file)
        while not taken.done():
            NATS.drive(running, BATCHES, seed=1)
        taken.result()


def matched(data: bytes, edges: Edges, release: Release, first: Release, into: Path) -> Row:
    """Compare the profile with a release's source; the row is kept, by the profile's digest."""
    file = into / f"{digest(data)}-{release.version}.json"
    if not file.exists():
        told = json.loads(go("mod", "download", "-json", f"{NATS.module}@{release.version}", into=into))
        found = Sources(packages(Path(told["Dir"]), ".", environment=environment(into))).match(edges)
        if found.share is None:
            raise SystemExit(f"{release.version}: nothing could be compared")
        lost = ""
        if found.lost:
            edge, share, why = found.lost[0].edge, found.lost[0].share, found.lost[0].why
            lost = f"{100 * share:.1f} %: `{short(edge.caller)}` → `{short(edge.callee)}`, {why}"
        row = Row(release.version, (release.at - first.at).days, found.share, lost)
        file.write_text(json.dumps(asdict(row)))
    return Row(**json.loads(file.read_text()))


def short(symbol: str) -> str:
    """Return a symbol without the directories of its package."""
    return symbol.rpartition("/")[2]


def table(rows: Sequence[Row], samples: int) -> str:
    """Return the rows in Markdown; releases in which nothing was lost are told in one line."""
    lines = [
        f"`make study-ageing`, {datetime.now(UTC):%Y-%m-%d}: a profile of {NATS.module}",
        f"{rows[0].version} ({samples:,} samples) against the source of each release of the year after it.",
        "",
        "| release | days later | still in the source | heaviest loss |",
        "|---|--:|--:|---|",
    ]
    for _, group in groupby(rows, lambda row: round(row.share, 3)):
        alike = list(group)
        first, last = alike[0], alike[-1]
        versions, days = first.version, str(first.days)
        if len(alike) > 1:
            versions, days = f"{versions} to {last.version}", f"{days} to {last.days}"
        lines.append(f"| {versions} | {days} | {first.share:.3f} | {first.lost or '–'} |")
    return "\n".join(lines)


def picture(rows: Sequence[Row]) -> Figure:
    """Draw the share over the days."""
    frame = pd.DataFrame(rows)
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        frame["days"], 100 * frame["share"], marker="o", markersize=4, color="#1b7f4f", drawstyle="steps-post"
    )
    for before, row in pairwise(rows):
        if round(before.share, 3) != round(row.share, 3):
            at = row.days, 100 * row.share
            axes.annotate(row.version, at, textcoords="offset points", xytext=(4, 6), fontsize=8)
    axes.set_ylim(min(80.0, 100 * frame["share"].min() - 5), 101)
    axes.set_xlabel(f"days since {rows[0].version}")
    axes.set_ylabel("weight still in the source, %")
    axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Run the study and write its table and its picture."""
    parser = argparse.ArgumentParser(prog="python -m studies.ageing.study", description=__doc__)
    parser.add_argument("--into", type=Path, default=Path(".local/study/ageing"), help="what is finished")
    parser.add_argument("--write", type=Path, help="directory of the docs whose marked part is replaced")
    arguments = parser.parse_args()
    into = arguments.into.absolute()
    into.mkdir(parents=True, exist_ok=True)
    found = releases(into)
    data = profile(found[0], into)
    edges = pprof.call_edges(pprof.decode(data))
    rows = []
    for number, release in enumerate(found, start=1):
        rows.append(matched(data, edges, release, found[0], into))
        print(f"{number} of {len(found)}: {release.version}, {rows[-1].share:.3f}", flush=True)
    text = table(rows, pprof.facts(data).samples)
    print(f"\n{text}")
    if arguments.write:
        picture(rows).savefig(arguments.write / "images" / "ageing.png", dpi=120)
        page = arguments.write / "two-step.md"
        marked = re.compile(f"({re.escape(BEGIN)}\n).*?({re.escape(END)})", re.DOTALL)
        page.write_text(marked.sub(lambda marks: f"{marks[1]}\n{text}\n\n{marks[2]}", page.read_text()))


if __name__ == "__main__":
    main()
