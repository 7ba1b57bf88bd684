"""How long the fleet's page takes with 200 and with 1,000 services of 52 runs each, and the server's memory.

The runs are copies of one that real steps made, each a week after the one before, with the manifest of 40
instances. The server is Airflow's own, the browser the system's Chromium. ``cold``: the server has read
nothing of the store yet (the operating system may have). ``after a minute``: it looks at the runs that have
ended as well.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from bench.machine import described
from fleetpgo.overview.summaries import FRESH_S
from fleetpgo.run.artifacts import Report
from fleetpgo.run.measured import PERIODS, Measurement
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Merge, Proposed, Rollout
from fleetpgo.run.selected import Selection
from fleetpgo.run.store import RunStore
from tests.pages import browser, fleet, site

FOLDER = Path(".local/bench/pages").absolute()
INSTANCES = 40
REPEATS = 20
PAGES = 8


def multiply(folder: Path, services: list[str], runs: int) -> None:
    """Copy one measured run: to each service, once a week until now."""
    fleet.describe(folder / "made")
    fleet.build(folder / "original", folder / "made")
    original = RunStore(folder / "original", "edge", fleet.FIRST)
    manifest = original.read(Manifest)
    manifest = replace(manifest, instances=(manifest.instances * INSTANCES)[:INSTANCES])
    same = [(kind, "") for kind in (Selection, Proposed, Merge, Rollout)] + [
        (Report, each) for each in PERIODS
    ]
    measured = {period: original.read(Measurement, period) for period in PERIODS}
    now = datetime.now(UTC)
    for number in range(runs):
        at = now - timedelta(weeks=runs - number)
        run = f"scheduled__{at:%Y-%m-%dT%H:%M:%S}+00:00"
        first = RunStore(folder / "store", services[0], run)
        first.write(replace(manifest, run=run, made_at=at))
        for kind, key in same:
            first.write(original.read(kind, key), key)
        for period, each in measured.items():
            rollout = {**each.whole["rollout"], "end": at.isoformat()}
            first.write(replace(each, whole={**each.whole, "rollout": rollout}), period)
        made = Path(str(first.directory))
        for service in services[1:]:
            # Links: the bytes are the same, and the pages only read them.
            shutil.copytree(made, folder / "store" / service / made.name, copy_function=os.link)


def server_ms(running: site.Site) -> float:
    """One request for the fleet's data, as the page makes it."""
    began = time.perf_counter()
    answer = running.get("/fleetpgo/api/fleet", "admin", patience=900)
    answer.raise_for_status()
    return 1_000 * (time.perf_counter() - began)


def processes(running: site.Site) -> list[psutil.Process]:
    """The server's processes."""
    server = psutil.Process(running.pid)
    return [server, *server.children(recursive=True)]


def cpu_seconds(running: site.Site) -> float:
    """CPU time of the server so far: unlike the clock, it hardly depends on what else runs here."""
    times = [process.cpu_times() for process in processes(running)]
    return sum(each.user + each.system for each in times)


def memory_mb(running: site.Site) -> float:
    """Memory that is the server's alone."""
    return sum(process.memory_full_info().uss for process in processes(running)) / 1e6


def page_seconds(running: site.Site, rows: int) -> tuple[list[float], list[float]]:
    """From the call of the page to its last row, and CPU time of the page's main thread.

    Several times, after one that is not counted.
    """
    with browser.launched() as chromium, browser.signed_in(chromium, running) as context:
        page = context.new_page()
        client = context.new_cdp_session(page)
        client.send("Performance.enable", {"timeDomain": "threadTicks"})
        took, cpu = list[float](), list[float]()
        for _ in range(PAGES + 1):
            began = time.perf_counter()
            page.goto(f"{running.url}/fleetpgo/")
            page.locator(f"#services tbody tr:nth-child({rows})").wait_for()
            page.locator("#plot canvas").wait_for()
            took.append(time.perf_counter() - began)
            metrics = client.send("Performance.getMetrics")["metrics"]
            cpu += [each["value"] for each in metrics if each["name"] == "TaskDuration"]
    return took[1:], cpu[1:]


def measure(services: int, runs: int) -> str:
    """Make a store, serve it, ask; return a row of the table."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    names = [f"service-{number:04}" for number in range(services)]
    fleet.describe(FOLDER / "services", names)
    multiply(FOLDER, names, runs)
    try:
        with site.serving(FOLDER) as running:
            memory = [memory_mb(running)]
            cold = server_ms(running)
            memory.append(memory_mb(running))
            before = cpu_seconds(running)
            warm = [server_ms(running) for _ in range(REPEATS)]
            cpu_ms = 1_000 * (cpu_seconds(running) - before) / REPEATS
            memory.append(memory_mb(running))
            time.sleep(FRESH_S + 1)
            after = server_ms(running)
            seconds, page_cpu = page_seconds(running, services)
    finally:
        shutil.rmtree(FOLDER)
    cells = (
        f"{services:,} × {runs}",
        f"{cold:,.0f}",
        f"{min(warm):,.0f} ({statistics.median(warm):,.0f})",
        f"{cpu_ms:,.0f}",
        f"{after:,.0f}",
        f"{min(seconds):.2f} ({statistics.median(seconds):.2f})",
        f"{min(page_cpu):.2f}",
        " → ".join(f"{each:,.0f}" for each in memory),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, nargs="+", default=[200, 1_000])
    parser.add_argument("--runs", type=int, default=52)
    options = parser.parse_args()
    rows = [measure(services, options.runs) for services in options.services]
    # Whatever else runs here only adds to a time: the least says most of the program.
    print(described())
    print(
        f"Warm: the least of {REPEATS} requests and of {PAGES} pages, the median in brackets. Memory: before "
        f"the first request, after it, after {REPEATS} more.\n"
    )
    print(
        "| services × runs | cold ms | warm ms | warm CPU ms | after a minute ms | page s | page's CPU s "
        "| server's MB |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
