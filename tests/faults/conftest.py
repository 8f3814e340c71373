"""An installation of the test's own, and the company that uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from tests.faults.company import Company
from tests.faults.installation import Installation, installed


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
