"""Disputes: opened, won, lost; before and after a refund; and what raw SQL can't do to them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import disputes
from crmgql.errors import (
    BadUserInput,
    Conflict,
    CurrencyMismatch,
    DisputeExceedsPayment,
    IllegalTransition,
    PeriodClosed,
)
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_allocations import RATE, allocate, sums, told
from tests.domain.money.test_receipts import pay
from tests.domain.money.test_refunds import end, give, refund
from tests.domain.sales.test_revenue import balances, confirmed
from tests.ledger.conftest import acting

CARD: dict[str, Any] = {"provider": "stripe", "provider_reference": "ch_1"}


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def dispute(
    crm: db.Database, payment: UUID, amount: str | None = None, *, currency: str = "USD", **more: Any
) -> UUID:
    async with acting(crm) as act:
        wanted = None if amount is None else (Decimal(amount), currency)
        return await disputes.open(act, payment_id=payment, amount=wanted, **more)


async def win(crm: db.Database, id: UUID) -> None:
    async with acting(crm) as act:
        await disputes.win(act, id=id)


async def lose(crm: db.Database, id: UUID) -> None:
    async with acting(crm) as act:
        await disputes.lose(act, id=id)


async def test_what_was_taken_back_is_nobodys_until_it_is_won(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "10.00", order_id=order, **CARD)
    before = await balances(database)
    id = await dispute(crm, payment, "6.00", fee=(Decimal("1.50"), "USD"), provider_reference="dp_1")
    assert await balances(database) == {
        "CLEARING": ("2.50", "2.50"),
        "DISPUTED": ("6.00", "6.00"),
        "FEES": ("1.50", "1.50"),
        "REVENUE": ("-10.00", "-10.00"),
    }
    assert await sums(database) == {order: "10.00"}
    await win(crm, id)
    assert await balances(database) == before | {"CLEARING": ("8.50", "8.50"), "FEES": ("1.50", "1.50")}
    for verb in (win, lose):
        with pytest.raises(IllegalTransition, match="WON"):
            await verb(crm, id)


async def test_lost_what_the_payment_settled_is_owed_again(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """What is left of the payment first, then the latest allocations."""
    orders = [await confirmed(crm, customer, "10.00", ordered_at=NOW.replace(day=1, hour=hour)) for hour in (1, 2)]
    payment = await pay(crm, "21.00", customer_id=customer, **CARD)
    await allocate(crm, payment)
    await lose(crm, await dispute(crm, payment, "8.00"))
    assert await sums(database) == dict(zip(orders, ("10.00", "3.00"), strict=True))
    assert await balances(database) == {
        "CLEARING": ("13.00", "13.00"),
        "RECEIVABLE": ("7.00", "7.00"),
        "REVENUE": ("-20.00", "-20.00"),
    }
    assert (await told(database))[-2:] == ["allocation.undone", "allocation.made"]
    assert (
        await database.fetchval(
            "SELECT count(*) FROM open_items WHERE purpose = 'RECEIVABLE' AND dispute_id IS NOT NULL"
        )
        == 0
    )


async def test_won_after_it_was_refunded_nothing_is_left(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    payment = await pay(crm, "100.00", customer_id=customer, **CARD)
    await give(crm, payment, "100.00")
    id = await dispute(crm, payment)
    assert await balances(database) == {"CLEARING": ("-100.00", "-100.00"), "DISPUTED": ("100.00", "100.00")}
    await win(crm, id)
    assert await balances(database) == {}
    assert await database.fetchval("SELECT sum(abs(open)) FROM open_items") == 0


async def test_lost_after_it_was_refunded_the_customer_owes_it(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """The part that went back already; the rest is the payment's."""
    payment = await pay(crm, "100.00", customer_id=customer, **CARD)
    await give(crm, payment, "70.00")
    id = await dispute(crm, payment)
    await lose(crm, id)
    assert await balances(database) == {"CLEARING": ("-70.00", "-70.00"), "RECEIVABLE": ("70.00", "70.00")}
    owed = await database.fetchrow(
        "SELECT dispute_id, payment_id, order_id, open FROM open_items WHERE purpose = 'RECEIVABLE'"
    )
    assert tuple(owed) == (id, payment, None, 70)
    payload = await database.fetchval("SELECT payload->'owed'->>'amount' FROM events WHERE kind = 'dispute.lost'")
    assert payload == "70.00"


