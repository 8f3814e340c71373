"""How people stand, as SQL answers it, is what the calculation has: periods, stints, quotas with ramps, attainment, what was earned."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.compensation import splits, terms_of
from crmgql.domain.compensation.splits import Part
from crmgql.domain.money import credit_notes
from crmgql.models import CompRole
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.compensation.paying import assign, plan, posted
from tests.domain.money.test_invoices import issued
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import acting, add_customer

TODAY = NOW.date()
STANDING = "SELECT * FROM commission_standing($1, $2)"
CENT = Decimal("0.01")


@pytest_asyncio.fixture(autouse=True)
async def ann(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database, "Ann")


async def standing(database: asyncpg.Connection, person: UUID, day: date = TODAY) -> Any:
    return await database.fetchrow(STANDING, person, day)


@pytest.mark.parametrize("seed", range(12))
async def test_days_and_quotas_are_those_of_the_calculation(
    crm: db.Database, database: asyncpg.Connection, ann: UUID, seed: int
) -> None:
    dice = Random(seed)
    began = date(2024, 1, 1) + timedelta(days=dice.randrange(200))
    await database.execute(
        "UPDATE companies SET fiscal_year_start_month = $1, fiscal_year_start_day = $2",
        dice.choice((1, 4, 7, 12)),
        dice.choice((1, 6, 30)),
    )
    for _ in range(2):
        ends = began + timedelta(days=dice.randrange(40, 500))
        of = await plan(database, tier_unit="QUOTA", period=dice.choice(("MONTH", "QUARTER", "YEAR")))
        ramp = dice.choice((None, [0, 50], [25, 50, 75, 100]))
        await assign(database, of, ann, starts_on=began, ends_on=ends, ramp=ramp)
        began = ends + timedelta(days=dice.choice((1, 20)))
    first = date(2023, 11, 20)
    for _ in range(6):
        last = first + timedelta(days=dice.randrange(20, 300))
        quota = {"user_id": ann, "measure": "COLLECTED", "basis": "NET", "currency": "USD"}
        amount = Decimal(dice.randrange(100, 100000)).scaleb(-2)
        await work.insert(database, "quotas", **quota, amount=amount, starts_on=first, ends_on=last)
        first = last + timedelta(days=dice.choice((1, 9)))
    async with acting(crm) as act:
        terms = (await terms_of.of_people(act, [ann]))[ann]
    for _ in range(40):
        day = date(2024, 1, 1) + timedelta(days=dice.randrange(1100))
        stint, found = terms.stints.of(day), await standing(database, ann, day)
        assert (stint is None) == (found is None)
        if stint is not None:
            assert (found["starts_on"], found["ends_on"]) == (stint.days.first_on, stint.days.last_on)
            quota_of = terms.quota_of(stint.version, stint.days, CompRole.OWNER)
            whole = None if quota_of is None else Decimal(quota_of.numerator) / Decimal(quota_of.denominator)
            assert found["quota"] == (whole and whole.quantize(CENT, ROUND_HALF_UP))


async def test_attained_and_earned_are_those_of_the_commissions(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID
) -> None:
    tiers = ("0", "1000", "0.04"), ("1000", "5000", "0.06"), ("5000", None, "0.1")
    await assign(database, await plan(database, *tiers), ann)
    found = await standing(database, ann)
    assert (found["attained"], found["earned"], found["next_rate"], found["missing"]) == (0, 0, Decimal("0.06"), 1000)
    await pay(crm, "1500.00", order_id=await confirmed(crm, customer, "2000.00"))
    await posted(crm)
    found = await standing(database, ann)
    assert (found["attained"], found["earned"]) == (Decimal("1500.00"), Decimal("70.00"))
    assert (found["next_rule"], found["next_rate"], found["missing"]) == ("Main", Decimal("0.1"), Decimal("3500.00"))
    assert found["quota"] is None
    assert (found["starts_on"], found["ends_on"]) == (date(2026, 11, 1), date(2026, 11, 30))
    found = await standing(database, ann, date(2026, 10, 31))
    assert (found["attained"], found["earned"]) == (0, 0)


async def test_a_tier_by_quota_is_as_far_as_the_quota_says(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID
) -> None:
    tiers = ("0", "1", "0.04"), ("1", None, "0.08")
    await assign(database, await plan(database, *tiers, measure="BOOKED", tier_unit="QUOTA"), ann)
    assert (await standing(database, ann))["next_rule"] is None
    quota = {"user_id": ann, "measure": "BOOKED", "basis": "NET", "currency": "USD", "amount": Decimal("6000.00")}
    await work.insert(database, "quotas", **quota, starts_on=date(2026, 11, 1), ends_on=date(2026, 12, 30))
    await confirmed(crm, customer, "1000.00")
    await posted(crm)
    found = await standing(database, ann)
    assert (found["quota"], found["missing"]) == (Decimal("3000.00"), Decimal("2000.00"))


async def test_what_a_manager_attains_is_the_teams(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID
) -> None:
    await confirmed(crm, customer, "1000.00")
    mia = await work.user(database, "Mia")
    team = await work.insert(database, "teams", name="North", manager_id=mia)
    await database.execute("UPDATE users SET team_id = $1 WHERE id = $2", team, ann)
    await assign(database, await plan(database, ("0", None, "0.01"), role="MANAGER", measure="BOOKED"), mia)
    quota = {"team_id": team, "measure": "BOOKED", "basis": "NET", "currency": "USD", "amount": Decimal("4000.00")}
    await work.insert(database, "quotas", **quota, starts_on=date(2026, 11, 1), ends_on=date(2026, 11, 30))
    await posted(crm)
    found = await standing(database, mia)
    assert (found["attained"], found["quota"], found["earned"]) == (Decimal("1000.00"), 4000, Decimal("10.00"))
    assert await standing(database, ann) is None


async def test_another_currency_counts_at_the_rate_of_its_day(
    crm: db.Database, database: asyncpg.Connection, ann: UUID
) -> None:
    await assign(database, await plan(database, currency="NOK", measure="BOOKED"), ann)
    rate = {"currency": "NOK", "base_currency": "USD", "rate": Decimal("0.125"), "effective_on": TODAY}
    await work.insert(database, "fx_rates", **rate, source="test")
    await confirmed(crm, await add_customer(database), "1000.00")
    await posted(crm)
    found = await standing(database, ann)
    assert (found["currency"], found["attained"], found["earned"]) == ("NOK", Decimal("8000.00"), Decimal("320.00"))
    await confirmed(crm, await add_customer(database, "Oslo"), "100.00", currency="NOK")
    await posted(crm)
    assert (await standing(database, ann))["attained"] == Decimal("8100.00")


async def test_shares_helpers_and_credit_notes_count_as_the_calculation_has_them(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID
) -> None:
    bob = await work.user(database, "Bob")
    await assign(database, await plan(database, measure="INVOICED"), ann)
    await assign(database, await plan(database, measure="INVOICED", role="OVERLAY"), bob)
    order = await confirmed(crm, customer, "1000.00", "500.00")
    async with acting(crm) as act:
        parts = [Part(ann, Decimal(60)), Part(bob, Decimal(40)), Part(bob, Decimal(10), role="OVERLAY")]
        await splits.set_parts(act, id=order, parts=parts)
    invoice = await issued(crm, order)
    await posted(crm)
    async with acting(crm) as act:
        await splits.set_parts(act, id=order, parts=[Part(ann, Decimal(50)), Part(bob, Decimal(50)), parts[2]])
        await credit_notes.issue(act, invoice_id=invoice, reason="Broken", amount=(Decimal("300.00"), "USD"))
    await posted(crm)
    newest = (
        "SELECT attained_after FROM commissions WHERE seller_id = $1 ORDER BY earned_on DESC, event_id DESC LIMIT 1"
    )
    for person, attained in ((ann, "600.00"), (bob, "720.00")):
        found = await standing(database, person)
        assert found["attained"] == await database.fetchval(newest, person) == Decimal(attained)
