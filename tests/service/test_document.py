import math
from datetime import date

import pytest
from ruamel.yaml.error import MarkedYAMLError

from fleetpgo.service import document
from fleetpgo.service.document import NO_VALUE, read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: {b: [1, -2, +3, 007]}", {"a": {"b": [1, -2, 3, 7]}}),
        ("a: [1.5, -.5, 1e3, 2.]", {"a": [1.5, -0.5, 1000.0, 2.0]}),
        ("a: [true, FALSE, True]", {"a": [True, False, True]}),
        ("a: [null, ~, ]\nb:", {"a": [None, None], "b": None}),
        ("a: [yes, no, on, 1.2.3, -x]\nb: 1:30", {"a": ["yes", "no", "on", "1.2.3", "-x"], "b": "1:30"}),
        ("a: ['1', \"true\", '']", {"a": ["1", "true", ""]}),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", {"a": "x\ny\n", "b": "x y"}),
        ("# nothing but\n---\n- a\n...\n", ["a"]),
        ("only text", "only text"),
    ],
)
def test_what_is_usual_is_read_without_ruamel_yaml(monkeypatch, text, expected):
    monkeypatch.setattr(document, "_read_any", None)

    assert repr(read(text)) == repr(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("a: !!str 1", {"a": "1"}),
        ("a: 2026-03-02", {"a": date(2026, 3, 2)}),
        ("a: [0x1f, 0o17, 1_000, 1_0.5]", {"a": [31, 15, 1000, 10.5]}),
        ("1: a", {1: "a"}),
        ("a: [::1]", {"a": ["::1"]}),
        ("=: a", {"=": "a"}),
        ("", None),
    ],
)
def test_what_is_unusual_is_read_by_ruamel_yaml(text, expected):
    assert read(text) == expected


def test_the_numbers_that_are_none_are_read_by_ruamel_yaml():
    infinite, nothing = read("[-.inf, .nan]")

    assert infinite == -math.inf
    assert math.isnan(nothing)


@pytest.mark.parametrize("text", ["a: 1\na: 2", "a: [1", "a: 1\n---\nb: 2", "a: *nowhere", "a: b: c"])
def test_what_is_no_document_is_refused_with_its_line(text):
    with pytest.raises(MarkedYAMLError):
        read(text)


@pytest.mark.parametrize("depth", [50, 51])
def test_fifty_lists_in_one_another_are_enough(depth):
    text = "[" * depth + "]" * depth

    if depth == 50:
        assert str(read(text)) == text
    else:
        with pytest.raises(NO_VALUE, match="more than 50"):
            read(text)


def test_without_libyaml_documents_are_read_too(monkeypatch):
    monkeypatch.setattr(document, "_PARSER", document.Parser)

    assert read("a: [1, b]") == {"a": [1, "b"]}
