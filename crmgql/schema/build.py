"""Boot: declarations → catalog → Strawberry schema → engine. A wrong declaration stops here."""

from __future__ import annotations

from functools import cache

import strawberry
from strawberry.schema.config import StrawberryConfig

from crmgql import db
from crmgql.config import Settings
from crmgql.planner import catalog
from crmgql.schema import catalog as freezer
from crmgql.schema import computed_fields as _computed  # noqa: F401 - importing them is what declares
from crmgql.schema import declare, mutating, objects, scalars
from crmgql.schema import mutations as _mutations  # noqa: F401
from crmgql.schema import types as _types  # noqa: F401
from crmgql.schema.engine import Engine


@cache
def built() -> tuple[strawberry.Schema, catalog.Catalog]:
    """The schema and the catalog of this process; needs Tortoise's models to be initialised."""
    known = freezer.freeze(declare.DECLARED)
    query = objects.build(known, declare.DECLARED)
    config = StrawberryConfig(scalar_map=scalars.SCALARS)
    return strawberry.Schema(query=query, mutation=mutating.build(), config=config), known


def engine(database: db.Database, settings: Settings, *, secret: str | None = None) -> Engine:
    """The engine over a database. `secret` signs access tokens; without it nobody can log in."""
    schema, known = built()
    return Engine(schema, known, database, settings, secret)


async def prepare() -> None:
    """Builds the schema ahead, without a database: a process that is forked afterwards has it."""
    await db.know_models()
    built()


async def printed() -> str:
    """The schema as SDL, without a database."""
    await prepare()
    return built()[0].as_str() + "\n"
