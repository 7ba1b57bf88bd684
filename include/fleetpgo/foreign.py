"""Text from outside, made fit to be kept and shown: no secret of ours, no control character, bounded.

Whoever answers may repeat what was sent to it: a header, the login of a URL. Control characters change what a
terminal or a page shows: escape sequences, bells, marks that turn the direction of writing. So text from
instances, Prometheus, forges, stores, repositories and builds passes through here where it enters, before it
is cut, kept, logged or shown. Half a token is most of a token, so secrets go before the text is cut; and they
go after the control characters, which could hide one.

This module knows every secret in use. Whoever takes one from a connection, a URL or the environment calls
:func:`remember`.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BLOT = "•••"
"""What stands in place of a secret."""

UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"
"""What stands in place of a character that cannot be printed."""

CUT = "…"
"""What a text ends in that was longer."""

_SHORTEST = 5
"""Characters. Blotting out shorter words would only garble messages; Airflow's own masking has this limit."""

_SHORTEST_LINE = 16
"""Characters of a line of a secret that has several, such as a private key, from which it is one itself."""

_MOST = 1000
"""Secrets that are remembered: the latest. A triggerer gets new tokens every hour, for weeks."""

_BYTES_OF_A_LETTER = 4
"""The most that UTF-8 takes."""

_NO_SECRETS = {
    *("accept", "accept-encoding", "connection", "content-type", "user-agent"),
    *("thanos-tenant", "x-scope-orgid"),
}
"""Headers whose values are no secrets; a tenant is often called as the fleet is."""

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")

# Over http without a colon, too: a token. Elsewhere that is a user's name, such as that of git@.
_LOGIN = re.compile(r"(?:(?<=https://)|(?<=http://))[^/\s]+@|(?<=://)[^/\s@:]*:[^/\s]+@")

_known: tuple[str, ...] = ()
"""The secrets in all their forms, the latest last."""

_lock = Lock()

listeners: list[Callable[[str], object]] = []
"""Are told each secret, in each of its forms; Airflow's masking is one."""


def remember(*secrets: str | None) -> None:
    """Blot these secrets out of all text from now on, also as they stand in URLs and in JSON."""
    global _known  # noqa: PLW0603  # the one place that knows them
    forms = dict.fromkeys(form for secret in secrets if secret for form in _forms(secret))
    with _lock:
        _known = (*(form for form in _known if form not in forms), *forms)[-_MOST:]
    for form in forms:
        for listener in listeners:
            listener(form)


def remember_headers(headers: Mapping[str, str | bytes]) -> None:
    """Blot out the values of headers, whole and without their first word.

    Of ``Bearer <token>`` the token may be shown alone.
    """
    for name, value in headers.items():
        if name.lower() not in _NO_SECRETS:
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            remember(text, *text.split()[1:])


def remember_login(user: str, password: str) -> None:
    """Blot out a password, and the header that sends it: ``Authorization: Basic …``."""
    remember(password, b64encode(f"{user}:{password}".encode()).decode())


def remember_netrc(address: str) -> None:
    """Blot out the password that the user's ``.netrc`` has for an address: requests sends it unasked."""
    from requests.utils import get_netrc_auth  # noqa: PLC0415  # for those alone that have loaded it already

    if login := get_netrc_auth(address):
        remember_login(*login)


def remember_logins(text: str) -> None:
    """Blot out the passwords in the URLs of a text, such as a proxy's. A name without one may be a token."""
    for address in re.split(r"[\s,|]+", text):
        try:
            parts = urlsplit(address)
        except ValueError:
            continue
        login = parts.netloc.rpartition("@")[0]
        name, colon, password = login.partition(":")
        secret = password if colon else name
        remember(secret, unquote(secret))


def remember_proxies(environment: Mapping[str, str]) -> None:
    """Remember the passwords of the proxies that an environment names, Go's module proxy among them."""
    for name, value in environment.items():
        if name.lower().endswith("proxy") and "@" in value:
            remember_logins(value)


