"""What Airflow loads: the fleet's page in the navigation, and the PGO tab of a DAG run.

Every component and every task loads this file; only the API server asks for the application, so only there is
it imported.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class FleetPGOPlugin(AirflowPlugin):
    """The pages of fleetpgo."""

    name = "fleetpgo"

    # Relative, so that both follow Airflow wherever [api] base_url puts it.
    external_views: list[dict[str, Any]] = [  # noqa: RUF012  # as the base class declares it
        {"name": "Fleet PGO", "href": "fleetpgo/", "destination": "nav", "url_route": "fleetpgo"},
        {
            "name": "PGO",
            "href": "fleetpgo/run?dag_id={DAG_ID}&run_id={RUN_ID}",
            "destination": "dag_run",
            "url_route": "fleetpgo-run",
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # made when first asked for
        """The pages below ``/fleetpgo``; metrics and health below ``/fleetpgo-monitoring``."""
        from fleetpgo_airflow import monitoring  # noqa: PLC0415  # see above
        from fleetpgo_airflow.pages.app import app  # noqa: PLC0415  # likewise

        return [
            {"app": app, "url_prefix": "/fleetpgo", "name": "fleetpgo"},
            {"app": monitoring.app, "url_prefix": "/fleetpgo-monitoring", "name": "fleetpgo monitoring"},
        ]
