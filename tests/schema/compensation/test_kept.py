"""What the database holds together by itself: raw SQL that would change what was approved, or break what plans rest on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from crmgql.postgres.connection import ROLE
from tests.schema.cases_plans import approved, assignment, draft, plan, quota
from tests.schema.world import World, id_of, uuid_of

KEPT = asyncpg.RestrictViolationError
OF_VERSION = "(SELECT id FROM comp_rules WHERE plan_version_id = $1)"


@asynccontextmanager
async def undone(world: World) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that leaves nothing behind."""
    running = world.database.transaction()
    await running.start()
    try:
        yield world.database
    finally:
        await running.rollback()


async def refused(world: World, error: Any, sql: str, *values: Any, match: str | None = None) -> None:
    async with undone(world) as database:
        with pytest.raises(error, match=match):
            await database.execute(sql, *values)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE comp_plan_versions SET text = 'We pay nothing.' WHERE id = $1",
        "UPDATE comp_plan_versions SET status = 'DRAFT', approved_by_id = NULL, approved_at = NULL WHERE id = $1",
        "UPDATE comp_plan_versions SET starts_on = '2026-02-01' WHERE id = $1",
        "UPDATE comp_plan_versions SET ends_on = '2026-12-31' WHERE id = $1",
        "UPDATE comp_plan_versions SET cap_amount = 1.00 WHERE id = $1",
        "UPDATE comp_plan_versions SET version = version + 1 WHERE id = $1",
        "UPDATE comp_plan_versions SET status = 'RETIRED', ends_on = '2026-12-31', basis = 'GROSS' WHERE id = $1",
        "UPDATE comp_plan_versions SET status = 'RETIRED', ends_on = '2026-12-31', approved_at = now() WHERE id = $1",
        "DELETE FROM comp_plan_versions WHERE id = $1",
        "UPDATE comp_rules SET name = 'Other' WHERE plan_version_id = $1",
        "DELETE FROM comp_rules WHERE plan_version_id = $1",
        "INSERT INTO comp_rules (plan_version_id, position, name, kind, currency, amount) VALUES ($1, 9, 'Mine', 'FIXED', 'EUR', 9.00)",
        f"UPDATE comp_tiers SET rate = 1 WHERE rule_id IN {OF_VERSION}",
        f"DELETE FROM comp_tiers WHERE rule_id IN {OF_VERSION}",
        f"INSERT INTO comp_tiers (rule_id, from_value, rate) SELECT id, 5, 1 FROM comp_rules WHERE id IN {OF_VERSION}",
    ],
)
async def test_what_was_approved_never_changes(world: World, change: str) -> None:
    version = uuid_of(await approved(world))
    await refused(world, KEPT, change, version)
    assert (await world.do("compVersionRetire", id=id_of("CompPlanVersion", version), endsOn="2026-12-31")).done
    await refused(world, KEPT, change, version)


@pytest.mark.parametrize("table", ["comp_plan_versions", "comp_rules", "comp_tiers", "comp_signatures"])
async def test_tables_are_not_emptied(world: World, table: str) -> None:
    await refused(world, KEPT, f"TRUNCATE {table} CASCADE")


async def test_a_retired_version_ends_earlier_never_later(world: World) -> None:
    version = uuid_of(await approved(world, endsOn="2026-12-31"))
    retire = "UPDATE comp_plan_versions SET status = 'RETIRED', ends_on = $2::text::date WHERE id = $1"
    await refused(world, KEPT, retire, version, "2027-01-01")
    await refused(world, asyncpg.DataError, retire, version, "2025-12-31", match="lower bound")


async def test_a_version_is_approved_with_rules_that_it_says(world: World) -> None:
    approve = "UPDATE comp_plan_versions SET status = 'APPROVED', approved_by_id = $2, approved_at = now(), text = $3 WHERE id = $1"
    admin, version = world.people["ADMIN"], uuid_of(await draft(world))
    rule = asyncpg.CheckViolationError
    await refused(world, rule, approve, version, admin, "Something else.", match="sentences are in its text")
    empty = "DELETE FROM comp_tiers WHERE rule_id IN (SELECT id FROM comp_rules WHERE plan_version_id = $1)"
    async with undone(world) as database:
        await database.execute(empty, version)
        await database.execute("DELETE FROM comp_rules WHERE plan_version_id = $1", version)
        with pytest.raises(rule, match="has rules"):
            await database.execute(approve, version, admin, "Nothing.")
    retire = "UPDATE comp_plan_versions SET status = 'RETIRED', approved_by_id = $2, approved_at = now(), ends_on = '2026-12-31' WHERE id = $1"
    await refused(world, rule, retire, version, admin)
    made = """INSERT INTO comp_plan_versions (plan_id, n, status, starts_on, currency, measure, basis, attains_measure, attains_basis,
        text, made_by_id, approved_by_id, approved_at) SELECT plan_id, 99, 'APPROVED', starts_on, currency, measure, basis, attains_measure,
        attains_basis, text, made_by_id, $2, now() FROM comp_plan_versions WHERE id = $1"""
    await refused(world, rule, made, version, admin, match="has rules")


