"""Ask the compiler what it does because of the profile: ``-gcflags='-m -d=pgodebug=2'``.

This needs a separate build: the flags are recorded in the binary, so it cannot be one of the two builds that
are compared. Only the packages with hot calls are compiled again. The flags do not change the code, so all
other packages come from Go's build cache.

A call is compiled in the package of its caller. A generic function is compiled where it is instantiated, so
the packages of its callers get the flags, too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fleetpgo.golang.symbols import without_type_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.pprof import Edges

_FLAGS = "-m -d=pgodebug=2"
_MOST = 1_000
"""Packages that are asked; those with the heaviest calls come first."""

# https://go.dev/ref/mod#go-mod-file-ident and `objabi.PathToPrefix`: what a profile says goes into GOFLAGS.
_IMPORT_PATH = re.compile(r"[A-Za-z0-9_~.][\w.~+/-]{0,299}", re.ASCII)


def hot_packages(edges: Edges) -> list[str]:
    """Return the import paths of the packages that hold hot calls, by falling weight; without ``main``."""
    callers = defaultdict(list)
    for edge in edges.weights:
        if "[" in edge.callee:
            callers[edge.callee].append(edge.caller)
    found: dict[str, None] = {}
    seen = set()
    for edge in edges.hot:
        names = [edge.caller]
        while names:
            name = names.pop()
            if name in seen:
                continue
            seen.add(name)
            found[_package(name)] = None
            if "[" in name:
                names += callers[name]
    return [each for each in found if each != "main" and _IMPORT_PATH.fullmatch(each)][:_MOST]


def _package(function: str) -> str:
    plain = without_type_arguments(function)
    return unquote(plain[: max(plain.find(".", plain.rfind("/") + 1), 0)])


def asking(environment: Mapping[str, str], packages: Sequence[str]) -> dict[str, str]:
    """Return a build environment in which the compiler reports its decisions because of the profile.

    Args:
        environment: of the build.
        packages: to ask, besides those that the build command names.
    """
    values = [*(f"{package}={_FLAGS}" for package in packages), _FLAGS]
    flags = " ".join(f"'-gcflags={value}'" for value in values)
    return {**environment, "GOFLAGS": f"{environment.get('GOFLAGS', '')} {flags}".strip()}


def asked(settings: Mapping[str, str]) -> bool:
    """Return whether a binary was built with our ``-gcflags``; those of the build command override them.

    Args:
        settings: as :func:`fleetpgo.golang.toolchain.build_settings` gives them.
    """
    return _FLAGS in settings.get("-gcflags", "")
