"""The service of the tiny module, which the `origin` of the tests holds."""

from __future__ import annotations

import gzip
from typing import Any

from fleetpgo.service.rules import ServiceRules


def tiny(
    *,
    repository: dict[str, Any] | None = None,
    build: dict[str, Any] | None = None,
    **sections: dict[str, Any],
) -> ServiceRules:
    """What its service file says; the keys that a test names take the place of these."""
    return ServiceRules.model_validate(
        {
            "name": "tiny",
            "prometheus": {"connection": "prometheus"},
            "selection": {"cpu": "up"},
            "repository": {
                "forge": "local",
                "connection": "forge",
                "project": "tiny",
                "profile": "pgo/profile.pprof",
                **(repository or {}),
            },
            # One more build of everything is slow: only the tests of what it is for ask for it.
            "build": {"binary": "bin/tiny", "timeout": "3m", "explain": False, **(build or {})},
            "rollout": {"fraction": "up"},
            "measurement": {"cpu": "up"},
            **sections,
        }
    )


def repacked(profile: bytes) -> bytes:
    """The same profile in other bytes."""
    return gzip.compress(gzip.decompress(profile), mtime=0)
