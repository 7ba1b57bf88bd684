"""Unpack received bytes to one protobuf message, within limits.

A profile comes from a network, so it is not trusted: the unpacked size, the number of records and the depth
of a stack are limited, and each refusal has a named reason. This module knows gzip, and what servers commonly
send instead of a profile. It does not know the content of the message.
"""

from __future__ import annotations

from dataclasses import dataclass

from isal import isal_zlib

from fleetpgo import foreign
from fleetpgo.errors import ProfileError

MIB = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
JOINT_BYTES = 4 * MIB
"""Of messages that are read at once: eight of those that Go writes in half a minute. More is no quicker, and
what is read of a hostile message takes up to forty times its own size."""

SHORTEST_TEXT = 4
LONGEST_SAID = 60
"""Characters that are shown of a text that came instead of a profile."""

GZIP_WINDOW = 31
"""zlib's ``wbits`` for a gzip stream: a window of 2¹⁵ bytes, plus 16 for the gzip header and its checksum."""


@dataclass(frozen=True)
class Limits:
    """Limits of a profile. The first part protects the machine, the second the judgement.

    Args:
        packed_bytes: most bytes as sent.
        message_bytes: most bytes after unzipping; a gzip stream can hold a thousand times its own size.
        records: most samples, locations, functions, mappings and strings together.
        stack_depth: most locations in one sample; Go's runtime writes at most 128.
        duration_tolerance: how far the duration may be from what was asked for, as a share of that.
        start_line_share: least share of the weight that must come from functions with ``start_line``.
    """

    packed_bytes: int = 32 * MIB
    message_bytes: int = 64 * MIB
    records: int = 500_000
    stack_depth: int = 4096
    duration_tolerance: float = 0.2
    start_line_share: float = 0.95


MERGED_LIMITS = Limits(packed_bytes=256 * MIB, message_bytes=1024 * MIB, records=50_000_000)
"""Our own merge of many profiles is larger than what one instance may send."""


def message(data: bytes, limits: Limits) -> bytes:
    """Return the protobuf message in ``data``, which is the message itself or gzipped.

    Raises:
        ProfileError: ``empty``, ``html``, ``text``, ``too-large``, ``truncated``, ``corrupt`` or
        ``concatenated``.
    """
    if not data:
        raise ProfileError(
            "The profile is empty: 0 bytes.",
            reason="empty",
            hint="Look at the answer's status: an instance that is shutting down sends no body.",
        )
    if len(data) > limits.packed_bytes:
        raise ProfileError(
            f"The profile has {len(data):,} bytes; the limit is {limits.packed_bytes:,}.",
            reason="too-large",
            hint="A profile of 30 s has a few hundred KB: check that the URL leads to a CPU profile.",
        )
    if data.startswith(GZIP_MAGIC):
        return _unzip(data, limits.message_bytes)
    _refuse_text(data)
    if len(data) > limits.message_bytes:
        raise _too_large(limits.message_bytes)
    return data


def _unzip(data: bytes, most: int) -> bytes:
    stream = isal_zlib.decompressobj(GZIP_WINDOW)
    try:
        raw = stream.decompress(data, most + 1)
    except isal_zlib.error as error:  # type: ignore[misc]  # its stub declares an exception, not a class
        raise ProfileError(
            f"The profile's gzip stream is damaged: {error}.",
            reason="corrupt",
            hint="Fetch it again; if it stays so, something on the way changes the body.",
        ) from error
    if len(raw) > most:
        raise _too_large(most)
    if not stream.eof:
        raise ProfileError(
            f"The profile's gzip stream ends early, after {len(data):,} bytes.",
            reason="truncated",
            hint="Fetch it again with a timeout well above the profile's duration.",
        )
    if stream.unused_data:
        raise ProfileError(
            f"{len(stream.unused_data):,} more bytes follow the profile's gzip stream.",
            reason="concatenated",
            hint="Join profiles with `fleetpgo profile merge`; do not concatenate them.",
        )
    return raw


def _refuse_text(data: bytes) -> None:
    """Name what is commonly sent instead of a profile: a web page, or an error in plain text."""
    # Every profile starts with a field's tag byte and its length; a text starts with three or more letters or
    # blanks, which is no message that Go writes (fields of the types 3, 4, 6 and 7, or numbers above 15).
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<body")):
        raise ProfileError(
            "A web page came instead of a profile.",
            reason="html",
            hint="The URL leads to a login or an error page: check the path and the credentials.",
        )
    start = data[:64]
    if len(start) >= SHORTEST_TEXT and all(byte in b"\t\n\r" or 0x20 <= byte < 0x7F for byte in start):  # noqa: PLR2004
        shown = foreign.line(data.lstrip().partition(b"\n")[0], LONGEST_SAID)
        raise ProfileError(
            f"Text came instead of a profile: {shown!r}.",
            reason="text",
            hint="Ask for the binary form (no ?debug=1); while another CPU profile runs, Go answers with an "
            "error.",
        )


def _too_large(most: int) -> ProfileError:
    return ProfileError(
        f"The profile unpacks to more than {most:,} bytes.",
        reason="too-large",
        hint="Real profiles unpack to a few MB; raise the limit only for a source that you trust.",
    )