def blotted(text: str) -> str:
    """Return a text without secrets: those that are remembered, and logins in URLs."""
    secrets = _found_in(text)
    return secrets.sub(lambda found: "" if found["login"] else BLOT, text) if secrets else text


def knows_any() -> bool:
    """Return whether there is a secret to be looked for."""
    return bool(_known)


def holds_secret(data: bytes) -> bool:
    """Return whether bytes hold one of the secrets that are remembered."""
    return any(form.encode() in data for form in _known)


def cleaned(text: str) -> str:
    """Return a text without control characters and marks of direction, except tabs and newlines.

    Escape sequences go; every other character that cannot be printed becomes U+FFFD.
    """
    if text.isprintable():
        return text
    plain = _ESCAPE_SEQUENCE.sub("", text.replace("\r\n", "\n"))
    return "".join(letter if letter.isprintable() or letter in "\t\n" else UNPRINTABLE for letter in plain)


def safe(text: str) -> str:
    """Return a text of any number of lines without control characters and secrets."""
    return blotted(cleaned(text))


def beginning(text: str, longest: int, *, whole: bool = True) -> str:
    """Return the first characters of a text, without control characters and secrets.

    Args:
        text: the text.
        longest: characters to return; a secret that begins in them is blotted out whole.
        whole: whether this is all of it; if not, it may end in the middle of a secret.
    """
    said = cleaned(text)
    if whole and len(said) <= longest and not _found_in(said):
        return said
    end = longest if whole else max(min(longest, len(said) - longest_secret()), 0)
    for found in _secrets_in(said):
        if found.start() < end < found.end():
            end = found.end()
    kept = blotted(said[:end])
    return kept if whole and end >= len(said) else kept + CUT


def end_of(text: str, longest: int, *, whole: bool = True) -> str:
    """Return the last characters of a text, without control characters and secrets.

    Args:
        text: the text.
        longest: characters to return; a secret that ends in them is blotted out whole.
        whole: whether this is all of it; if not, it may begin in the middle of a secret.
    """
    most = longest + longest_secret()
    said = cleaned(text[-most:])
    start = max(len(said) - longest, 0 if whole and len(text) <= most else longest_secret())
    for found in _secrets_in(said):
        if found.start() < start < found.end():
            start = found.start()
    return blotted(said[start:])


def line(text: str | bytes, longest: int) -> str:
    """Return a text on one line, without control characters and secrets, cut where it is too long.

    Of a text without an end only a part is looked at.
    """
    most = _BYTES_OF_A_LETTER * longest + longest_secret()
    if isinstance(text, bytes):
        most *= _BYTES_OF_A_LETTER
    part, whole = text[:most], len(text) <= most
    said = part.decode(errors="replace") if isinstance(part, bytes) else part
    return beginning(" ".join(said.split()), longest, whole=whole)


def longest_secret() -> int:
    """Return how many bytes the longest secret has; no fewer than it has characters."""
    return max((len(form.encode()) for form in _known), default=0)


def _forms(secret: str) -> list[str]:
    """Return a secret and what becomes of it in URLs and in JSON; of several lines, each."""
    lines = secret.split("\n")
    parts = [each.strip() for each in lines]
    if len(parts) > 1:
        parts = [each for each in parts if len(each) >= _SHORTEST_LINE]
    return [
        form
        for part in (secret.strip(), *parts)
        for form in (part, quote(part, safe=""), json.dumps(part)[1:-1])
        if len(form) >= _SHORTEST
    ]


def _secrets_in(text: str) -> Iterator[re.Match[str]]:
    secrets = _found_in(text)
    return secrets.finditer(text) if secrets else iter(())


def _found_in(text: str) -> re.Pattern[str] | None:
    """Return a pattern of the secrets that a text holds; None: it holds none, as nearly all."""
    found = [form for form in _known if form in text]
    if not found and not ("@" in text and _LOGIN.search(text)):
        return None
    # The longest first: a token is a part of its header.
    known = map(re.escape, sorted(found, key=len, reverse=True))
    return re.compile("|".join([*known, f"(?P<login>{_LOGIN.pattern})"]))
