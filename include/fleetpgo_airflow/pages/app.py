"""The routes of the pages. Each requires a user; those of a run require the right to read its DAG's runs.

Pages and scripts are looked up by name in a list that is made once (:mod:`fleetpgo_airflow.pages.files`): no
path of a request is ever joined to a directory. Pages load nothing from another host; the content security
policy forbids it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.responses import FileResponse, JSONResponse, Response

from fleetpgo import foreign, overview
from fleetpgo.errors import FleetPGOError, StoreError
from fleetpgo_airflow import hooks
from fleetpgo_airflow.pages.access import MAY_READ_RUN, SIGNED_IN, ReadableDags, Store, run_state
from fleetpgo_airflow.pages.files import explain_absence, find_files
from fleetpgo_airflow.pages.responses import (
    DifferenceAnswer,
    ErrorAnswer,
    FleetAnswer,
    RunAnswer,
    ServiceAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import Request

    from fleetpgo.overview import Row
    from fleetpgo_airflow.pages.access import ServiceDag

_FILES = find_files()

_POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self'{styles}; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; frame-src 'self'; frame-ancestors 'self'; "
    "base-uri 'none'; form-action 'none'"
)
_VIEWER = "/static/speedscope/"
# The flame graph viewer reads C++ names by WebAssembly, and writes its styles into the page.
_VIEWER_NEEDS = (" 'wasm-unsafe-eval'", " 'unsafe-inline'")

_ERRORS: dict[int | str, dict[str, Any]] = {
    500: {"model": ErrorAnswer, "description": "An artifact cannot be read."},
    503: {"model": ErrorAnswer, "description": "The store does not answer."},
}
_DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "The file."},
    404: {"model": ErrorAnswer, "description": "There is no such file."},
}

# Without a route for the schema: nobody but the tests asks for it.
app = FastAPI(title="fleetpgo", openapi_url=None, dependencies=[SIGNED_IN])
runs = APIRouter(prefix="/api/runs/{dag_id}/{run_id}", dependencies=[MAY_READ_RUN], responses=_ERRORS)


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


@app.get("/", include_in_schema=False)
def fleet_page() -> FileResponse:
    """Return the page of the fleet."""
    return _file("fleet.html")


@app.get("/run", include_in_schema=False)
def run_page() -> FileResponse:
    """Return the page of a run; its script reads ``dag_id`` and ``run_id`` from the address."""
    return _file("run.html")


@app.get("/static/{path:path}", include_in_schema=False)
def static_file(path: str) -> FileResponse:
    """Return a script, a style sheet, or a file of the flame graph viewer."""
    return _file(path, cached=True)


@app.get("/api/fleet", responses=_ERRORS)
def fleet(dags: ReadableDags) -> FleetAnswer:
    """Return the services whose DAG the user may read, and the cores that they have reclaimed together."""
    now = datetime.now(UTC)
    rows = overview.look_at_fleet(hooks.store_root(), [dag.service for dag in dags], now=now)
    return FleetAnswer.model_validate(
        {
            "services": [_service(dag, row) for dag, row in zip(dags, rows, strict=True)],
            "level": overview.level_of(rows),
            "reclaimed": overview.reclaimed_by_day(rows),
            "now": now,
        }
    )


def _service(dag: ServiceDag, row: Row) -> ServiceAnswer:
    """Return a service's answer; of the many refreshes of its row, the page needs the number alone."""
    shown = {**vars(dag), **vars(row), "refreshes": len(row.refreshes)}
    return ServiceAnswer.model_validate({name: shown[name] for name in ServiceAnswer.model_fields})


@runs.get("")
def run(store: Store, dag_id: str, run_id: str) -> RunAnswer:
    """Return the run's overview so far, and its state in Airflow."""
    found = overview.look_at_run(store)
    return RunAnswer.model_validate({**vars(found), "state": run_state(dag_id, run_id)})


@runs.get("/difference")
def difference(store: Store) -> DifferenceAnswer | None:
    """Return the run's profile against the one merged before it; null if there is none."""
    found = overview.previous_run(store)
    if found is None:
        return None
    old, before, own = found
    return DifferenceAnswer.model_validate(overview.compare_runs(old, store, before.digest, own.digest))


@runs.get("/difference/{part}.pb.gz", response_class=Response, responses=_DOWNLOAD)
def difference_profile(store: Store, part: Literal["grown", "shrunk"]) -> Response:
    """Return the stacks that grew, or shrank, since the profile merged before, for the flame graph."""
    found = overview.previous_run(store)
    if found is None:
        raise HTTPException(404, "no profile was merged before this one")
    old, before, own = found
    grown, shrunk = overview.compare_stacks(old, store, before.digest, own.digest)
    return _attachment(grown if part == "grown" else shrunk, f"{part}.pb.gz")


@runs.get("/artifacts/{name}", response_class=Response, responses=_DOWNLOAD)
def artifact(store: Store, name: str) -> Response:
    """Return one of the artifacts in :data:`fleetpgo.overview.run.DOWNLOADS`."""
    data = overview.find_download(store, name)
    if data is None:
        raise HTTPException(404, f"this run has no {foreign.line(name, 100)} to download")
    return _attachment(data, name)


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
