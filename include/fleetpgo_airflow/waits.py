"""Waits of days that occupy no worker: an operator checks once, then the triggerer keeps checking.

The trigger itself ends the task (success or skip): to resume on a worker costs a process, and sometimes fails
(docs/decisions/0003). Only for work, a clone with builds, is the task resumed: it does that and defers again
(docs/decisions/0484). The run's store holds what a look found, so a restarted triggerer simply looks again.
An error while looking is logged, and the look repeated: if Prometheus or the store is down for an hour, a run
that waits for a week must not fail.

A restarted triggerer begins all its waits at once, a thousand or more. So each has a moment of its own within
the first minute, always the same one, and the time between two looks varies. It is a minute also where
`rollout.poll` is hours: a triggerer that dies more often than that would never look, and say nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
import zlib
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.triggers.base import (
    BaseTrigger,
    TaskFailedEvent,
    TaskSkippedEvent,
    TaskSuccessEvent,
    TriggerEvent,
)

from fleetpgo.errors import FleetPGOError, ForgeError, StoreError
from fleetpgo.run.proposed import Failed
from fleetpgo.service.files import keys_located, load_named, override
from fleetpgo_airflow import hooks
from fleetpgo_airflow.outcomes import translated
from fleetpgo_airflow.stage import RefreshOperator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow.sdk import Context

    from fleetpgo.steps.watch import Outcome

What = Literal["turn", "merge", "rollout", "week"]

_SPREAD = 0.75, 1.25
"""The time between two looks, as shares of `rollout.poll`."""

PATIENCE = timedelta(days=60)
"""Longest wait; after it the task fails, so that somebody looks."""


REOPENED = timedelta(days=7)
"""For so long a closed pull request may be reopened; after it the run is skipped."""

START_S = 60.0
"""Seconds over which the first looks of a triggerer's waits are spread, unless their poll is shorter."""

TURN = timedelta(minutes=10)
"""Least time between two looks for a turn to build."""

BLIND = timedelta(days=1)
"""For so long the forge may give no answer, as with a revoked token; then the task fails, as an alert."""


def look(what: What, service_name: str, run: str) -> Outcome:
    """Check once, blocking. If the wait is over, the result goes into the store."""
    from fleetpgo.steps.turns import look_for_turn  # noqa: PLC0415  # not when the DAG file is parsed
    from fleetpgo.steps.wait import look_for_merge, look_for_rollout, look_for_week  # noqa: PLC0415  # likewise
    from fleetpgo_airflow.fleet import services_beside  # noqa: PLC0415  # likewise

    with keys_located(service_name):
        service = load_named(service_name)
        store, now = hooks.run_store(service_name, run), datetime.now(UTC)
        match what:
            case "turn":
                return look_for_turn(
                    service, store, lambda: hooks.forge(service), now=now, others_of=services_beside
                )
            case "merge":
                return look_for_merge(store, hooks.forge(service), service, patience=REOPENED)
            case "rollout":
                return look_for_rollout(service, store, hooks.prometheus(service), now)
            case "week":
                return look_for_week(service, store, now)


def first_look(what: What, service_name: str, run: str) -> float:
    """Return when a wait looks first, as a share of :data:`START_S`: 0 … 1, evenly spread over all waits."""
    return zlib.crc32(f"{what} {service_name} {run}".encode()) / 2**32


