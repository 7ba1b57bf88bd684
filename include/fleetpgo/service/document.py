"""Read the YAML of a service file, without its lines. What the keys mean is not known here.

Every parse of the DAGs reads all service files, so the usual one is read in a fifth of the time that
ruamel.yaml takes: mappings with text as keys, lists, text, numbers, true, false and null, straight from
libyaml's events. ruamel.yaml reads a document that holds anything else, such as an anchor or a date, and says
what is wrong with one that is no YAML.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.parser import Parser
from ruamel.yaml.resolver import VersionedResolver

NO_VALUE = (YAMLError, ValueError, KeyError, RecursionError)
"""What ruamel.yaml raises without a line.

For a control character, for a date or a number that is none (2026-13-45, `!!bool perhaps`), for brackets in
brackets.
"""

_DEPTH = 50
"""Lists and mappings in one another; the deepest key of a service file is at five."""


class _Resolver(VersionedResolver):
    """Tells what a plain value is, as YAML 1.2 does; its base finds out the version anew at each value."""

    @cached_property
    def versioned_resolver(self) -> Any:  # noqa: ANN401  # ruamel.yaml's
        """The patterns of values, by their first character."""
        return super().versioned_resolver


_PATTERNS: dict[str, list[tuple[str, Any]]] = _Resolver().versioned_resolver

_PARSER: Any = YAML(typ="safe").Parser
"""libyaml's, or ruamel.yaml's own where libyaml is missing."""


class _UnusualError(Exception):
    """The document holds something that only ruamel.yaml reads."""


def read(text: str) -> Any:  # noqa: ANN401  # whatever the file holds
    """Return the document.

    Raises:
        MarkedYAMLError: it is not YAML.
        YAMLError, ValueError, KeyError, RecursionError: see :data:`NO_VALUE`.
    """
    if _PARSER is not Parser:
        try:
            return _read_usual(text)
        except (_UnusualError, YAMLError, ValueError):
            pass  # ruamel.yaml reads it, or says what is wrong
    return _read_any(text)


def _read_usual(text: str) -> Any:  # noqa: ANN401  # whatever the file holds
    """Read a document that is not unusual."""
    parser = _PARSER(text)
    parser.get_event()  # the stream begins
    if not isinstance(parser.get_event(), DocumentStartEvent):
        raise _UnusualError
    document = _node(parser, parser.get_event(), 0)
    parser.get_event()  # the document ends
    if not isinstance(parser.get_event(), StreamEndEvent):
        raise _UnusualError
    return document


def _node(parser: Any, event: Any, depth: int) -> Any:  # noqa: ANN401  # libyaml's binding has no types
    """Return the value that begins with an event."""
    # An alias has an anchor and no tag.
    if event.anchor is not None or event.ctag is not None or depth >= _DEPTH:
        raise _UnusualError
    kind = type(event)
    if kind is ScalarEvent:
        return _scalar(event.value) if event.implicit[0] else event.value
    if kind is MappingStartEvent:
        mapping: dict[str, Any] = {}
        while type(event := parser.get_event()) is not MappingEndEvent:
            key = _node(parser, event, depth + 1)
            if type(key) is not str or key in mapping:
                raise _UnusualError
            mapping[key] = _node(parser, parser.get_event(), depth + 1)
        return mapping
    if kind is SequenceStartEvent:
        sequence = []
        while type(event := parser.get_event()) is not SequenceEndEvent:
            sequence.append(_node(parser, event, depth + 1))
        return sequence
    raise _UnusualError


@lru_cache(maxsize=1_024)
def _scalar(text: str) -> object:
    """Return the value of a plain scalar. Remembered: service files have the same keys."""
    for tag, pattern in _PATTERNS.get(text[:1], ()):
        if pattern.match(text):
            match tag.rpartition(":")[2]:
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int" if text.lstrip("+-").isdigit():
                    return int(text)
                case "float" if "_" not in text:
                    return float(text)
                case _:
                    raise _UnusualError
    return text


def _read_any(text: str) -> Any:  # noqa: ANN401  # whatever the file holds
    """Read any document."""
    reader = YAML(typ="safe")
    reader.Resolver = _Resolver
    _check_depth(reader, text)
    try:
        return reader.load(text)
    except MarkedYAMLError:
        # libyaml refuses some of what YAML 1.2 allows, such as [::1].
        return YAML().load(text)


def _check_depth(reader: YAML, text: str) -> None:
    """Refuse a document of lists in lists in lists: libyaml's binding calls itself for each, and may crash.

    Raises:
        ValueError: if so.
    """
    depth = 0
    try:
        for event in reader.parse(text):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > _DEPTH:
                raise ValueError(f"more than {_DEPTH} lists and mappings in one another")
    except MarkedYAMLError:
        pass  # whoever reads the document says so, too
