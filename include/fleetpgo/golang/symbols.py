"""Names of functions as Go's linker writes them: ``import/path.(*Type[…]).Method.func1``.

Source: ``LinkFuncName`` in cmd/compile/internal/ir, ``PathToPrefix`` in cmd/internal/objabi.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

_BRACKET = re.compile(r"([\[\]])")


def without_type_arguments(name: str) -> str:
    """A name without what is in brackets, which may nest; in one pass, for names come from a network."""
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
    """A name for people, as pprof shows it: of the package's path the end alone; and no type arguments."""
    return unquote(without_type_arguments(name).rpartition("/")[2])
