"""A year of a made-up fleet, for a picture: copies of one run that real steps made, with other figures."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import requests

from fleetpgo.run.artifacts import decode
from fleetpgo.run.measured import Measurement
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Merge, Proposed, Rollout
from fleetpgo.run.store import RunStore
from tests.pages import fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.pages.site import Site

# Service: its owner, the cores it used, the week of its first refresh, the saving of that.
SERVICES = {
    "auth": ("identity", 310, 4, 0.058),
    "billing": ("payments", 96, 31, 0.034),
    "cache-fill": ("edge", 820, 2, 0.041),
    "dns": ("edge", 540, 9, 0.027),
    "image-resize": ("media", 1150, 14, 0.083),
    "log-shipper": ("observability", 430, 1, 0.067),
    "matchmaker": ("games", 120, 45, 0.049),
    "push-gateway": ("observability", 260, 0, 0.072),
    "ranking": ("search", 690, 22, 0.036),
    "tls-terminator": ("edge", 2100, 18, 0.029),
    "transcoder-control": ("media", 75, 26, 0.011),
}
EVERY_WEEKS, WEEKS = 6, 52
WAITING = {"billing", "ranking", "transcoder-control"}
"""Whose newest pull request nobody has merged yet."""


def tell(store: Path, services: Path) -> None:
    """Fill a store with a year of their refreshes, and write their service files."""
    services.parent.mkdir()
    fleet.describe(services, SERVICES)
    for service, (owner, *_) in SERVICES.items():
        file = services / f"{service}.yaml"
        file.write_text(file.read_text().replace(f"owner: {service}-team", f"owner: {owner}"))
    fleet.describe(store.parent / "made")
    fleet.build(store.parent / "original", store.parent / "made")
    original = RunStore(store.parent / "original", "edge", fleet.FIRST)
    for service, run, made in _runs(original):
        for artifact in made:
            RunStore(store, service, run).write(artifact, "week" if isinstance(artifact, Measurement) else "")


def _runs(original: RunStore) -> Iterator[tuple[str, str, list[Any]]]:
    """Service, id and artifacts of each run."""
    manifest, proposed, merge, rollout = (
        original.read(kind) for kind in (Manifest, Proposed, Merge, Rollout)
    )
    week = original.read(Measurement, "week").whole
    random = np.random.default_rng(11)
    now = datetime.now(UTC)
    for service, (_, used, first, saving) in SERVICES.items():
        weeks = range(first, WEEKS, EVERY_WEEKS)
        for number, week_number in enumerate(weeks):
            at = now - timedelta(weeks=WEEKS - week_number, hours=int(random.integers(60)))
            run = f"manual__{at:%Y-%m-%dT%H:%M:%S}+00:00"
            # The first profile brings most; a fresh one of a service that has one brings little.
            share = saving if number == 0 else float(random.normal(0.007, 0.008))
            half = 0.002 + 0.08 / used**0.5 + float(random.uniform(0, 0.004))
            calls = {share - half > 0: "saved", share + half < 0: "regression"}
            estimate = {
                "saving": share,
                "low": share - half,
                "high": share + half,
                "cores": used * share / (1 - share),
            }
            samples = int(random.integers(9_000, 60_000))
            size = int(random.integers(40_000, 180_000))
            match = round(float(random.uniform(0.9, 0.99)), 2)
            request = replace(
                proposed, pull_request=40 + week_number, source_match=match, current_match=match
            )
            made = [
                replace(manifest, run=run, made_at=at, samples=samples, profile_size=size),
                request,
            ]
            if service not in WAITING or week_number != weeks[-1]:
                record = {
                    **week,
                    "rollout": {**week["rollout"], "end": at.isoformat()},
                    "estimate": {**week["estimate"], **estimate},
                    "verdict": {**week["verdict"], "call": calls.get(True, "inconclusive")},
                }
                made += [
                    replace(merge, merged_at=at),
                    replace(rollout, start=at, end=at),
                    decode(Measurement, json.dumps(record).encode(), run),
                ]
            yield service, run, made


def enter(site: Site, root: Path) -> None:
    """Tell Airflow of each service's newest run, and how it stands; nothing executes them."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {site.tokens['admin']}"
    for service in SERVICES:
        newest = max((site.store / service).iterdir())
        dag = f"{site.url}/api/v2/dags/pgo_refresh__{service}"
        session.patch(dag, json={"is_paused": False}, timeout=60).raise_for_status()
        run_id = RunStore(site.store, service, newest.name).read(Manifest).run
        run = {"dag_run_id": run_id, "logical_date": None}
        session.post(f"{dag}/dagRuns", json=run, timeout=60).raise_for_status()
    with sqlite3.connect(root / "airflow" / "airflow.db") as database:
        database.execute("UPDATE dag_run SET state = 'success'")
        for service in WAITING:
            dag_id = f"pgo_refresh__{service}"
            database.execute("UPDATE dag_run SET state = 'running' WHERE dag_id = ?", (dag_id,))
