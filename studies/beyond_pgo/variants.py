"""The variants: what each is built with. A variant is data; :mod:`studies.beyond_pgo.builds` builds it."""

from __future__ import annotations

from dataclasses import dataclass

NONE = "none"
AGAIN = "none again"
PGO = "pgo"
BOLT = "BOLT"


@dataclass(frozen=True)
class Variant:
    """One way to build a server.

    Attributes:
        name: as the table shows it.
        profile: whether the server's profile is given to the compiler.
        flags: for ``go build``, beside those that all variants have.
        environment: variables of the build, as pairs.
        ordered: whether the linker places the functions of the profile first.
        bolt: whether LLVM's BOLT rewrites the binary.
    """

    name: str
    profile: bool = False
    flags: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    ordered: bool = False
    bolt: bool = False


def _debug(setting: str) -> tuple[str, ...]:
    # Names: cmd/compile/internal/base/debug.go.
    return (f"-gcflags=all=-d={setting}",)


def _level(level: str) -> tuple[tuple[str, str], ...]:
    return (("GOAMD64", level),)


_PLAIN = Variant(NONE)
_AGAIN = Variant(AGAIN)
_PGO = Variant(PGO, profile=True)
_BUDGET = Variant("pgo, pgoinlinebudget=5000", profile=True, flags=_debug("pgoinlinebudget=5000"))
_V3 = Variant("GOAMD64=v3", environment=_level("v3"))
_V3_PGO = Variant("pgo, GOAMD64=v3", profile=True, environment=_level("v3"))
_ORDERED_PGO = Variant("pgo, hot functions first", profile=True, ordered=True)

FULL = (
    _PLAIN,
    _AGAIN,
    _PGO,
    Variant("pgo, pgoinlinecdfthreshold=95", profile=True, flags=_debug("pgoinlinecdfthreshold=95")),
    Variant("pgo, pgoinlinecdfthreshold=99.9", profile=True, flags=_debug("pgoinlinecdfthreshold=99.9")),
    Variant("pgo, pgoinlinebudget=500", profile=True, flags=_debug("pgoinlinebudget=500")),
    _BUDGET,
    Variant("GOAMD64=v2", environment=_level("v2")),
    Variant("pgo, GOAMD64=v2", profile=True, environment=_level("v2")),
    _V3,
    _V3_PGO,
    Variant("hot functions first", ordered=True),
    _ORDERED_PGO,
    Variant(BOLT, bolt=True),
)
"""For the demo's service, whose build takes seconds."""

FEW = (_PLAIN, _AGAIN, _PGO, _V3, _V3_PGO, _ORDERED_PGO)
"""For real servers: most of these compile everything anew, the standard library included."""


def _c(*flags: str) -> tuple[tuple[str, str], ...]:
    told = " ".join(flags)
    return (("CGO_ENABLED", "1"), ("CGO_CFLAGS", told), ("CGO_LDFLAGS", told))


WITH_C = (
    Variant(NONE, environment=_c("-O2", "-g")),
    Variant(AGAIN, environment=_c("-O2", "-g")),
    Variant("C: -O3", environment=_c("-O3", "-g")),
    Variant("C: -O3 -flto", environment=_c("-O3", "-g", "-flto")),
)
"""For the demo's service with a hot function in C. Go's own default for C is ``-O2 -g``."""
