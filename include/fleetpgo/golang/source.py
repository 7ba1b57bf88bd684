"""Functions and calls in Go source.

The source is parsed with tree-sitter and not type-checked, so only the name in a call is known. Rows are
those that the compiler reports: a ``//line`` directive, as code generators write it, changes them.
"""

from __future__ import annotations

import bisect
import re
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import tree_sitter_go
from tree_sitter import Language, Parser, Query, QueryCursor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tree_sitter import Node

    from fleetpgo.golang.packages import Package


class Call(NamedTuple):
    """A call in the source.

    Attributes:
        row: row of its opening parenthesis, from 0.
        name: name of the callee, without package or receiver; "" if it has none.
        value: whether it is a call through a function value, which may reach any function.
        closure: whether it may reach a closure.
        deferred: whether it is in a ``defer`` statement, so that it runs at a later line.
    """

    row: int
    name: str
    value: bool
    closure: bool
    deferred: bool = False

    def reaches(self, name: str, *, closure: bool) -> bool:
        """Return whether this call may call a function or method of that name, or a closure."""
        return self.value or (self.closure if closure else self.name == name)


@dataclass
class Function:
    """A function declaration or literal, and the calls in it that are in no literal inside it.

    The body of a loop over an iterator is a function of its own, too; its calls are in both. A declaration is
    generic if it, or its receiver's type, has type parameters: the linker's name then holds their arguments.
    """

    row: int
    body: bool
    generic: bool = False
    calls: list[Call] = field(default_factory=list)
    literals: list[Function] = field(default_factory=list)
    loops: list[Function] = field(default_factory=list)

    def nested(self) -> Iterator[Function]:
        """Return the function literals in it, nested ones included."""
        for literal in self.literals:
            yield literal
            yield from literal.nested()


@dataclass
class Source:
    """The declarations of one package.

    Attributes:
        functions: by name, ``T.M`` for methods.
        globals: function literals that are in no function.
        assembly: names of functions that are written in assembly.
        embedding: structs that embed others, whose methods the compiler gives to them.
    """

    functions: dict[str, list[Function]]
    globals: list[Function]
    assembly: set[str]
    embedding: set[str]


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
    (for_statement (range_clause)) @loop
    (comment) @comment
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


def parse(packages: Iterable[Package]) -> Source:
    """Parse packages with the same import path, and return their functions."""
    source = Source(defaultdict(list), [], set(), set())
    parser = Parser(_LANGUAGE)
    unread: list[tuple[Function, Node, set[str], _Rows]] = []
    types: set[str] = set()
    fields: set[str] = set()
    for package in packages:
        for file in package.files:
            content = package.read(file)
            if content is None:
                continue
            root = parser.parse(content).root_node
            captures = QueryCursor(_QUERY).captures(root)
            types.update(map(_text, captures.get("type", [])))
            source.embedding.update(map(_text, captures.get("embedding", [])))
            fields.update(map(_text, captures.get("field", [])))
            imports = set(map(_imported, captures.get("import", [])))
            rows = _Rows(captures.get("comment", []))
            unread += [
                (function, node, imports, rows) for function, node in _calls(captures, source, imports, rows)
            ]
        for file in package.assembly:
            text = package.read(file) or b""
            source.assembly.update(_TEXT_SYMBOL.findall(text.decode(errors="replace")))
    # What a name means is known once all files of the package are read.
    methods = {name.rpartition(".")[2] for name in source.functions if "." in name}
    known = _Names({*_UNIVERSE, *types, *source.functions}, methods, fields)
    for function, node, imports, rows in unread:
        function.calls.append(_call(node, known, imports, rows))
    return source


