"""From Airflow's connections and configuration to the domain's clients and store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from airflow.configuration import AIRFLOW_HOME
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import BaseHook, ObjectStoragePath
from airflow.sdk.log import mask_secret
from fsspec.config import conf as fsspec_defaults  # type: ignore[import-untyped]  # fsspec has no types

from fleetpgo import forges
from fleetpgo.prometheus import Prometheus
from fleetpgo.store import RunStore

if TYPE_CHECKING:
    from upath import UPath

    from fleetpgo.collection import Access
    from fleetpgo.config import Service


def prometheus(service: Service) -> Prometheus:
    """The service's Prometheus, through an ``http`` connection (its authentication, headers and TLS)."""
    hook = HttpHook(http_conn_id=service.prometheus.connection)
    session = hook.get_conn()
    return Prometheus(hook.base_url, session)


async def access(service: Service) -> Access:
    """Credentials and TLS for the service's instances, from ``collection.connection`` (type ``http``).

    Its extra may hold ``headers`` (a mapping), ``ca``, ``cert`` and ``key`` (files on the worker); its
    password becomes a bearer token. All of it is masked in logs.
    """
    from fleetpgo.collection import Access  # noqa: PLC0415  # not when the DAG file is parsed

    if service.collection.connection is None:
        return Access()
    connection = await BaseHook.aget_connection(service.collection.connection)
    extra = connection.extra_dejson
    headers = dict(extra.get("headers", {}))
    if connection.password:
        headers["Authorization"] = f"Bearer {connection.password}"
    for value in headers.values():
        mask_secret(value)
    files = {name: Path(extra[name]) if name in extra else None for name in ("ca", "cert", "key")}
    return Access(headers, files["ca"], files["cert"], files["key"])


def forge(service: Service) -> forges.Forge:
    """The service's forge, from a connection of any type; ``generic`` is the one that asks for least.

    The connection's host is the forge's address (for the ``local`` forge: its extra ``path``, a directory),
    and its password the token. What git sends of it is masked in logs too.
    """
    connection = BaseHook.get_connection(service.repository.connection)
    address = connection.extra_dejson.get("path") or connection.host or ""
    made = forges.connect(
        service.repository.forge, service.repository.project, address=address, token=connection.password
    )
    for name, value in made.git_config().items():
        if name.startswith("http."):
            mask_secret(value.rpartition(" ")[2])
    return made


def store_root() -> Path | UPath:
    """The artifact store, ``$FLEETPGO_STORE``: a directory, or an object storage URL.

    The URL may name an Airflow connection: ``s3://aws_default@bucket/prefix``. All workers, the triggerer and
    the API server must see the same store.
    """
    root = os.environ.get("FLEETPGO_STORE") or str(_home() / "store")
    scheme, is_url, _ = root.partition("://")
    if not is_url:
        return Path(root)
    # A triggerer lives for weeks: it must see what workers have put since it last looked.
    fsspec_defaults.setdefault(scheme, {})["use_listings_cache"] = False
    # Airflow's path type is a UPath in all but its static type.
    return cast("UPath", ObjectStoragePath(root))


def run_store(service: str, run: str) -> RunStore:
    """The artifacts of one run."""
    return RunStore(store_root(), service, run)


def cache() -> Path:
    """Where Go's caches are kept between runs: ``$FLEETPGO_CACHE``; without them the next build is slow."""
    return Path(os.environ.get("FLEETPGO_CACHE") or _home() / "cache")


def _home() -> Path:
    return Path(AIRFLOW_HOME) / "fleetpgo"
