"""Clients and the store, from Airflow's connections and configuration."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airflow.configuration import AIRFLOW_HOME
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import BaseHook, ObjectStoragePath
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.io import has_fs
from airflow.sdk.log import mask_secret
from fsspec.config import conf as fsspec_defaults  # type: ignore[import-untyped]  # fsspec has no types

from fleetpgo import foreign
from fleetpgo.errors import ForgeError, ServiceFileError, StoreError
from fleetpgo.prometheus import Prometheus
from fleetpgo.proposal import forges
from fleetpgo.run import address as store_address
from fleetpgo.run.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow.sdk import Connection
    from upath import UPath

    from fleetpgo.collection import Access
    from fleetpgo.service.repository import RepositoryRules
    from fleetpgo.service.rules import ServiceRules

# What fleetpgo knows to be secret, Airflow masks in logs: also what is made of a connection, such as headers.
foreign.listeners.append(mask_secret)


def prometheus(service: ServiceRules) -> Prometheus:
    """Return the service's Prometheus, with an ``http`` connection's authentication, headers and TLS.

    Its extra may name a file of certificate authorities, ``ca``.
    """
    connection = service.prometheus.connection
    hook = HttpHook(http_conn_id=connection)
    with _named("prometheus.connection", connection, "http"):
        session = hook.get_conn()
        ca = _ca(BaseHook.get_connection(connection).extra_dejson)
    # The hook makes a header of each entry of the extra that it does not know.
    session.headers.pop("ca", None)
    return Prometheus(hook.base_url, session, ca=ca)


def _ca(extra: Mapping[str, Any]) -> Path | None:
    """Return the file of certificate authorities that a connection names."""
    return Path(extra["ca"]) if extra.get("ca") else None


async def access(service: ServiceRules) -> Access:
    """Return credentials and TLS files for the instances, from ``collection.connection`` (type ``http``).

    Its extra may hold ``headers`` (a mapping), ``ca``, ``cert``, ``key`` and ``token`` (files on the worker);
    its password, or what is in the file `token`, becomes a bearer token.
    """
    connection = service.collection.connection
    if connection is None:
        return _access(None)
    with _named("collection.connection", connection, "http"):
        return _access(await BaseHook.aget_connection(connection))


def blocking_access(service: ServiceRules) -> Access:
    """Return what :func:`access` returns, to a task that runs no event loop."""
    connection = service.collection.connection
    if connection is None:
        return _access(None)
    with _named("collection.connection", connection, "http"):
        return _access(BaseHook.get_connection(connection))


def _access(connection: Connection | None) -> Access:
    from fleetpgo.collection import Access  # noqa: PLC0415  # not when the DAG file is parsed

    if connection is None:
        return Access(open_root=storage_root)
    extra = connection.extra_dejson
    headers = dict(extra.get("headers", {}))
    if token := connection.password or _token(extra):
        headers["Authorization"] = f"Bearer {token}"
    files = {name: Path(extra[name]) if name in extra else None for name in ("ca", "cert", "key")}
    return Access(headers, files["ca"], files["cert"], files["key"])


def _token(extra: Mapping[str, Any]) -> str:
    """Return what the file holds that the extra `token` names; Kubernetes writes a new one every hour."""
    if "token" not in extra:
        return ""
    try:
        return Path(extra["token"]).read_text().strip()
    except (OSError, ValueError) as error:
        raise ServiceFileError(
            f"collection.connection names a file with a token that cannot be read: {extra['token']}",
            hint="the extra `token` is the path of a file on the worker",
        ) from error


def forge(service: ServiceRules) -> forges.Forge:
    """Return the service's forge, from a connection of any type; ``fleetpgo_forge`` has a form for it."""
    repository = service.repository
    with _named("repository.connection", repository.connection, "Forge (fleetpgo)"):
        connection = BaseHook.get_connection(repository.connection)
    return connected(connection, repository)


