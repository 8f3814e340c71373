"""A company of one seller, who is asked about."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest_asyncio

from crmgql import db
from tests.domain import work
from tests.ledger.conftest import add_customer
from tests.schema.compensation import paid


@pytest_asyncio.fixture
async def ann(database: asyncpg.Connection) -> UUID:
    return await work.user(database, "Ann")


@pytest_asyncio.fixture
async def customer(database: asyncpg.Connection, ann: UUID) -> UUID:
    return await add_customer(database)


@pytest_asyncio.fixture
async def asked(crm: db.Database, database: asyncpg.Connection, ann: UUID) -> paid.Asked:
    return paid.asked(crm, database)
