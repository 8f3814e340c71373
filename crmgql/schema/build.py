"""Builds the engine at start: declarations → metadata → Strawberry schema → engine. Raises for a wrong declaration."""

from __future__ import annotations

from functools import cache

import strawberry
from strawberry.schema.config import StrawberryConfig

from crmgql import db, garbage
from crmgql.config import Settings
from crmgql.domain.webhooks.bounds import BOUNDS
from crmgql.domain.webhooks.keys import KEYS
from crmgql.engine import computed, declare, documents, followed, freeze, input_checks, mutations, object_types, scalars
from crmgql.engine.exporting import Exporting
from crmgql.engine.lanes import Lane
from crmgql.engine.operations import Engine
from crmgql.planner import metadata
from crmgql.planner.plan import Plans
from crmgql.schema import chapters

# Importing the chapters is what declares.
chapters.load()


@cache
def built() -> tuple[strawberry.Schema, metadata.Metadata]:
    """The schema and the metadata of this process; needs Tortoise's models to be initialised."""
    with garbage.left_out():
        known = freeze.freeze(declare.DECLARED)
        query = object_types.build(known, declare.DECLARED)
        config = StrawberryConfig(scalar_map=scalars.SCALARS)
        schema = strawberry.Schema(
            query=query,
            mutation=mutations.build(known),
            subscription=followed.build(),
            directives=[followed.live],
            config=config,
        )
        input_checks.check(mutations.MUTATIONS, schema._schema, known)
        input_checks.check_computed(computed.COMPUTED, schema._schema, known)
    return schema, known


def engine(database: db.Database, settings: Settings, *, secret: str | None = None) -> Engine:
    """The engine over a database. `secret` signs access tokens, and webhooks' keys are made of it; without it there are none.
    Raises `SetupError`."""
    schema, known = built()
    BOUNDS.use(settings.webhook_networks)
    if secret is not None:
        KEYS.use(secret)
    return Engine(schema, known, database, settings, secret)


@cache
def exporting(settings: Settings) -> Exporting:
    """What reads records for exports, without all else that an engine has; it needs no database. It takes a second or two."""
    schema, known = built()
    plans = Plans(schema._schema, known, size=settings.plan_cache_size, max_cost=settings.max_cost)
    kept = documents.Documents(schema._schema, documents.limits(settings), size=settings.plan_cache_size)
    return Exporting(schema._schema, kept, plans, Lane("exporting"))


async def prepare() -> None:
    """Builds the schema in advance, without a database, so that processes that are forked afterwards have it."""
    await db.know_models()
    built()


async def printed() -> str:
    """The schema as SDL, without a database."""
    await prepare()
    return built()[0].as_str() + "\n"
