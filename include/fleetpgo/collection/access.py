"""Credentials and TLS for talking to instances, and the HTTP session that carries them.

No secret is part of a URL. A server may repeat the header that it rejected, so :mod:`fleetpgo.foreign` knows
all of them.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from fleetpgo import foreign
from fleetpgo.collection.resolving import JudgingResolver
from fleetpgo.errors import ServiceFileError
from fleetpgo.network.addresses import parse_allow
from fleetpgo.run.address import open_root

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aiohttp.abc import AbstractResolver
    from upath import UPath

    from fleetpgo.service.profiling import CollectionRules

CONNECT_SECONDS = 10.0


def _root_of_environment(text: str) -> Path | UPath:
    return open_root(text, os.environ, gs=True)


@dataclass(frozen=True)
class Access:
    """Credentials and TLS files for the instances.

    Args:
        headers: sent with every request, such as ``Authorization`` or ``CF-Access-Client-Secret``.
        ca: file of the certificate authorities to trust; None: the system's.
        certificate: file of our own certificate, and its key if `key` is None.
        key: file of our key.
        open_root: opens a directory or a bucket, ``s3://bucket``, where profiles lie.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    open_root: Callable[[str], Path | UPath] = field(default=_root_of_environment, repr=False, compare=False)

    def __post_init__(self) -> None:
        foreign.remember_headers(self.headers)

    @property
    def has_credentials(self) -> bool:
        """Whether requests carry credentials, which a wrong receiver could steal."""
        return bool(self.headers or self.certificate)


def open_session(rules: CollectionRules, access: Access, resolver: AbstractResolver) -> aiohttp.ClientSession:
    """Open a session that connects only to addresses that `rules` allow. The caller closes it.

    Raises:
        ServiceFileError: credentials would be sent, and ``collection.allow`` does not say where they may go,
            or they would go over plain http; or a file of certificates cannot be used.
    """
    if access.has_credentials and not rules.allow:
        raise ServiceFileError(
            "credentials would go wherever a metric's label points",
            hint="say in collection.allow which hosts (*.example.com) or networks (10.0.0.0/8) may get them",
        )
    if access.has_credentials and not rules.plain_http and URL(rules.url).scheme == "http":
        raise ServiceFileError(
            "credentials would be sent over plain http, where everybody on the way can read them",
            hint="write https:// in collection.url, or set collection.plain_http to accept it",
        )
    connector = aiohttp.TCPConnector(
        limit=0,  # the guard bounds what is under way
        # A profile takes seconds: a kept connection saves nothing, and looks like a leak over there.
        force_close=True,
        use_dns_cache=False,
        resolver=JudgingResolver(resolver, parse_allow(rules.allow)),
        ssl=_tls(access),
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        headers={"Accept-Encoding": "identity", "User-Agent": "fleetpgo", **access.headers},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def _tls(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.ca)
        if access.certificate:
            context.load_cert_chain(access.certificate, access.key)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(str(file) for file in (access.ca, access.certificate, access.key) if file)
        raise ServiceFileError(
            f"cannot use the certificates ({files}): {error}",
            hint="PEM files, readable on the machine that fetches; the key must belong to the certificate",
        ) from error
    return context
