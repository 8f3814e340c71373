"""Customers that are merged: what goes on, what stays, who pays afterwards; random histories, writers at the same time, raw SQL."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal
from random import Random
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.leads import conversion
from crmgql.domain.money import allocations, credits, handing_over, merging, refunds, write_offs
from crmgql.domain.pools import pools
from crmgql.domain.sales import orders
from crmgql.errors import BadUserInput, CrmError, CustomerMerged, IllegalTransition, PeriodClosed
from tests.conftest import NOW, connect
from tests.domain import work
from tests.domain.money import test_histories as histories
from tests.domain.money.test_allocations import RATE, seller, sums  # noqa: F401 - a fixture
from tests.domain.money.test_families import Family, owned, settle
from tests.domain.money.test_histories import REFUSED, customers  # noqa: F401 - a fixture
from tests.domain.money.test_invoices import issued
from tests.domain.money.test_receipts import pay
from tests.domain.money.test_refund_histories import Company
from tests.domain.money.test_refunds import end, refund, succeed
from tests.domain.sales.test_revenue import confirmed, draft
from tests.ledger.conftest import acting, add_customer
from tests.ledger.test_verify import broken

AGEING = """
SELECT purpose, currency, due_on, sum(open) AS open, sum(base) AS base FROM open_items
WHERE owner_id = ANY ($1) AND purpose IN ('RECEIVABLE', 'UNEARNED', 'CREDIT') AND open > 0 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
STANDINGS = """
SELECT currency, sum(owed) AS owed, sum(outstanding + covered_by_credit(customer_id, currency, '{}')) AS outstanding, sum(overdue) AS overdue, sum(credit_balance) AS credit,
    sum(unearned) AS unearned, min(oldest_due_on) AS oldest FROM customer_standings WHERE customer_id = ANY ($1)
GROUP BY 1 HAVING sum(owed) + sum(credit_balance) + sum(unearned) > 0 ORDER BY 1"""


@pytest_asyncio.fixture
async def other(database: asyncpg.Connection) -> UUID:
    return await add_customer(database, "Acme Ltd")


async def merge(crm: db.Database, id: UUID, into: UUID) -> None:
    async with acting(crm) as act:
        assert await merging.merge(act, id=id, into_id=into, reason="It was entered twice.") == into


async def hand_over(crm: db.Database) -> int:
    """As the job does."""
    went = 0
    while True:
        async with acting(crm) as act:
            more = await handing_over.hand_over_next(act)
        if not more:
            return went
        went += more


async def test_what_is_open_goes_on_and_history_stays(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID
) -> None:
    await database.execute(RATE, NOW.date(), Decimal("1.2"))
    order, euros = await confirmed(crm, other, "10.00"), await confirmed(crm, other, "5.00", currency="EUR")
    await pay(crm, "4.00", order_id=order)
    ahead = await pay(crm, "7.00", customer_id=other)
    paid = await confirmed(crm, other, "1.00")
    await pay(crm, "3.00", order_id=paid)
    await confirmed(crm, customer, "20.00")
    before = await database.fetch(AGEING, [customer, other])
    standing = await database.fetch(STANDINGS, [customer, other])
    await merge(crm, other, customer)
    assert await database.fetch(AGEING, [customer]) == before
    assert await database.fetch(AGEING, [other]) == []
    assert await database.fetch(STANDINGS, [customer]) == standing
    assert await owned(database, other) == {"BANK": "14.00", "REVENUE": "-11.00", "TRANSFER": "-3.00"}
    assert await owned(database, customer) == {
        "CREDIT": "-2.00",
        "RECEIVABLE": "26.00",
        "REVENUE": "-20.00",
        "TRANSFER": "3.00",
        "UNEARNED": "-7.00",
    }
    assert await owned(database, customer, "EUR") == {"RECEIVABLE": "5.00", "TRANSFER": "-5.00"}
    row = await database.fetchrow("SELECT status, merged_into_id, merge_reason FROM customers WHERE id = $1", other)
    assert tuple(row) == ("MERGED", customer, "It was entered twice.")
    rows = await database.fetch("SELECT id FROM orders WHERE customer_id = $1 ORDER BY id", other)
    assert [row["id"] for row in rows] == [order, euros, paid]
    passed = await database.fetchrow("SELECT customer_id, amount FROM payments WHERE paid_from_id = $1", ahead)
    assert tuple(passed) == (customer, Decimal("7.00"))
    kinds = await database.fetch("SELECT kind, customer_id FROM events WHERE kind ~ '^customer' ORDER BY kind")
    assert [tuple(row) for row in kinds] == [("customer.absorbed", customer), ("customer.merged", other)]
    async with database.transaction():
        assert await broken(database) == []


