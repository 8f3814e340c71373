"""Sheets of A4 to write on, and their bytes. Pure: the moment of making comes from the caller, so equal facts give equal bytes.

Lengths are millimetres from the top left corner, sizes are points. What is written is kept and drawn at the end, when the
number of pages is known. `fpdf2` draws; the font is Noto Sans SC, of which the used glyphs go into the file.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pylopdf_fonts_zh_cn
from fpdf import FPDF
from fpdf.fonts import TTFFont

WIDTH, HEIGHT, MARGIN = 210.0, 297.0, 18.0
BOTTOM = HEIGHT - 26
"""Below it is the footer's."""

RIGHT = WIDTH - MARGIN
POINT = 25.4 / 72
UNKNOWN = "□"
FONT = "sans"
BLACK, GREY, PALE = 0, 110, 205

Align = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class _Text:
    x: float
    y: float
    text: str
    size: float
    bold: bool
    grey: bool


@dataclass(frozen=True, slots=True)
class _Rule:
    x: float
    until: float
    y: float
    thick: bool


class Paper:
    """Pages under way. `y` is where the next line goes, `missing` what the font has no glyph for."""

    def __init__(self, *, title: str, author: str, language: str, made_at: datetime) -> None:
        self.y = MARGIN
        self.missing: set[str] = set()
        self._pages: list[list[_Text | _Rule]] = [[]]
        self._pdf = FPDF(format="A4")
        self._pdf.set_auto_page_break(False)
        self._pdf.add_font(FONT, "", pylopdf_fonts_zh_cn.sans_path())
        font = self._pdf.fonts[FONT]
        assert isinstance(font, TTFFont)
        self._known, self._widths = font.cmap, font.cw
        self._pdf.set_creation_date(made_at)
        self._pdf.set_title(self.printable(title))
        self._pdf.set_author(self.printable(author))
        self._pdf.set_lang(language)

    @property
    def pages(self) -> int:
        return len(self._pages)

    def width(self, text: str, size: float) -> float:
        return sum(self._widths[ord(letter)] for letter in text) * size * POINT / 1000

    def printable(self, text: str) -> str:
        """The text as the font can write it: without control characters and marks that turn its direction, with a box for
        what has no glyph. A letter with an unknown accent loses the accent."""
        plain = unicodedata.normalize("NFC", text)
        return "".join(letter if letter == "\n" else self._glyph(letter) for letter in plain)

    def _glyph(self, letter: str) -> str:
        if letter.isspace():
            return " "
        if not letter.isprintable():
            return ""
        if ord(letter) in self._known:
            return letter
        self.missing.add(letter)
        base = unicodedata.normalize("NFD", letter)[0]
        return base if ord(base) in self._known else UNKNOWN

    def write(
        self,
        text: str,
        x: float,
        y: float,
        *,
        size: float = 9,
        align: Align = "left",
        bold: bool = False,
        grey: bool = False,
    ) -> None:
        """One line of printable text on this page; `x` is its left end, or its right one."""
        if align == "right":
            x -= self.width(text, size)
        self._pages[-1].append(_Text(x, y, text, size, bold, grey))

    def rule(self, x: float, until: float, y: float, *, thick: bool = False) -> None:
        self._pages[-1].append(_Rule(x, until, y, thick))

    def turn(self) -> None:
        """Goes on, on a new page."""
        self._pages.append([])
        self.y = MARGIN

    def content(self, margin_of: Callable[[Paper, int, int], None]) -> bytes:
        """The file. `margin_of` writes what is above and below the text of each page, given its number and that of all."""
        pages = self._pages
        for n, page in enumerate(pages, 1):
            self._pages = [*pages[: n - 1], page]
            margin_of(self, n, len(pages))
            self._pdf.add_page()
            for mark in page:
                self._draw(mark)
        return bytes(self._pdf.output())

    def _draw(self, mark: _Text | _Rule) -> None:
        pdf = self._pdf
        if isinstance(mark, _Rule):
            pdf.set_draw_color(GREY if mark.thick else PALE)
            pdf.set_line_width(0.25)
            pdf.line(mark.x, mark.y, mark.until, mark.y)
            return
        tone = GREY if mark.grey else BLACK
        pdf.set_text_color(tone)
        pdf.set_font(FONT, size=mark.size)
        if not mark.bold:
            pdf.text(mark.x, mark.y, mark.text)
            return
        # The font has one weight: its outlines are drawn as well.
        pdf.set_draw_color(tone)
        with pdf.local_context(text_mode="FILL_STROKE", line_width=mark.size * 0.0045):
            pdf.text(mark.x, mark.y, mark.text)
