"""How much of a profile still speaks of the source that is being built.

Go's compiler finds a call edge (:mod:`fleetpgo.pprof.edges`) again by three things: the caller's name, the
callee's name, and the call's line counted from the caller's ``func`` line. An edge is *matched* if the source
still has all three; the share of matched weight says how stale a profile has become. Where the three do not
meet, the compiler ignores the edge without a word (golang/go#70291).

The sources are parsed with tree-sitter, not type-checked, so this is told by names:

- the line of a call is that of its opening parenthesis, as the compiler counts (cmd/compile/internal/syntax);
- a call through a function value or a ``range`` over a function matches any callee that still exists;
- a closure is any function literal inside the function that it is named after: their numbers shift easily;
- a deferred call runs at some later line, so it is looked for from its ``defer`` on.

Left out, and said so: calls from or into the runtime (the compiler inserts them where the source shows none),
functions without Go source (assembly, C, what the compiler and the linker make), and packages whose source is
not at hand.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

import tree_sitter_go
from tree_sitter import Language, Parser, Query, QueryCursor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tree_sitter import Node

    from fleetpgo.gotool import Package
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
    """How much of a profile's edge weight the source still has.

    Attributes:
        share: matched part of the compared weight, 0 … 1; None where nothing could be compared.
        compared: part of all weight that was compared, 0 … 1.
        excluded: reason → part of all weight that was left out for it, the largest first.
        lost: the edges that are not matched, the heaviest first.
    """

    share: float | None
    compared: float
    excluded: Mapping[str, float]
    lost: Sequence[Lost]


RUNTIME = "from or into the runtime"
NO_GO = "not written in Go"
GENERATED = "made by the compiler"
NO_SOURCE = "source not at hand"


class _Finding(NamedTuple):
    """What became of an edge; matched if there is no ``why``."""

    why: str = ""
    excluded: bool = False


class _Call(NamedTuple):
    """A call in the source.

    Attributes:
        row: of its opening parenthesis, from 0.
        name: what is called, without package or receiver; "" for what has no name.
        value: whether it is a call through a function value, which may reach any function.
        closure: whether it may reach a closure.
        deferred: whether it runs at a later line.
    """

    row: int
    name: str
    value: bool
    closure: bool
    deferred: bool = False

    def reaches(self, name: str, *, closure: bool) -> bool:
        """Whether it may be a call of a function or method of that name, or of a closure."""
        return self.value or (self.closure if closure else self.name == name)


@dataclass
class _Function:
    """A function declaration or literal, and the calls in it that are in no literal inside it."""

    row: int
    body: bool
    calls: list[_Call] = field(default_factory=list)
    literals: list[_Function] = field(default_factory=list)

    def nested(self) -> Iterator[_Function]:
        for literal in self.literals:
            yield literal
            yield from literal.nested()


@dataclass
class _Source:
    """What one package declares.

    Attributes:
        functions: by name, ``T.M`` for methods.
        globals: function literals that are in no function.
        assembly: names of functions that are written in assembly.
        embedding: structs that embed others, whose methods the compiler gives to them.
    """

    functions: dict[str, list[_Function]]
    globals: list[_Function]
    assembly: set[str]
    embedding: set[str]


class _Symbol(NamedTuple):
    """A linker symbol: import path, function or method (``T.M``), and what follows for closures."""

    package: str
    parts: tuple[str, ...]


_BRACKET = re.compile(r"([\[\]])")
_POINTER = re.compile(r"\(\*?([^()]*)\)")
_CLOSURE_PART = re.compile(r"(?:func|gowrap|deferwrap|range)?\d+|")
_WRAPPER = re.compile(r"\.(?:gowrap|deferwrap)\d+\b")
_GENERATED = re.compile(r"(?:type:|go:|_cgo|x_cgo|_cgoexp_|\$)")


@cache
def _symbol(name: str) -> _Symbol | None:
    """Take a linker symbol apart; None if it is none of Go's.

    Source: ``LinkFuncName`` in cmd/compile/internal/ir, ``PathToPrefix`` in cmd/internal/objabi.
    """
    plain = _without_type_arguments(name)
    dot = plain.find(".", plain.rfind("/") + 1)
    if dot <= 0:
        return None
    rest = _POINTER.sub(r"\1", plain[dot + 1 :]).removesuffix("-fm").replace("-range", ".range")
    return _Symbol(unquote(plain[:dot]), tuple(rest.split(".")))


def _without_type_arguments(name: str) -> str:
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


def _is_runtime(package: str) -> bool:
    return package == "runtime" or package.startswith(("runtime/internal/", "internal/runtime/"))


class Sources:
    """The source of a build; each package is parsed when an edge first asks for it.

    Args:
        packages: the packages of the build, dependencies included; see :func:`fleetpgo.gotool.packages`.
    """

    def __init__(self, packages: Iterable[Package]) -> None:
        self._packages: dict[str, list[Package]] = defaultdict(list)
        for package in packages:
            # To the linker every main package is `main`.
            self._packages["main" if package.name == "main" else package.path].append(package)
        self._parsed: dict[str, _Source] = {}

    def match(self, edges: Edges) -> SourceMatch:
        """How much of a profile's edge weight the source still has."""
        matched = 0
        excluded: dict[str, int] = defaultdict(int)
        lost: dict[Edge, str] = {}
        for edge, weight in edges.weights.items():
            found = self._look_up(edge)
            if found.excluded:
                excluded[found.why] += weight
            elif found.why:
                lost[edge] = found.why
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
        )

    def _look_up(self, edge: Edge) -> _Finding:
        """Whether an edge is in the source, or why not."""
        for name in (edge.caller, edge.callee):
            if reason := self._exclusion(name):
                return _Finding(reason, excluded=True)
        callers = self._functions(edge.caller)
        if callers is None:
            return _Finding("the caller")
        if not any(caller.body for caller in callers):
            return _Finding(NO_GO, excluded=True)
        if self._functions(edge.callee) is None:
            return _Finding("the callee")
        callee = _symbol(edge.callee)
        assert callee is not None  # noqa: S101 -- else it is excluded above
        closure = len(callee.parts) > 1 and _CLOSURE_PART.fullmatch(callee.parts[-1]) is not None
        for caller in callers:
            row = caller.row + edge.offset
            for call in caller.calls:
                here = call.row == row or (call.deferred and call.row <= row)
                if here and call.reaches(callee.parts[-1], closure=closure):
                    return _Finding()
        return _Finding("the call on that line")

    def _exclusion(self, name: str) -> str:
        """Why a function cannot be compared with source; "" if it can."""
        if _GENERATED.match(name) or _WRAPPER.search(name):
            return GENERATED
        symbol = _symbol(name)
        if symbol is None:
            return NO_GO
        if _is_runtime(symbol.package):
            return RUNTIME
        known = self._packages.get(symbol.package, [])
        return NO_SOURCE if known and not any(package.files for package in known) else ""

    def _functions(self, name: str) -> list[_Function] | None:
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
        return [_Function(0, body=False)] if made else None

    @staticmethod
    def _closures(
        source: _Source, declared: list[_Function], rest: tuple[str, ...]
    ) -> list[_Function] | None:
        """The literals that a closure may stand for.

        A closure of a function that was inlined is named after both: ``caller.callee.func1``.
        """
        inlined = [
            function
            for part in rest
            if not _CLOSURE_PART.fullmatch(part)
            for name, functions in source.functions.items()
            if name.rpartition(".")[2] == part
            for function in functions
        ]
        return [literal for function in (*declared, *inlined) for literal in function.nested()] or None

    def _source(self, package: str) -> _Source:
        if package not in self._parsed:
            self._parsed[package] = _parse(self._packages.get(package, []))
        return self._parsed[package]


