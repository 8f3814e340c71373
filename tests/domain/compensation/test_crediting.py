"""What documents of orders come to for people: facts and credits of real orders, payments, refunds and credit notes."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.compensation import splits
from crmgql.domain.compensation.splits import Part
from crmgql.domain.money import credit_notes, refunds
from crmgql.domain.sales import orders
from crmgql.errors import BadUserInput, Conflict, CrmError, NotFound, SplitNotWhole
from crmgql.schema import build
from tests.domain import work
from tests.domain.compensation.paying import worked_out
from tests.domain.money.test_invoices import issued
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import acting, add_customer

# By measure and person: the person's part of net, shipping and cost, as the newest sums say.
SUMS = """
SELECT f.measure, u.name, s.role, sum(round(f.net_amount * (s.share_to - s.share_from), 2)) AS net
FROM commission_facts f JOIN commission_events e ON e.customer_id = f.customer_id AND e.id = f.event_id
JOIN commission_shares s ON s.customer_id = f.customer_id AND s.order_id = e.order_id AND s.crediting = f.crediting
    AND coalesce(s.line_id, f.line_id) = f.line_id
JOIN users u ON u.id = s.user_id GROUP BY 1, 2, 3 HAVING sum(f.net_amount) <> 0 ORDER BY 1, 2, 3"""
EVENTS = "SELECT source_type, count(*) FROM commission_events GROUP BY 1 ORDER BY 1"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database, "Ann")


async def sums(crm: db.Database, database: asyncpg.Connection) -> dict[tuple[str, str], str]:
    await worked_out(crm)
    rows = await database.fetch(SUMS)
    return {(row["measure"], f"{row['name']} {row['role']}"): str(row["net"]) for row in rows}


async def split(crm: db.Database, order: UUID, *parts: tuple[UUID, str], **more: Any) -> None:
    async with acting(crm) as act:
        await splits.set_parts(act, id=order, parts=[Part(user, Decimal(share), **more) for user, share in parts])


async def test_documents_make_events_and_events_make_facts_once(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, seller: UUID
) -> None:
    order = await confirmed(crm, customer, "600.00", "400.00")
    assert await sums(crm, database) == {("BOOKED", "Ann OWNER"): "1000.00"}
    payment = await pay(crm, "600.00", order_id=order)
    assert await sums(crm, database) == {("BOOKED", "Ann OWNER"): "1000.00", ("COLLECTED", "Ann OWNER"): "600.00"}
    async with acting(crm) as act:
        refund = await refunds.request(act, payment_id=payment, amount=(Decimal("600.00"), "USD"), reason="Late")
        await refunds.succeed(act, id=refund)
    assert await sums(crm, database) == {("BOOKED", "Ann OWNER"): "1000.00"}
    assert [tuple(row) for row in await database.fetch(EVENTS)] == [("Allocation", 2), ("RevenueRecord", 1)]
    assert await worked_out(crm) == 0
    assert await database.fetchval("SELECT dirty_on FROM commission_accounts WHERE user_id = $1", seller) is not None


async def test_invoices_and_credit_notes_count_by_line(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, seller: UUID
) -> None:
    order = await confirmed(crm, customer, "600.00", "400.00")
    invoice = await issued(crm, order)
    await pay(crm, "1000.00", order_id=order)
    async with acting(crm) as act:
        await credit_notes.issue(act, invoice_id=invoice, reason="Broken", amount=(Decimal("200.00"), "USD"))
    all_of_it = dict.fromkeys(
        (("BOOKED", "Ann OWNER"), ("COLLECTED", "Ann OWNER"), ("INVOICED", "Ann OWNER")), "800.00"
    )
    assert await sums(crm, database) == all_of_it
    async with acting(crm) as act:
        await credit_notes.issue(act, invoice_id=invoice, reason="All of it")
    assert await sums(crm, database) == {}


async def test_owners_share_and_managers_lead(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, seller: UUID
) -> None:
    order = await confirmed(crm, customer, "1000.00")
    manager, bob, helper = [await work.user(database, name) for name in ("Mia", "Bob", "Hal")]
    team = await work.insert(database, "teams", name="North", manager_id=manager)
    await database.execute("UPDATE users SET team_id = $1 WHERE id = ANY ($2)", team, [seller, bob, manager])
    assert await sums(crm, database) == {("BOOKED", "Ann OWNER"): "1000.00", ("BOOKED", "Mia MANAGER"): "1000.00"}
    await pay(crm, "500.00", order_id=order)
    async with acting(crm) as act:
        parts = [Part(seller, Decimal(60)), Part(bob, Decimal(40)), Part(helper, Decimal(25), "OVERLAY")]
        await splits.set_parts(act, id=order, parts=parts)
    parts_now = {"Ann OWNER": 6, "Bob OWNER": 4, "Hal OVERLAY": 2.5, "Mia MANAGER": 10}
    expected = {("BOOKED", who): f"{100 * part:.2f}" for who, part in parts_now.items()}
    expected |= {("COLLECTED", who): f"{50 * part:.2f}" for who, part in parts_now.items()}
    assert await sums(crm, database) == expected
    await split(crm, order, (seller, "60"), (bob, "40"))
    del expected["BOOKED", "Hal OVERLAY"], expected["COLLECTED", "Hal OVERLAY"]
    assert await sums(crm, database) == expected
    await split(crm, order)
    sold_by_ann = {("BOOKED", who): "1000.00" for who in ("Ann OWNER", "Mia MANAGER")}
    sold_by_ann |= {("COLLECTED", who): "500.00" for who in ("Ann OWNER", "Mia MANAGER")}
    assert await sums(crm, database) == sold_by_ann


async def test_another_seller_takes_it_over_from_today_on(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, seller: UUID
) -> None:
    order = await confirmed(crm, customer, "1000.00")
    bob = await work.user(database, "Bob")
    await sums(crm, database)
    async with acting(crm) as act:
        await orders.update(act, id=order, seller_id=bob)
    assert await sums(crm, database) == {("BOOKED", "Bob OWNER"): "1000.00"}
    kinds = await database.fetch("SELECT crediting, sum(net_amount) FROM commission_facts GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in kinds] == [(1, Decimal("0.00")), (2, Decimal("1000.00"))]


async def test_an_order_without_a_seller_is_credited_when_it_has_one(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, seller: UUID
) -> None:
    order = await confirmed(crm, customer, "1000.00")
    await database.execute("UPDATE orders SET seller_id = NULL WHERE id = $1", order)
    await worked_out(crm)
    await pay(crm, "400.00", order_id=order)
    await worked_out(crm)
    await database.execute("UPDATE orders SET seller_id = $2 WHERE id = $1", order, seller)
    assert await sums(crm, database) == {("BOOKED", "Ann OWNER"): "1000.00", ("COLLECTED", "Ann OWNER"): "400.00"}


async def test_an_amended_order_is_credited_with_its_lines(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, seller: UUID
) -> None:
    order = await confirmed(crm, customer, "1000.00")
    await pay(crm, "1000.00", order_id=order)
    async with acting(crm) as act:
        await orders.move(act, "hold", id=order)
    await worked_out(crm)
    facts = "SELECT is_new, currency FROM commission_facts GROUP BY 1, 2"
    assert [tuple(row) for row in await database.fetch(facts)] == [(True, "USD")]
    await confirmed(crm, customer, "10.00")
    await worked_out(crm)
    assert await database.fetchval("SELECT count(*) FROM commission_facts WHERE NOT is_new") == 1


async def test_many_at_once_work_each_event_out_once(
    crm: db.Database, database: asyncpg.Connection, seller: UUID
) -> None:
    for n in range(12):
        customer = await add_customer(database, f"Shop {n}")
        await pay(crm, "10.00", order_id=await confirmed(crm, customer, "10.00"))
    done = await asyncio.gather(*(worked_out(crm) for _ in range(4)))
    assert sum(done) == 12
    assert await sums(crm, database) == {("BOOKED", "Ann OWNER"): "120.00", ("COLLECTED", "Ann OWNER"): "120.00"}
    assert await database.fetchval("SELECT count(*) FROM commission_credits") == 24


@pytest.mark.parametrize("parts", [("99.99",), ("60", "30"), ("60", "60"), ("0",), ("100.0000001",), ("NaN",)])
async def test_shares_that_are_no_whole_are_refused(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, seller: UUID, parts: tuple[str, ...]
) -> None:
    order = await confirmed(crm, customer, "10.00")
    people = [seller, await work.user(database, "Bob")]
    with pytest.raises(CrmError) as refused:
        await split(crm, order, *zip(people, parts, strict=False))
    assert isinstance(refused.value, SplitNotWhole | BadUserInput)
    assert await database.fetchval("SELECT count(*) FROM commission_splits") == 0


async def test_a_split_names_people_who_are_there_once(crm: db.Database, customer: UUID, seller: UUID) -> None:
    order = await confirmed(crm, customer, "10.00")
    with pytest.raises(NotFound):
        await split(crm, order, (UUID(int=5), "100"))
    with pytest.raises(BadUserInput):
        await split(crm, order, (seller, "50"), (seller, "50"))
    with pytest.raises(BadUserInput):
        await split(crm, order, (seller, "100"), role="MANAGER")


async def test_raw_sql_makes_events_too_and_can_not_split_what_is_no_whole(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, seller: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    with pytest.raises(asyncpg.CheckViolationError, match=r"sum to 0\.5"):
        await database.execute(
            "INSERT INTO commission_splits (customer_id, order_id, user_id, share) VALUES ($1, $2, $3, 0.5)",
            customer,
            order,
            seller,
        )
    await sums(crm, database)
    for table in ("commission_events", "commission_facts", "commission_shares", "commission_credits"):
        for change in (
            f"DELETE FROM {table}",
            f"UPDATE {table} SET customer_id = customer_id",
            f"TRUNCATE {table} CASCADE",
        ):
            with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
                await database.execute(change)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with crm.transaction() as tx:
                    await tx.connection.execute(change)


async def test_a_commit_that_splits_no_whole_has_its_reason(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, seller: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    with pytest.raises(Conflict, match="100 per cent"):
        async with crm.transaction() as tx:
            await tx.connection.execute(
                "INSERT INTO commission_splits (customer_id, order_id, user_id, share) VALUES ($1, $2, $3, 0.5)",
                customer,
                order,
                seller,
            )
