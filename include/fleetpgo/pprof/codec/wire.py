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
LONGER = 0x80
"""The bit that says of an octet of a varint that one more follows."""

FIRST_TAG = 1 << 3
"""No field has the number 0."""

COMMENTS = 13 << 3 | LENGTH_DELIMITED
"""The tag of Profile's packed list of comments: of its numbers each may take no more than one byte."""


SAMPLE, LOCATION = 2 << 3 | LENGTH_DELIMITED, 4 << 3 | LENGTH_DELIMITED
"""Tags of Profile's records that hold most of its numbers."""

NOT_LAST = bytes(range(LONGER, 256))
"""The octets of a varint that one more follows."""


class Walk(Enum):
    """What a walk over a message found."""

    FINE = "only whole fields"
    TOO_MANY = "too many fields"
    CUT_OFF = "the message ends inside a field"
    NO_MESSAGE = "something that is no field"


def walk(message: bytes, most: int) -> Walk:
    """Walk over the outermost fields, ``most`` of them at the most; a packed comment counts as one, too."""
    at, fields, size = 0, 0, len(message)
    while at < size:
        if fields >= most:
            return Walk.TOO_MANY
        tag = message[at]
        if (
            tag & 7 == LENGTH_DELIMITED
            and LENGTH_DELIMITED < tag < LONGER
            and at + 1 < size
            and message[at + 1] < LONGER
        ):
            length = message[at + 1]  # most fields are so, and a profile may have half a million of them
            at += 2 + length
        else:
            tag, at = _varint(message, at)
            kind, length = tag & 7, 0
            if tag < FIRST_TAG and at <= size:
                return Walk.NO_MESSAGE
            if kind == VARINT:
                _, at = _varint(message, at)
            elif kind == LENGTH_DELIMITED:
                length, at = _varint(message, at)
                at += length
            elif kind in FIXED_BYTES:
                at += FIXED_BYTES[kind]
            else:
                return Walk.NO_MESSAGE
        fields += 1 if tag != COMMENTS else max(1, length)
    if at > size:
        return Walk.CUT_OFF
    return Walk.TOO_MANY if fields > most else Walk.FINE


def numbers_in(message: bytes) -> int:
    """Return how many numbers the samples or the locations have, whichever have more; tags and lengths count.

    Of a message that is cut off, those up to its end.
    """
    found, at = {SAMPLE: 0, LOCATION: 0}, 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, length = tag & 7, FIXED_BYTES.get(tag & 7, 0)
        if kind == VARINT:
            _, at = _varint(message, at)
        elif kind == LENGTH_DELIMITED:
            length, at = _varint(message, at)
        if tag in found:
            # The last octet of each number, and no other one, lacks the bit that says: one more follows.
            found[tag] += len(message[at : at + length].translate(None, NOT_LAST))
        at += length
    return max(found.values())


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the varint at ``at`` and the index after it; past the end if it is truncated or too long."""
    value = 0
    for place, octet in enumerate(data[at : at + MOST_VARINT_BYTES]):
        value |= (octet & 0x7F) << 7 * place
        if octet < LONGER:
            return value, at + place + 1
    return value, len(data) + 1
