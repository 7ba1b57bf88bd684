"""A walk over a message's outermost fields, before anything is allocated for them.

Decoded, an empty record of two bytes takes some eighty. So a message of a few MB that holds nothing but empty
records would take more memory than any real profile; this walk finds that out in constant space.
Source of the format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from enum import Enum

VARINT, LENGTH_DELIMITED = 0, 2
FIXED_BYTES = {1: 8, 5: 4}
"""Wire type → bytes of the value, for the types whose length is fixed."""
MOST_VARINT_BYTES = 10


class Walk(Enum):
    """What a walk met."""

    FINE = "only whole fields"
    TOO_MANY = "too many fields"
    CUT_OFF = "the message ends inside a field"
    NO_MESSAGE = "something that is no field"


def walk(message: bytes, most: int) -> Walk:
    """Walk over the outermost fields, ``most`` of them at the most."""
    at, fields, size = 0, 0, len(message)
    while at < size:
        if fields == most:
            return Walk.TOO_MANY
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == VARINT:
            _, at = _varint(message, at)
        elif kind == LENGTH_DELIMITED:
            length, at = _varint(message, at)
            at += length
        elif kind in FIXED_BYTES:
            at += FIXED_BYTES[kind]
        else:
            return Walk.NO_MESSAGE
        fields += 1
    return Walk.FINE if at == size else Walk.CUT_OFF


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The varint at ``at`` and the index after it; past the end of ``data`` if it is cut off or too long."""
    value = 0
    for place, octet in enumerate(data[at : at + MOST_VARINT_BYTES]):
        value |= (octet & 0x7F) << 7 * place
        if octet < 0x80:  # noqa: PLR2004 -- the high bit says: one more byte follows
            return value, at + place + 1
    return value, len(data) + 1
