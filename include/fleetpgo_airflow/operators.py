"""One operator for each step of a refresh. What a step does stands in :mod:`fleetpgo.steps`.

Operators push small records and digests to XCom, which refer to the store; never profiles.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseAsyncOperator, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from fleetpgo.run.proposed import Merge, Proposed
from fleetpgo.run.released import Begun
from fleetpgo.run.selected import Target
from fleetpgo.run.stop import forget_stop
from fleetpgo.service.files import load_named, located, override
from fleetpgo_airflow import hooks, stats
from fleetpgo_airflow.links import MeasurementQueryLink, ProfileLink, PullRequestLink, SelectionQueryLink
from fleetpgo_airflow.outcomes import translated
from fleetpgo_airflow.stage import RefreshOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from fleetpgo.run.measured import Period
    from fleetpgo.run.store import RunStore


class PreflightOperator(RefreshOperator):
    """Checks the service before production is touched, as `fleetpgo doctor` does; returns a line a check."""

    def execute(self, context: Context) -> list[str]:
        """Check; params ``instances`` and ``matchers`` override the service file; ``variants`` are in it."""
        from fleetpgo.proposal.variants import (  # noqa: PLC0415  # not when the DAG file is parsed
            require_variants,
        )
        from fleetpgo.steps.doctor import Parties, examine  # noqa: PLC0415  # not when the DAG file is parsed
        from fleetpgo_airflow import queues  # noqa: PLC0415  # likewise

        with translated(self.service):
            service = load_named(self.service)
            params = self.asked_for(context, service)
            require_variants(service.build, params.get("variants") or ())
            rules = override(
                service.selection, instances=params.get("instances"), matchers=params.get("matchers") or ""
            )
            parties = Parties(
                prometheus=lambda: hooks.prometheus(service),
                forge=lambda: hooks.forge(service),
                store=hooks.store_root,
                access=lambda: hooks.blocking_access(service),
            )
            checks = examine(service.model_copy(update={"selection": rules}), parties)
            checks += [*queues.check_executor(), *queues.check_queue(service)]
        for check in checks:
            say = {"ok": self.log.info, "warning": self.log.warning, "failure": self.log.error}[check.outcome]
            say("%s", located(check.line, self.service))
        failed = [check for check in checks if check.outcome == "failure"]
        if failed:
            # What may pass by itself is tried again.
            kind = AirflowException if all(check.passing for check in failed) else AirflowFailException
            raise kind("\n".join(located(check.line, self.service) for check in failed))
        return [check.line for check in checks]


class SelectInstancesOperator(RefreshOperator):
    """Selects the instances to profile; returns the packs that the fetching tasks are mapped over.

    Args:
        window: name of the window whose share is chosen; None: the service has no windows.
    """

    def __init__(self, *, window: str | None = None, **kwargs: Any) -> None:  # noqa: ANN401  # BaseOperator's own
        super().__init__(**kwargs)
        self.window = window

    operator_extra_links = (SelectionQueryLink(),)

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Ask Prometheus; params override the service file.

        These are ``instances``, ``matchers``, and ``seconds`` or, of a store, ``window``.

        Param ``now``: choose all instances, whatever the window.
        """
        from fleetpgo.steps.rights import require_rights  # noqa: PLC0415  # not when the DAG file is parsed
        from fleetpgo.steps.select import select_instances  # noqa: PLC0415  # likewise

        with translated(self.service):
            service, store = self.opened(context)
            params = self.asked_for(context, service)
            if self.window and not params["now"] and not params.get("dry_run"):
                # The window may have opened days after the preflight.
                require_rights(service, hooks.forge(service))
            chosen, packs = select_instances(
                service,
                store,
                hooks.prometheus(service) if service.selection.source == "prometheus" else None,
                instances=params["instances"],
                seconds=params.get("seconds"),
                length=params.get("window"),
                access=hooks.blocking_access(service) if service.selection.source == "store" else None,
                # The form sends null for a field that somebody has cleared.
                matchers=params["matchers"] or "",
                window=None if params.get("now") else self.window,
            )
        self.log.info("query: %s", chosen.query)
        for warning in chosen.warnings:
            self.log.warning("%s", warning)
        for target in chosen.targets:
            self.log.info(
                "round %d: %-24s %-8s %8.3f cores: %s",
                target.round,
                target.instance,
                target.datacenter,
                target.cores,
                target.why,
            )
        return [asdict(pack) for pack in packs]


