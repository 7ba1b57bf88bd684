"""The last stage: what the rollout saved over a period, and what follows from it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from fleetpgo.measurement import measuring
from fleetpgo.proposal.merge_alone import what_else
from fleetpgo.proposal.revert import propose_revert
from fleetpgo.steps.wait import read_rollout, window_of

if TYPE_CHECKING:
    from fleetpgo.measurement.comparison import Comparison
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.proposal.forges import Forge
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.rules import ServiceRules
    from fleetpgo.steps.wait import Period


def measure_period(
    service: ServiceRules, store: RunStore, prometheus: Prometheus, forge: Forge, *, period: Period
) -> Comparison:
    """Measure the saving over a period, draw it, and say it in the pull request's one comment on it.

    After a regression that :func:`reverts` trusts, a pull request that reverts the profile is opened or
    brought up to date, as the service file says.
    """
    commit = store.read_json("merge.json")["commit"]
    measured = measuring.measure(
        prometheus,
        service,
        read_rollout(store),
        period=period,
        window=window_of(service, period),
        what_else=partial(what_else, service, forge, commit),
    )
    for extension, content in measured.files().items():
        store.write(f"measure_{period}.{extension}", content)
    proposed = store.read_json("pull_request.json")
    reports = [f"measure_{each}.md" for each in ("rollout", "week")]
    text = "\n".join(store.read(report).decode() for report in reports if store.exists(report))
    forge.comment(proposed["pull_request"], text, "measurement")
    if reverts(measured.comparison, period):
        reverted = propose_revert(
            service,
            forge,
            profile=proposed["profile"],
            head=proposed["head"],
            commit=commit,
            brought_by=proposed["url"],
            pull_request=proposed["pull_request"],
            measured=measured.comparison,
            report=text,
        )
        store.write_json("revert.json", asdict(reverted))
    return measured.comparison


def reverts(comparison: Comparison, period: Period) -> bool:
    """Whether a regression is sure enough for a pull request that reverts the profile.

    Only the week's verdict by estimator A is (docs/measurement.md, "What a regression does").
    """
    estimate = comparison.estimate
    by_a = estimate is not None and estimate.method == "A"
    return period == "week" and by_a and comparison.verdict.call == "regression"
