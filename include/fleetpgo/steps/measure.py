"""The last stage: what the rollout saved over a period, and what follows from it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from fleetpgo.errors import ArtifactError, NotThereError
from fleetpgo.measurement import measuring
from fleetpgo.measurement.certainty import REVERT_LEVEL, chance_of_loss
from fleetpgo.measurement.history import rollouts
from fleetpgo.proposal.merge_alone import what_else
from fleetpgo.proposal.revert import propose_revert, withdraw_revert
from fleetpgo.run.artifacts import Picture, Report, decode
from fleetpgo.run.measured import PERIODS, Measurement
from fleetpgo.run.proposed import Merge, Proposed, Reverted, Rollout
from fleetpgo.selection import read_selection
from fleetpgo.steps.wait import window_of

if TYPE_CHECKING:
    from fleetpgo.measurement.comparison import Comparison
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.proposal.forges import Forge
    from fleetpgo.run.measured import Period
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.rules import ServiceRules


def measure_period(
    service: ServiceRules, store: RunStore, prometheus: Prometheus, forge: Forge, *, period: Period
) -> Comparison:
    """Measure the saving over a period, draw the chart, and write the pull request's comment.

    After a regression that :func:`revert_as` trusts, a pull request that reverts the profile is opened or
    brought up to date, as the service file says. If the week shows none, an open one of this run is
    withdrawn.
    """
    commit, proposed = store.read(Merge).commit, store.read(Proposed)
    if proposed.pull_request is None or proposed.head is None or proposed.url is None:
        raise ArtifactError(
            f"run {store.run} opened no pull request, so there is nothing to measure",
            hint="clear the task that opens it, and its downstream tasks",
        )
    measured = measuring.measure(
        prometheus,
        service,
        store.read(Rollout),
        period=period,
        window=window_of(service, period),
        what_else=partial(what_else, service, forge, commit),
        rollouts=rollouts(store.root, store.service),
        datacenters=_datacenters(store),
    )
    files = measured.files()
    store.write(decode(Measurement, files["json"], store.path(Measurement, period)), period)
    store.write(Report(files["md"]), period)
    store.write(Picture(files["svg"]), period)
    reports = (store.find(Report, each) for each in PERIODS)
    text = "\n".join(report.decode() for report in reports if report is not None)
    forge.comment(proposed.pull_request, text, "measurement")
    how = revert_as(measured.comparison, period)
    if how is None and period == "week":
        before = store.find(Reverted)
        if before is not None and before.pull_request is not None:
            store.write(withdraw_revert(forge, before.pull_request, measured.comparison))
    if how is not None:
        reverted = Reverted(
            reason="the forge does not say which commit merged the profile: revert it by hand"
        )
        if commit is not None:
            reverted = propose_revert(
                service,
                forge,
                profile=proposed.profile,
                head=proposed.head,
                commit=commit,
                brought_by=proposed.url,
                pull_request=proposed.pull_request,
                merged_branch=proposed.branch,
                measured=measured.comparison,
                report=text,
                path=proposed.path,
                draft=how == "draft",
            )
        store.write(reverted)
    return measured.comparison


def _datacenters(store: RunStore) -> list[str]:
    """Return the datacenters of the fleet that was selected from; none if the selection is gone."""
    try:
        return list(read_selection(store).datacenters)
    except NotThereError:  # pruned
        return []


def revert_as(comparison: Comparison, period: Period) -> Literal["open", "draft"] | None:
    """Return how a revert of the profile is proposed; None if the regression is not certain enough.

    Only the week's verdict counts, and only if a loss as large is less likely than `REVERT_LEVEL` where the
    profile changes nothing: of many services, one in twenty shows some regression by chance
    (docs/measurement.md, "What a regression does"). Estimator B compares two times, between which not only
    the build may have changed: its revert is a draft.
    """
    estimate = comparison.estimate
    if period != "week" or estimate is None or comparison.verdict.call != "regression":
        return None
    if chance_of_loss(estimate) > REVERT_LEVEL:
        return None
    return _REVERTS.get(estimate.method)


_REVERTS: dict[str, Literal["open", "draft"]] = {"A": "open", "B": "draft"}
