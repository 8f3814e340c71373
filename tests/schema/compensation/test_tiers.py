"""Tiers by the thousand: what a draft refuses is what the database refuses, and nothing else."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from random import Random
from uuid import uuid4

import asyncpg

from crmgql.domain.compensation import contents
from crmgql.domain.compensation.contents import NewRule, NewTier
from crmgql.errors import TiersNotContiguous
from tests.schema.cases_plans import draft
from tests.schema.world import World, uuid_of

VALUES = [Decimal(text) for text in ("-1", "0", "0.0", "1", "1.00", "2.5", "3")]
RULE = "INSERT INTO comp_rules (id, plan_version_id, position, name, kind, currency, tier_unit) VALUES ($1, $2, 9, 'Raw', 'PERCENT', 'EUR', 'QUOTA')"
TIER = "INSERT INTO comp_tiers (rule_id, from_value, to_value, rate) SELECT $1, f, t, 0.1 FROM unnest($2::numeric[], $3::numeric[]) AS tier (f, t)"


def some_tiers(random: Random) -> list[NewTier]:
    """Mostly tiers that lead on, with a mistake or none."""
    ends = sorted(random.sample(VALUES[3:], random.randrange(3)))
    bounds = [Decimal(0), *ends]
    tiers = [NewTier(first, Decimal("0.1"), last) for first, last in zip(bounds, [*bounds[1:], None], strict=True)]
    for _ in range(random.randrange(3)):
        place = random.randrange(len(tiers) + 1)
        made = NewTier(random.choice(VALUES), Decimal("0.1"), random.choice([*VALUES, None]))
        tiers[place : place + random.randrange(2)] = [made]
    random.shuffle(tiers)
    return tiers


def is_taken(tiers: list[NewTier]) -> bool:
    rule = NewRule("Share", "PERCENT", tier_unit="QUOTA", tiers=tiers)
    try:
        contents.rule_rows([rule], currency="EUR", text="")
    except TiersNotContiguous:
        return False
    return True


async def is_kept(database: asyncpg.Connection, version: str, tiers: list[NewTier]) -> bool:
    running = database.transaction()
    await running.start()
    rule = uuid4()
    try:
        await database.execute(RULE, rule, uuid_of(version))
        await database.execute(TIER, rule, [tier.from_value for tier in tiers], [tier.to_value for tier in tiers])
        await database.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except asyncpg.IntegrityConstraintViolationError:
        return False
    finally:
        await running.rollback()
    return True


async def test_the_verb_and_the_database_refuse_the_same(world: World) -> None:
    random, version = Random(20261130), await draft(world)
    found: Counter[bool] = Counter()
    for _ in range(1500):
        tiers = some_tiers(random)
        taken = is_taken(tiers)
        assert await is_kept(world.database, version, tiers) is taken, tiers
        found[taken] += 1
    assert min(found.values()) > 200