async def test_each_due_day_is_kept(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID
) -> None:
    order = await confirmed(crm, other, "10.00")
    await issued(crm, order)
    before = await database.fetch(AGEING, [other])
    assert before[0]["due_on"] is not None
    await merge(crm, other, customer)
    assert await database.fetch(AGEING, [customer]) == before
    moves = """
        SELECT coalesce(debit_due_on, credit_due_on) FROM postings WHERE 'TRANSFER' IN (debit, credit)"""
    assert {row[0] for row in await database.fetch(moves)} == {before[0]["due_on"]}


async def test_the_survivor_pays_what_the_other_owed(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID
) -> None:
    """By the order's id, or with all else that it owes; with its credit; and what nobody pays is written off."""
    first, second, third = [await confirmed(crm, other, "10.00") for _ in range(3)]
    await merge(crm, other, customer)
    payment = await pay(crm, "13.00", customer_id=customer)
    await settle(crm, payment, second)
    assert (await owned(database, customer))["RECEIVABLE"] == "20.00"
    await settle(crm, payment, first, "1.00")
    async with acting(crm) as act:
        await write_offs.write_off(act, order_id=first, reason="Gone.")
    assert (await owned(database, customer))["RECEIVABLE"] == "10.00"
    async with acting(crm) as act:
        await allocations.allocate(act, id=payment)
    assert await owned(database, customer) == {
        "BANK": "13.00",
        "RECEIVABLE": "8.00",
        "TRANSFER": "-30.00",
        "WRITE_OFF": "9.00",
    }
    with pytest.raises(CrmError, match="no more"):
        await settle(crm, await pay(crm, "9.00", customer_id=customer), third, "8.01")
    async with database.transaction():
        assert await broken(database) == []


async def test_many_items_take_as_many_statements_as_one(crm: db.Database, database: asyncpg.Connection) -> None:
    """Receivables, payments ahead and credit."""
    counted = []
    for number in (1, 20):
        merged, into = await add_customer(database, "From"), await add_customer(database, "Into")
        for _ in range(number):
            await confirmed(crm, merged, "10.00")
            await pay(crm, "3.00", customer_id=merged)
            await pay(crm, "2.00", order_id=await confirmed(crm, merged, "1.00"))
        asked: list[str] = []
        async with acting(crm) as act:
            act.tx.connection.add_query_logger(lambda record, asked=asked: asked.append(record.query))
            await merging.merge(act, id=merged, into_id=into, reason="Twice.")
        counted.append(len(asked))
        assert (await owned(database, into))["RECEIVABLE"] == f"{10 * number}.00"
    assert counted[0] == counted[1]


async def test_more_than_go_at_once_go_one_after_another(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing_over, "MOST", 2)
    for _ in range(5):
        await confirmed(crm, other, "10.00")
    await merge(crm, other, customer)
    assert (await owned(database, customer)) == {"RECEIVABLE": "50.00", "TRANSFER": "-50.00"}


async def test_no_pool_takes_it_and_leads_find_the_survivor(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID
) -> None:
    pool = await work.insert(database, "pools", name="Public", kind="CUSTOMER", reclaim_after_d=1)
    await database.execute("UPDATE customers SET email = 'ann@acme.example' WHERE id = $1", other)
    await merge(crm, other, customer)
    with pytest.raises(IllegalTransition, match="lives on in"):
        async with acting(crm) as act:
            await pools.release(act, customer_id=other, pool_id=pool)
    found = await database.fetch(conversion.BY_EMAIL, ["ann@acme.example"])
    assert [row["id"] for row in found] == [customer]


