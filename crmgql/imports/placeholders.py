"""Templates such as `{order_id}-{order_item_id}`: text with columns in it. Pure.

`{column}` is a cell, `{column:.8}` its first 8 characters, `{join.column}` a cell of a joined file, `{{` and `}}` are
braces. Cells are trimmed; one of the mapping's blanks counts as empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Cells = Sequence[str]
Render = Callable[[Cells], str]

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]+?)(?::\.([0-9]+))?\}|[{}]")


class Rejected(Exception):
    """One row can't be imported: the column at fault and the reason, for the reject file."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason


@dataclass(frozen=True)
class Part:
    """A piece of text, or a column with the number of characters to keep."""

    text: str
    column: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Template:
    source: str
    parts: tuple[Part, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.column for part in self.parts if part.column is not None))

    @property
    def constant(self) -> str | None:
        """The text, when no column is in it."""
        return None if self.columns else "".join(part.text for part in self.parts)


def parse(source: str) -> Template:
    """ValueError when a brace stands alone."""
    parts: list[Part] = []
    position = 0
    for token in _TOKEN.finditer(source):
        if token.start() > position:
            parts.append(Part(source[position : token.start()]))
        position = token.end()
        if token[0] in ("{{", "}}"):
            parts.append(Part(token[0][0]))
        elif token[1] is None:
            raise ValueError(f"{source!r} has a lone {token[0]!r}: write {{column}}, or {token[0] * 2} for a brace")
        else:
            parts.append(Part("", token[1].strip(), int(token[2]) if token[2] else None))
    if position < len(source):
        parts.append(Part(source[position:]))
    return Template(source, tuple(parts))


def check_text(text: str, column: str) -> None:
    """Rejects what PostgreSQL can't hold: NUL, and bytes that were not valid in the file's encoding."""
    if "\0" in text:
        raise Rejected(column, "contains a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Rejected(column, "contains bytes that are not valid in the file's encoding") from error


def _cell(index: int, column: str, limit: int | None, blanks: frozenset[str]) -> Render:
    def render(cells: Cells) -> str:
        text = cells[index].strip()
        if text in blanks:
            return ""
        if "\0" in text or not text.isascii():
            check_text(text, column)
        return text if limit is None else text[:limit]

    return render


def bind(template: Template, positions: Mapping[str, int], blanks: frozenset[str], *, whole: bool = False) -> Render:
    """A function from cells to text; "" when every column is blank, or with `whole` when any of them is."""
    constant = template.constant
    if constant is not None:
        return lambda cells: constant
    pieces: list[str | Render] = [
        part.text if part.column is None else _cell(positions[part.column], part.column, part.limit, blanks)
        for part in template.parts
    ]
    if len(pieces) == 1 and not isinstance(pieces[0], str):
        return pieces[0]

    def render(cells: Cells) -> str:
        texts = [piece if isinstance(piece, str) else piece(cells) for piece in pieces]
        filled = [text != "" for text, piece in zip(texts, pieces, strict=True) if not isinstance(piece, str)]
        return "".join(texts).strip() if (all(filled) if whole else any(filled)) else ""

    return render
