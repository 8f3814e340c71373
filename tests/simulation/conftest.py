"""A database with enough connections for requests that run together."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from crmgql import db
from crmgql.config import Settings
from crmgql.engine.operations import Engine
from crmgql.schema import build
from tests.conftest import connect
from tests.simulation.seeds import ENOUGH


@pytest_asyncio.fixture
async def crm(database_url: str) -> AsyncIterator[db.Database]:
    opened = await connect(database_url, pool_size=ENOUGH)
    yield opened
    await opened.close()


@pytest.fixture
def engine(crm: db.Database) -> Engine:
    return build.engine(crm, Settings(log_level="error", pool_size=ENOUGH))