class FetchProfileOperator(RefreshOperator, BaseAsyncOperator):
    """Fetches the profiles of one pack of instances, all at the same time; returns one record per instance.

    Args:
        pack: what :class:`SelectInstancesOperator` returned, one element of it.
    """

    template_fields = ("pack",)

    def __init__(self, *, pack: Mapping[str, Any], **kwargs: Any) -> None:  # noqa: ANN401  # BaseOperator's own
        super().__init__(**kwargs)
        self.pack = pack

    async def aexecute(self, context: Context) -> list[dict[str, Any]]:
        """Fetch the profiles of the pack's instances; return what became of each.

        If no instance gave a profile, the task is skipped, not failed: the merge checks whether the fleet
        gave enough (``collection.quorum``).
        """
        from fleetpgo.steps.collect import collect_profiles  # noqa: PLC0415  # not when the DAG file is parsed

        targets = [Target(**target) for target in self.pack["targets"]]
        with translated(self.service):
            service, store = await asyncio.to_thread(self.opened, context)
            await _forget_mended_stop(context, store)
            records = await collect_profiles(service, store, targets, access=await hooks.access(service))
        stats.fetched(self.service, records)
        if all(record.state != "fetched" for record in records):
            reasons = "; ".join(f"{record.instance}: {record.reason}" for record in records)
            raise AirflowSkipException(f"no profile from {self.pack['name']}: {reasons}")
        return [asdict(record) for record in records]


async def _forget_mended_stop(context: Context, store: RunStore) -> None:
    """Forget the round's stop if a person cleared the task. A stop fails no task, so Airflow retries none."""
    if context["task_instance"].try_number > 1:
        await asyncio.to_thread(forget_stop, store)


class TopUpOperator(RefreshOperator, BaseAsyncOperator):
    """Profiles further rounds while there are too few samples; returns a sentence for each check."""

    async def aexecute(self, context: Context) -> list[str]:
        """Profile further instances until the samples are enough, for ``selection.max_rounds`` at most."""
        from fleetpgo.steps.collect import top_up  # noqa: PLC0415  # not when the DAG file is parsed

        with translated(self.service):
            service, store = await asyncio.to_thread(self.opened, context)
            await _forget_mended_stop(context, store)
            said = await top_up(service, store, access=await hooks.access(service))
        for verdict in said:
            self.log.info("%s", verdict)
        return said


