"""Templates, without a database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.imports import placeholders
from crmgql.imports.placeholders import Rejected

BLANKS = frozenset({"", "NULL"})
POSITIONS = {"a": 0, "b": 1, "with space": 2}


def render(source: str, cells: list[str], *, whole: bool = False) -> str:
    return placeholders.bind(placeholders.parse(source), POSITIONS, BLANKS, whole=whole)(cells)


@pytest.mark.parametrize(
    ("source", "cells", "text"),
    [
        ("{a}", [" x ", "", ""], "x"),
        ("{a}-{b}", ["x", "y", ""], "x-y"),
        ("{a:.2}/{with space}", ["xyz", "", "s"], "xy/s"),
        ("{{{a}}}", ["x", "", ""], "{x}"),
        ("constant", ["x", "y", ""], "constant"),
        ("{a}", ["NULL", "", ""], ""),
        ("Customer {a}", ["", "", ""], ""),
        ("{a} {b}", ["x", "NULL", ""], "x"),
    ],
)
def test_rendering(source: str, cells: list[str], text: str) -> None:
    assert render(source, cells) == text


def test_a_key_with_a_blank_part_is_blank() -> None:
    assert render("{a}-{b}", ["x", "", ""], whole=True) == ""


@pytest.mark.parametrize("source", ["{a", "a}", "{}", "{a}{"])
def test_a_lone_brace_is_a_mistake(source: str) -> None:
    with pytest.raises(ValueError, match="lone"):
        placeholders.parse(source)


@pytest.mark.parametrize("text", ["a\0b", b"caf\xe9".decode("utf-8", "surrogateescape")])
def test_what_the_database_can_not_hold(text: str) -> None:
    with pytest.raises(Rejected):
        render("{a}", [text, "", ""])


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")))
def test_any_other_text_passes_trimmed(text: str) -> None:
    assert render("{a}", [text, "", ""]) == ("" if text.strip() == "NULL" else text.strip())
