"""Metrics for Prometheus and a check of health, at ``/fleetpgo-monitoring``.

An application of its own: who scrapes has no login of Airflow, whose tokens expire. Without a token of its
own there are no metrics (404). It comes from ``FLEETPGO_METRICS_TOKEN``, or from the file that
``FLEETPGO_METRICS_TOKEN_FILE`` names, which is read at each scrape. The check of health says one word to
everybody, and asks the store every five seconds at most.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from fleetpgo import foreign
from fleetpgo.errors import StoreError
from fleetpgo.overview import metrics as overview
from fleetpgo_airflow import hooks

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEALTH_S = 5.0
"""Seconds that the store has to answer, and for which the answer holds."""

app = FastAPI(title="fleetpgo monitoring", openapi_url=None)


class _Figures:
    """A collector of all figures; see :data:`fleetpgo.overview.metrics.METRICS`."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found: dict[str, GaugeMetricFamily] = {}
        for each in overview.figures(hooks.store_root(), now=datetime.now(UTC)):
            family = found.get(each.metric)
            if family is None:
                labels = list(each.labels)
                family = GaugeMetricFamily(each.metric, overview.METRICS[each.metric], labels=labels)
                found[each.metric] = family
            family.add_metric([foreign.cleaned(value) for value in each.labels.values()], each.value)
        yield from found.values()


@app.get("/metrics")
def metrics(authorization: Annotated[str, Header()] = "") -> Response:
    """Return the figures in Prometheus' text format."""
    token = _token()
    if not token:
        raise HTTPException(
            404, "set FLEETPGO_METRICS_TOKEN, or FLEETPGO_METRICS_TOKEN_FILE, to have metrics"
        )
    if not secrets.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
        raise HTTPException(
            401, "the bearer token is not FLEETPGO_METRICS_TOKEN", {"WWW-Authenticate": "Bearer"}
        )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures())
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _token() -> str:
    """Return the token; "" if there is none. A file that cannot be read is an error, not an open door."""
    if file := os.environ.get("FLEETPGO_METRICS_TOKEN_FILE"):
        try:
            token = Path(file).read_text().strip()
        except (OSError, ValueError) as error:
            raise HTTPException(503, "FLEETPGO_METRICS_TOKEN_FILE cannot be read") from error
        if not token:
            raise HTTPException(503, "FLEETPGO_METRICS_TOKEN_FILE is empty")
    else:
        token = os.environ.get("FLEETPGO_METRICS_TOKEN", "").strip()
    foreign.remember(token)
    return token


_health: dict[str, tuple[float, bool]] = {}
_asking = threading.Lock()


@app.get("/health")
def health() -> JSONResponse:
    """Return 200 if the artifact store answers, else 503."""
    at, well = _health.get("store", (-_HEALTH_S, False))
    # While one asks, which may take its time, others hear what is known, if anything is.
    if time.monotonic() - at > _HEALTH_S and _asking.acquire(blocking="store" not in _health):
        try:
            well = overview.answers(hooks.store_root(), seconds=_HEALTH_S)
        except StoreError:
            well = False
        finally:
            _health["store"] = time.monotonic(), well
            _asking.release()
    return JSONResponse({"store": "ok" if well else "does not answer"}, 200 if well else 503)
