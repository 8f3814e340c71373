"""People, plans and orders in a database of the test's own, and the API before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from crmgql import db
from crmgql.config import Settings
from crmgql.schema import build
from crmgql.viewer import Viewer, Who
from tests.conftest import NOW
from tests.schema.world import SECRET, World


@dataclass
class Asked:
    """The API; somebody asks it in a role."""

    world: World

    async def answer(self, query: str, user: UUID, role: str = "SELLER", **variables: Any) -> Any:
        viewer = Viewer(user, Who(frozenset([role]), None), None, clock=lambda: NOW)
        return await self.world.ask(query, viewer, **variables)

    async def data(self, query: str, user: UUID, role: str = "SELLER", **variables: Any) -> Any:
        answer = await self.answer(query, user, role, **variables)
        assert "errors" not in answer, answer
        return answer["data"]


def asked(crm: db.Database, database: asyncpg.Connection) -> Asked:
    return Asked(World(build.engine(crm, Settings(log_level="error"), secret=SECRET), database))
