"""Opens the small company: its rows as plain Python, an engine that answers, and everybody who might ask."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg

from crmgql import db
from crmgql.config import Settings
from crmgql.engine.operations import Engine, Rejected, Request
from crmgql.schema import build
from crmgql.viewer import Viewer, Who
from tests.access import company, loading
from tests.access.oracle import Oracle
from tests.access.queries import Query

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
ROOMY = Settings(
    log_level="error", max_cost=10**9, max_depth=60, max_aliases=2000, max_directives=2000, max_tokens=20000
)

KEYS: tuple[tuple[int, frozenset[str]], ...] = (
    (5, frozenset({"customers:read", "orders:read", "users:read"})),
    (13, frozenset({"customers:read", "payments:read", "events:read", "orders:write"})),
    (1, frozenset({"*:read"})),
    (3, frozenset({"orders:read", "commissions:read", "products:read"})),
    (5, frozenset({"leads:read", "tasks:read", "pools:read", "opportunities:read", "jobs:write"})),
    (12, frozenset({"marketing:read", "leads:read", "emails:read", "routing:write"})),
    (4, frozenset({"routing:read", "notifications:read", "jobs:read", "pipelines:read", "users:read"})),
)
"""API keys: the number of their user and what they may do."""


@dataclass(frozen=True)
class Company:
    rows: dict[str, list[dict[str, Any]]]
    engine: Engine
    database: db.Database

    async def ask(self, query: str, viewer: Viewer, variables: dict[str, Any] | None = None) -> str:
        """The answer's data as JSON text, or the code of its first error."""
        try:
            body = await self.engine.answer(Request(query, None, variables or {}), viewer)
        except Rejected as error:
            return str(error.errors[0]["extensions"]["code"])
        return json.dumps(json.loads(body)["data"])

    async def data(self, query: str, viewer: Viewer, variables: dict[str, Any] | None = None) -> Any:
        """The answer's data."""
        return json.loads(await self.ask(query, viewer, variables))


@asynccontextmanager
async def opened(server_url: str, template: str) -> AsyncIterator[Company]:
    """A fresh database with the company in it."""
    from tests.conftest import fresh_database

    async with fresh_database(server_url, template) as url:
        connection = await asyncpg.connect(url)
        await loading.load(connection)
        rows = {
            table: [dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")] for table in company.TABLES
        }
        await connection.close()
        database = await db.connect(url, pool_size=2)
        try:
            yield Company(rows, build.engine(database, ROOMY), database)
        finally:
            await database.close()


def person(number: int, scopes: frozenset[str] | None = None) -> Viewer:
    """The viewer that the n-th user is."""
    roles = frozenset(company.PEOPLE[number - 1][1])
    return Viewer(company.key("users", number), Who(roles, scopes), clock=lambda: NOW)


def viewers() -> list[Viewer]:
    """Every person and every API key."""
    people = [person(number) for number in range(1, len(company.PEOPLE) + 1)]
    return people + [person(number, scopes) for number, scopes in KEYS]


def role(name: str) -> Viewer:
    """The first person with just this role."""
    return person(next(n for n, (_, roles, *_) in enumerate(company.PEOPLE, 1) if roles == (name,)))


def gid(prefix: str, table: str, number: int) -> str:
    """The API id of the n-th row of a table."""
    return f"{prefix}_{company.key(table, number).hex}"


VIEWERS = viewers()


async def check(company: Company, oracle: Oracle, viewer: Viewer, query: Query) -> str:
    """Compares one answer with the oracle's; returns it."""
    found = await company.ask(query.text, viewer, query.variables)
    wanted = oracle.answer(query.text, query.variables)
    assert found == wanted, f"{sorted(viewer.roles)} {viewer.who.scopes}\n{query.text}\n{query.variables}"
    return found
