"""Buttons on a task: the pull request, the profile, and the task's queries.

A worker works out the address when the task ends, from what is in the run's store then. "" means that there
is nothing to see, or that the store does not answer or cannot be read; Airflow shows no button for it.
"""

from __future__ import annotations

import logging
from functools import wraps
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode, urlsplit

from airflow.configuration import conf
from airflow.sdk import BaseOperatorLink

from fleetpgo.errors import ArtifactError, StoreError
from fleetpgo.run.artifacts import MergedProfile
from fleetpgo.run.measured import Measurement
from fleetpgo.run.proposed import Proposed
from fleetpgo.run.selected import Selection
from fleetpgo.service.files import load_named
from fleetpgo_airflow import hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

    from fleetpgo.run.store import RunStore

MOST_QUERIES = 10
"""Largest number of panels in a link to Prometheus: addresses have a limited length."""

log = logging.getLogger(__name__)


def _none_if_unreadable(get_link: Callable[..., str]) -> Callable[..., str]:
    """Return  if the store cannot be read: a missing button must not fail a good task."""

    @wraps(get_link)
    def link(self: BaseOperatorLink, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        try:
            return get_link(self, operator, ti_key=ti_key)
        except (ArtifactError, StoreError) as error:
            log.warning("no button %s: %s", self.name, error)
            return ""

    return link


class PullRequestLink(BaseOperatorLink):
    """The run's pull request on its forge."""

    name = "Pull request"

    @_none_if_unreadable
    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Its URL; "" for a forge without a web server, and where none was opened."""
        proposed = _store(operator, ti_key).find(Proposed)
        url = (proposed.url if proposed else None) or ""
        return url if url.startswith(("http://", "https://")) else ""


class ProfileLink(BaseOperatorLink):
    """The run's page: its flame graph, and what changed since the profile before."""

    name = "Profile"

    @_none_if_unreadable
    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the PGO tab of the run; "" before there is a profile."""
        if not _store(operator, ti_key).exists(MergedProfile):
            return ""
        base = conf.get("api", "base_url", fallback="").rstrip("/")
        return f"{base}/dags/{ti_key.dag_id}/runs/{quote(ti_key.run_id, safe='')}/plugin/fleetpgo-run"


class SelectionQueryLink(BaseOperatorLink):
    """The query that chose the instances, in Prometheus' own page."""

    name = "Prometheus query"

    @_none_if_unreadable
    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Prometheus with the query in it; "" if nothing was asked."""
        store, window = _store(operator, ti_key), cast("Any", operator).window
        # A run that takes all instances now knows of no window.
        chosen = store.find(Selection, window or "") or store.find(Selection)
        return _prometheus(operator, [chosen.query]) if chosen else ""


class MeasurementQueryLink(BaseOperatorLink):
    """The queries that the raw figures of a measurement come from, in Prometheus' own page."""

    name = "Prometheus query"

    @_none_if_unreadable
    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Prometheus with a panel for each query, at the measurement's time; "" if there is none."""
        measured = _store(operator, ti_key).find(Measurement, cast("Any", operator).period)
        if measured is None:
            return ""
        queries = dict(measured.queries)
        at = queries.pop("evaluated at", "")
        return _prometheus(operator, queries.values(), at=at)


def _service(operator: BaseOperator) -> str:
    # operators.py imports this file, so the classes that have a service, window or period are not named here.
    service: str = cast("Any", operator).service
    return service


def _store(operator: BaseOperator, ti_key: TaskInstanceKey) -> RunStore:
    return hooks.run_store(_service(operator), ti_key.run_id)


def _prometheus(operator: BaseOperator, queries: Iterable[str], at: str = "") -> str:
    """Address of the page, of Prometheus or Thanos.

    ``g<n>.expr`` is the query of panel n, ``tab=1`` its table; source: ``decodePanelOptionsFromURLParams`` in
    Prometheus' web/ui.
    """
    parts = urlsplit(hooks.prometheus(load_named(_service(operator))).address)
    # A login in the address would be shown to everybody who sees the button.
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    parameters: dict[str, str] = {}
    for number, query in enumerate(list(queries)[:MOST_QUERIES]):
        parameters |= {f"g{number}.expr": query, f"g{number}.tab": "1"}
        if at:
            parameters[f"g{number}.moment_input"] = at[:19].replace("T", " ")
    return f"{address}/graph?{urlencode(parameters)}"
