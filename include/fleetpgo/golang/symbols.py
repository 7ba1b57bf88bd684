"""Names of functions as Go's linker writes them: ``import/path.(*Type[…]).Method.func1``.

Source: ``LinkFuncName`` in cmd/compile/internal/ir, ``PathToPrefix`` in cmd/internal/objabi.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

_BRACKET = re.compile(r"([\[\]])")


def without_type_arguments(name: str) -> str:
    """Return a symbol without its type arguments: everything in brackets, which may nest. Linear in time."""
    kept, depth = [], 0
    for part in _BRACKET.split(name):
        if part == "[":
            depth += 1
        elif part == "]":
            depth -= 1
        elif depth <= 0:
            kept.append(part)
    return "".join(kept)


def short(name: str) -> str:
    """Return a short name as pprof shows it: the last element of the package path, no type arguments."""
    return unquote(without_type_arguments(name).rpartition("/")[2])