_LANGUAGE = Language(tree_sitter_go.language())
_QUERY = Query(
    _LANGUAGE,
    """
    (function_declaration) @function
    (method_declaration) @function
    (func_literal) @function
    (call_expression) @call
    (type_conversion_expression) @call
    (range_clause) @range
    (type_spec name: (_) @type)
    (type_alias name: (_) @type)
    (type_spec name: (_) @embedding
        type: (struct_type (field_declaration_list (field_declaration !name))))
    (field_declaration name: (_) @field)
    (import_spec) @import
    """,
)
_TEXT_SYMBOL = re.compile(r"^TEXT\s+(?:\S*·)?(\w+)", re.MULTILINE)

# The universe's functions and types: a call of one never reaches a function of the profile.
_UNIVERSE = re.findall(
    r"\w+",
    "append cap clear close complex copy delete imag len make max min new panic print println real recover "
    "any bool byte comparable complex64 complex128 error float32 float64 int int8 int16 int32 int64 rune "
    "string uint uint8 uint16 uint32 uint64 uintptr",
)


def _parse(packages: Iterable[Package]) -> _Source:
    """The functions of some packages of one name."""
    source = _Source(defaultdict(list), [], set(), set())
    parser = Parser(_LANGUAGE)
    unread: list[tuple[_Function, Node, set[str]]] = []
    types: set[str] = set()
    fields: set[str] = set()
    for package in packages:
        for file in package.files:
            root = parser.parse((Path(package.directory) / file).read_bytes()).root_node
            captures = QueryCursor(_QUERY).captures(root)
            types.update(map(_text, captures.get("type", [])))
            source.embedding.update(map(_text, captures.get("embedding", [])))
            fields.update(map(_text, captures.get("field", [])))
            imports = set(map(_imported, captures.get("import", [])))
            unread += [(function, node, imports) for function, node in _calls(captures, source)]
        for file in package.assembly:
            text = (Path(package.directory) / file).read_text(errors="replace")
            source.assembly.update(_TEXT_SYMBOL.findall(text))
    # What a name means is known once all files of the package are read.
    methods = {name.rpartition(".")[2] for name in source.functions if "." in name}
    known = _Names({*_UNIVERSE, *types, *source.functions}, methods, fields)
    for function, node, imports in unread:
        function.calls.append(_call(node, known, imports))
    return source


