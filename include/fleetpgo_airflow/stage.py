"""The base class of every task of a service's DAG."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from inspect import getdoc
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from fleetpgo.service.files import load_named
from fleetpgo_airflow import hooks, stats
from fleetpgo_airflow.outcomes import forget_failure, keep_failure

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fleetpgo.run.store import RunStore
    from fleetpgo.service.rules import ServiceRules

_CONVERTED = frozenset(
    name.removeprefix("_convert_") for name in dir(BaseOperator) if name.startswith("_convert_")
)
"""Attributes that Airflow converts as they are set."""


@cache
def _summary(operator: type[BaseOperator]) -> str:
    """Return the first paragraph of what a class says of itself."""
    return (getdoc(operator) or "").partition("\n\n")[0]


class RefreshOperator(BaseOperator):
    """Base class of the steps of a service's refresh.

    Args:
        service: name of the service; its file is read when the task runs.
    """

    ui_color = "#dff0e4"

    def __init__(self, *, service: str, **kwargs: Any) -> None:  # noqa: ANN401  # BaseOperator's own
        # What the class says of itself stands on the task's page.
        kwargs.setdefault("doc_md", _summary(type(self)))
        # The run's page shows the failed stage, and why.
        kwargs.setdefault("on_failure_callback", keep_failure)
        kwargs.setdefault("on_success_callback", forget_failure)
        super().__init__(**kwargs)
        self.service = service

    def __setattr__(self, key: str, value: Any) -> None:  # noqa: ANN401  # BaseOperator's own
        """Set an attribute; while the operator is made, look for nothing that Airflow does not convert.

        To look took a fifth of the time in which a service's DAG is made (docs/decisions/0612).
        """
        if key in _CONVERTED or self._BaseOperator__instantiated:  # type: ignore[attr-defined]  # private
            super().__setattr__(key, value)
        else:
            object.__setattr__(self, key, value)

    def opened(self, context: Context) -> tuple[ServiceRules, RunStore]:
        """Return the service and the run's store. Blocks: an object storage asks for its connection."""
        stats.watch_store()
        service = load_named(self.service)
        return service, hooks.run_store(self.service, context["run_id"])

    def asked_for(self, context: Context, service: ServiceRules) -> dict[str, Any]:
        """Return the run's params; a run for a release profiles the release's own instances, and at once."""
        from fleetpgo.steps.release import asked  # noqa: PLC0415  # not when the DAG file is parsed

        given = dict(context["params"])
        if service.release is None:
            return given
        store = hooks.run_store(self.service, context["run_id"])
        return given | asked(service, store, given.get("matchers"), datetime.now(UTC))

    def end_if_overtaken(self, service: ServiceRules, store: RunStore) -> None:
        """Skip this task, and so the run, if a later release has been profiled since."""
        if service.release is None:
            return
        from fleetpgo.steps.release import go_on, overtaken  # noqa: PLC0415  # not when the DAG file is parsed
        from fleetpgo.steps.watch import skip  # noqa: PLC0415  # likewise

        if why := overtaken(store):
            skip(store, why)
            raise AirflowSkipException(why)
        go_on(store)