async def test_credit_of_both_is_one(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID
) -> None:
    order = await confirmed(crm, other, "1.00")
    await pay(crm, "5.00", order_id=order)
    mine = await confirmed(crm, customer, "3.00")
    await merge(crm, other, customer)
    async with acting(crm) as act:
        await credits.apply(act, customer_id=customer, order_id=mine)
    assert (await owned(database, customer))["CREDIT"] == "-1.00"
    async with acting(crm) as act:
        id = await refunds.request(act, customer_id=customer, amount=(Decimal("1.00"), "USD"), method="CASH")
    await succeed(crm, id)
    assert "CREDIT" not in await owned(database, customer)


async def test_what_comes_later_follows(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID
) -> None:
    """A payment for the merged one's order settles what took it over; a draft is confirmed; what was held comes free."""
    order = await confirmed(crm, other, "10.00")
    payment = await pay(crm, "4.00", customer_id=other)
    held = await refund(crm, payment, "3.00")
    async with acting(crm) as act:
        later = await draft(act, other, "5.00")
    await merge(crm, other, customer)
    assert (await owned(database, other))["UNEARNED"] == "-3.00"
    assert (await owned(database, customer))["UNEARNED"] == "-1.00"
    assert await hand_over(crm) == 0
    await end(crm, "fail", held)
    async with acting(crm) as act:
        await orders.move(act, "confirm", id=later)
    await pay(crm, "12.00", order_id=order)
    assert await hand_over(crm) == 3
    assert await owned(database, customer) == {
        "CREDIT": "-2.00",
        "RECEIVABLE": "5.00",
        "TRANSFER": "1.00",
        "UNEARNED": "-4.00",
    }
    assert set(await owned(database, other)) == {"BANK", "REVENUE", "TRANSFER"}
    assert await hand_over(crm) == 0
    async with database.transaction():
        assert await broken(database) == []


async def test_a_refund_of_the_others_payment_takes_it_back(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID
) -> None:
    """Also where it was merged twice: what is left anywhere first, then what it settled itself, then what it settles at the survivors."""
    third = await add_customer(database, "Acme Group")
    settled = await confirmed(crm, other, "2.00")
    payment = await pay(crm, "20.00", customer_id=other)
    await settle(crm, payment, settled)
    await merge(crm, other, customer)
    mine = await confirmed(crm, customer, "5.00")
    await settle(crm, await database.fetchval("SELECT id FROM payments WHERE paid_from_id IS NOT NULL"), mine)
    await merge(crm, customer, third)
    theirs = await confirmed(crm, third, "4.00")
    newest = await database.fetchval("SELECT id FROM payments WHERE customer_id = $1", third)
    await settle(crm, newest, theirs)
    assert await sums(database) == {settled: "2.00", mine: "5.00", theirs: "4.00"}
    id = await refund(crm, payment, "13.00")
    assert await sums(database) == {settled: "0.00", mine: "3.00", theirs: "4.00"}
    await end(crm, "fail", id)
    assert await sums(database) == {settled: "2.00", mine: "5.00", theirs: "4.00"}
    await succeed(crm, await refund(crm, payment))
    await hand_over(crm)
    assert await owned(database, third) == {"RECEIVABLE": "11.00", "REVENUE": "-4.00", "TRANSFER": "-7.00"}
    async with database.transaction():
        assert await broken(database) == []


async def test_who_is_merged_stays_merged(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID
) -> None:
    third = await add_customer(database, "Third")
    below = await add_customer(database, "Below")
    await database.execute("UPDATE customers SET parent_id = $2 WHERE id = $1", below, other)
    for id, into, kind in (
        (other, other, BadUserInput),
        (other, below, BadUserInput),
        (other, UUID(int=9), CrmError),
    ):
        with pytest.raises(kind):
            await merge(crm, id, into)
    await merge(crm, other, customer)
    assert await database.fetchval("SELECT parent_id FROM customers WHERE id = $1", below) == customer
    for id, into in ((other, third), (other, customer), (third, other), (customer, other)):
        with pytest.raises(CustomerMerged, match=f"lives on in cus_{customer.hex}"):
            await merge(crm, id, into)
    with pytest.raises(CustomerMerged):
        async with acting(crm) as act:
            await draft(act, other, "1.00")
    with pytest.raises(CustomerMerged):
        await pay(crm, "1.00", customer_id=other)
    await merge(crm, customer, third)
    with pytest.raises(CustomerMerged, match=f"lives on in cus_{third.hex}"):
        await pay(crm, "1.00", customer_id=other)


