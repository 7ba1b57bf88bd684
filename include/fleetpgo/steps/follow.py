"""From an opened pull request to both measurements, as far as the time allows, in one call.

Airflow has a task for each of these looks (:mod:`.wait`) and measurements (:mod:`.measure`); the command line
has this. What an earlier look found is in the run's store and not asked for again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.run.measured import Measurement
from fleetpgo.run.proposed import Merge
from fleetpgo.steps.measure import measure_period
from fleetpgo.steps.refresh import clean_up
from fleetpgo.steps.wait import look_for_merge, look_for_rollout, look_for_week

if TYPE_CHECKING:
    from datetime import datetime

    from fleetpgo.prometheus import Prometheus
    from fleetpgo.proposal.forges import Forge
    from fleetpgo.run.measured import Period
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.rules import ServiceRules
    from fleetpgo.steps.watch import Outcome


def follow(
    service: ServiceRules, store: RunStore, prometheus: Prometheus, forge: Forge, *, now: datetime
) -> Outcome:
    """Look whether the pull request is merged and rolled out; measure each period that has passed.

    A period that was measured is not measured again.

    Returns:
        ``done`` once the week is measured; else what is waited for, and from when it can be measured.
    """
    merge = store.find(Merge)
    if merge is None or merge.state == "skipped":
        outcome = look_for_merge(store, forge)
        if outcome.state != "done":
            return outcome
        clean_up(store, lambda: forge, service)
    outcome = look_for_rollout(service, store, prometheus, now)
    if outcome.state != "done":
        return outcome
    _measure(service, store, prometheus, forge, "rollout")
    outcome = look_for_week(service, store, now)
    if outcome.state == "done":
        _measure(service, store, prometheus, forge, "week")
    return outcome


def _measure(
    service: ServiceRules, store: RunStore, prometheus: Prometheus, forge: Forge, period: Period
) -> None:
    if not store.exists(Measurement, period):
        measure_period(service, store, prometheus, forge, period=period)