class MergeProfilesOperator(RefreshOperator):
    """Merges the profiles if there are enough; returns the manifest's figures."""

    operator_extra_links = (ProfileLink(),)

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, merge and minimise the profiles, and record what became of each instance's.

        Profiles without function names are repaired first, if ``profile.repair`` says so. Returns the merge's
        figures.
        """
        from fleetpgo.steps.merge import merge_profiles  # noqa: PLC0415  # not when the DAG file is parsed
        from fleetpgo.steps.repair import Origin  # noqa: PLC0415  # likewise

        with translated(self.service):
            service, store = self.opened(context)
            origin = None
            if service.profile.repair:
                origin = Origin(hooks.prometheus(service), hooks.forge(service), hooks.cache())
            manifest = merge_profiles(service, store, origin=origin)
        stats.merged(self.service, manifest)
        for warning in manifest.warnings:
            self.log.warning("%s", warning)
        self.log.info("%d of %d instances, %s samples", manifest.used, manifest.selected, manifest.samples)
        for name, figure in manifest.figures.items():
            self.log.info("%s: %s", name, figure)
        return {name: getattr(manifest, name) for name in ("used", "selected", "samples", "profile")}


class BuildAndOpenPROperator(RefreshOperator):
    """Builds without and with the profile; opens or updates the pull request; returns the result."""

    operator_extra_links = (PullRequestLink(), ProfileLink())

    def execute(self, context: Context) -> dict[str, Any]:
        """Propose; params ``dry_run``: everything but the push and the pull request; ``variants``: names."""
        from fleetpgo.golang import caches, environment  # noqa: PLC0415  # not when the DAG file is parsed
        from fleetpgo.steps.propose_run import propose_profile  # noqa: PLC0415  # likewise

        with translated(self.service):
            service, store = self.opened(context)
            self.end_if_overtaken(service, store)
            own = environment.repository_cache(hooks.cache(), service.repository.identity)
            caches.bound(hooks.cache(), hooks.cache_limit(), keep=own)
            proposed = propose_profile(
                service,
                store,
                hooks.forge(service),
                dry_run=context["params"]["dry_run"],
                cache=hooks.cache(),
                run_url=context["task_instance"].log_url,
                variants=context["params"].get("variants") or (),
            )
        stats.proposed(self.service, proposed)
        self.log.info("pull request: %s", proposed.url or f"none: {proposed.reason or 'dry run'}")
        return asdict(proposed)


class AnnounceMergeOperator(RefreshOperator):
    """Tells Airflow that the service has a new profile; give it the asset as its outlet.

    It is a task of its own because Airflow emits the outlets only of tasks that end on a worker, and the wait
    for the merge ends in the triggerer (docs/decisions/0602).
    """

    def execute(self, context: Context) -> None:
        """Emit the asset, with the profile, the pull request and the merge's commit; delete our branch."""
        from fleetpgo.steps.refresh import clean_up  # noqa: PLC0415  # not when the DAG file is parsed

        with translated(self.service):
            service, store = self.opened(context)
            proposed, merge, begun = store.read(Proposed), store.read(Merge), store.find(Begun)
            clean_up(store, lambda: hooks.forge(service), service)
        (asset,) = self.outlets
        context["outlet_events"][asset].extra = {
            "profile": proposed.profile,
            "pull_request": proposed.url,
            "commit": merge.commit,
            **({"release": begun.revision} if begun and begun.revision else {}),
        }


class MeasureOperator(RefreshOperator):
    """Measures the saving over a period after the rollout, and comments on the pull request.

    Args:
        period: ``rollout`` or ``week``.
    """

    operator_extra_links = (PullRequestLink(), MeasurementQueryLink())

    def __init__(self, *, period: Period, **kwargs: Any) -> None:  # noqa: ANN401  # BaseOperator's own
        super().__init__(**kwargs)
        self.period = period

    def execute(self, context: Context) -> str:
        """Compare CPU before and after the rollout, store that, comment on it; return the verdict."""
        from fleetpgo.measurement.report import headline, markdown  # noqa: PLC0415
        from fleetpgo.steps.measure import measure_period  # noqa: PLC0415  # not when the DAG file is parsed

        with translated(self.service):
            service, store = self.opened(context)
            comparison = measure_period(
                service, store, hooks.prometheus(service), hooks.forge(service), period=self.period
            )
        stats.measured(self.service, comparison)
        self.log.info("\n%s", markdown(comparison))
        return headline(comparison)


class LevelOperator(RefreshOperator):
    """Measures what PGO saves now, and returns that in a sentence.

    It compares with the instances of ``rollout.baseline``, which run a build without the profile.
    """

    def execute(self, context: Context) -> str:
        """Measure and store; a level that cannot be said is no failure, but a warning with its reason."""
        from fleetpgo.measurement.standing import headline  # noqa: PLC0415  # not when the DAG file is parsed
        from fleetpgo.steps.level import keep_level  # noqa: PLC0415

        with translated(self.service):
            service = load_named(self.service)
            found = keep_level(service, hooks.store_root(), hooks.prometheus(service), run=context["run_id"])
        said = headline(found)
        (self.log.warning if found.saving is None else self.log.info)("%s", said)
        return said


class BrokenServiceOperator(BaseOperator):
    """Fails with the mistakes of a service file.

    Args:
        mistakes: what is wrong, with path and line.
    """

    def __init__(self, *, mistakes: str, **kwargs: Any) -> None:  # noqa: ANN401  # BaseOperator's own
        super().__init__(**kwargs)
        self.mistakes = mistakes

    def execute(self, context: Context) -> None:  # noqa: ARG002  # BaseOperator's own
        """Raise the mistakes; Airflow does not retry."""
        raise AirflowFailException(self.mistakes)
