"""Who hears of a run that fails, or is late: an Airflow notifier that the service file names.

A notifier is told of a failed run by the DAG processor and of a late one by the triggerer, so it needs both
``notify`` and ``async_notify``; those of Airflow's providers have them.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from fleetpgo.errors import ServiceFileError

if TYPE_CHECKING:
    from fleetpgo.service.rules import AlertsRules


def alerting(alerts: AlertsRules) -> dict[str, Any]:
    """The arguments of a DAG that make it tell of its failed and its late runs; none without a notifier.

    Raises:
        ServiceFileError: there is no such notifier, or it cannot be made with these arguments.
    """
    if alerts.notifier is None:
        return {}
    try:
        notifier = resolve_name(alerts.notifier)(**alerts.arguments)
    except (ImportError, AttributeError, TypeError) as error:
        raise ServiceFileError(
            f"alerts: {alerts.notifier} cannot be made: {error}",
            hint="its provider must be installed wherever Airflow runs, and `arguments` be the class's own",
        ) from error
    return {
        "on_failure_callback": notifier,
        "deadline": DeadlineAlert(
            name="late",
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=alerts.late,
            callback=AsyncCallback(alerts.notifier, dict(alerts.arguments)),
        ),
    }
