"""A store as real runs leave it: real steps over real profiles, from instances that are real servers.

Played are only those who are not of this project: the forge's answer that a pull request was merged, and the
fleet's CPU, a table of made-up rows.
"""

from __future__ import annotations

import asyncio
import gzip
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fleetpgo.measurement.measuring import measure_table
from fleetpgo.proposal.forges import PullRequest
from fleetpgo.run.artifacts import Picture, ProposedText, Report, decode
from fleetpgo.run.measured import PERIODS, Level, Measurement
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Proposed
from fleetpgo.run.store import RunStore
from fleetpgo.selection import read_selection
from fleetpgo.service.files import load_service
from fleetpgo.service.rules import ServiceRules
from fleetpgo.steps.collect import collect_profiles
from fleetpgo.steps.merge import merge_profiles
from fleetpgo.steps.select import select_instances
from fleetpgo.steps.wait import look_for_merge
from tests.collection.instances import BUSY, http, serving
from tests.selection.fleets import Answering

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
PROFILES = ROOT / "tests/testdata/profiles"
OLD, NEW, NEW_TOO = (
    (PROFILES / f"go{version}.pb.gz").read_bytes() for version in ("1.26.6", "1.27.3", "1.27.3-b")
)


def again(profile: bytes, time: int) -> bytes:
    """The same profile in other bytes, as another process sends it: equal bytes are one process."""
    return gzip.compress(gzip.decompress(profile), mtime=time)


HTML = http(b"<html>sign in</html>", "200 OK", "Content-Type: text/html")

FIRST, SECOND = "manual__2026-02-02T00:00:00+00:00", "manual__2026-02-09T08:30:00.123456+00:00"
"""Two runs of the service ``edge``: one that is measured, one whose pull request waits."""

LIVE = "manual__2026-02-10T10:00:00+00:00"
"""A run of ``gateway`` whose instances have not all answered."""

LEVEL = Level(
    at=datetime.now(UTC).replace(microsecond=0),
    memberships=4,
    saving=0.031,
    low=0.027,
    high=0.035,
    cores=93.2,
    cores_low=81.0,
    cores_high=105.4,
    used=2_913.0,
    basis="48 instances that ran both builds in 4 memberships, errors clustered by instance",
)
"""What PGO saves now in ``edge``, against its baseline."""

SERVICES = ("edge", "gateway", "quiet")
MEASURED_AT = datetime(2026, 2, 3, 12, tzinfo=UTC)


def describe(directory: Path, names: Sequence[str] = SERVICES) -> None:
    """Service files like the demo's."""
    directory.mkdir()
    text = (ROOT / "include/services/wshim.yaml").read_text()
    for name in names:
        (directory / f"{name}.yaml").write_text(text.replace("owner: observability", f"owner: {name}-team"))


def build(store: Path, services: Path) -> None:
    """Fill a store: ``edge`` with two runs, ``gateway`` with one under way, ``quiet`` with none."""
    edge, gateway = (load_service(services / f"{name}.yaml") for name in ("edge", "gateway"))
    first = RunStore(store, "edge", FIRST)
    asyncio.run(fetch(edge, first, {"ams": [http(OLD)], "lhr": [http(again(OLD, 1))]}))
    merge_profiles(edge, first)
    backdate(first, MEASURED_AT - timedelta(days=1))
    propose(first, 1)
    look_for_merge(first, Forge("merged", MEASURED_AT))
    measure(edge, first, saving=0.04)
    RunStore(store, "edge", "level__scheduled").write(LEVEL)

    second = RunStore(store, "edge", SECOND)
    answers = {
        "ams": [http(NEW), http(NEW_TOO), BUSY],
        "lhr": [http(again(NEW, 1)), HTML],
        "sjc": [http(again(NEW, 2))],
    }
    asyncio.run(fetch(edge, second, answers))
    merge_profiles(edge, second)
    propose(second, 2)

    asyncio.run(fetch(gateway, RunStore(store, "gateway", LIVE), {"ams": [http(NEW)]}, more=2))


