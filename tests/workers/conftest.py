"""Fixtures of the tests of workers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.webhooks import retries
from crmgql.domain.webhooks.keys import KEYS
from crmgql.schema import build
from crmgql.workers import couriers
from tests.domain.work import user
from tests.receiver import Receiver, receiving
from tests.workers.webhook_shop import SECRET, Shop


@pytest_asyncio.fixture
async def shop(crm: db.Database, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch) -> Shop:
    assert build.built()
    KEYS.use(SECRET)
    monkeypatch.setattr(couriers, "IDLE_S", 0.02)
    monkeypatch.setattr(retries, "JITTER", 0.0)
    return Shop(crm, database, await user(database, roles=["ADMIN"]))


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened
