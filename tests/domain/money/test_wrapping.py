"""Lines that fit, in any mixture of scripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.money.pdf import wrapping


def width(text: str) -> float:
    """As wide as in a terminal: Chinese characters are two."""
    return sum(2 if ord(letter) > 0x2E80 else 1 for letter in text)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("one two three", ["one two", "three"]),
        ("one\n\ntwo", ["one", "", "two"]),
        ("abcdefghijklmnop", ["abcdefghij", "klmnop"]),
        ("ab abcdefghijklm", ["ab", "abcdefghij", "klm"]),
        ("服务项目包含安装调试", ["服务项目包", "含安装调试"]),
        ("服务项目，包含。安装", ["服务项目，", "包含。安装"]),
        ("四个字呢中，文", ["四个字呢", "中，文"]),
        ("四个字呢（中文）", ["四个字呢", "（中文）"]),
        ("Widget 服务项目", ["Widget 服", "务项目"]),
        ("2026年1月31日", ["2026年1月", "31日"]),
    ],
)
def test_ten_columns(text: str, lines: list[str]) -> None:
    assert wrapping.wrap(text, 10, width) == lines


@given(st.text(st.sampled_from("ab c，。（服务)(-\n"), max_size=60), st.integers(2, 12))
def test_laws(text: str, most: int) -> None:
    lines = wrapping.wrap(text, most, width)
    assert all(width(line) <= most for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split()), "nothing is lost and nothing moves"