class _Rows:
    """The rows of a file as the compiler reports them.

    Source: ``updateBase`` in cmd/compile/internal/syntax/parser.go.
    """

    def __init__(self, comments: Iterable[Node]) -> None:
        self._moved = []  # where a directive takes effect, and by how much it moves what follows
        for comment in comments:
            text = _text(comment)
            if text.startswith("//") and not comment.start_point.column:
                match = _LINE.fullmatch(text.rstrip())
                begins, row = comment.end_byte, comment.start_point.row + 1
            else:
                match = _LINE_INSIDE.fullmatch(text)
                begins, row = comment.end_byte, comment.end_point.row
            if match:
                self._moved.append((begins, int(match[1]) - 1 - row))
        self._moved.sort()

    def of(self, node: Node) -> int:
        """Return the row of a node, from 0."""
        before = bisect.bisect_right(self._moved, (node.start_byte, _FAR))
        return node.start_point.row + (self._moved[before - 1][1] if before else 0)


_LINE = re.compile(r"//line [^\n]*?:(\d{1,9})(?::\d+)?")
_LINE_INSIDE = re.compile(r"/\*line [^\n]*?:(\d{1,9})(?::\d+)?\*/")
_FAR = 1 << 40


def _calls(
    captures: Mapping[str, list[Node]], source: Source, imports: set[str], rows: _Rows
) -> Iterator[tuple[Function, Node]]:
    """Each call of a file with the functions around it, out to the innermost one that is no loop's body.

    The functions themselves go to `source`.
    """
    kinds = ("function", "loop", "call", "range")
    nodes = [(node, kind) for kind in kinds for node in captures.get(kind, [])]
    # What is open: where it ends, the function, and whether it is a loop's body.
    around: list[tuple[int, Function, bool]] = []
    for node, kind in sorted(nodes, key=lambda each: (each[0].start_byte, -each[0].end_byte)):
        while around and around[-1][0] <= node.start_byte:
            around.pop()
        outer = next((function for _, function, loop in reversed(around) if not loop), None)
        if kind in ("call", "range"):
            loops = takewhile(itemgetter(2), reversed(around))
            yield from ((function, node) for function in [*(each[1] for each in loops), outer] if function)
            if outer and "C" in imports and _text(node).startswith("C."):
                # cgo puts a literal around a call that passes pointers.
                outer.literals.append(Function(rows.of(node), body=True))
            continue
        if kind == "loop":
            if outer:
                body = Function(rows.of(node), body=True)
                outer.loops.append(body)
                around.append((node.end_byte, body, True))
            continue
        function = Function(rows.of(node), node.child_by_field_name("body") is not None, _is_generic(node))
        if node.type != "func_literal":
            source.functions[_declared_name(node)].append(function)
        elif outer:
            outer.literals.append(function)
        else:
            source.globals.append(function)
        around.append((node.end_byte, function, False))


class _Names(NamedTuple):
    """Names that a package declares: functions and types, methods, fields of structs."""

    functions: set[str]
    methods: set[str]
    fields: set[str]


def _call(node: Node, known: _Names, imports: set[str], rows: _Rows) -> Call:
    """What a call of the source may reach.

    Args:
        node: a call, or the clause of a ``range``, which calls where it ranges over a function.
        known: what the package declares.
        imports: the names that its file imports packages by.
        rows: the rows of its file.
    """
    if node.type == "range_clause":
        loop = node.parent or node
        return Call(rows.of(loop), "", value=False, closure=True)
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
            package = _text(operand)
            closure = name in known.fields and package not in imports
            value = closure and name not in known.methods
            closure = closure or package == "C"
        case _:
            name, value, closure = "", True, True
    deferred = node.parent is not None and node.parent.type == "defer_statement"
    return Call(rows.of(parenthesis), name, value and not deferred, closure, deferred)


_WRAPPING = {
    "parenthesized_expression",
    "parenthesized_type",
    "index_expression",
    "type_instantiation_expression",
    "generic_type",
}
"""Syntax around a function's name in a call: ``(f)(x)``, ``f[int](x)``."""


def _is_generic(node: Node) -> bool:
    receiver = node.child_by_field_name("receiver")
    return node.child_by_field_name("type_parameters") is not None or (
        receiver is not None and "[" in _text(receiver)
    )


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
    """Return the name by which a file calls a package that it imports."""
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
