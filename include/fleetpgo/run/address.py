"""Addresses of a store: a directory, ``s3://bucket/prefix``, or ``s3://CONNECTION@bucket/prefix``.

Airflow opens object storage with its own connections. For the command line, this module does it: without a
connection from the ``AWS_…`` variables (such as AWS_ENDPOINT_URL), with one from
``AIRFLOW_CONN_<CONNECTION>``, as JSON or as a URI. It cannot read the connections in Airflow's database.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from fleetpgo import foreign
from fleetpgo.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upath import UPath

_FORMS = "write a directory, s3://bucket/prefix, or s3://CONNECTION@bucket/prefix"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?(.*)", re.DOTALL)
_CONNECTION = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Address:
    """An object storage. ``connection`` is an Airflow connection's id; "": none is named."""

    scheme: str
    connection: str
    bucket: str
    prefix: str


def parse(text: str) -> Path | Address:
    """Read the address of a store.

    Raises:
        StoreError: it is neither a directory nor a URL with a bucket. Nothing that looks like a URL is ever a
            directory's name: a run's artifacts would end where nobody looks for them.
    """
    found = _SCHEME.fullmatch(text)
    if not found:
        return Path(text)
    scheme, slashes, rest = found.groups()
    login, _, place = rest.rpartition("@")
    bucket, _, prefix = place.partition("/")
    if not slashes or not bucket:
        raise StoreError(f"the store's address, {scheme}:…, names no bucket", hint=_FORMS)
    if login and not _CONNECTION.fullmatch(login):
        # Not repeated: it may be a password.
        raise StoreError(
            f"the text before @{place} in the store's address is not a connection id",
            hint=f"{_FORMS}; keys belong in the connection, or in AWS_ACCESS_KEY_ID and the like",
        )
    return Address(scheme.lower(), login, bucket, prefix)


def open_root(text: str, environment: Mapping[str, str], *, gs: bool = False) -> Path | UPath:
    """Return the store's root, for programs without Airflow. Nothing is asked of the storage yet.

    Args:
        text: see :func:`parse`.
        environment: variables that may hold the connection.
        gs: whether ``gs://bucket/prefix`` will do, too; Google's own variables and files name the login.

    Raises:
        StoreError: the address, its scheme or its connection cannot be used.
    """
    address = parse(text)
    if isinstance(address, Path):
        return address
    if gs and address.scheme == "gs":
        return _google(address)
    if address.scheme != "s3":
        raise StoreError(f"the command line cannot reach a store on {address.scheme}://", hint=_FORMS)
    if find_spec("s3fs") is None:
        raise StoreError(f"a store on s3://{address.bucket} needs the package s3fs", hint="pip install s3fs")
    from upath import UPath  # noqa: PLC0415  # not for those with a directory

    remember_keys(environment)
    options = _options(address.connection, environment) if address.connection else {}
    # What others put must be seen at the next look.
    root: UPath = UPath(f"s3://{address.bucket}/{address.prefix}", use_listings_cache=False, **options)
    return root


def _google(address: Address) -> UPath:
    if address.connection:
        raise StoreError(
            f"the command line cannot use the connection {address.connection} for gs://",
            hint=f"leave {address.connection}@ out, and set GOOGLE_APPLICATION_CREDENTIALS",
        )
    if find_spec("gcsfs") is None:
        raise StoreError(f"gs://{address.bucket} needs the package gcsfs", hint="pip install gcsfs")
    from upath import UPath  # noqa: PLC0415  # not for those with a directory

    root: UPath = UPath(f"gs://{address.bucket}/{address.prefix}", use_listings_cache=False)
    return root


def remember_keys(environment: Mapping[str, str]) -> None:
    """Have the keys that the AWS_… variables hold blotted out of all that is said."""
    foreign.remember(environment.get("AWS_SECRET_ACCESS_KEY"), environment.get("AWS_SESSION_TOKEN"))


def _options(connection: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the options for s3fs from a connection; boto3 looks for what it leaves out, as always."""
    variable = f"AIRFLOW_CONN_{connection.upper()}"
    if not (text := environment.get(variable)):
        raise StoreError(
            f"the connection {connection} of the store's address is not in the environment",
            hint=f"set {variable} as Airflow reads it (JSON or a URI), or leave {connection}@ out and set "
            "AWS_ACCESS_KEY_ID and the like",
        )
    try:
        login, password, extra = _from_json(text) if text.lstrip().startswith("{") else _from_uri(text)
    except (ValueError, TypeError, AttributeError):
        # Without the cause, which may quote a password.
        raise StoreError(
            f"{variable} does not hold a connection", hint='write {"conn_type": "aws", "login": …} or aws://…'
        ) from None
    if "role_arn" in extra:
        raise StoreError(
            f"{variable} has role_arn, and the command line cannot assume a role",
            hint=f"leave {connection}@ out, and set AWS_PROFILE to a profile that has the role",
        )
    service = extra.get("service_config", {}).get("s3", {})
    client = {name: extra[name] for name in ("region_name", "verify") if name in extra}
    secret = password or extra.get("aws_secret_access_key")
    foreign.remember(secret, extra.get("aws_session_token"))
    options = {
        "key": login or extra.get("aws_access_key_id"),
        "secret": secret,
        "token": extra.get("aws_session_token"),
        "endpoint_url": service.get("endpoint_url", extra.get("endpoint_url")),
        "profile": extra.get("profile_name"),
        "client_kwargs": client,
        "config_kwargs": extra.get("config_kwargs"),
    }
    return {name: value for name, value in options.items() if value}


def _from_json(text: str) -> tuple[str | None, str | None, dict[str, Any]]:
    """Login, password and extra; the extra is an object, or one written as a string."""
    record = json.loads(text)
    extra = record.get("extra") or {}
    return record.get("login"), record.get("password"), _object(extra)


def _from_uri(text: str) -> tuple[str | None, str | None, dict[str, Any]]:
    """Parse a URI. The extra is its query, whose values may be JSON, or the JSON object in ``__extra__``."""
    parts = urlsplit(text)
    if not parts.scheme:
        raise ValueError("no scheme")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra = _object(query["__extra__"]) if "__extra__" in query else {k: _value(v) for k, v in query.items()}
    login, password = (unquote(part) if part else None for part in (parts.username, parts.password))
    return login, password, extra


def _object(value: str | dict[str, Any]) -> dict[str, Any]:
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise TypeError("not an object")
    return found


def _value(text: str) -> Any:  # noqa: ANN401  # JSON is whatever was written
    try:
        return json.loads(text)
    except ValueError:
        return text
