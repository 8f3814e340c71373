"""What a customer owes of a lost dispute, as the money went back twice: paid, settled with credit, written off, undone; where it is shown."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import allocations, credits, receivables, refunds, write_offs
from crmgql.domain.money.write_offs import Short
from crmgql.errors import (
    AllocationExceedsOpen,
    BadUserInput,
    CrmError,
    Forbidden,
    IllegalTransition,
    NotFound,
    PeriodClosed,
    WriteOffExceedsOpen,
)
from crmgql.records.records import Act
from crmgql.schema import build
from crmgql.viewer import Viewer, Who
from tests.conftest import NOW, viewer
from tests.domain import work
from tests.domain.money.test_allocations import RATE, STATE, allocate, undo
from tests.domain.money.test_disputes import CARD, dispute, lose
from tests.domain.money.test_receipts import pay
from tests.domain.money.test_refunds import give
from tests.domain.money.test_write_offs import rows, tolerate
from tests.domain.sales.test_revenue import balances, confirmed
from tests.ledger.conftest import acting, add_customer
from tests.ledger.test_verify import broken

TODAY = NOW.date()
CLOSE = """
INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at)
SELECT id, '2026-01-01', '2026-12-31', 'CLOSED', now() FROM companies"""
FIGURES = (
    "SELECT order_id, invoice_id, dispute_id, amount::text, undoes_id IS NOT NULL FROM allocations ORDER BY entry_id"
)


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def twice(crm: db.Database, customer: UUID, amount: str = "70.00") -> UUID:
    """A dispute that was lost after the money had gone back."""
    payment = await pay(crm, amount, customer_id=customer, **CARD)
    await give(crm, payment, amount)
    id = await dispute(crm, payment)
    await lose(crm, id)
    return id


async def settle(crm: db.Database, payment: UUID, id: UUID, amount: str | None = None, **more: Any) -> None:
    async with acting(crm) as act:
        wanted = None if amount is None else (Decimal(amount), "USD")
        await allocations.allocate(act, id=payment, dispute_id=id, amount=wanted, **more)


async def write_off(crm: db.Database, id: UUID, amount: str | None = None, **more: Any) -> UUID:
    async with acting(crm) as act:
        wanted = None if amount is None else (Decimal(amount), "USD")
        return await write_offs.write_off(act, dispute_id=id, amount=wanted, **{"reason": "Gone.", **more})


async def test_it_is_paid_and_that_is_undone(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    id = await twice(crm, customer)
    payment = await pay(crm, "100.00", customer_id=customer)
    before = await database.fetch(STATE)
    await settle(crm, payment, id, "30.00")
    assert (await balances(database))["RECEIVABLE"] == ("40.00", "40.00")
    await settle(crm, payment, id)
    assert "RECEIVABLE" not in await balances(database)
    with pytest.raises(AllocationExceedsOpen, match=r"For the dispute 0\.00 USD"):
        await settle(crm, payment, id, "0.01")
    for row in await database.fetch("SELECT id FROM allocations ORDER BY entry_id DESC"):
        await undo(crm, row["id"])
    assert await database.fetch(STATE) == before
    own = [(None, None, id, amount, back) for amount, back in (("30.00", False), ("40.00", False))]
    assert [tuple(row) for row in await database.fetch(FIGURES)][:2] == own
    payload = await database.fetchval("SELECT kept ->> 'disputeId' FROM events WHERE kind = 'allocation.made' LIMIT 1")
    assert payload == f"dsp_{id.hex}"
    async with database.transaction():
        assert await broken(database) == []


async def test_it_is_among_all_that_the_customer_owes_by_its_day(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id = await twice(crm, customer, "10.00")
    old = await confirmed(crm, customer, "10.00", ordered_at=NOW - timedelta(days=3))
    young = await confirmed(crm, customer, "10.00", ordered_at=NOW + timedelta(days=3))
    payment = await pay(crm, "25.00", customer_id=customer)
    await allocate(crm, payment)
    found = [tuple(row)[:4] for row in await database.fetch(FIGURES)]
    assert found == [(old, None, None, "10.00"), (None, None, id, "10.00"), (young, None, None, "5.00")]


async def test_the_payment_whose_refund_failed_settles_it(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    payment = await pay(crm, "10.00", customer_id=customer, **CARD)
    async with acting(crm) as act:
        asked = await refunds.request(act, payment_id=payment)
    id = await dispute(crm, payment)
    await lose(crm, id)
    async with acting(crm) as act:
        await refunds.end(act, "fail", id=asked)
    await settle(crm, payment, id)
    assert await balances(database) == {}
    assert await database.fetchval("SELECT sum(abs(open)) FROM open_items") == 0


async def test_a_refund_of_what_settles_it_opens_it_again_and_one_that_fails_settles_it(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id = await twice(crm, customer)
    payment = await pay(crm, "70.00", customer_id=customer)
    await settle(crm, payment, id)
    async with acting(crm) as act:
        asked = await refunds.request(act, payment_id=payment, amount=(Decimal("20.00"), "USD"))
    owed = "SELECT open::text FROM open_items WHERE purpose = 'RECEIVABLE' AND dispute_id = $1"
    assert await database.fetchval(owed, id) == "20.00"
    async with acting(crm) as act:
        await refunds.end(act, "fail", id=asked)
    assert await database.fetchval(owed, id) == "0.00"


async def test_credit_and_money_of_another_currency_settle_it(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id = await twice(crm, customer)
    order = await confirmed(crm, customer, "1.00")
    await pay(crm, "31.00", order_id=order)  # 30.00 of it are credit
    async with acting(crm) as act:
        await credits.apply(act, customer_id=customer, dispute_id=id)
    assert (await balances(database))["RECEIVABLE"] == ("40.00", "40.00")
    payment = await pay(crm, "32.00", currency="EUR", customer_id=customer)
    await database.execute(RATE, TODAY, Decimal("1.25"))
    async with acting(crm) as act:
        await allocations.allocate(act, id=payment, dispute_id=id)
    assert "RECEIVABLE" not in await balances(database)
    async with database.transaction():
        assert await broken(database) == []


async def test_the_rest_is_written_off_with_the_payment_by_hand_and_by_rule(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id = await twice(crm, customer)
    payment = await pay(crm, "60.00", customer_id=customer)
    await settle(crm, payment, id, "50.00", write_off=Short((Decimal("15.00"), "USD"), "Agreed."))
    assert (await balances(database))["WRITE_OFF"] == ("15.00", "15.00")
    await tolerate(crm, ("20.00", "USD"))
    await settle(crm, payment, id, "4.00")
    assert [row[0] for row in await rows(database)] == ["15.00", "1.00"]  # 16.00 all in all
    assert "RECEIVABLE" not in await balances(database)


async def test_it_is_written_off_and_that_is_undone(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id = await twice(crm, customer)
    before = await database.fetch(STATE)
    first = await write_off(crm, id, "30.00")
    with pytest.raises(WriteOffExceedsOpen, match=r"For the dispute 40\.00 USD"):
        await write_off(crm, id, "40.01")
    second = await write_off(crm, id)
    assert (await balances(database))["WRITE_OFF"] == ("70.00", "70.00")
    for each in (first, second):
        async with acting(crm) as act:
            await write_offs.undo(act, id=each)
    assert await database.fetch(STATE) == before
    async with database.transaction():
        assert await broken(database) == []


async def test_more_than_the_tolerance_takes_an_approval(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Attack: a debt is written off cent by cent."""
    await tolerate(crm, ("0.05", "USD"))
    id = await twice(crm, customer)
    user = await work.user(database, roles=["INTEGRATION"])

    async def as_integration(amount: str) -> None:
        async with crm.transaction() as tx:
            act = Act(tx, Viewer(user, Who(frozenset({"INTEGRATION"})), clock=lambda: NOW))
            await write_offs.write_off(act, dispute_id=id, amount=(Decimal(amount), "USD"), reason="Cents.")

    await as_integration("0.03")
    with pytest.raises(Forbidden, match="tolerance"):
        await as_integration("0.03")


