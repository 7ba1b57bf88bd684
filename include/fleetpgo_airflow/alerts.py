"""Alerts for runs that fail or are late, by the Airflow notifier that the service file names.

The DAG processor calls the notifier for a failed run, the triggerer for a late one. So it needs both
``notify`` and ``async_notify``; the notifiers of Airflow's providers have them.
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
    """Return the arguments that make a DAG report failed and late runs; none without a notifier.

    Raises:
        ServiceFileError: the notifier does not exist, or does not take these arguments.
    """
    if alerts.notifier is None:
        return {}
    try:
        notifier = resolve_name(alerts.notifier)(**alerts.arguments)
    except (ImportError, AttributeError, TypeError) as error:
        raise ServiceFileError(
            f"alerts.notifier: {alerts.notifier} cannot be created: {error}",
            hint="install its provider wherever Airflow runs, and check alerts.arguments against the class",
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
