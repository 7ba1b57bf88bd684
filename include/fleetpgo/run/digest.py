"""The digest that identifies a profile in the manifest, the pull request and the metrics of its builds."""

from __future__ import annotations

import hashlib

DIGITS = 12
"""Enough to tell the profiles of a fleet apart, and short enough for a metric's label."""


def digest(profile: bytes) -> str:
    """Return the first 12 hex digits of the SHA-256 of a profile's bytes."""
    return hashlib.sha256(profile).hexdigest()[:DIGITS]
