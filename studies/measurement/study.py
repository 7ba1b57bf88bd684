"""How far the estimators can be believed: simulated fleets, known savings, counted answers.

    python -m studies.measurement.study --write docs

Each block draws fleets of one size from seeds of its own and asks every estimator under every effect
(:mod:`.cells`). A finished block is a file in the directory ``--into``; the command skips what it finds
there, so it can be stopped at any time and started again. The files carry a digest of the code that made
them: a changed estimator starts anew. The seeds of the tables are used for nothing else; `TUNING` is where
others begin.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from studies.measurement import cells, tables, year

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TABLE, POWER, YEARS, TUNING = 110_000_000, 170_000_000, 200_000_000, 50_000_000
"""First seeds: of the table, of the power table, of the years; and of whatever is tried out. None overlap."""

RUNS = {6: 1_000, 48: 1_000, 500: 200}
POWER_RUNS = {6: 200, 48: 200, 500: 100, 2_000: 50}
YEAR_RUNS = 20
_APART = 10  # a run draws from its seed and the nine after it

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = _ROOT / "include" / "fleetpgo" / "measurement"
_CODE = (
    *sorted((_PACKAGE / "estimators").glob("*.py")),
    *(
        _PACKAGE / f"{name}.py"
        for name in ("checking", "elasticity", "estimate", "usage", "verdict", "windows")
    ),
    *(
        _ROOT / "studies" / "measurement" / f"{name}.py"
        for name in ("cells", "effects", "fleet", "scenarios", "year")
    ),
)


def digest(files: Sequence[Path] = _CODE) -> str:
    """Return eight hex digits of the code that makes the answers."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def jobs(into: Path) -> Iterator[tuple[Path, Callable[[], Sequence[Any]]]]:
    """Yield file and work of each block: all sizes in turn, so that whatever is there is a whole table."""
    for at in range(0, max(RUNS.values()), cells.BLOCK):
        for size, runs in RUNS.items():
            if at < runs:
                yield (
                    into / f"table-{size}-{at:05}.csv",
                    partial(cells.block, size, _seeds(TABLE + size * 100_000, at)),
                )
        if at == 0:
            yield from _power(into)
        if at // cells.BLOCK < YEAR_RUNS:
            for kind in year.KINDS:
                number = at // cells.BLOCK
                yield (
                    into / f"year-{kind}-{number:02}.csv",
                    partial(year.one, kind, YEARS + number * 1_000_000),
                )


def _power(into: Path) -> Iterator[tuple[Path, Callable[[], Sequence[Any]]]]:
    for size, runs in POWER_RUNS.items():
        for at in range(0, runs, cells.BLOCK):
            yield (
                into / f"power-{size}-{at:05}.csv",
                partial(cells.power, size, _seeds(POWER + size * 10_000, at)),
            )


def _seeds(first: int, at: int) -> range:
    return range(first + at * _APART, first + (at + cells.BLOCK) * _APART, _APART)


def run(into: Path, *, processes: int) -> None:
    """Run the blocks that are not there yet, so many at a time."""
    into.mkdir(parents=True, exist_ok=True)
    missing = [(file, work) for file, work in jobs(into) if not file.exists()]
    with ProcessPoolExecutor(processes) as pool:
        running = [pool.submit(_finish, file, work) for file, work in missing]
        try:
            for number, each in enumerate(as_completed(running), start=1):
                print(f"{number} of {len(running)}: {each.result()}", flush=True)
        finally:
            pool.shutdown(cancel_futures=True)


def _finish(file: Path, work: Callable[[], Sequence[Any]]) -> str:
    """Run a block, write its file, and return what took how long."""
    began = time.monotonic()
    frame = pd.DataFrame([asdict(each) for each in work()])
    unfinished = file.with_suffix(".part")
    frame.to_csv(unfinished, index=False)
    unfinished.rename(file)
    return f"{file.name}, {time.monotonic() - began:.0f} s"


def read(into: Path, kind: str) -> pd.DataFrame:
    """Return all finished blocks of a kind as one table."""
    found = sorted(into.glob(f"{kind}-*.csv"))
    return pd.concat(map(pd.read_csv, found)) if found else pd.DataFrame()


def pages(into: Path, before: Path | None) -> dict[str, str]:
    """Return the Markdown that goes between the marks of each name."""
    made = (
        f"Made by `make study-measurement` on {datetime.now(UTC):%Y-%m-%d}, {platform.machine()} "
        f"{platform.system()}, Python {platform.python_version()}."
    )
    found = {}
    if not (answers := read(into, "table")).empty:
        old = pd.read_csv(before) if before is not None and before.exists() else None
        found["table"] = "\n".join([made, "", *tables.rows(tables.tabulate(answers), old)])
    if not (seen := read(into, "power")).empty:
        found["power"] = "\n".join(tables.power(seen))
    if not (years := read(into, "year")).empty:
        found["year"] = "\n".join(tables.years(years))
    return found


def main() -> None:
    """Run the study and write its tables."""
    parser = argparse.ArgumentParser(prog="python -m studies.measurement.study", description=__doc__)
    parser.add_argument("--into", type=Path, default=Path(".local/study/measurement"), help="finished blocks")
    parser.add_argument("--before", type=Path, default=Path("studies/measurement/before.csv"))
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="blocks at a time; default: the processors"
    )
    parser.add_argument("--only-write", action="store_true", help="write the tables of what is finished")
    parser.add_argument(
        "--write", type=Path, help="directory of the Markdown files whose marked parts are replaced"
    )
    arguments = parser.parse_args()
    into = arguments.into / digest()
    if not arguments.only_write:
        run(into, processes=arguments.processes)
    if arguments.write and not (seen := read(into, "power")).empty:
        lines = json.dumps(tables.power_lines(seen), indent=1)
        (_PACKAGE / "power.json").write_text(f"{lines}\n", encoding="utf-8")
    for name, text in pages(into, arguments.before).items():
        print(text)
        for file in arguments.write.glob("measurement*.md") if arguments.write else ():
            old = file.read_text(encoding="utf-8")
            start, end = f"<!-- study:{name} -->\n", "<!-- study:end -->"
            if start in old:
                head, rest = old.split(start, 1)
                file.write_text(f"{head}{start}\n{text}\n\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