async def test_what_does_not_fit_is_refused_and_leaves_nothing(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id = await twice(crm, customer)
    open_ = await dispute(crm, await pay(crm, "5.00", customer_id=customer))
    payment = await pay(crm, "100.00", customer_id=customer)
    order = await confirmed(crm, customer, "1.00")
    before = await database.fetch(STATE)
    foreign = await pay(crm, "5.00", customer_id=await add_customer(database, "Ajax"))
    for kind, says, given in (
        (IllegalTransition, "OPEN", {"dispute_id": open_}),
        (BadUserInput, "only one", {"dispute_id": id, "order_id": order}),
        (AllocationExceedsOpen, r"70\.00 USD", {"dispute_id": id, "amount": (Decimal("70.01"), "USD")}),
        (NotFound, "dispute", {"dispute_id": UUID(int=1)}),
        (CrmError, "customer", {"id": foreign, "dispute_id": id}),
    ):
        with pytest.raises(kind, match=says):
            async with acting(crm) as act:
                await allocations.allocate(act, **{"id": payment, **given})
    await database.execute(CLOSE)
    for verb in (settle(crm, payment, id), write_off(crm, id)):
        with pytest.raises(PeriodClosed):
            await verb
    assert [row for row in await database.fetch(STATE) if row["payment_id"] != foreign] == before


async def test_twenty_at_once_settle_no_more_than_is_owed(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id = await twice(crm, customer, "10.00")
    payments = [await pay(crm, "3.00", customer_id=customer) for _ in range(10)]

    async def one(number: int) -> None:
        with suppress(CrmError):
            await (settle(crm, payments[number // 2], id, "3.00") if number % 2 else write_off(crm, id, "3.00"))

    await asyncio.gather(*(one(number) for number in range(20)))
    assert await database.fetchval("SELECT open::text FROM open_items WHERE purpose = 'RECEIVABLE'") == "1.00"
    async with database.transaction():
        assert await broken(database) == []


async def test_receivables_ageing_and_the_statement_have_it_from_the_day_on_which_it_was_lost(
    crm: db.Database, customer: UUID
) -> None:
    """Nobody is reminded of it: reminders are of invoices."""
    await twice(crm, customer)
    finance = viewer(UUID(int=1), "FINANCE")

    async def ages(on: date) -> list[str]:
        found = await receivables.ageing(crm, finance, as_of=on)
        return [str(each["amount"]["amount"]) for row in found["totals"] for each in row["ageing"]]

    assert await ages(TODAY) == ["70.00", "0.00", "0.00", "0.00", "0.00"]
    assert await ages(TODAY + timedelta(days=1)) == ["0.00", "70.00", "0.00", "0.00", "0.00"]
    account = await receivables.statement(crm, finance, customer_id=customer, since=TODAY)
    assert account["movements"][-1]["kind"] == "dispute.lost"
    assert str(account["closing"]["amount"]) == "70.00"


PART = "customer_id, item_id, source_item_id, currency, amount, paid_currency, paid_amount, payment_id, allocated_on"
RAW = {
    "of nothing": ("allocations_posted", "order_id, dispute_id", "NULL, NULL"),
    "of a dispute that there is not": ("allocations_dispute", "order_id, dispute_id", "NULL, uuidv7()"),
    "of an order": ("allocations_posted", "order_id, dispute_id", "(SELECT id FROM orders), NULL"),
}


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_cannot_say_that_it_was_something_else(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, what: str
) -> None:
    id = await twice(crm, customer)
    await confirmed(crm, customer, "70.00")
    await settle(crm, await pay(crm, "70.00", customer_id=customer), id)
    constraint, columns, values = RAW[what]
    sale = "(SELECT id FROM ledger_entries WHERE kind = 'order.confirmed')"
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        await database.execute(
            f"INSERT INTO allocations ({PART}, {columns}, entry_id) SELECT {PART}, {values}, {sale} FROM allocations"
        )
    assert refusal.value.constraint_name == constraint
