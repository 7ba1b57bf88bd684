"""Users of the site in FAB's auth manager, production's own: python -m tests.pages.people PASSWORD.

``admin`` may do everything. Each of the others may read the DAG of the service of that name, and the runs of
whatever DAG they may read, and nothing else.
"""

from __future__ import annotations

import sys

VIEWERS = ("edge", "gateway")
USERS = ("admin", *VIEWERS)


def main(password: str) -> None:
    """Make them, and their roles, in the database of this process' Airflow."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import (  # noqa: PLC0415  # imports Airflow
        get_application_builder,
    )

    with get_application_builder() as builder:
        manager = builder.sm
        manager.bulk_sync_roles(
            {"role": name, "perms": {("can_read", f"DAG:pgo_refresh__{name}"), ("can_read", "DAG Runs")}}
            for name in VIEWERS
        )
        for name in USERS:
            role = manager.find_role("Admin" if name == "admin" else name)
            made = manager.add_user(name, name, name, f"{name}@example.com", role, password)
            if not made:
                raise SystemExit(f"user {name} could not be made")


if __name__ == "__main__":
    main(sys.argv[1])