async def fetch(
    service: ServiceRules, store: RunStore, answers: dict[str, list[bytes]], more: int = 0
) -> None:
    """Select all of these instances and ask them; `more` are selected and not asked."""
    collection = service.collection.model_copy(update={"ports": (1024, 65535), "attempts": 1})
    service = service.model_copy(update={"collection": collection})
    async with AsyncExitStack() as running:
        asked = [
            await running.enter_async_context(serving(answer, datacenter=datacenter))
            for datacenter, given in answers.items()
            for answer in given
        ]
        targets = [each.target for each in asked]
        fleet = [({"instance": each.instance, "datacenter": each.datacenter}, 4.0) for each in targets]
        fleet += [({"instance": f"127.0.0.1:{1024 + n}", "datacenter": "sjc"}, 2.0) for n in range(more)]
        chosen, _ = select_instances(service, store, Answering(*fleet), instances=len(fleet), seconds=3)
        names = {each.instance for each in targets}
        await collect_profiles(
            service, store, [target for target in chosen.targets if target.instance in names]
        )


async def answer_late(services: Path, store: RunStore) -> None:
    """What is left of a run under way answers, or does not."""
    service = load_service(services / f"{store.service}.yaml")
    collection = service.collection.model_copy(update={"ports": (1024, 65535), "attempts": 1})
    chosen = read_selection(store)
    await collect_profiles(service.model_copy(update={"collection": collection}), store, chosen.targets)


class Forge:
    """Stands where a forge stands, and knows one pull request."""

    def __init__(self, state: str, merged_at: datetime) -> None:
        self._state, self._merged_at = state, merged_at

    def get(self, number: int) -> PullRequest:
        return PullRequest(
            number,
            url(number),
            "",
            "",
            self._state,
            "fleetpgo/edge",
            "f" * 40,
            "main",
            self._merged_at,
            "e" * 40,
        )

    def read_comment(self, number: int, key: str) -> str:
        return ""

    def find(self, branch: str) -> None:
        return None

    def lost_branch(self, number: int) -> bool:
        return False


def url(number: int) -> str:
    return f"https://forge.example/edge/pulls/{number}"


def propose(store: RunStore, number: int) -> None:
    """What proposing leaves in the store."""
    proposed = Proposed(
        branch="fleetpgo/edge",
        base="main",
        profile=store.read(Manifest).profile,
        unchanged=False,
        dry_run=False,
        head="f" * 40,
        pull_request=number,
        url=url(number),
        toolchain="go1.27.3",
        size_without=9_412_608,
        size_with=9_838_592,
        source_match=0.97,
    )
    store.write(proposed)
    store.write(ProposedText(b"# Refresh the PGO profile of edge\n"))


def measure(service: ServiceRules, store: RunStore, *, saving: float) -> None:
    """Measure a made-up fleet of which half went over; leave the files of both periods."""
    version = store.read(Manifest).profile
    rules = service.measurement.model_copy(update={"settle": timedelta(minutes=15)})
    measured = measure_table(table(saving, version), rules, window=timedelta(hours=3))
    rollout = measured.comparison.rollout
    store.write(rollout)
    for period in PERIODS:
        files = replace(measured, comparison=replace(measured.comparison, period=period)).files()
        store.write(decode(Measurement, files["json"], period), period)
        store.write(Report(files["md"]), period)
        store.write(Picture(files["svg"]), period)


def table(saving: float, version: str) -> pd.DataFrame:
    """Two datacenters of four instances, half of them on the new version from :data:`MEASURED_AT` on."""
    random = np.random.default_rng(7)
    start, end = MEASURED_AT - timedelta(hours=4), MEASURED_AT + timedelta(hours=4)
    rows = []
    for at in pd.date_range(start, end, freq="5min"):
        for number in range(8):
            new = number % 4 < 2 and at >= MEASURED_AT
            requests = 100 * np.exp(random.normal(0, 0.02))
            cpu = 0.05 * requests * (1 - saving * new) * np.exp(random.normal(0, 0.01))
            rows.append((at, f"i{number}", f"dc{number // 4}", cpu, requests, version if new else "before"))
    return pd.DataFrame(rows, columns=["timestamp", "instance", "datacenter", "cpu", "requests", "version"])


def backdate(store: RunStore, made_at: datetime) -> None:
    """Make a run's profile older than it is."""
    store.write(replace(store.read(Manifest), made_at=made_at))
