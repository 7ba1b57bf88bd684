"""How long the fleet's page takes with 200 services of 52 runs each: the server alone, and until it is drawn.

The runs are copies of one that real steps made, each a week after the one before, with the manifest of 40
instances. The server is Airflow's own, the browser the system's Chromium. ``cold``: the server has read
nothing of the store yet (the operating system may have).
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


def multiply(services: list[str], runs: int) -> None:
    """Copy one measured run: to each service, once a week until now."""
    fleet.describe(FOLDER / "made")
    fleet.build(FOLDER / "original", FOLDER / "made")
    original = RunStore(FOLDER / "original", "edge", fleet.FIRST)
    manifest = original.read(Manifest)
    manifest = replace(manifest, instances=(manifest.instances * INSTANCES)[:INSTANCES])
    same = [original.read(kind) for kind in (Selection, Proposed, Merge, Rollout)]
    measured = {period: original.read(Measurement, period).whole for period in PERIODS}
    reports = {period: original.read(Report, period) for period in PERIODS}
    now = datetime.now(UTC)
    for service in services:
        for number in range(runs):
            at = now - timedelta(weeks=runs - number)
            run = f"scheduled__{at:%Y-%m-%dT%H:%M:%S}+00:00"
            store = RunStore(FOLDER / "store", service, run)
            store.write(replace(manifest, run=run, made_at=at))
            for artifact in same:
                store.write(artifact)
            for period, record in measured.items():
                store.write(reports[period], period)
                rollout = {**record["rollout"], "end": at.isoformat()}
                store.write(
                    replace(original.read(Measurement, period), whole={**record, "rollout": rollout}), period
                )


def server_ms(running: site.Site) -> float:
    """One request for the fleet's data, as the page makes it."""
    began = time.perf_counter()
    answer = running.get("/fleetpgo/api/fleet", "admin")
    answer.raise_for_status()
    return 1_000 * (time.perf_counter() - began)


def cpu_seconds(running: site.Site) -> float:
    """CPU time of the server so far: unlike the clock, it hardly depends on what else runs here."""
    server = psutil.Process(running.pid)
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def page_seconds(running: site.Site, rows: int) -> list[float]:
    """From the call of the page to its last row, several times, after one that is not counted."""
    with browser.launched() as chromium, browser.signed_in(chromium, running) as context:
        page = context.new_page()
        took = []
        for _ in range(PAGES + 1):
            began = time.perf_counter()
            page.goto(f"{running.url}/fleetpgo/")
            page.locator(f"#services tbody tr:nth-child({rows})").wait_for()
            page.locator("#plot canvas").wait_for()
            took.append(time.perf_counter() - began)
    return took[1:]


def main() -> None:
    """Make the store, serve it, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=200)
    parser.add_argument("--runs", type=int, default=52)
    options = parser.parse_args()

    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    services = [f"service-{number:03}" for number in range(options.services)]
    fleet.describe(FOLDER / "services", services)
    multiply(services, options.runs)
    try:
        with site.serving(FOLDER) as running:
            cold = server_ms(running)
            before = cpu_seconds(running)
            warm = [server_ms(running) for _ in range(REPEATS)]
            cpu_ms = 1_000 * (cpu_seconds(running) - before) / REPEATS
            seconds = page_seconds(running, options.services)
    finally:
        shutil.rmtree(FOLDER)
    load = os.getloadavg()[1] / (os.cpu_count() or 1)
    print(f"{options.services} services × {options.runs} runs; load per processor: {load:.1f}")
    print(f"server, cold: {cold:,.0f} ms")
    # Whatever else runs here only adds to a time: the least says most of the program.
    print(
        f"server, warm: {min(warm):,.0f} ms (least of {REPEATS}; median {statistics.median(warm):,.0f} ms), "
        f"CPU time {cpu_ms:,.0f} ms"
    )
    print(
        f"page, warm:   {min(seconds):.2f} s until every row and the plot are drawn "
        f"(least of {PAGES}; median {statistics.median(seconds):.2f} s)"
    )


if __name__ == "__main__":
    main()
