"""Lookup files: loaded once into temporary tables, then asked per batch of rows by key. Any size, little memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crmgql.errors import SetupError
from crmgql.imports import placeholders, reader
from crmgql.imports.bindings import BoundJoin, used_columns
from crmgql.imports.mapping import Lookup, Mapping
from crmgql.imports.placeholders import Rejected, Render
from crmgql.imports.reader import Row
from crmgql.imports.rejects import Rejects
from crmgql.imports.reports import StepReport


def _table(lookup: Lookup) -> str:
    return f"crmgql_import_lookup_{lookup.name.lower()}"


class _Loader:
    """Streams a lookup's rows to COPY; a row that can't be used goes to the reject file."""

    def __init__(self, lookup: Lookup, columns: tuple[str, ...], rejects: Rejects) -> None:
        header = reader.header(lookup.file)
        self.lookup = lookup
        self.columns = columns
        self.places = [header.index(column) for column in columns]
        self.key: Render = placeholders.bind(
            lookup.key, {name: place for place, name in enumerate(header)}, frozenset({""}), whole=True
        )
        self.rejects = rejects
        self.report = StepReport(f"lookup {lookup.name}", "lookup")

    def records(self) -> Iterator[tuple[str | int, ...]]:
        for row in reader.rows(self.lookup.file):
            self.report.read += 1
            try:
                yield self._record(row)
            except Rejected as error:
                self.report.rejected += 1
                where = (self.report.name, self.lookup.file, row.line)
                self.rejects.add(*where, error.column, error.reason, row.cells)

    def _record(self, row: Row) -> tuple[str | int, ...]:
        if row.problem is not None:
            raise Rejected("", row.problem)
        key = self.key(row.cells)
        if not key:
            raise Rejected(", ".join(self.lookup.key.columns), "key: is blank")
        cells = [row.cells[place] for place in self.places]
        for column, cell in zip(self.columns, cells, strict=True):
            placeholders.check_text(cell, column)
        return (key, row.line, *cells)


async def load(connection: Any, mapping: Mapping, rejects: Rejects) -> list[StepReport]:
    """Loads the lookups that steps use. SetupError when a key has two different rows and the mapping doesn't choose."""
    used = {join.lookup for step in mapping.steps for join in step.joins}
    return [await _load(connection, mapping, lookup, rejects) for lookup in mapping.lookups if lookup.name in used]


async def _load(connection: Any, mapping: Mapping, lookup: Lookup, rejects: Rejects) -> StepReport:
    loader = _Loader(lookup, used_columns(mapping, lookup), rejects)
    table, names = _table(lookup), [f"c{place}" for place in range(len(loader.columns))]
    await connection.execute(f"DROP TABLE IF EXISTS {table}")
    typed = ", ".join(["key text", "line bigint", *(f"{name} text" for name in names)])
    await connection.execute(f"CREATE TEMPORARY TABLE {table} ({typed})")
    await connection.copy_records_to_table(table, records=loader.records(), columns=["key", "line", *names])
    rejects.flush()
    await connection.execute(f"CREATE INDEX ON {table} (key)")
    await connection.execute(f"ANALYZE {table}")
    if lookup.duplicates == "error":
        twice = await connection.fetchrow(
            f"SELECT key, min(line) AS first, max(line) AS last FROM {table}"
            f" GROUP BY key HAVING count(DISTINCT ROW({', '.join(['key', *names])})) > 1 ORDER BY 2 LIMIT 1"
        )
        if twice is not None:
            raise SetupError(
                f"{mapping.path}: [lookup {lookup.name}] key: {twice['key']!r} stands for different rows of "
                f"{lookup.file.label}, such as lines {twice['first']} and {twice['last']}; "
                "write duplicates = 'first' or 'last'"
            )
    keep = "max" if lookup.duplicates == "last" else "min"
    await connection.execute(
        f"DELETE FROM {table} t"
        f" USING (SELECT key, {keep}(line) AS line FROM {table} GROUP BY key HAVING count(*) > 1) k"
        " WHERE t.key = k.key AND t.line <> k.line"
    )
    return loader.report


async def join(connection: Any, joins: tuple[BoundJoin, ...], rows: list[Row]) -> None:
    """Puts the looked-up columns behind each row's cells; a row without a match gets blanks or a problem."""
    for bound in joins:
        keys = [_key(bound, row) for row in rows]
        names = ", ".join(["key", *(f"c{place}" for place in range(len(bound.columns)))])
        wanted = list({key for key in keys if key})
        query = f"SELECT {names} FROM {_table(bound.lookup)} WHERE key = ANY($1::text[])"
        found = await connection.fetch(query, wanted)
        cells = {record[0]: list(record)[1:] for record in found}
        blank = [""] * len(bound.columns)
        for row, key in zip(rows, keys, strict=True):
            if key and key not in cells and bound.missing == "reject":
                row.problem, row.column = f"lookup {bound.lookup.name} has no {key!r}", bound.label
            row.cells.extend(cells.get(key, blank))


def _key(bound: BoundJoin, row: Row) -> str:
    if row.problem is not None:
        return ""
    try:
        return bound.key(row.cells)
    except Rejected as error:
        row.problem, row.column = error.reason, error.column
        return ""


async def drop(connection: Any, mapping: Mapping) -> None:
    for lookup in mapping.lookups:
        await connection.execute(f"DROP TABLE IF EXISTS {_table(lookup)}")
