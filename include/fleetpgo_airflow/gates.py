"""Tasks that decide whether a run goes on, in the DAG of a service with ``release``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow.sdk.bases.skipmixin import SkipMixin

from fleetpgo_airflow import hooks
from fleetpgo_airflow.outcomes import translated
from fleetpgo_airflow.releases import asset_name
from fleetpgo_airflow.stage import RefreshOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fleetpgo.proposal.forges import Forge
    from fleetpgo.run.proposed import Proposed
    from fleetpgo.run.store import RunStore
    from fleetpgo.selection.releases import Release


class GateOperator(RefreshOperator, SkipMixin):
    """Base class of tasks that may end a run: all that would follow is skipped, whatever it waits for."""

    # Some tasks run whether those before them succeed or not; a skipped task alone would not stop them.
    inherits_from_skipmixin = True

    def end(self, context: Context, store: RunStore, why: str) -> None:
        """End the run, without a failure; its page shows why."""
        from fleetpgo.steps.watch import skip  # noqa: PLC0415  # not when the DAG file is parsed

        with translated(self.service):
            skip(store, why)
        self.log.info("the run ends here: %s", why)
        self.skip(context["ti"], context["task"].get_flat_relatives(upstream=False))


class NoticeReleaseOperator(GateOperator):
    """Notes which release the run is for; ends it if another run of the service goes first."""

    def execute(self, context: Context) -> None:
        """Take the release from the asset's events or from param ``release``; look at the other runs."""
        from fleetpgo.selection.releases import release_shares  # noqa: PLC0415
        from fleetpgo.steps.release import Around, begin_run  # noqa: PLC0415  # not when the DAG file is parsed

        now = datetime.now(UTC)
        with translated(self.service):
            service, store = self.opened(context)
            if service.release is None:
                return
            release, by_hand = _release_of(context, self.service, now)
            why = begin_run(
                service,
                store,
                release,
                Around(
                    is_running=lambda run: _is_running(context, run),
                    is_open=lambda proposed: _is_open(hooks.forge(service), proposed),
                ),
                run=context["run_id"],
                shares=release_shares(hooks.prometheus(service), service) if release else {},
                by_hand=by_hand,
                dry_run=context["params"]["dry_run"],
                now=now,
            )
        if why:
            self.end(context, store, why)
        elif release is not None:
            self.log.info("the run is for release %s", release.revision)


class NeedsProfileOperator(GateOperator):
    """Compares the profile in the repository with the release; ends the run if it still fits."""

    def execute(self, context: Context) -> None:
        """Compare; a run that is for no release goes on."""
        from fleetpgo.steps.needs import needs_profile  # noqa: PLC0415  # not when the DAG file is parsed

        with translated(self.service):
            service, store = self.opened(context)
            why = needs_profile(service, store, hooks.forge(service), hooks.cache())
        if why:
            self.end(context, store, why)


def _is_running(context: Context, run: str) -> bool:
    """Return whether a run of the same DAG has not ended."""
    return bool(
        context["ti"].get_dr_count(context["dag"].dag_id, run_ids=[run], states=["queued", "running"])
    )


def _release_of(context: Context, service: str, now: datetime) -> tuple[Release | None, bool]:
    """Return the release that a run was begun for, and whether a person named it.

    Of several events the newest release counts: Airflow makes one run of them.
    """
    from fleetpgo.selection.releases import Release  # noqa: PLC0415  # not when the DAG file is parsed

    found = []
    for asset, events in (context.get("triggering_asset_events") or {}).items():
        if asset.name == asset_name(service):
            found += [
                (datetime.fromisoformat(payload["since"]), payload)
                for event in events
                if (payload := (event.extra or {}).get("payload"))
            ]
    if found:
        since, payload = max(found, key=lambda each: each[0])
        return Release(payload["revision"], since, payload["share"]), False
    if named := context["params"].get("release"):
        return Release(named, now, 0.0), True
    return None, False


def _is_open(forge: Forge, proposed: Proposed) -> bool:
    """Return whether a pull request is open, and the one of its branch: a repository may have moved."""
    found = forge.find(proposed.branch)
    return found is not None and found.state == "open" and found.number == proposed.pull_request
