"""The routes of the pages. Each requires a user; those of a run require the right to read its DAG's runs.

Pages and scripts are looked up by name in a list that is made once (:mod:`fleetpgo_airflow.pages.files`): no
path of a request is ever joined to a directory. Pages load nothing from another host; the content security
policy forbids it.
"""

from __future__ import annotations

import json
from dataclasses import is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.responses import FileResponse, JSONResponse, Response

from fleetpgo import overview
from fleetpgo.errors import FleetPGOError, StoreError
from fleetpgo_airflow import hooks
from fleetpgo_airflow.pages.access import MAY_READ_RUN, SIGNED_IN, ReadableDags, Store, run_state
from fleetpgo_airflow.pages.files import explain_absence, find_files

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import Request

_FILES = find_files()

_POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self'{styles}; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; frame-src 'self'; frame-ancestors 'self'; "
    "base-uri 'none'; form-action 'none'"
)
_VIEWER = "/static/speedscope/"
# The flame graph viewer reads C++ names by WebAssembly, and writes its styles into the page.
_VIEWER_NEEDS = (" 'wasm-unsafe-eval'", " 'unsafe-inline'")

app = FastAPI(title="fleetpgo", openapi_url=None, dependencies=[SIGNED_IN])
runs = APIRouter(prefix="/api/runs/{dag_id}/{run_id}", dependencies=[MAY_READ_RUN])


@app.middleware("http")
async def _protect(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    scripts, styles = _VIEWER_NEEDS if _VIEWER in request.url.path else ("", "")
    response.headers["Content-Security-Policy"] = _POLICY.format(scripts=scripts, styles=styles)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers.setdefault("Cache-Control", "private, no-store")
    return response


@app.exception_handler(FleetPGOError)
def _explain(_request: Request, error: FleetPGOError) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=503 if isinstance(error, StoreError) else 500)


@app.get("/")
def fleet_page() -> FileResponse:
    """Return the page of the fleet."""
    return _file("fleet.html")


@app.get("/run")
def run_page() -> FileResponse:
    """Return the page of a run; its script reads ``dag_id`` and ``run_id`` from the address."""
    return _file("run.html")


@app.get("/static/{path:path}")
def static_file(path: str) -> FileResponse:
    """Return a script, a style sheet, or a file of the flame graph viewer."""
    return _file(path, cached=True)


@app.get("/api/fleet")
def fleet(dags: ReadableDags) -> Response:
    """Return the services whose DAG the user may read, and the cores that they have reclaimed together."""
    store, now = hooks.store_root(), datetime.now(UTC)
    rows = [overview.look_at_service(store, dag.service, now=now) for dag in dags]
    return _json(
        {
            # Of the many refreshes that a row sums up, the page needs the number alone.
            "services": [
                {**vars(dag), **vars(row), "refreshes": len(row.refreshes)}
                for dag, row in zip(dags, rows, strict=True)
            ],
            "reclaimed": overview.reclaimed_by_day(rows),
            "now": now,
        }
    )


@runs.get("")
def run(store: Store, dag_id: str, run_id: str) -> Response:
    """Return what the run has stored so far, and its state in Airflow."""
    return _json({**vars(overview.look_at_run(store)), "state": run_state(dag_id, run_id)})


@runs.get("/difference")
def difference(store: Store) -> Response:
    """Return the run's profile compared with the one merged before it; null: there is none."""
    found = overview.previous_run(store)
    if found is None:
        return _json(None)
    old, before, own = found
    return _json(overview.compare_runs(old, store, before.digest, own.digest))


@runs.get("/difference/{part}.pb.gz")
def difference_profile(store: Store, part: Literal["grown", "shrunk"]) -> Response:
    """Return the stacks that grew, or shrank, since the profile merged before, for the flame graph."""
    found = overview.previous_run(store)
    if found is None:
        raise HTTPException(404, "no profile was merged before this one")
    old, before, own = found
    grown, shrunk = overview.compare_stacks(old, store, before.digest, own.digest)
    return _attachment(grown if part == "grown" else shrunk, f"{part}.pb.gz")


@runs.get("/artifacts/{name}")
def artifact(store: Store, name: str) -> Response:
    """Return an artifact that :data:`fleetpgo.overview.run.ARTIFACTS` lists."""
    if not overview.is_artifact(name) or not store.exists(name):
        raise HTTPException(404, f"this run has no {name} to download")
    return _attachment(store.read(name), name)


app.include_router(runs)

_TYPES = {".json": "application/json", ".md": "text/markdown", ".svg": "image/svg+xml"}


def _attachment(data: bytes, name: str) -> Response:
    """Return bytes as a file to save or for a page of ours to draw; a browser never shows them as a page."""
    return Response(
        data,
        media_type=_TYPES.get(Path(name).suffix, "application/octet-stream"),
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _file(name: str, *, cached: bool = False) -> FileResponse:
    file = _FILES.get(name)
    if file is None:
        raise HTTPException(404, explain_absence(name))
    return FileResponse(file, headers={"Cache-Control": "private, max-age=600"} if cached else None)


def _json(value: object) -> Response:
    text = json.dumps(value, ensure_ascii=False, default=_as_json)
    return Response(text, media_type="application/json")


def _as_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value):
        return vars(value)  # not a deep copy, as asdict makes it
    raise TypeError(f"{type(value).__name__} has no JSON form")
