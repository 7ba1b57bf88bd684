"""What a service file says of build variants: the service built in another way, beside the profile.

A variant changes how Go compiles, and nothing else: its difference from the build with the profile is that of
the compilation. So it may set few variables. The others are for all builds (`build.environment`), belong to
fleetpgo itself (where caches and modules are), or make another program: with another GOOS or GOARCH the
worker could run no benchmark, and GODEBUG changes what a program does. GOFLAGS are `flags`, and the profile
is the same in all builds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from fleetpgo.service.values import Part, Variables

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALLOWED = re.compile(
    r"GOAMD64|GOARM64|GOARM|GO386|GOPPC64|GORISCV64|GOMIPS|GOMIPS64|GOEXPERIMENT|GOTOOLCHAIN"
    r"|CGO_ENABLED|CGO_(?:C|CPP|CXX|F|LD)FLAGS|CC|CXX"
)
_FLAGS = {
    "-gcflags": "-gcflags=all=-N",
    "-ldflags": "-ldflags=-s",
    "-asmflags": "-asmflags=-D=NAME",
    "-tags": "-tags=netgo",
    "-trimpath": "-trimpath",
    "-buildmode": "-buildmode=pie",
}
"""The flags that a variant may pass, each with an example."""


def _allowed_variables(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if name == "GOFLAGS":
            raise ValueError("give GOFLAGS as `flags`, so that those of `build.environment` stay")
        if not _ALLOWED.fullmatch(name):
            raise ValueError(
                f"a variant may not set {name}, but only how Go compiles: GOAMD64, GOARM64, …, GOEXPERIMENT, "
                "GOTOOLCHAIN, CGO_ENABLED, CGO_…FLAGS, CC, CXX; variables of all builds are "
                "`build.environment`"
            )
    return value


def _split(value: object) -> object:
    """Split flags at blanks; those that hold one stand in a list."""
    return tuple(value.split()) if isinstance(value, str) else value


def _allowed_flags(flags: tuple[str, ...]) -> tuple[str, ...]:
    for flag in flags:
        name, has_value, value = flag.replace("--", "-", 1).partition("=")
        if name == "-pgo" or "-pgoprofile" in value:
            raise ValueError(f"the profile is the same in all builds, so a variant may not pass {flag}")
        if name not in _FLAGS:
            raise ValueError(
                f"a variant may not pass {flag}; flags are {', '.join(_FLAGS)}, each with its value after =. "
                "Write a list: a flag with blanks stands in it: ['-gcflags=-N -l']"
            )
        if not has_value and name != "-trimpath":
            raise ValueError(f"{flag} has no value; write it after =: {_FLAGS[name]}")
        if "'" in flag and '"' in flag:
            raise ValueError(f"{flag}: GOFLAGS can hold one kind of quotes in a flag")
    return flags


VariantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,40}$")]


class VariantRules(Part):
    """One more way to build the service, to compare with the build with the profile; see docs/variants.md."""

    environment: Annotated[Variables, AfterValidator(_allowed_variables)] = Field(
        default={},
        description="variables that differ from the service's build: `GOAMD64: v3`, `GOTOOLCHAIN: go1.28.0`, "
        "`GOEXPERIMENT`, `CGO_CFLAGS`; only such as say how Go compiles",
    )
    flags: Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_allowed_flags)] = Field(
        default=(),
        description="flags of `go build`, added to GOFLAGS: `-gcflags=-d=pgoinlinebudget=4000`. Of a "
        "flag that is there already, this value counts: `-tags=x` replaces the tags of `build.environment`, "
        "so name those, too. A flag that `build.command` itself passes wins. A flag with blanks stands in a "
        "list: `['-gcflags=-N -l']`",
    )

    @model_validator(mode="after")
    def _differs(self) -> Self:
        if not self.environment and not self.flags:
            raise ValueError("a variant needs `environment` or `flags`, or it is the build itself")
        return self

    @property
    def sets(self) -> str:
        """What it sets, as a shell would: ``GOAMD64=v3 -tags=x``."""
        return " ".join([*(f"{name}={value}" for name, value in self.environment.items()), *self.flags])

    def over(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return a build's environment with the variant's."""
        quoted = [f'"{each}"' if "'" in each else f"'{each}'" for each in self.flags]
        flags = " ".join(filter(None, [environment.get("GOFLAGS", ""), *quoted]))
        return {**environment, **self.environment, "GOFLAGS": flags}
