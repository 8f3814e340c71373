"""The small company for answers, and a bench that plans without any database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.access.workshop import Company, opened
from tests.planner import bench as planning


@pytest_asyncio.fixture(scope="package")
async def company(servers: object, template: str) -> AsyncIterator[Company]:
    """The company's rows and an engine over its database. Nothing may be written there."""
    async with opened(servers.database_url, template) as company:  # type: ignore[attr-defined]
        yield company


@pytest_asyncio.fixture(scope="session")
async def bench() -> planning.Bench:
    """Plans without a database."""
    return await planning.made()