async def test_a_day_has_one_version_and_a_person_one_plan(world: World) -> None:
    of = await plan(world)
    await approved(world, of)
    second = uuid_of(await draft(world, of, startsOn="2026-12-31"))
    approve = (
        "UPDATE comp_plan_versions SET status = 'APPROVED', approved_by_id = $2, approved_at = now() WHERE id = $1"
    )
    overlap = asyncpg.ExclusionViolationError
    await refused(world, overlap, approve, second, world.people["ADMIN"], match="comp_plan_versions_apart")
    seller = await world.user("SELLER")
    await assignment(world, seller)
    again = "INSERT INTO comp_assignments (user_id, plan_id, starts_on) VALUES ($1, $2, '2026-12-31')"
    await refused(world, overlap, again, seller, uuid_of(of), match="comp_assignments_apart")


async def test_quotas_don_t_overlap(world: World) -> None:
    seller, team = await world.user("SELLER"), await world.insert("teams", name="West")
    await quota(world, user_id=seller)
    again = """INSERT INTO quotas (user_id, team_id, starts_on, ends_on, measure, basis, currency, amount)
        VALUES ($1, $2, '2026-12-31', '2027-12-31', 'BOOKED', 'NET', 'USD', 1.00)"""
    await refused(world, asyncpg.ExclusionViolationError, again, seller, None, match="quotas_user_apart")
    for owners in ((seller, team), (None, None)):
        await refused(world, asyncpg.CheckViolationError, again, *owners, match="quotas_owner")
    async with undone(world) as database:
        await database.execute(again, None, team)
        with pytest.raises(asyncpg.ExclusionViolationError, match="quotas_team_apart"):
            await database.execute(again, None, team)


TIER = "INSERT INTO comp_tiers (rule_id, from_value, to_value, rate) VALUES "


@pytest.mark.parametrize(
    ("tiers", "constraint"),
    [
        ("", "comp_rules_tiers"),
        ("(5, NULL)", "comp_(rules_tiers|tiers_follows)"),
        ("(0, 10)", "comp_tiers_followed"),
        ("(0, 10), (11, NULL)", "comp_tiers_follow"),
        ("(0, 10), (9, NULL)", "comp_tiers_follow"),
        ("(0, 10), (10, NULL), (5, 10)", "comp_tiers_to"),
        ("(0, 10), (0, 5)", "comp_tiers_from"),
        ("(0, NULL), (10, NULL)", "comp_tiers_follows"),
        ("(0, NULL), (20, 30), (30, 20)", "comp_tiers_values"),
        ("(0, NULL), (20, 30), (30, 40)", "comp_tiers_follow"),
        ("(0, NULL), (-5, 0)", "comp_tiers_values"),
        ("(0, 'NaN')", "comp_tiers_size"),
    ],
)
async def test_tiers_have_no_gap_no_overlap_and_no_end(world: World, tiers: str, constraint: str) -> None:
    version = uuid_of(await draft(world))
    async with undone(world) as database:
        made = "INSERT INTO comp_rules (plan_version_id, position, name, kind, currency, tier_unit) VALUES ($1, 9, 'Raw', 'PERCENT', 'EUR', 'AMOUNT') RETURNING id"
        rule = await database.fetchval(made, version)
        rows = ", ".join(
            f"('{rule}'::uuid, {pair[1:-1]}, 0.1)" for pair in tiers.replace("), (", ")|(").split("|") if pair
        )
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=constraint):
            if rows:
                await database.execute(TIER + rows)
            await database.execute("SET CONSTRAINTS ALL IMMEDIATE")


