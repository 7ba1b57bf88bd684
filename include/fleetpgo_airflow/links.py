"""Buttons on a task: the pull request, the profile, and the task's queries.

A worker computes the address when the task ends, from the run's store. "" means that there is nothing to
show, or that the store does not answer; Airflow then shows no button.
"""

from __future__ import annotations

import logging
from functools import wraps
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlencode, urlsplit

from airflow.configuration import conf
from airflow.sdk import BaseOperatorLink

from fleetpgo.errors import StoreError
from fleetpgo.service.files import load_named
from fleetpgo_airflow import hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

    from fleetpgo.run.store import RunStore
    from fleetpgo_airflow.operators import MeasureOperator, RefreshOperator, SelectInstancesOperator

MOST_QUERIES = 10
"""Largest number of panels in a link to Prometheus: addresses have a limited length."""

log = logging.getLogger(__name__)


def _none_during_an_outage(get_link: Callable[..., str]) -> Callable[..., str]:
    """Make a button that is missing while the store is down, instead of a traceback in a good task's log."""

    @wraps(get_link)
    def link(self: BaseOperatorLink, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        try:
            return get_link(self, operator, ti_key=ti_key)
        except StoreError as error:
            log.warning("no button %s: %s", self.name, error)
            return ""

    return link


class PullRequestLink(BaseOperatorLink):
    """The run's pull request on its forge."""

    name = "Pull request"

    @_none_during_an_outage
    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return its URL; "" if the forge has no web server, or none was opened."""
        store = _store(operator, ti_key)
        if not store.exists("pull_request.json"):
            return ""
        url = store.read_json("pull_request.json")["url"] or ""
        return url if url.startswith(("http://", "https://")) else ""


class ProfileLink(BaseOperatorLink):
    """The run's page: its flame graph, and what changed since the profile before."""

    name = "Profile"

    @_none_during_an_outage
    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the PGO tab of the run; "" before there is a profile."""
        if not _store(operator, ti_key).exists("merged.pb.gz"):
            return ""
        base = conf.get("api", "base_url", fallback="").rstrip("/")
        return f"{base}/dags/{ti_key.dag_id}/runs/{quote(ti_key.run_id, safe='')}/plugin/fleetpgo-run"


class SelectionQueryLink(BaseOperatorLink):
    """The query that chose the instances, in Prometheus' own page."""

    name = "Prometheus query"

    @_none_during_an_outage
    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Prometheus with the query in it; "" if nothing was asked."""
        store, window = _store(operator, ti_key), cast("SelectInstancesOperator", operator).window
        # A run that takes all instances now knows of no window.
        name = f"selection-{window}.json" if store.exists(f"selection-{window}.json") else "selection.json"
        return _prometheus(operator, [store.read_json(name)["query"]]) if store.exists(name) else ""


class MeasurementQueryLink(BaseOperatorLink):
    """The queries that the raw figures of a measurement come from, in Prometheus' own page."""

    name = "Prometheus query"

    @_none_during_an_outage
    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Prometheus with a panel for each query, at the measurement's time; "" if there is none."""
        store, name = _store(operator, ti_key), f"measure_{cast('MeasureOperator', operator).period}.json"
        if not store.exists(name):
            return ""
        queries = store.read_json(name)["queries"]
        at = queries.pop("evaluated at", "")
        return _prometheus(operator, queries.values(), at=at)


def _service(operator: BaseOperator) -> str:
    return cast("RefreshOperator", operator).service


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