@contextmanager
def _named(key: str, connection: str, kind: str) -> Iterator[None]:
    """Name the key of the service file that names a connection which does not exist."""
    try:
        yield
    except AirflowNotFoundException as error:
        raise ServiceFileError(
            f"{key} names the Airflow connection {connection!r}, which does not exist",
            hint=f"create it in Airflow with the type {kind}, or correct {key}",
        ) from error


def connected(connection: Connection, repository: RepositoryRules) -> forges.Forge:
    """Return a repository on the forge that a connection names.

    The connection's host is the forge's address (for the ``local`` forge: its extra ``path``, a directory),
    and its password the token. With the extras ``app_id`` and ``installation_id`` it is an app of GitHub's,
    and the password its private key. The extra ``ca`` is a file of certificate authorities on the worker, and
    ``signing_key`` the private key that signs commits.
    """
    extra = connection.extra_dejson
    return forges.connect(
        repository.forge,
        repository.project,
        address=extra.get("path") or connection.host or "",
        token=connection.password,
        app=_app(extra),
        ca=_ca(extra),
        signing_key=extra.get("signing_key"),
    )


def _app(extra: Mapping[str, Any]) -> forges.App | None:
    app, installation = (str(extra.get(name) or "") for name in ("app_id", "installation_id"))
    if not app and not installation:
        return None
    if not app or not installation.isdecimal():
        raise ForgeError(
            "repository.connection has one of app_id and installation_id; an app needs both",
            hint="installation_id is the number at the end of the address of the installation's settings",
        )
    return forges.App(app, int(installation))


def store_root() -> Path | UPath:
    """Return the artifact store, ``$FLEETPGO_STORE``: a directory, or the URL of an object storage.

    The URL may name an Airflow connection: ``s3://aws_default@bucket/prefix``. All workers, the triggerer and
    the API server must see the same store.

    Raises:
        StoreError: no installed provider reaches such an address.
    """
    return storage_root(os.environ.get("FLEETPGO_STORE") or str(_home() / "store"))


def storage_root(text: str) -> Path | UPath:
    """Return a directory, or a bucket through Airflow's connections.

    Raises:
        StoreError: no installed provider reaches such an address.
    """
    address = store_address.parse(text)
    if isinstance(address, Path):
        return address
    if not has_fs(address.scheme):
        raise StoreError(
            f"no installed Airflow provider reaches a store on {address.scheme}://",
            hint="correct FLEETPGO_STORE (or collection.files), or install the provider; s3:// needs "
            "apache-airflow-providers-amazon[s3fs], gs:// apache-airflow-providers-google",
        )
    store_address.remember_keys(os.environ)
    # A triggerer lives for weeks: it must see what workers have put since it last looked.
    fsspec_defaults.setdefault(address.scheme, {})["use_listings_cache"] = False
    # Airflow's path type is a UPath in all but its static type.
    return cast("UPath", ObjectStoragePath(text))


def run_store(service: str, run: str) -> RunStore:
    """Return the store of one run's artifacts."""
    return RunStore(store_root(), service, run)


def cache() -> Path:
    """Return the directory of Go's caches, ``$FLEETPGO_CACHE``; without them the next build is slow."""
    return Path(os.environ.get("FLEETPGO_CACHE") or _home() / "cache")


def cache_limit() -> int:
    """Return how many bytes the caches of all repositories may have, ``$FLEETPGO_CACHE_BYTES``: 20 GB.

    Raises:
        StoreError: it is no number.
    """
    text = os.environ.get("FLEETPGO_CACHE_BYTES") or str(20 << 30)
    if not text.isdecimal():
        raise StoreError(
            f"FLEETPGO_CACHE_BYTES is {foreign.line(text, 40)!r}, and no number of bytes",
            hint="write 21474836480 for 20 GB",
        )
    return int(text)


def _home() -> Path:
    return Path(AIRFLOW_HOME) / "fleetpgo"
