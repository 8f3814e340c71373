"""A throwaway PostgreSQL, a migrated database per test. To go once tests/conftest.py has these fixtures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from crmgql import db, embedded

MIGRATIONS = Path(db.__file__).parent / "migrations"
_numbers = count(1)


@pytest.fixture(scope="session")
def _server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded.start(tmp_path_factory.mktemp("servers"), throwaway=True, valkey=False) as servers:
        yield servers.database_url


@pytest.fixture(scope="session")
async def _template_url(_server_url: str) -> str:
    connection = await asyncpg.connect(_server_url)
    for path in sorted(MIGRATIONS.glob("*.sql")):
        await connection.execute(path.read_text())
    await connection.close()
    return _server_url


@pytest.fixture
async def database_url(_template_url: str) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(_template_url.replace("/crmgql?", "/postgres?"))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE crmgql STRATEGY FILE_COPY")
    yield _template_url.replace("/crmgql?", f"/{name}?")
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def crm(database_url: str) -> AsyncIterator[db.Database]:
    crm = await db.connect(database_url, pool_size=4)
    yield crm
    await crm.close()
