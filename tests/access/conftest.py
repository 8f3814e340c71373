"""One database with the small company in it for all tests of access, and the oracles."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from graphql import GraphQLSchema, build_schema

from tests.access.oracle import Oracle
from tests.access.rules import Sight
from tests.access.workshop import VIEWERS, Company, opened


@pytest_asyncio.fixture(scope="package")
async def company(servers: object, template: str) -> AsyncIterator[Company]:
    """The company's rows and an engine over its database. Nothing may be written there."""
    async with opened(servers.database_url, template) as company:  # type: ignore[attr-defined]
        yield company


@pytest.fixture(scope="package")
def schema(company: Company) -> GraphQLSchema:
    """The printed schema, without anything of the product behind it."""
    schema = build_schema(company.engine.strawberry.as_str())
    schema.type_map["Event"].fields.pop("transactionId")  # type: ignore[attr-defined] - PostgreSQL numbers transactions
    return schema


@pytest.fixture(scope="package")
def oracles(company: Company, schema: GraphQLSchema) -> list[Oracle]:
    """An oracle for each viewer."""
    return [
        Oracle(schema, company.rows, Sight(company.rows, viewer.user_id, viewer.who.roles, viewer.who.scopes))
        for viewer in VIEWERS
    ]
