"""The *Test* button of the connection type ``fleetpgo_forge``.

:mod:`fleetpgo_airflow.provider` declares the connection's form.
"""

from __future__ import annotations

from airflow.sdk import BaseHook

from fleetpgo.errors import FleetPGOError
from fleetpgo.service.files import load_named
from fleetpgo_airflow import hooks


class ForgeHook(BaseHook):
    """The hook that Airflow creates from such a connection when somebody presses *Test*.

    Args:
        conn_id: id of the connection.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "fleetpgo_forge_default"
    conn_type = "fleetpgo_forge"
    hook_name = "Forge (fleetpgo)"

    def __init__(self, conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.conn_id = conn_id

    def test_connection(self) -> tuple[bool, str]:
        """Ask the forge for the open pull request of the service that the form names."""
        connection = self.get_connection(self.conn_id)
        extra = connection.extra_dejson
        if not extra.get("service"):
            return (
                False,
                "fill in *Service to test with*: its service file names the kind of forge and the repository",
            )
        try:
            service = load_named(extra["service"])
            repository = service.repository
            found = hooks.connected(connection, repository).find(service.branch)
        except FleetPGOError as error:
            return False, str(error)
        waiting = (
            f"pull request #{found.number} is open"
            if found and found.state == "open"
            else "no pull request is open"
        )
        return True, f"{repository.project} can be read; {waiting}"
