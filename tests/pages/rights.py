"""An auth manager with rights of its own on each DAG; Airflow's simple one knows roles only."""

from __future__ import annotations

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class PerDagAuthManager(SimpleAuthManager):
    """A viewer reads only the DAG of the service that is called like the viewer."""

    def is_authorized_dag(self, *, method, user, access_entity=None, details=None):
        allowed = super().is_authorized_dag(
            method=method, user=user, access_entity=access_entity, details=details
        )
        return allowed and (
            user.role != "VIEWER" or (details and details.id) == f"pgo_refresh__{user.username}"
        )