async def test_a_refund_that_is_under_way_keeps_its_money(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    payment = await pay(crm, "10.00", customer_id=customer, **CARD)
    asked = await refund(crm, payment, "4.00")
    await lose(crm, await dispute(crm, payment))
    assert (await balances(database))["RECEIVABLE"] == ("4.00", "4.00")
    await end(crm, "fail", asked)
    assert await balances(database) == {"RECEIVABLE": ("4.00", "4.00"), "UNEARNED": ("-4.00", "-4.00")}


async def test_rates_that_moved_are_a_gain_or_a_loss(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Received at 1.25, disputed at 1.50: won, it is as before; lost, the payment gives what it was worth."""
    payment = await pay(crm, "10.00", currency="EUR", customer_id=customer, **CARD)
    await database.execute(RATE, NOW.date(), Decimal("1.50"))
    await win(crm, await dispute(crm, payment, currency="EUR"))
    assert await balances(database, "EUR") == {"CLEARING": ("10.00", "12.50"), "UNEARNED": ("-10.00", "-12.50")}
    await lose(crm, await dispute(crm, payment, currency="EUR"))
    assert await balances(database, "EUR") == {"CLEARING": ("0.00", "-2.50"), "FX_LOSS": ("0.00", "2.50")}


async def test_what_does_not_fit_is_refused(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    payment = await pay(crm, "5.00", customer_id=customer, **CARD)
    pending = await pay(crm, "5.00", customer_id=customer, pending=True)
    await dispute(crm, payment, "2.00", provider_reference="dp_1")
    with pytest.raises(DisputeExceedsPayment, match=r"3\.00 USD"):
        await dispute(crm, payment, "3.01")
    with pytest.raises(Conflict, match="recorded already"):
        await dispute(crm, payment, "1.00", provider_reference="dp_1")
    with pytest.raises(CurrencyMismatch):
        await dispute(crm, payment, "1.00", currency="EUR")
    with pytest.raises(CurrencyMismatch):
        await dispute(crm, payment, "1.00", fee=(Decimal(1), "EUR"))
    with pytest.raises(IllegalTransition, match="PENDING"):
        await dispute(crm, pending)
    with pytest.raises(BadUserInput, match="none"):
        await dispute(crm, await pay(crm, "5.00", customer_id=customer), provider_reference="dp_2")
    await win(crm, await dispute(crm, payment))
    await dispute(crm, payment)  # what was won can be disputed again
    with pytest.raises(DisputeExceedsPayment, match=r"0\.00 USD"):
        await dispute(crm, payment)


async def test_a_closed_day_takes_none(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    payment = await pay(crm, "4.00", customer_id=customer)
    id = await dispute(crm, payment, "1.00")
    await database.execute(
        "INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at) SELECT id, '2026-01-01', '2026-12-31', 'CLOSED', now() FROM companies"
    )
    for verb in (win, lose):
        with pytest.raises(PeriodClosed):
            await verb(crm, id)
    with pytest.raises(PeriodClosed):
        await dispute(crm, payment)


async def test_it_ends_once(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    id = await dispute(crm, await pay(crm, "10.00", customer_id=customer, **CARD))
    found = await asyncio.gather(win(crm, id), lose(crm, id), win(crm, id), return_exceptions=True)
    assert sum(each is None for each in found) == 1, found
    assert "DISPUTED" not in await balances(database)


RAW = {
    "without an entry": """INSERT INTO disputes (customer_id, payment_id, amount, currency, opened_at)
        SELECT customer_id, id, 1.00, currency, now() FROM payments""",
    "another amount": "UPDATE disputes SET amount = 3.99",
    "another fee": "UPDATE disputes SET fee_amount = 0.01",
    "won": "UPDATE disputes SET status = 'WON', ended_at = now()",
    "lost": "UPDATE disputes SET status = 'LOST', ended_at = now()",
    "from elsewhere": "UPDATE disputes SET provider = NULL",
    "an entry without its dispute": """WITH made AS (
            INSERT INTO ledger_entries (company_id, customer_id, owner_id, kind, key, request_hash, source_type, source_id, effective_on,
                base_currency, size, opens)
            SELECT company_id, customer_id, owner_id, 'x', 'raw', request_hash, source_type, {source}, effective_on, base_currency, 1, 0
            FROM ledger_entries WHERE kind = 'dispute.opened' RETURNING *)
        INSERT INTO postings (owner_id, entry_id, n, size, phase, effective_on, base_currency, debit, credit, currency, amount, base_amount,
            credit_item_id)
        SELECT made.owner_id, made.id, 1, 1, 'POSTED', made.effective_on, 'USD', '{to}', 'DISPUTED', 'USD', 1.00, 1.00, i.id
        FROM made JOIN open_items i ON i.owner_id = made.owner_id AND i.purpose = 'DISPUTED'""",
}
RAW["an entry that takes from it"] = RAW["an entry without its dispute"].format(source="source_id", to="COST")
RAW["an entry that gives back a part"] = RAW["an entry without its dispute"].format(source="source_id", to="CLEARING")
RAW["an entry without its dispute"] = RAW["an entry without its dispute"].format(source="uuidv7()", to="CLEARING")


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_cannot_part_a_dispute_from_the_books(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, what: str
) -> None:
    payment = await pay(crm, "5.00", customer_id=customer, **CARD)
    if what != "without an entry":
        await dispute(crm, payment, "4.00")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        await database.execute(RAW[what])
    assert refusal.value.constraint_name == "disputes_posted"


async def test_nobody_deletes_one(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    await dispute(crm, await pay(crm, "5.00", customer_id=customer))
    for sql in ("DELETE FROM disputes", "TRUNCATE disputes CASCADE"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await database.execute(sql)
    await database.execute("SET ROLE crmgql_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.execute("DELETE FROM disputes")
