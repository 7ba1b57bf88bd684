"""What PGO saves now: measured outside any refresh, in a run of its own in the store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fleetpgo.measurement.standing import measure_level
from fleetpgo.run.measured import LEVEL_RUN
from fleetpgo.run.store import RunStore

if TYPE_CHECKING:
    from pathlib import Path

    from upath import UPath

    from fleetpgo.prometheus import Prometheus
    from fleetpgo.run.measured import Level
    from fleetpgo.service.rules import ServiceRules


def keep_level(service: ServiceRules, root: Path | UPath, prometheus: Prometheus, *, run: str) -> Level:
    """Measure the level, and write it to the store.

    Args:
        service: whose level.
        root: of the artifact store.
        prometheus: where its metrics are.
        run: id of the run that measures it.
    """
    found = measure_level(prometheus, service, now=datetime.now(UTC))
    RunStore(root, service.name, f"{LEVEL_RUN}{run}").write(found)
    return found
