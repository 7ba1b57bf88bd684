"""The share of a profile that still fits the source that is being built.

Go's compiler finds a call edge (:mod:`fleetpgo.pprof.edges`) again by three things: the caller's name, the
callee's name, and the call's line counted from the caller's ``func`` line. An edge is *matched* if the source
still has all three; the share of matched weight says how stale a profile has become. Where the three do not
meet, the compiler ignores the edge without a word (golang/go#70291). Names are the compiler's: a generic
function's without its type arguments, as some stores send it, is none (:mod:`fleetpgo.pprof.renaming`).

The sources are parsed with tree-sitter, not type-checked, so this is told by names:

- the line of a call is that of its opening parenthesis, as the compiler counts (cmd/compile/internal/syntax);
- a call through a function value or a ``range`` over a function matches any callee that still exists;
- a closure is any function literal inside the function that it is named after: their numbers shift easily.
  But where another toolchain numbered them (:mod:`fleetpgo.golang.numbering`), one that this toolchain names
  otherwise is lost, and one that it may number otherwise is left out;
- the body of ``for … range iterator`` is a function, ``f-range1``: any such loop of the function it is named
  after, whatever it ranges over;
- a deferred call runs at some later line, so it is looked for from its ``defer`` on.

A call from or into the runtime is matched if the toolchain's own source shows it. Else it is left out, for
the compiler inserts such calls where the source shows none. Left out as well, and said so: functions
without Go source (assembly, C, what the compiler, cgo and the linker make), and packages whose source is not
at hand.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from fleetpgo.golang.numbering import (
    BEFORE,
    CLOSURE,
    SINCE,
    Numbering,
    is_in_loop,
    numbering_of,
    numberings,
)
from fleetpgo.golang.packages import go_version
from fleetpgo.golang.source import Function, Source, parse
from fleetpgo.golang.symbols import without_type_arguments
from fleetpgo.pprof.programs import is_std

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fleetpgo.golang.packages import Package
    from fleetpgo.pprof import Edge, Edges


@dataclass(frozen=True)
class Lost:
    """An edge that the source does not have any more.

    Attributes:
        edge: the call.
        share: of the compared weight.
        why: what is missing: the caller, the callee, or the call on that line.
    """

    edge: Edge
    share: float
    why: str


@dataclass(frozen=True)
class SourceMatch:
    """The share of a profile's edge weight that is still in the source.

    Attributes:
        share: matched part of the compared weight, 0 … 1; None where nothing could be compared.
        compared: part of all weight that was compared, 0 … 1.
        excluded: reason → part of all weight that was left out for it, the largest first.
        lost: the edges that are not matched, the heaviest first.
        other_go: what says that another version of Go built the profiled program than the source is for, in
            a sentence; "": nothing does.
    """

    share: float | None
    compared: float
    excluded: Mapping[str, float]
    lost: Sequence[Lost]
    other_go: str = ""


RUNTIME = "from or into the runtime"
NO_GO = "not written in Go"
GENERATED = "made by the compiler"
NO_SOURCE = "source not at hand"
RENUMBERED = "closures that this version of Go may number otherwise"
RENAMED = "the closure, which this version of Go names otherwise,"

NAMED = 3
"""Functions that a sentence names."""

TELLING = 0.01
"""Share of the weight of calls between Go's own packages. If more of it is not in the source, another version
of Go built the program; of the same version, only what assembly and the linker name may be missing."""


class _Finding(NamedTuple):
    """The result for one edge; matched if there is no ``why``."""

    why: str = ""
    excluded: bool = False


class _Symbol(NamedTuple):
    """A linker symbol: import path, function or method (``T.M``), and what follows for closures."""

    package: str
    parts: tuple[str, ...]


_POINTER = re.compile(r"\(\*?([^()]*)\)")
_LOOP_PART = re.compile(r"range\d+")
_CGO = re.compile(r"_(?:C\w*func|Cmacro|Cfpvar|Ciconst|Cgo|cgo|cgoexp)_?")
_WRAPPER = re.compile(r"\.(?:gowrap|deferwrap)\d+\b")
_GENERATED = re.compile(r"(?:type:|go:|_cgo|x_cgo|_cgoexp_|\$)")


@cache
def _symbol(name: str) -> _Symbol | None:
    """Take a linker symbol apart; None if it is none of Go's."""
    plain = without_type_arguments(name)
    dot = plain.find(".", plain.rfind("/") + 1)
    if dot <= 0:
        return None
    rest = _POINTER.sub(r"\1", plain[dot + 1 :]).removesuffix("-fm").replace("-range", ".range")
    return _Symbol(unquote(plain[:dot]), tuple(rest.split(".")))


