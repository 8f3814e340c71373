"""When money moved: not so far ahead that it can't have happened, and nothing is taken back before it came."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import disputes, payments, payouts, refunds, suspense
from crmgql.errors import BadUserInput
from crmgql.records.records import Act
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_receipts import pay
from tests.ledger.conftest import acting

DAYS = "SELECT effective_on FROM ledger_entries WHERE source_type = $1 ORDER BY id"
USD = (Decimal("1.00"), "USD")


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def receive(act: Act, customer: UUID, at: datetime) -> None:
    await payments.record(act, customer_id=customer, amount=USD, method="CASH", received_at=at)


async def receive_later(act: Act, customer: UUID, at: datetime) -> None:
    id = await payments.record(act, customer_id=customer, amount=USD, method="CASH", pending=True)
    await payments.move(act, "receive", id=id, received_at=at)


async def give_back(act: Act, customer: UUID, at: datetime) -> None:
    id = await payments.record(act, customer_id=customer, amount=USD, method="CASH")
    await refunds.record(act, payment_id=id, refunded_at=at)


async def give_back_later(act: Act, customer: UUID, at: datetime) -> None:
    id = await payments.record(act, customer_id=customer, amount=USD, method="CASH")
    await refunds.succeed(act, id=await refunds.request(act, payment_id=id), refunded_at=at)


async def charge_back(act: Act, customer: UUID, at: datetime) -> None:
    id = await payments.record(act, customer_id=customer, amount=USD, method="CASH")
    await disputes.open(act, payment_id=id, opened_at=at)


async def win(act: Act, customer: UUID, at: datetime, end: Any = disputes.win) -> None:
    id = await payments.record(act, customer_id=customer, amount=USD, method="CASH")
    await end(act, id=await disputes.open(act, payment_id=id), ended_at=at)


async def lose(act: Act, customer: UUID, at: datetime) -> None:
    await win(act, customer, at, disputes.lose)


async def suspend(act: Act, customer: UUID, at: datetime) -> None:
    await suspense.receive(act, amount=USD, method="CASH", received_at=at)


async def pay_out(act: Act, customer: UUID, at: datetime) -> None:
    await payouts.record(act, provider="stripe", reference="po_1", net=USD, paid_at=at)


async def pay_out_later(act: Act, customer: UUID, at: datetime) -> None:
    id = await payouts.record(act, provider="stripe", reference="po_1", net=USD, pending=True)
    await payouts.receive(act, id=id, paid_at=at)


HAPPENED = (
    receive,
    receive_later,
    give_back,
    give_back_later,
    charge_back,
    win,
    lose,
    suspend,
    pay_out,
    pay_out_later,
)


@pytest.mark.parametrize("verb", HAPPENED)
async def test_what_has_not_happened_yet_is_refused(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, verb: Callable[..., Awaitable[None]]
) -> None:
    """2062 for 2026 would stay in the books of that year: nothing can take a day back. A bank may book ahead."""
    with pytest.raises(BadUserInput, match="has not come yet") as refused:
        async with acting(crm) as act:
            await verb(act, customer, NOW.replace(year=2062))
    assert str(refused.value.field).endswith("At")
    assert await database.fetchval("SELECT count(*) FROM ledger_entries") == 0
    async with acting(crm) as act:
        await verb(act, customer, NOW + timedelta(days=3))


async def test_a_chargeback_takes_nothing_back_before_it_came(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    payment = await pay(crm, "10.00", customer_id=customer, received_at=NOW - timedelta(days=2))
    async with acting(crm) as act:
        dispute = await disputes.open(act, payment_id=payment, opened_at=NOW - timedelta(days=500))
        await disputes.win(act, id=dispute, ended_at=NOW - timedelta(days=400))
    came = (NOW - timedelta(days=2)).date()
    assert [row[0] for row in await database.fetch(DAYS, "Dispute")] == [came, came]


@pytest.mark.parametrize("is_returned", [True, False], ids=["returned", "assigned"])
async def test_what_comes_into_suspense_tomorrow_leaves_it_tomorrow(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, is_returned: bool
) -> None:
    tomorrow = NOW + timedelta(days=1)
    async with acting(crm) as act:
        id = await suspense.receive(act, amount=USD, method="CASH", received_at=tomorrow)
        if is_returned:
            await suspense.give_back(act, id=id, reason="Unknown")
        else:
            await suspense.assign(act, id=id, customer_id=customer)
    rows = await database.fetch("SELECT DISTINCT effective_on FROM ledger_entries")
    assert [row[0] for row in rows] == [tomorrow.date()]


async def test_a_payout_fails_on_no_day_before_it_was_paid(crm: db.Database, database: asyncpg.Connection) -> None:
    tomorrow = NOW + timedelta(days=1)
    async with acting(crm) as act:
        id = await payouts.record(act, provider="stripe", reference="po_1", net=USD, paid_at=tomorrow)
        await payouts.fail(act, id=id)
    assert [row[0] for row in await database.fetch(DAYS, "Payout")] == [tomorrow.date()] * 2