class LookTrigger(BaseTrigger):
    """Looks every `poll` seconds until the wait is over, and then ends the task.

    Its operator has just looked, or a triggerer before this one has: :func:`first_look` says when it does.

    Args:
        what: what is waited for.
        service: name of the service.
        run: id of the DAG run.
        poll: seconds between two looks.
    """

    def __init__(self, *, what: What, service: str, run: str, poll: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is not typed
        self.what = what
        self.service = service
        self.run_id = run
        self.poll = poll

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments, from which a triggerer creates the trigger."""
        arguments = {"what": self.what, "service": self.service, "run": self.run_id, "poll": self.poll}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at each poll, until the wait ends or its task has work to do; yield that event."""
        said, blind = "", None
        await asyncio.sleep(min(self.poll, START_S) * first_look(self.what, self.service, self.run_id))
        while True:
            event = None
            try:
                outcome = await asyncio.to_thread(look, self.what, self.service, self.run_id)
                message, blind = outcome.message, None
                event = await self._event(outcome)
            except FleetPGOError as error:
                message = f"cannot look now; will try again: {error}"
                blind = blind or time.monotonic()
                if isinstance(error, ForgeError) and time.monotonic() - blind >= BLIND.total_seconds():
                    event = await self._failed(str(error))
            if message != said:
                self.log.info("%s", message)
                said = message
            if event is not None:
                yield event
                return
            # Two that wait for one turn give way to each other, and must not do so in step (`.steps.turns`).
            await asyncio.sleep(self.poll * random.uniform(*_SPREAD))  # noqa: S311  # no secret

    async def _event(self, outcome: Outcome) -> TriggerEvent | None:
        """Return the event that ends or resumes the task; None: the wait goes on."""
        match outcome.state:
            case "done":
                return TaskSuccessEvent()
            case "skipped":
                return TaskSkippedEvent()
            case "failed":
                return await self._failed(outcome.message)
            case "work":
                return TriggerEvent({"work": outcome.message})  # type: ignore[no-untyped-call]  # Airflow's
            case _:
                return None

    async def _failed(self, reason: str) -> TriggerEvent:
        await asyncio.to_thread(self._keep_failure, reason)
        return TaskFailedEvent()

    def _keep_failure(self, reason: str) -> None:
        """Keep why the wait failed, for the run's page: no callback of the task runs here."""
        try:
            hooks.run_store(self.service, self.run_id).write(Failed(reason), f"wait_for_{self.what}")
        except FleetPGOError as error:
            self.log.warning("the run's page will not show why this wait failed: %s", error)


class WaitOperator(RefreshOperator):
    """Base class: looks once; if the wait is not over, defers to a :class:`LookTrigger`."""

    ui_color = "#eef1f5"

    @property
    @abstractmethod
    def what(self) -> What:
        """What is waited for, as :func:`look` takes it."""

    def poll(self) -> timedelta:
        """Return the time between two looks."""
        return load_named(self.service).rollout.poll

    def patience(self, context: Context) -> timedelta:  # noqa: ARG002  # of those that resume
        """Return the longest time to wait from now on."""
        return PATIENCE

    def execute(self, context: Context) -> None:
        """Begin to wait, anew if the task was cleared: look; skip with the reason, or defer."""
        from fleetpgo.steps.watch import begin_to_wait  # noqa: PLC0415  # not when the DAG file is parsed

        with translated(self.service):
            try:
                begin_to_wait(hooks.run_store(self.service, context["run_id"]), self.what, datetime.now(UTC))
            except StoreError as error:
                self.log.warning("that the wait begins now cannot be noted: %s", error)
        self._look(context)

    def _look(self, context: Context) -> None:
        from fleetpgo.steps.watch import Outcome  # noqa: PLC0415  # not when the DAG file is parsed

        with translated(self.service):
            try:
                outcome = look(self.what, self.service, context["run_id"])
                if outcome.state == "work":
                    self.log.info("%s", outcome.message)
                    self.log.info("%s", self.work(context))
                    outcome = look(self.what, self.service, context["run_id"])
            except StoreError as error:
                # Its retries would be over within minutes.
                outcome = Outcome("waiting", f"cannot look now, the trigger will try again: {error}")
        self.log.info("%s", outcome.message)
        match outcome.state:
            case "skipped":
                raise AirflowSkipException(outcome.message)
            case "failed":
                raise AirflowFailException(outcome.message)
            case "waiting" | "work":
                self.defer(
                    trigger=LookTrigger(
                        what=self.what,
                        service=self.service,
                        run=context["run_id"],
                        poll=self.poll().total_seconds(),
                    ),
                    method_name="execute_again",
                    timeout=self.patience(context),
                )

    def execute_again(self, context: Context, event: object = None) -> None:  # noqa: ARG002
        """Resume: do what is due, and wait on. `dag.test` resumes even tasks whose trigger has ended them."""
        self._look(context)

    def work(self, context: Context) -> str:
        """Do what is due before the wait goes on; return what was done."""
        raise NotImplementedError


class WaitForTurnOperator(WaitOperator):
    """Waits while as many builds or open pull requests are there as `repository.limits` allows."""

    what: What = "turn"

    def poll(self) -> timedelta:
        """Return the time between two looks: each may ask the forge for every service of the repository."""
        return max(load_named(self.service).rollout.poll, TURN)

    def execute(self, context: Context) -> None:
        """Ask for a turn and look; where nothing is limited, end at once."""
        from fleetpgo.steps.turns import ask_for_turn  # noqa: PLC0415  # not when the DAG file is parsed

        with translated(self.service):
            service, store = self.opened(context)
            self.end_if_overtaken(service, store)
            opens = not context["params"]["dry_run"]
            if not ask_for_turn(service, store, opens=opens):
                return
        super().execute(context)


class WaitForMergeOperator(WaitOperator):
    """Waits until the pull request is merged; meanwhile makes its branch anew where the base requires it."""

    what: What = "merge"

    def patience(self, context: Context) -> timedelta:
        """Return how much of the longest wait is left, counted from its first start, also after work."""
        from fleetpgo.steps.watch import waited  # noqa: PLC0415  # not when the DAG file is parsed

        try:
            so_far = waited(hooks.run_store(self.service, context["run_id"]), datetime.now(UTC))
        except StoreError as error:
            self.log.warning("how long this has waited is not known: %s", error)
            so_far = timedelta(0)
        return max(PATIENCE - so_far, timedelta(minutes=1))

    def work(self, context: Context) -> str:
        """Propose the run's profile again, or merge it by ``review.auto_merge``; say what was done."""
        from fleetpgo.steps.refresh import refresh  # noqa: PLC0415  # not when the DAG file is parsed

        service, store = self.opened(context)
        return refresh(
            service,
            store,
            hooks.forge(service),
            cache=hooks.cache(),
            run_url=context["task_instance"].log_url,
        )


class WaitForRolloutOperator(WaitOperator):
    """Waits until the fleet runs the new build and the first period after that has passed."""

    what: What = "rollout"


class WaitForWindowOperator(RefreshOperator):
    """Waits until a window opens; with param ``now`` the first window does not wait, the others are skipped.

    Args:
        window: name of the window.
    """

    ui_color = WaitOperator.ui_color

    def __init__(self, *, window: str, **kwargs: Any) -> None:  # noqa: ANN401  # BaseOperator's own
        super().__init__(**kwargs)
        self.window = window

    def execute(self, context: Context) -> None:
        """Defer to the standard provider's trigger for a moment in time."""
        from fleetpgo.steps.select import window_opens  # noqa: PLC0415  # not when the DAG file is parsed

        now = datetime.now(UTC)
        with translated(self.service):
            service = load_named(self.service)
            params = self.asked_for(context, service)
            # What was asked for and cannot be is said now, not when the window opens.
            override(service.selection, instances=params.get("instances"), matchers=params.get("matchers"))
            override(service.collection, window=params.get("window"))
            moment = window_opens(service, self.window, now)
        if params["now"]:
            first = service.selection.windows[0].name
            if self.window != first:
                raise AirflowSkipException(f"this run profiles all instances now, in the tasks of {first}")
            return
        if service.collection.past:
            self.log.info("the window %s is read from the store: the last one that is over", self.window)
            return
        self.log.info("the window %s opens at %s", self.window, moment)
        if moment > now:
            self.defer(
                trigger=DateTimeTrigger(moment=moment, end_from_trigger=True), method_name="execute_again"
            )

    def execute_again(self, context: Context, event: object = None) -> None:
        """Never called by a scheduler; see :meth:`WaitOperator.execute_again`."""


class WaitForWeekOperator(WaitOperator):
    """Waits until the long period after the rollout (``measurement.week``) has passed."""

    what: What = "week"

    def patience(self, context: Context) -> timedelta:  # noqa: ARG002
        """Return the longest time to wait: the period, and the patience after it."""
        return load_named(self.service).measurement.week + PATIENCE
