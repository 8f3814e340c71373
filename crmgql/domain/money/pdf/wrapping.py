"""Lines that fit a width, in any mixture of Latin and Chinese. Pure.

Latin text breaks at spaces, Chinese text between any two characters, but no line begins with a closing mark or ends with an
opening one. What is wider than the width, such as a long link, breaks where it must.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

WIDE = "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff"
CLOSING = "、。，．：；！？）》」』】〕〉”’…—,.:;!?)]}%"
OPENING = "（《「『【〔〈“‘([{"
TOKEN = re.compile(rf" +|[{re.escape(OPENING)}]*(?:[{WIDE}]|[^ {WIDE}]+)[{re.escape(CLOSING)}]*")

ROUNDING = 1e-6
"""Widths are floats: a text fits where it was measured, whatever its parts add up to."""

Width = Callable[[str], float]


def wrap(text: str, most: float, width: Width) -> list[str]:
    """The lines, at least one. Line breaks of the text are kept."""
    most += ROUNDING
    return [line for paragraph in text.split("\n") for line in _paragraph(paragraph, most, width)]


def _paragraph(text: str, most: float, width: Width) -> Iterator[str]:
    line, used = "", 0.0
    for token in TOKEN.findall(text):
        wide = width(token)
        if used + wide > most and token.strip():
            if line.strip():
                yield line.rstrip()
            *whole, token = _broken(token, most, width)
            yield from whole
            line, used, wide = "", 0.0, width(token)
        line, used = line + token, used + wide
    yield line.rstrip()


def _broken(token: str, most: float, width: Width) -> Iterator[str]:
    """A token in parts that fit, which is mostly one; each has at least one character."""
    part, used = "", 0.0
    for letter in token:
        wide = width(letter)
        if part and used + wide > most:
            yield part
            part, used = "", 0.0
        part, used = part + letter, used + wide
    yield part
