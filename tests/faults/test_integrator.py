"""`examples/integrator`: a copy that is equal to the server, whatever ends in between."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.models.names import api_id
from tests.faults.company import NOTE, Company
from tests.faults.installation import Installation, Integrator, installed

PATIENCE_S = 60


@pytest.fixture
def installation(database_url: str, tmp_path: Path) -> Iterator[Installation]:
    with installed(database_url, tmp_path) as made:
        yield made


@pytest_asyncio.fixture
async def company(
    crm: db.Database, database: asyncpg.Connection, database_url: str, installation: Installation
) -> AsyncIterator[Company]:
    await installation.ready()
    made = await Company.founded(crm, database, database_url, [api.url for api in installation.apis])
    yield made
    await made.http.aclose()


def rows(integrator: Integrator, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(integrator.file) as copy:
        found = copy.execute(sql).fetchall()
    copy.close()
    return found


async def there(integrator: Integrator, sql: str) -> None:
    """Waits until the copy has something."""
    async with asyncio.timeout(PATIENCE_S):
        while not integrator.file.exists() or not await asyncio.to_thread(_found, integrator, sql):
            assert integrator.process is not None
            assert integrator.process.poll() is None, integrator.log
            await asyncio.sleep(0.05)


def _found(integrator: Integrator, sql: str) -> bool:
    try:
        return bool(rows(integrator, sql))
    except sqlite3.OperationalError:  # it makes its tables
        return False


async def test_a_copy_follows_and_is_equal(company: Company, installation: Installation) -> None:
    await company.sell()
    integrator = installation.integrator(company.key).start()
    await there(integrator, "SELECT 1 FROM position")
    await company.sell()
    await company.sell_at_once()
    assert await integrator.is_equal()
    assert sorted(rows(integrator, "SELECT status, total, note FROM orders")) == [
        ("CONFIRMED", "25.00", f"{NOTE}, paid"),
        ("CONFIRMED", "25.00", f"{NOTE}, paid"),
        ("CONFIRMED", "3.00", "at once"),
    ]
    integrator.kill()
    await company.sell()
    await company.mend_by_hand()
    await company.erase()
    integrator.start()
    assert await integrator.is_equal()
    theirs = await company.database.fetch("SELECT id, version, reference FROM payments ORDER BY id")
    ours = rows(integrator, "SELECT id, version, reference FROM payments ORDER BY id")
    assert ours == [(api_id("Payment", row["id"]), row["version"], row["reference"]) for row in theirs]
    assert {reference for _, _, reference in ours} == {"mended", None}
    assert rows(integrator, "SELECT count(*) FROM orders WHERE note IS NULL") != [(0,)]