def _calls(captures: Mapping[str, list[Node]], source: _Source) -> Iterator[tuple[_Function, Node]]:
    """Each call of a file with the innermost function around it; the functions themselves go to `source`."""
    nodes = [(node, kind) for kind in ("function", "call", "range") for node in captures.get(kind, [])]
    around: list[tuple[int, _Function]] = []  # end of each function that is open, and the function
    for node, kind in sorted(nodes, key=lambda each: (each[0].start_byte, -each[0].end_byte)):
        while around and around[-1][0] <= node.start_byte:
            around.pop()
        if kind != "function":
            if around:
                yield around[-1][1], node
            continue
        function = _Function(node.start_point.row, node.child_by_field_name("body") is not None)
        if node.type != "func_literal":
            source.functions[_declared_name(node)].append(function)
        elif around:
            around[-1][1].literals.append(function)
        else:
            source.globals.append(function)
        around.append((node.end_byte, function))


class _Names(NamedTuple):
    """What a package declares: functions and types, methods, fields of structs."""

    functions: set[str]
    methods: set[str]
    fields: set[str]


def _call(node: Node, known: _Names, imports: set[str]) -> _Call:
    """What a call of the source may reach.

    Args:
        node: a call, or the clause of a ``range``, which calls where it ranges over a function.
        known: what the package declares.
        imports: the names that its file imports packages by.
    """
    if node.type == "range_clause":
        loop = node.parent or node
        return _Call(loop.start_point.row, "", value=False, closure=True)
    parenthesis = node.child_by_field_name("arguments") or next(
        (child for child in node.children if child.type == "("), node
    )
    called = node.child_by_field_name("function") or node.child_by_field_name("type") or node
    while called.type in _WRAPPING and called.named_children:
        called = called.named_children[0]
    match called.type:
        case "identifier" | "type_identifier":
            name = _text(called)
            value = closure = name not in known.functions
        case "selector_expression" | "qualified_type":
            operand, member = called.named_children[0], called.named_children[-1]
            name = _text(member)
            closure = name in known.fields and _text(operand) not in imports
            value = closure and name not in known.methods
        case _:
            name, value, closure = "", True, True
    deferred = node.parent is not None and node.parent.type == "defer_statement"
    return _Call(parenthesis.start_point.row, name, value and not deferred, closure, deferred)


_WRAPPING = {
    "parenthesized_expression",
    "parenthesized_type",
    "index_expression",
    "type_instantiation_expression",
    "generic_type",
}
"""What may stand around a function's name where it is called: ``(f)(x)``, ``f[int](x)``."""


def _declared_name(node: Node) -> str:
    """``F`` for a function, ``T.M`` for a method of ``T`` or ``*T``."""
    name = node.child_by_field_name("name")
    receiver = node.child_by_field_name("receiver")
    declared = _text(name) if name else ""
    if receiver is None:
        return declared
    kind = _RECEIVER.search(_text(receiver))
    return f"{kind[1] if kind else ''}.{declared}"


_RECEIVER = re.compile(r"(\w+)\s*(?:\[[^\]]*\])?\s*\)*\s*,?\s*\)\Z")


def _imported(node: Node) -> str:
    """The name by which a file calls a package that it imports."""
    name, path = node.child_by_field_name("name"), node.child_by_field_name("path")
    if name is not None:
        return _text(name)
    # By convention the last element of the path, without a major version: "github.com/a/b/v2" is b.
    elements = _text(path).strip('"`').split("/") if path else [""]
    while len(elements) > 1 and re.fullmatch(r"v\d+", elements[-1]):
        elements.pop()
    return elements[-1].removeprefix("go-").partition(".")[0]


def _text(node: Node) -> str:
    return (node.text or b"").decode(errors="replace")