def _of_runtime(name: str) -> bool:
    symbol = _symbol(name)
    package = symbol.package if symbol else ""
    return package == "runtime" or package.startswith(("runtime/internal/", "internal/runtime/"))


class Sources:
    """The source of a build; each package is parsed when an edge first asks for it.

    Args:
        packages: the packages of the build, dependencies included; see
            :func:`fleetpgo.golang.packages.packages`.
    """

    def __init__(self, packages: Iterable[Package]) -> None:
        self._packages: dict[str, list[Package]] = defaultdict(list)
        for package in packages:
            # To the linker every main package is `main`.
            self._packages["main" if package.name == "main" else package.path].append(package)
        self._parsed: dict[str, Source] = {}
        self._go = go_version(self._packages.get("runtime", []))
        self._foreign: set[Numbering] = set()

    def match(self, edges: Edges) -> SourceMatch:
        """The share of a profile's edge weight that is still in the source."""
        own = numbering_of(self._go)
        found = numberings({name for edge in edges.weights for name in (edge.caller, edge.callee)})
        self._foreign = found - {own} if own else set()
        matched = 0
        excluded: dict[str, int] = defaultdict(int)
        lost: dict[Edge, str] = {}
        for edge, weight in edges.weights.items():
            finding = self._look_up(edge)
            if finding.excluded:
                excluded[finding.why] += weight
            elif finding.why:
                lost[edge] = finding.why
            else:
                matched += weight
        compared = edges.total - sum(excluded.values())
        return SourceMatch(
            share=matched / compared if compared else None,
            compared=compared / edges.total if edges.total else 0.0,
            excluded={
                why: weight / edges.total
                for why, weight in sorted(excluded.items(), key=lambda item: (-item[1], item[0]))
            },
            lost=tuple(Lost(edge, edges.weights[edge] / compared, why) for edge, why in lost.items()),
            other_go=self._other_go(edges, lost),
        )

    def _other_go(self, edges: Edges, lost: Mapping[Edge, str]) -> str:
        """Return what says that another version of Go built the program than the source is for."""
        if not self._go:
            return ""
        of_go = {
            edge: weight
            for edge, weight in edges.weights.items()
            if is_std(edge.caller.encode()) and is_std(edge.callee.encode())
        }
        gone = {
            name: None
            for edge in of_go
            for name in (edge.caller, edge.callee)
            if not self._exclusion(name) and self._functions(name) is None
        }
        wrong = sum(
            weight
            for edge, weight in of_go.items()
            if edge in lost or edge.caller in gone or edge.callee in gone
        )
        if self._foreign:
            said = f"its closures are numbered as {' and '.join(sorted(self._foreign))}"
        elif wrong > TELLING * sum(of_go.values()):
            first = list(gone)[:NAMED] or [f"{edge.caller}'s calls" for edge in lost if edge in of_go][:NAMED]
            said = f"{self._go} does not have {', '.join(first)}"
        else:
            return ""
        return f"another version of Go than {self._go} built the program that was profiled: {said}"

    def _look_up(self, edge: Edge) -> _Finding:
        """Whether an edge is in the source, or why not."""
        for name in (edge.caller, edge.callee):
            if reason := self._exclusion(name):
                return _Finding(reason, excluded=True)
        found = self._search(edge)
        if found.why and not found.excluded and any(map(_of_runtime, (edge.caller, edge.callee))):
            return _Finding(RUNTIME, excluded=True)
        return found

    def _search(self, edge: Edge) -> _Finding:
        """Whether an edge of two functions that can be compared is in the source, or why not."""
        for name in (edge.caller, edge.callee):
            if (found := self._renumbered(name)).why:
                return found
        callers = self._functions(edge.caller)
        if callers is None:
            return _Finding("the caller")
        if not any(caller.body for caller in callers):
            return _Finding(NO_GO, excluded=True)
        if self._functions(edge.callee) is None:
            return _Finding("the callee")
        return _Finding(self._lacks_arguments(edge) or self._lacks_call(edge, callers))

    @staticmethod
    def _lacks_call(edge: Edge, callers: Iterable[Function]) -> str:
        """Return that the call is gone; "": it is there."""
        callee = _symbol(edge.callee)
        assert callee is not None  # noqa: S101 -- else it is excluded before
        closure = len(callee.parts) > 1 and CLOSURE.fullmatch(callee.parts[-1]) is not None
        for caller in callers:
            row = caller.row + edge.offset
            for call in caller.calls:
                here = call.row == row or (call.deferred and call.row <= row)
                if here and call.reaches(callee.parts[-1], closure=closure):
                    return ""
        return "the call on that line"

    def _lacks_arguments(self, edge: Edge) -> str:
        """Return whose type arguments a name lacks that has them for the compiler; "": nobody's."""
        for name, whose in ((edge.caller, "caller"), (edge.callee, "callee")):
            if "[" in name and "[...]" not in name:
                continue
            symbol = _symbol(name)
            assert symbol is not None  # noqa: S101 -- else it is excluded before
            declared, rest = self._declared(symbol)
            if declared and all(map(CLOSURE.fullmatch, rest)) and all(each.generic for each in declared):
                return f"the list of the {whose}'s type arguments"
        return ""

    def _exclusion(self, name: str) -> str:
        """Return why a function cannot be compared with source; "": it can."""
        if _GENERATED.match(name) or _WRAPPER.search(name):
            return GENERATED
        symbol = _symbol(name)
        if symbol is None:
            return NO_GO
        if _CGO.match(symbol.parts[0]):
            return GENERATED
        known = self._packages.get(symbol.package, [])
        return NO_SOURCE if known and not any(package.files for package in known) else ""

    def _renumbered(self, name: str) -> _Finding:
        """Why a closure's name is none of this toolchain's, or may be another's; "": it is neither."""
        symbol = _symbol(name)
        assert symbol is not None  # noqa: S101 -- else it is excluded before
        declared, rest = self._declared(symbol)
        if not rest:
            return _Finding()
        own = numbering_of(self._go)
        if own == SINCE and not all(CLOSURE.fullmatch(part) for part in rest):
            return _Finding(RENAMED)  # the function that was inlined stands in it
        if own == BEFORE and is_in_loop(name):
            return _Finding(RENAMED)
        if self._foreign and (declared is None or any(map(_may_be_renumbered, declared))):
            return _Finding(RENUMBERED, excluded=True)
        return _Finding()

    def _declared(self, symbol: _Symbol) -> tuple[list[Function] | None, tuple[str, ...]]:
        """The functions that a closure is named after, None for package variables, and what follows them.

        Nothing follows where the symbol is no closure's, or where nothing of that name is declared.
        """
        parts = symbol.parts
        if parts[0] in ("glob", "init") and len(parts) > 1 and not parts[1].isdigit():
            return None, parts[1:]
        source = self._source(symbol.package)
        for count in (1, 2):
            if (found := source.functions.get(".".join(parts[:count]))) is not None:
                return found, parts[count:]
        return [], ()

    def _functions(self, name: str) -> list[Function] | None:
        """The functions that a symbol may stand for, without a body if it is assembly; None if it is gone."""
        symbol = _symbol(name)
        assert symbol is not None  # noqa: S101 -- else it is excluded before
        source = self._source(symbol.package)
        parts = symbol.parts
        if parts[0] in ("glob", "init") and len(parts) > 1:
            in_init = [
                each
                for function in source.functions.get("init", [])
                for each in (function, *function.nested())
            ]
            return [*source.globals, *in_init] or None
        for count in (1, 2):
            declared = source.functions.get(".".join(parts[:count]))
            if declared is not None and len(parts) >= count:
                return self._closures(source, declared, parts[count:]) if parts[count:] else declared
        made = parts[0] in source.assembly or (len(parts) > 1 and parts[0] in source.embedding)
        return [Function(0, body=False)] if made else None

    @staticmethod
    def _closures(source: Source, declared: list[Function], rest: tuple[str, ...]) -> list[Function] | None:
        """The literals, or bodies of loops, that a closure may stand for.

        A closure of a function that was inlined is named after both: ``caller.callee.func1``.
        """
        inlined = [
            function
            for part in rest
            if not CLOSURE.fullmatch(part)
            for name, functions in source.functions.items()
            if name.rpartition(".")[2] == part
            for function in functions
        ]
        functions = (*declared, *inlined)
        literals = [literal for function in functions for literal in function.nested()]
        if _LOOP_PART.fullmatch(rest[-1]):
            return [loop for function in (*functions, *literals) for loop in function.loops] or None
        return literals or None

    def _source(self, package: str) -> Source:
        if package not in self._parsed:
            self._parsed[package] = parse(self._packages.get(package, []))
        return self._parsed[package]


def _may_be_renumbered(function: Function) -> bool:
    """Whether a function has closures that Go 1.27 numbers otherwise, if its loops are over iterators."""
    closures = [function, *function.nested()]
    loops = [loop for each in closures for loop in each.loops]
    return len(loops) > 1 or (len(loops) == 1 and len(closures) > 1)
