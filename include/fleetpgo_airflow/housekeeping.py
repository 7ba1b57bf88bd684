"""The operator that keeps the artifact store small."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from fleetpgo.errors import FleetPGOError
from fleetpgo.run import contents, retention
from fleetpgo_airflow import hooks

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fleetpgo.run.retention import Pruned


class PruneStoreOperator(BaseOperator):
    """Removes what is old from the store, service by service; returns what it has freed."""

    ui_color = "#dff0e4"

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Prune; params ``profiles_after`` and ``runs_after`` in days, ``dry_run``: remove nothing."""
        params = context["params"]
        try:
            root = hooks.store_root()
            services = contents.services_of(root)
        except FleetPGOError as error:
            raise AirflowException(str(error)) from None
        freed, faults = [], []
        for service in services:
            # What is wrong with one keeps none of the others.
            try:
                done = self._prune(root, service, params)
            except FleetPGOError as error:
                faults.append(f"{service}: {error}")
            else:
                freed.append(asdict(done))
                faults += [f"{service}: {each}" for each in done.faults]
        if faults:
            raise AirflowException("\n".join(["not all could be removed:", *faults]))
        return freed

    def _prune(self, root: Any, service: str, params: Any) -> Pruned:  # noqa: ANN401  # a path; Airflow's
        done = retention.prune(
            root,
            service,
            now=datetime.now(UTC),
            profiles_after=timedelta(days=params["profiles_after"]),
            runs_after=timedelta(days=params["runs_after"]),
            dry_run=params["dry_run"],
        )
        freed, files = sum(done.bytes.values()), sum(done.files.values())
        self.log.info(
            "%s: %s bytes in %s files of %s of %s runs%s; %s bytes stay",
            *(service, f"{freed:,}", f"{files:,}", done.runs, done.of),
            *(" would go" if params["dry_run"] else "", f"{done.kept:,}"),
        )
        return done
