import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from fleetpgo.foreign import line
from fleetpgo.markdown import cell, code, prose

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\u200b"), max_size=300)
MARKUP = st.text("`*_[]()<>&~|\\\\@#! \nab:/;-=", max_size=40)


def inline(markdown):
    """What a CommonMark parser makes of one line: the kind and the text of each part."""
    (paragraph,) = MarkdownIt().parseInline(markdown)
    return [(token.type, token.content) for token in paragraph.children]


@given((TEXT | MARKUP).filter(lambda value: value.split()))
def test_a_value_is_one_code_span_whatever_is_in_it(value):
    assert [("code_inline", line(value, 300))] == inline(code(value))


@given((TEXT | MARKUP).filter(lambda value: value.split()))
def test_a_sentence_is_plain_text_whatever_is_in_it(value):
    parts = inline(prose(value))

    assert {"text"} == {kind for kind, _ in parts}
    assert line(value, 300) == "".join(text for _, text in parts).replace("\u200b", "")


@given((TEXT | MARKUP).filter(lambda value: value.split()))
def test_a_value_is_one_cell_of_a_table_whatever_is_in_it(value):
    table = f"| a | b |\n|---|---|\n| {cell(value)} | end |"
    tokens = MarkdownIt().enable("table").parse(table)

    row = [token for token in tokens if token.type == "inline"][2:]
    shown = "".join(part.content for part in row[0].children).replace("\u200b", "")
    assert [line(value, 300), "end"] == [shown, row[1].content]
    assert {part.type for part in row[0].children} in ({"text"}, {"code_inline"})


def test_a_mention_in_a_sentence_pings_nobody():
    assert prose("ask @team about #12") == "ask @\u200bteam about #\u200b12"


@pytest.mark.parametrize("reference", ["!12", "$3", "%4", '%"Next"', "&5", "~bug", '~"a bug"', "^alert"])
def test_what_gitlab_takes_for_a_reference_is_none(reference):
    assert f"{reference[0]}\u200b{reference[1:]}" in prose(f"see {reference}").replace("\\", "")


def test_a_figure_with_its_unit_stays_as_it_is():
    assert prose("+1.9 %, $ 3 & more; 5 % of it!") == r"+1.9 %, $ 3 \& more; 5 % of it!"


def test_a_long_value_is_cut():
    assert code("x" * 1000) == f"`{'x' * 300}…`"