async def test_tiers_that_lead_on_are_taken_in_any_order(world: World) -> None:
    version = uuid_of(await draft(world))
    async with undone(world) as database:
        made = "INSERT INTO comp_rules (plan_version_id, position, name, kind, currency, tier_unit) VALUES ($1, 9, 'Raw', 'PERCENT', 'EUR', 'QUOTA') RETURNING id"
        rule = await database.fetchval(made, version)
        for tier in ("1.5, NULL", "0, 0.5", "0.50, 1.500"):
            await database.execute(f"{TIER} ('{rule}', {tier}, 0.1)")
        await database.execute("SET CONSTRAINTS ALL IMMEDIATE")


async def test_what_is_fixed_has_no_tiers(world: World) -> None:
    version = uuid_of(await draft(world))
    fixed = f"{TIER} ((SELECT id FROM comp_rules WHERE plan_version_id = $1 AND kind = 'FIXED'), 0, NULL, 0.1)"
    await refused(world, asyncpg.ForeignKeyViolationError, fixed, version, match="comp_tiers_of_percent")
    rule = "INSERT INTO comp_rules (plan_version_id, position, name, kind, currency, amount, tier_unit) VALUES ($1, 9, 'Raw', $2, 'EUR', $3::text::numeric, $4)"
    for kind, amount, unit in (
        ("FIXED", None, None),
        ("FIXED", "0.00", None),
        ("FIXED", "1.00", "AMOUNT"),
        ("PERCENT", "1.00", "AMOUNT"),
        ("PERCENT", None, None),
    ):
        await refused(world, asyncpg.CheckViolationError, rule, version, kind, amount, unit, match="comp_rules_kinds")
    other = rule.replace("'EUR'", "'USD'")
    await refused(
        world, asyncpg.ForeignKeyViolationError, other, version, "FIXED", "1.00", None, match="comp_rules_currency"
    )


async def test_only_who_is_paid_signs_and_only_the_text(world: World) -> None:
    of, seller = await plan(world), await world.user("SELLER")
    version, unfinished = uuid_of(await approved(world, of, endsOn="2026-06-30")), uuid_of(await draft(world, of))
    sign = """INSERT INTO comp_signatures (plan_version_id, user_id, signed_at, text_hash)
        SELECT id, $2, now(), encode(sha256(convert_to(text || $3, 'UTF8')), 'hex') FROM comp_plan_versions WHERE id = $1"""
    unfit = asyncpg.CheckViolationError
    await refused(world, unfit, sign, version, seller, "", match="whom its plan pays")
    mistake = uuid_of(await assignment(world, seller, of))
    await refused(world, unfit, sign, version, seller, " And more.")
    await refused(world, unfit, sign, unfinished, seller, "")
    async with undone(world) as database:
        await database.execute(sign, version, seller, "")
        for change in ("UPDATE comp_signatures SET signed_at = now()", "DELETE FROM comp_signatures"):
            with pytest.raises(KEPT):
                async with database.transaction():
                    await database.execute(change)
        with pytest.raises(asyncpg.UniqueViolationError, match="comp_signatures_once"):
            await database.execute(sign, version, seller, "")
    await world.database.execute("UPDATE comp_assignments SET cancelled_at = now() WHERE id = $1", mistake)
    await refused(world, unfit, sign, version, seller, "")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE comp_signatures SET signed_at = now()",
        "DELETE FROM comp_signatures",
        "UPDATE comp_rules SET name = name",
        "UPDATE comp_tiers SET rate = rate",
        "DELETE FROM comp_plans",
        "DELETE FROM comp_plan_versions",
        "DELETE FROM comp_assignments",
        "DELETE FROM quotas",
    ],
)
async def test_the_application_may_not_even_try(world: World, change: str) -> None:
    async with undone(world) as database:
        await database.execute(f"SET LOCAL ROLE {ROLE}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute(change)


async def test_whoever_changes_a_draft_waits_for_whoever_approves_it(world: World) -> None:
    """The attack: a rule that comes into a version while it is being approved."""
    version = uuid_of(await draft(world))
    add = "INSERT INTO comp_rules (plan_version_id, position, name, kind, currency, amount) VALUES ($1, 9, 'Mine', 'FIXED', 'EUR', 9.00)"
    approve = (
        "UPDATE comp_plan_versions SET status = 'APPROVED', approved_by_id = $2, approved_at = now() WHERE id = $1"
    )
    async with world.engine.database.transaction() as tx:
        await world.database.execute("SET lock_timeout = '300ms'")
        await tx.connection.execute(approve, version, world.people["ADMIN"])
        with pytest.raises(asyncpg.LockNotAvailableError):
            await world.database.execute(add, version)
    await world.database.execute("RESET lock_timeout")
    await refused(world, KEPT, add, version)
