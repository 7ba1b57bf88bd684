"""Go source: which packages a build compiles, and the functions and calls in them.

It is parsed with tree-sitter, not type-checked: a call is known by the name that it is written with.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import tree_sitter_go
from tree_sitter import Language, Parser, Query, QueryCursor

from fleetpgo.errors import ToolchainError
from fleetpgo.golang.toolchain import require_go

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tree_sitter import Node


@dataclass(frozen=True)
class Package:
    """A package of a build and where its source is.

    Attributes:
        path: import path.
        name: name in its ``package`` clause.
        directory: where its files are; "" where the source is not at hand.
        files: its Go files that the build compiles.
        assembly: its assembly files.
    """

    path: str
    name: str
    directory: str
    files: tuple[str, ...]
    assembly: tuple[str, ...]


def packages(
    directory: Path, pattern: str, *, environment: Mapping[str, str], tags: str = ""
) -> list[Package]:
    """The packages that a build compiles: those that a pattern names, and all that they need.

    Args:
        directory: of the module, or of a part of it.
        pattern: import path or pattern, as ``go build`` takes it.
        environment: usually from :func:`build_environment`.
        tags: build tags, comma-separated.

    Raises:
        ToolchainError: if there is no Go on the environment's PATH, or it cannot list them.
    """
    require_go(environment)
    fields = "ImportPath,Name,Dir,GoFiles,CgoFiles,SFiles"
    told = subprocess.run(
        # -e: a package that cannot be found is listed without files.
        ["go", "list", "-e", "-deps", f"-json={fields}", f"-tags={tags}", pattern],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        raise ToolchainError(
            f"`go list {pattern}` failed: {told.stderr.strip()}", hint="run it in a fresh clone"
        )
    found, text = [], told.stdout.strip()
    decoder = json.JSONDecoder()
    while text:
        record, end = decoder.raw_decode(text)
        text = text[end:].lstrip()
        found.append(
            Package(
                record["ImportPath"],
                record.get("Name", ""),
                record.get("Dir", ""),
                (*record.get("GoFiles", ()), *record.get("CgoFiles", ())),
                tuple(record.get("SFiles", ())),
            )
        )
    return found


class Call(NamedTuple):
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
class Function:
    """A function declaration or literal, and the calls in it that are in no literal inside it."""

    row: int
    body: bool
    calls: list[Call] = field(default_factory=list)
    literals: list[Function] = field(default_factory=list)

    def nested(self) -> Iterator[Function]:
        """The literals in it, and those in them."""
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
    """The functions of some packages of one name."""
    source = Source(defaultdict(list), [], set(), set())
    parser = Parser(_LANGUAGE)
    unread: list[tuple[Function, Node, set[str]]] = []
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


def _calls(captures: Mapping[str, list[Node]], source: Source) -> Iterator[tuple[Function, Node]]:
    """Each call of a file with the innermost function around it; the functions themselves go to `source`."""
    nodes = [(node, kind) for kind in ("function", "call", "range") for node in captures.get(kind, [])]
    around: list[tuple[int, Function]] = []  # end of each function that is open, and the function
    for node, kind in sorted(nodes, key=lambda each: (each[0].start_byte, -each[0].end_byte)):
        while around and around[-1][0] <= node.start_byte:
            around.pop()
        if kind != "function":
            if around:
                yield around[-1][1], node
            continue
        function = Function(node.start_point.row, node.child_by_field_name("body") is not None)
        if node.type != "func_literal":
            source.functions[_declared_name(node)].append(function)
        elif around:
            around[-1][1].literals.append(function)
        else:
            source.globals.append(function)
        around.append((node.end_byte, function))


class _Names(NamedTuple):
    """Names that a package declares: functions and types, methods, fields of structs."""

    functions: set[str]
    methods: set[str]
    fields: set[str]


def _call(node: Node, known: _Names, imports: set[str]) -> Call:
    """Return the functions that a call in the source may reach.

    Args:
        node: a call, or the clause of a ``range``, which calls where it ranges over a function.
        known: what the package declares.
        imports: the names that its file imports packages by.
    """
    if node.type == "range_clause":
        loop = node.parent or node
        return Call(loop.start_point.row, "", value=False, closure=True)
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
    return Call(parenthesis.start_point.row, name, value and not deferred, closure, deferred)


_WRAPPING = {
    "parenthesized_expression",
    "parenthesized_type",
    "index_expression",
    "type_instantiation_expression",
    "generic_type",
}
"""Syntax around a function's name in a call: ``(f)(x)``, ``f[int](x)``."""


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