async def test_nothing_is_merged_into_a_closed_day(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID
) -> None:
    await confirmed(crm, other, "1.00")
    await database.execute(
        "INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at)"
        " SELECT id, '1000-01-01', '9999-12-31', 'CLOSED', now() FROM companies"
    )
    with pytest.raises(PeriodClosed):
        await merge(crm, other, customer)
    assert await database.fetchval("SELECT status FROM customers WHERE id = $1", other) == "PROSPECT"


RAW = {
    "merged into nobody": "UPDATE customers SET status = 'MERGED' WHERE id = $2 AND id <> $1",
    "merged and still a customer": "UPDATE customers SET merged_into_id = $1 WHERE id = $2 AND id <> $1",
    "merged into itself": "UPDATE customers SET status = 'MERGED', merged_into_id = id WHERE id = $2 AND id <> $1",
    "no longer merged": "UPDATE customers SET status = 'PROSPECT', merged_into_id = NULL WHERE merged_into_id = $1 AND id <> $2",
    "merged in a circle": "UPDATE customers SET status = 'MERGED', merged_into_id = (SELECT id FROM customers WHERE merged_into_id = $1)"
    " WHERE id = $1 AND id <> $2",
}


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_is_refused(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID, what: str
) -> None:
    third = await add_customer(database)
    await merge(crm, other, customer)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await database.execute(RAW[what], customer, third)


async def _check(database: asyncpg.Connection) -> None:
    async with database.transaction():
        assert await broken(database) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_in_any_history_the_survivor_owes_what_both_owed(
    crm: db.Database,
    database: asyncpg.Connection,
    customers: list[UUID],  # noqa: F811
    seed: int,
) -> None:
    """And it goes on: what the merged ones' documents do afterwards goes on, too."""
    company = Company(crm, database, customers, Random(seed))
    for _ in range(60):
        await company.step()
    held = "SELECT count(*) FROM open_items WHERE debiting > 0"
    for id in await database.fetch("SELECT id FROM refunds WHERE ended_at IS NULL"):
        await end(crm, "fail", id["id"])
    assert await database.fetchval(held) == 0
    before, standing = await database.fetch(AGEING, customers), await database.fetch(STANDINGS, customers)
    survivor, *merged = customers
    for each in merged:
        await merge(crm, each, survivor)
    assert await database.fetch(AGEING, [survivor]) == before
    assert await database.fetch(STANDINGS, [survivor]) == standing
    await _check(database)
    for _ in range(40):
        await company.step()
        if company.dice.random() < 0.3:
            await hand_over(crm)
    for id in await database.fetch("SELECT id FROM refunds WHERE ended_at IS NULL"):
        with suppress(*REFUSED):
            await end(crm, "fail", id["id"])
    await hand_over(crm)
    await _check(database)
    left = (
        "SELECT count(*) FROM open_items WHERE owner_id = ANY ($1) AND open > 0 AND purpose <> 'DISPUTED' AND free > 0"
    )
    assert await database.fetchval(left, merged) == 0


async def test_merged_while_others_pay_nothing_is_lost(
    database_url: str,
    database: asyncpg.Connection,
    customers: list[UUID],  # noqa: F811
) -> None:
    """Twenty writers, five of whom merge the same customers, also the other way round."""
    crm = await connect(database_url, pool_size=20)
    family = Family(crm, database, customers, Random(7))
    for _ in range(30):
        await histories.Company.step(family)

    async def write(seed: int) -> None:
        own = Family(crm, database, customers, Random(seed))
        for turn in range(4):
            for act in (own.receive, own.allocate, own.sell, own.undo):
                with suppress(*REFUSED):
                    await act()
            with suppress(*REFUSED):
                if seed % 4 == 0:
                    await merge(crm, *own.dice.sample(customers, 2))
                elif turn:
                    await hand_over(crm)

    await asyncio.gather(*(write(seed) for seed in range(20)))
    await hand_over(crm)
    await crm.close()
    assert await database.fetchval("SELECT count(*) FROM customers WHERE status = 'MERGED'") > 0
    await _check(database)
