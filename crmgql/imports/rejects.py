"""The reject file: one CSV row per rejected row, with the reason and the row as it was.

Rows reach the disk before the batch they belong to is committed, so that a crash loses none; a resumed import drops
those of the batch that was not committed.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from crmgql.errors import SetupError
from crmgql.imports.mapping import CsvFile

HEADER = ["step", "file", "line", "column", "reason", "row"]


class Rejects:
    """Open for one import. The file is made with the first reject."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: TextIO | None = None
        self._writer: Any = None

    def start(self, keep: Callable[[str, int], bool]) -> dict[str, set[int]]:
        """Keeps the rows of an unfinished import that `keep(step, line)` affirms; gives the lines kept per step."""
        kept = [row for row in self._read() if keep(row[0], int(row[2]))]
        if kept:
            beside = self.path.with_name(self.path.name + ".new")
            with self._open(beside, "w") as stream:
                csv.writer(stream).writerows([HEADER, *kept])
                _to_disk(stream)
            beside.replace(self.path)
        else:
            self.path.unlink(missing_ok=True)
        lines: dict[str, set[int]] = {}
        for row in kept:
            lines.setdefault(row[0], set()).add(int(row[2]))
        return lines

    def _open(self, path: Path, mode: str) -> TextIO:
        try:
            return path.open(mode, encoding="utf-8", errors="surrogateescape", newline="")  # type: ignore[return-value]
        except OSError as error:
            raise SetupError(f"{path}: the reject file can't be opened: {error.strerror}") from error

    def _read(self) -> list[list[str]]:
        if not self.path.exists():
            return []
        with self._open(self.path, "r") as stream:
            rows = csv.reader(stream)
            try:
                if next(rows, None) not in (HEADER, None):
                    raise SetupError(f"{self.path}: is no reject file; name another, this one would be overwritten")
                return [row for row in rows if len(row) == len(HEADER) and row[2].isdigit()]
            except csv.Error as error:
                raise SetupError(f"{self.path}: is no reject file ({error}); name another") from error

    def add(self, step: str, file: CsvFile, line: int, column: str, reason: str, cells: list[str]) -> None:
        if self._stream is None:
            new = not self.path.exists()
            self._stream = self._open(self.path, "a")
            self._writer = csv.writer(self._stream)
            if new:
                self._writer.writerow(HEADER)
        row = io.StringIO()
        csv.writer(row, delimiter=file.delimiter, quotechar=file.quote, lineterminator="").writerow(cells)
        self._writer.writerow([step, file.label, line, column, reason, row.getvalue()])

    def flush(self) -> None:
        if self._stream is not None:
            _to_disk(self._stream)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _to_disk(stream: TextIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())
