"""One company per test module; each test makes the records it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from crmgql.config import Settings
from crmgql.dev import embedded
from crmgql.schema import build
from tests.conftest import connect
from tests.schema.world import SECRET, World


@pytest_asyncio.fixture(scope="module")
async def world(request, servers: embedded.Servers, template: str) -> AsyncIterator[World]:  # type: ignore[no-untyped-def]
    name = f"mutations_{request.module.__name__.rpartition('.')[2]}"
    address, _, options = servers.database_url.partition("?")
    server, url = (f"{address.rpartition('/')[0]}/{other}?{options}" for other in ("postgres", name))
    admin = await asyncpg.connect(server)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    crm = await connect(url, pool_size=8)
    database = await asyncpg.connect(url)
    yield await World(build.engine(crm, Settings(log_level="error"), secret=SECRET), database).populate()
    await database.close()
    await crm.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()
