"""A real PostgreSQL and a small workshop for imports: write files, run the mapping, look at the tables."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crmgql.imports.execution import run
from crmgql.imports.reports import Progress, Report

from ..conftest import once

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


async def run_once(connection: Any, mapping: Path, **options: Any) -> Report:
    """As `run`, into an empty database, and with the same outcome; but a mapping runs once in a process only."""
    return await once(connection, (mapping.name, options["now"]), lambda: run(connection, mapping, **options))


@pytest.fixture
def shop(database: asyncpg.Connection, tmp_path: Path) -> Workshop:
    return Workshop(database, tmp_path)
