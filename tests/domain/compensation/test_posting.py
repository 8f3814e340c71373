"""What plans pay for real orders, payments, invoices and credit notes: posted once, and made right when anything changes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.compensation import splits
from crmgql.domain.compensation.splits import Part
from crmgql.domain.money import credit_notes, refunds
from crmgql.domain.sales import orders
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.compensation.paying import assign, kinds, plan, posted, sums
from tests.domain.money.test_invoices import issued
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import acting, add_customer

TODAY = NOW.date()


@pytest_asyncio.fixture(autouse=True)
async def ann(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database, "Ann")


async def split(crm: db.Database, order: UUID, *parts: Part) -> None:
    async with acting(crm) as act:
        await splits.set_parts(act, id=order, parts=parts)


async def test_what_is_paid_earns_and_what_is_refunded_is_taken_back(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID
) -> None:
    order = await confirmed(crm, customer, "1000.00")
    await assign(database, await plan(database), ann)
    assert await sums(crm, database) == {}
    payment = await pay(crm, "600.00", order_id=order)
    assert await sums(crm, database) == {"Ann": "24.00"}
    row = await database.fetchrow("SELECT * FROM commissions")
    assert (row["payment_id"], row["order_id"], row["rate"]) == (payment, order, Decimal("0.040000"))
    assert (row["attained_before"], row["attained_after"], row["earned_on"]) == (0, 600, TODAY)
    assert await posted(crm) == 0
    async with acting(crm) as act:
        refund = await refunds.request(act, payment_id=payment, amount=(Decimal("600.00"), "USD"), reason="Late")
        await refunds.succeed(act, id=refund)
    assert await sums(crm, database) == {}
    assert await kinds(database) == [("EARN", "24.00"), ("CLAWBACK", "-24.00")]
    events = await database.fetchval("SELECT count(*) FROM events WHERE kind = 'commission.recorded'")
    assert events == 2


async def test_a_credit_note_takes_back_its_part(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID
) -> None:
    await assign(database, await plan(database, measure="INVOICED"), ann)
    invoice = await issued(crm, await confirmed(crm, customer, "1000.00"))
    async with acting(crm) as act:
        await credit_notes.issue(act, invoice_id=invoice, reason="Broken", amount=(Decimal("200.00"), "USD"))
    assert await sums(crm, database) == {"Ann": "32.00"}
    assert sorted(await kinds(database)) == [("CLAWBACK", "-8.00"), ("EARN", "40.00")]


async def test_part_of_an_order_is_invoiced_and_shared(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID
) -> None:
    order = await confirmed(crm, customer, "10000.00")
    bob = await work.user(database, "Bob")
    await assign(database, await plan(database, ("0", None, "0.05"), measure="INVOICED"), ann, bob)
    await split(crm, order, Part(ann, Decimal(60)), Part(bob, Decimal(40)))
    await issued(crm, order, amount="4000.00")
    assert await sums(crm, database) == {"Ann": "120.00", "Bob": "80.00"}


async def test_thirds_lose_no_cent(crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID) -> None:
    order = await confirmed(crm, customer, "2000.00")
    people = [ann, await work.user(database, "Bob"), await work.user(database, "Cat")]
    await assign(database, await plan(database, ("0", None, "0.05"), measure="BOOKED"), *people)
    shares = ("33.333333", "33.333333", "33.333334")
    await split(crm, order, *(Part(each, Decimal(share)) for each, share in zip(people, shares, strict=True)))
    found = await sums(crm, database)
    assert sorted(found.values()) == ["33.33", "33.33", "33.34"]


async def test_a_plan_that_comes_late_or_goes_makes_the_difference(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID
) -> None:
    await pay(crm, "1000.00", order_id=await confirmed(crm, customer, "1000.00"))
    assert await sums(crm, database) == {}
    await assign(database, await plan(database), ann)
    assert await sums(crm, database) == {"Ann": "40.00"}
    await database.execute("UPDATE comp_assignments SET cancelled_at = now()")
    assert await sums(crm, database) == {}
    await assign(database, await plan(database, ("0", None, "0.03")), ann)
    assert await sums(crm, database) == {"Ann": "30.00"}


async def test_a_slab_that_is_reached_adjusts_what_came_before(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID
) -> None:
    tiers = ("0", "1500", "0.04"), ("1500", None, "0.06")
    await assign(database, await plan(database, *tiers, measure="BOOKED", tier_mode="SLAB"), ann)
    await confirmed(crm, customer, "1000.00")
    assert await sums(crm, database) == {"Ann": "40.00"}
    await confirmed(crm, customer, "1000.00")
    assert await sums(crm, database) == {"Ann": "120.00"}
    assert sorted(await kinds(database)) == [("ADJUST", "20.00"), ("EARN", "40.00"), ("EARN", "60.00")]


async def test_what_was_paid_at_a_tier_is_taken_back_at_it(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID
) -> None:
    tiers = ("0", "1000", "0.10"), ("1000", None, "0.20")
    await assign(database, await plan(database, *tiers, measure="BOOKED"), ann)
    first = await confirmed(crm, customer, "1000.00")
    await posted(crm)
    await confirmed(crm, customer, "1000.00")
    assert await sums(crm, database) == {"Ann": "300.00"}
    async with acting(crm) as act:
        await orders.move(act, "cancel", id=first)
    assert await sums(crm, database) == {"Ann": "200.00"}


async def test_a_quota_that_is_missing_is_said_and_paid_when_it_is_set(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID
) -> None:
    tiers = ("0", "1", "0.04"), ("1", None, "0.08")
    await assign(database, await plan(database, *tiers, measure="BOOKED", tier_unit="QUOTA"), ann)
    await confirmed(crm, customer, "1000.00")
    assert await sums(crm, database) == {}
    problem = await database.fetchrow("SELECT * FROM commission_problems")
    assert (problem["user_id"], problem["code"]) == (ann, "QUOTA_MISSING")
    month = {"starts_on": TODAY.replace(day=1), "ends_on": TODAY.replace(day=28) + timedelta(days=2)}
    quota = {"user_id": ann, "measure": "BOOKED", "basis": "NET", "currency": "USD", "amount": Decimal("500.00")}
    await work.insert(database, "quotas", **quota, **month)
    assert await sums(crm, database) == {"Ann": "60.00"}
    assert await database.fetchval("SELECT count(*) FROM commission_problems") == 0


async def test_another_currency_waits_for_its_rate(crm: db.Database, database: asyncpg.Connection, ann: UUID) -> None:
    await assign(database, await plan(database, ("0", "1000", "0.10"), ("1000", None, "0.20"), currency="NOK"), ann)
    customer = await add_customer(database)
    await pay(crm, "3000.00", order_id=await confirmed(crm, customer, "3000.00"))
    assert await sums(crm, database) == {}
    assert await database.fetchval("SELECT code FROM commission_problems") == "RATE_MISSING"
    rate = {"currency": "NOK", "base_currency": "USD", "rate": Decimal("1.5"), "effective_on": TODAY}
    await work.insert(database, "fx_rates", **rate, source="test")
    # 2,000 NOK: half at each tier, of what is paid in dollars.
    assert await sums(crm, database) == {"Ann": "450.00"}


async def test_a_manager_has_the_teams_part_once(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID
) -> None:
    order = await confirmed(crm, customer, "1000.00")
    mia = await work.user(database, "Mia")
    team = await work.insert(database, "teams", name="North", manager_id=mia)
    await database.execute("UPDATE users SET team_id = $1 WHERE id = $2", team, ann)
    await assign(database, await plan(database), ann)
    await assign(database, await plan(database, ("0", None, "0.01"), role="MANAGER"), mia)
    payment = await pay(crm, "1000.00", order_id=order)
    assert await sums(crm, database) == {"Ann": "40.00", "Mia": "10.00"}
    async with acting(crm) as act:
        refund = await refunds.request(act, payment_id=payment, amount=(Decimal("500.00"), "USD"), reason="Late")
        await refunds.succeed(act, id=refund)
    assert await sums(crm, database) == {"Ann": "20.00", "Mia": "5.00"}


async def test_many_workers_post_once(crm: db.Database, database: asyncpg.Connection, ann: UUID) -> None:
    await assign(database, await plan(database), ann)
    for n in range(8):
        customer = await add_customer(database, f"Shop {n}")
        await pay(crm, "100.00", order_id=await confirmed(crm, customer, "100.00"))
    await asyncio.gather(*(posted(crm) for _ in range(4)))
    assert await sums(crm, database) == {"Ann": "32.00"}
    assert len(await kinds(database)) == 8


async def test_what_is_posted_never_changes(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID
) -> None:
    await assign(database, await plan(database), ann)
    await pay(crm, "100.00", order_id=await confirmed(crm, customer, "100.00"))
    await posted(crm)
    await database.execute("UPDATE commissions SET status = 'PAID'")
    for change in ("amount = 5", "kind = 'IMPORTED'", "seller_id = NULL", "parts = '[]'"):
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await database.execute(f"UPDATE commissions SET {change}")
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await database.execute("DELETE FROM commissions")
