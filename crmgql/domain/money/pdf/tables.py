"""Tables over pages: cells wrap, a row stays together if a page can hold it, and each page repeats the head. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crmgql.domain.money.pdf import wrapping
from crmgql.domain.money.pdf.paper import BOTTOM, MARGIN, RIGHT, Align, Paper

SIZE, LINE, GAP, PADDING = 8.5, 4.2, 4.0, 1.3
WIDEST = 40.0
"""Of a column that takes what it needs; what is wider wraps."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column `fills` what the others leave; a table has exactly one of them."""

    title: str
    align: Align = "right"
    fills: bool = False


def draw(paper: Paper, columns: Sequence[Column], rows: Sequence[Sequence[str]], *, last_bold: bool = False) -> None:
    """Draws the table at the paper's `y`, which is below it afterwards. Cells may have several lines."""
    printable = [[paper.printable(cell) for cell in row] for row in rows]
    widths = _widths(paper, columns, printable)
    table = _Table(paper, columns, widths)
    table.head()
    for n, row in enumerate(printable, 1):
        table.row(row, bold=last_bold and n == len(printable))
    paper.rule(MARGIN, RIGHT, paper.y)
    paper.y += LINE


def _widths(paper: Paper, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[float]:
    needed = [
        min(
            WIDEST,
            max(
                paper.width(line, SIZE) for row in [[column.title] * len(columns), *rows] for line in row[n].split("\n")
            ),
        )
        for n, column in enumerate(columns)
    ]
    fixed = sum(needed[n] for n, column in enumerate(columns) if not column.fills)
    room = RIGHT - MARGIN - GAP * (len(columns) - 1) - fixed
    return [room if column.fills else needed[n] for n, column in enumerate(columns)]


class _Table:
    def __init__(self, paper: Paper, columns: Sequence[Column], widths: Sequence[float]) -> None:
        self.paper, self.columns, self.widths = paper, columns, widths

    def head(self) -> None:
        titles = [[column.title] for column in self.columns]
        self.paper.y += LINE
        self._line(titles, 0, bold=True)
        self.paper.y += PADDING
        self.paper.rule(MARGIN, RIGHT, self.paper.y, thick=True)

    def row(self, cells: Sequence[str], *, bold: bool) -> None:
        """A row that no page could hold breaks between its lines; others move to the next page."""
        wrapped = [
            wrapping.wrap(cell, width, lambda text: self.paper.width(text, SIZE))
            for cell, width in zip(cells, self.widths, strict=True)
        ]
        lines = max(map(len, wrapped))
        height = lines * LINE + 2 * PADDING
        if self.paper.y + height > BOTTOM and height < BOTTOM - MARGIN - 3 * LINE:
            self._turn()
        self.paper.y += PADDING
        for n in range(lines):
            if self.paper.y + LINE > BOTTOM:
                self._turn()
            self.paper.y += LINE
            self._line(wrapped, n, bold=bold)
        self.paper.y += PADDING
        self.paper.rule(MARGIN, RIGHT, self.paper.y)

    def _turn(self) -> None:
        self.paper.turn()
        self.head()

    def _line(self, cells: Sequence[Sequence[str]], n: int, *, bold: bool) -> None:
        x = MARGIN
        for column, cell, width in zip(self.columns, cells, self.widths, strict=True):
            if n < len(cell) and cell[n]:
                end = x if column.align == "left" else x + width
                self.paper.write(cell[n], end, self.paper.y, size=SIZE, align=column.align, bold=bold)
            x += width + GAP
