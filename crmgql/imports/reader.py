"""CSV files as a stream of rows with their line numbers. A malformed row is a row with a problem, never an exception.

Bytes that are invalid in the file's encoding are kept as lone surrogates, so that only the rows (and of these only
the used cells) with such bytes are rejected, and the reject file gives them back as they were. A BOM is ignored.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TextIO

from crmgql.errors import SetupError
from crmgql.imports.mapping import CsvFile


@dataclass(slots=True)
class Row:
    """`line` is where the record starts, `end` its last line: a quoted cell may span several.

    `problem` (and perhaps its `column`) says why the row can't be used. The first `width` cells are the file's own,
    joined ones follow.
    """

    line: int
    end: int
    cells: list[str]
    width: int
    problem: str | None = None
    column: str = ""


def _open(file: CsvFile) -> TextIO:
    encoding = "utf-8-sig" if file.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else file.encoding
    try:
        return file.path.open(encoding=encoding, errors="surrogateescape", newline="")
    except OSError as error:
        raise SetupError(f"{file.label}: can't be read at {file.path}: {error.strerror}") from error


class _Lines(Iterator[str]):
    """Hands lines to the CSV reader and remembers those of the current record, for when it is malformed."""

    def __init__(self, stream: Iterable[str]) -> None:
        self._stream = iter(stream)
        self.current: list[str] = []

    def __next__(self) -> str:
        line = next(self._stream)
        self.current.append(line)
        return line


def header(file: CsvFile) -> tuple[str, ...]:
    """The column names: trimmed, each once. SetupError otherwise."""
    with _open(file) as stream:
        try:
            first = next(csv.reader(stream, delimiter=file.delimiter, quotechar=file.quote), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise SetupError(f"{file.label}: its header line can't be read: {error}") from error
    names = tuple(name.strip() for name in first)
    if not names:
        raise SetupError(f"{file.label}: is empty; its first line must name the columns")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SetupError(f"{file.label}: two columns are named {twice!r}; rename one in the file")
    return names


def rows(file: CsvFile) -> Iterator[Row]:
    """Every record after the header. Lines that are entirely empty are no records."""
    width = len(header(file))
    with _open(file) as stream:
        lines = _Lines(stream)
        reader = csv.reader(lines, delimiter=file.delimiter, quotechar=file.quote, strict=True)
        next(reader)
        while True:
            line = reader.line_num + 1
            lines.current.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raw = "".join(lines.current)
                yield Row(line, reader.line_num, [raw], 1, f"malformed CSV up to line {reader.line_num}: {error}")
                continue
            except UnicodeDecodeError as error:
                raise SetupError(f"{file.label}: is not {file.encoding} from line {line} on: {error.reason}") from error
            if not cells:
                continue
            row = Row(line, reader.line_num, cells, len(cells))
            if len(cells) != width:
                row.problem = f"has {len(cells)} cells, the header has {width}"
            yield row


def digest(file: CsvFile) -> str:
    """SHA-256 of the content."""
    try:
        with file.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise SetupError(f"{file.label}: can't be read at {file.path}: {error.strerror}") from error
