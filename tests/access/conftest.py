"""One database with the small company in it, for all tests of access and of the planner."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.access.workshop import Company, opened


@pytest_asyncio.fixture(scope="package")
async def company(servers: object, template: str) -> AsyncIterator[Company]:
    """The company's rows and an engine over its database. Nothing may be written there."""
    async with opened(servers.database_url, template) as company:  # type: ignore[attr-defined]
        yield company
