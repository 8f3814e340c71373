"""A real PostgreSQL and a small workshop for imports: write files, run the mapping, look at the tables."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crmgql.imports import Progress, Report, run

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

# Olist's words for an order's state, and ours.
STATUSES = {
    "delivered": "DELIVERED",
    "shipped": "SHIPPED",
    "canceled": "CANCELLED",
    "unavailable": "UNAVAILABLE",
    "invoiced": "INVOICED",
    "processing": "PROCESSING",
    "created": "DRAFT",
    "approved": "CONFIRMED",
}


class Workshop:
    """Files and a mapping in a folder of this test."""

    def __init__(self, connection: Any, folder: Path) -> None:
        self.connection = connection
        self.folder = folder
        self.rejects_path = folder / "rejects.csv"
        self.progress: list[Progress] = []

    def file(self, name: str, text: str | bytes) -> None:
        (self.folder / name).write_bytes(text.encode() if isinstance(text, str) else text)

    async def run(self, mapping: str, **options: Any) -> Report:
        self.file("mapping.toml", mapping)
        options = {"now": NOW, "rejects_path": self.rejects_path, "progress": self.progress.append, **options}
        return await run(self.connection, self.folder / "mapping.toml", **options)

    def rejects(self) -> list[dict[str, str]]:
        if not self.rejects_path.exists():
            return []
        with self.rejects_path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return list(csv.DictReader(stream))

    async def value(self, query: str, *arguments: Any) -> Any:
        return await self.connection.fetchval(query, *arguments)

    async def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.connection.fetch(query, *arguments)]


FILLED: dict[tuple[str, datetime], tuple[Report, dict[str, bytes]]] = {}
"""What a mapping made of a data set at a time, table by table."""


async def run_once(connection: Any, mapping: Path, **options: Any) -> Report:
    """As `run`, into an empty database, and with the same outcome; but a mapping runs once in a process only. Later its
    rows are copied, in a tenth of the time."""
    key = mapping.name, options["now"]
    if key not in FILLED:
        before = await _filled(connection)
        report = await run(connection, mapping, **options)
        FILLED[key] = (report, await _dumped(connection, before))
        return report
    report, tables = FILLED[key]
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # the order of the tables is any
        for table, rows in tables.items():
            await connection.execute(f"DELETE FROM {table}")
            columns = await _columns(connection, table)
            await connection.copy_to_table(table, source=io.BytesIO(rows), columns=columns, format="binary")
    return report


async def _filled(connection: Any) -> dict[str, str]:
    """The tables with rows in them, and what is there."""
    sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    names = [name for (name,) in await connection.fetch(sql)]
    found = {}
    for name in names:
        if state := await connection.fetchval(f"SELECT md5(string_agg(xmin::text, ',')) FROM {name}"):
            found[name] = state
    return found


async def _dumped(connection: Any, before: dict[str, str]) -> dict[str, bytes]:
    tables = {}
    for name in [name for name, state in (await _filled(connection)).items() if before.get(name) != state]:
        rows = io.BytesIO()
        columns = await _columns(connection, name)
        await connection.copy_from_table(name, output=rows, columns=columns, format="binary")
        tables[name] = rows.getvalue()
    return tables


async def _columns(connection: Any, table: str) -> list[str]:
    sql = "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped"
    return [name for (name,) in await connection.fetch(sql + " AND attgenerated = '' ORDER BY attnum", table)]


@pytest.fixture
def shop(database: asyncpg.Connection, tmp_path: Path) -> Workshop:
    return Workshop(database, tmp_path)
