"""Artifacts with made-up figures, of which a test says what matters to it."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime

from fleetpgo.run.measured import GroupChange, Judgement, Measurement, RolledOut, Saving
from fleetpgo.run.profiled import Agreement, Manifest
from fleetpgo.run.proposed import Proposed

AT = datetime(2026, 2, 2, 12, tzinfo=UTC)
PROFILE = "0123456789ab"


def manifest(**changes) -> Manifest:
    made = Manifest(
        service="edge",
        run="run",
        made_at=AT,
        query="up",
        seconds=30,
        selected=5,
        used=4,
        samples=1234,
        edges=300,
        hot_edges=40,
        profile=PROFILE,
        merged_size=9000,
        profile_size=900,
        proof="identical",
        sufficiency=Agreement(4, 1234, 0.9, 0.95),
        renamed=(),
        instances=(),
        warnings=(),
        figures={},
    )
    return replace(made, **changes)


def proposed(**changes) -> Proposed:
    made = Proposed(
        branch="fleetpgo/edge",
        base="main",
        profile=PROFILE,
        unchanged=False,
        dry_run=False,
        pull_request=1,
        url="https://forge.example/edge/pulls/1",
        head="f" * 40,
        size_without=10_000,
        size_with=11_000,
    )
    return replace(made, **changes)


def measurement(**changes) -> Measurement:
    """A measured week."""
    group = GroupChange(3, 0.005, 0.0045, 0.1)
    made = Measurement(
        period="week",
        rollout=RolledOut(PROFILE, AT),
        verdict=Judgement("saved"),
        estimate=Saving("A", 0.1, 0.08, 0.12, 4.0),
        whole={},
        raw=group,
        groups={"treated": group},
    )
    return as_written(replace(made, **changes))


def as_written(measured: Measurement) -> Measurement:
    """With its whole record."""
    record = asdict(measured)
    del record["whole"]
    record["rollout"]["end"] = measured.rollout.end.isoformat()
    return replace(measured, whole=record)
