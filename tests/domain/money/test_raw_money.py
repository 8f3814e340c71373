"""Entries that no verb makes: money comes to a payment by its receipt and leaves it by its refund, whoever writes the entry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import refunds
from crmgql.errors import Conflict
from crmgql.ledger import book
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Posting
from crmgql.models import Phase, Purpose
from crmgql.records.records import Act
from crmgql.schema import build
from tests.domain import work
from tests.domain.money.test_credit_notes import credit
from tests.domain.money.test_invoices import TODAY, issued
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import acting

BANK, FEES = Account(Purpose.BANK), Account(Purpose.FEES)
ITEM = "SELECT id, purpose FROM open_items WHERE payment_id = $1 OR credit_note_id = $1"
Forgery = Callable[[Act, dict[str, Any]], Awaitable[None]]


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


def moved(source: Account, target: Account, amount: str = "1.00") -> Posting:
    return Posting(source, target, "USD", Decimal(amount), Decimal(amount))


async def item(act: Act, document: UUID) -> Account:
    row = await act.tx.connection.fetchrow(ITEM, document)
    return Account(Purpose(row["purpose"]), row["id"])


async def forge(act: Act, world: dict[str, Any], source: tuple[str, UUID], *postings: Posting, **more: Any) -> None:
    values = {"kind": "forged", "key": "forged", "effective_on": TODAY, "customer_id": world["customer"], **more}
    await book.post(act, [Entry(source=source, postings=postings, **values)])


async def more_than_came(act: Act, world: dict[str, Any]) -> None:
    await forge(act, world, ("Payment", world["paid"]), moved(await item(act, world["paid"]), BANK))


async def more_than_came_for_nothing(act: Act, world: dict[str, Any]) -> None:
    await forge(act, world, ("Customer", world["customer"]), moved(await item(act, world["paid"]), BANK))


async def more_credit(act: Act, world: dict[str, Any]) -> None:
    await forge(act, world, ("CreditNote", world["note"]), moved(await item(act, world["note"]), BANK))


async def back_without_a_refund(act: Act, world: dict[str, Any]) -> None:
    await forge(act, world, ("Payment", world["paid"]), moved(BANK, await item(act, world["paid"])))


async def received_before_it_is(act: Act, world: dict[str, Any]) -> None:
    id = world["expected"]
    await forge(act, world, ("Payment", id), moved(await item(act, id), BANK, "7.00"), key=f"received {id}")


async def expected_and_posted(act: Act, world: dict[str, Any]) -> None:
    id = world["paid"]
    await forge(act, world, ("Payment", id), moved(await item(act, id), BANK), key=f"expected {id}")


async def ended_by_something_else(act: Act, world: dict[str, Any]) -> None:
    held = await act.tx.connection.fetchval("SELECT id FROM ledger_entries WHERE source_id = $1", world["asked"])
    await forge(act, world, ("Payment", world["paid"]), phase=Phase.VOIDED, resolves_id=held)


async def refunded_out_of_fees(act: Act, world: dict[str, Any]) -> None:
    """Half of the refund is of its payment, half of nobody's money."""
    connection = act.tx.connection
    id = await connection.fetchval(
        "INSERT INTO refunds (customer_id, payment_id, amount, currency, method, status, requested_at, ended_at)"
        " VALUES ($1, $2, 2.00, 'USD', 'CASH', 'SUCCEEDED', now(), now()) RETURNING id",
        world["customer"],
        world["paid"],
    )
    await forge(act, world, ("Refund", id), moved(BANK, await item(act, world["paid"])), moved(BANK, FEES))


async def given_back_by_something_else(act: Act, world: dict[str, Any]) -> None:
    done = await act.tx.connection.fetchval("SELECT id FROM ledger_entries WHERE source_id = $1", world["done"])
    (entry,) = await book.reversals(act, {done: TODAY}, kind="forged")
    await forge(act, world, ("Customer", world["customer"]), *entry.postings, reverses_id=done)


FORGERIES = (
    more_than_came,
    more_than_came_for_nothing,
    more_credit,
    back_without_a_refund,
    received_before_it_is,
    expected_and_posted,
    ended_by_something_else,
    refunded_out_of_fees,
    given_back_by_something_else,
)


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_no_entry_moves_money_without_its_document(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, forgery: Forgery
) -> None:
    world: dict[str, Any] = {"customer": customer, "paid": await pay(crm, "10.00", customer_id=customer)}
    world["expected"] = await pay(crm, "7.00", customer_id=customer, pending=True)
    invoice = await issued(crm, await confirmed(crm, customer, "5.00"))
    await pay(crm, "5.00", invoice_id=invoice)
    world["note"] = await credit(crm, invoice)
    async with acting(crm) as act:
        world["asked"] = await refunds.request(act, payment_id=world["paid"], amount=(Decimal("3.00"), "USD"))
        world["done"] = await refunds.record(act, payment_id=world["paid"], amount=(Decimal("4.00"), "USD"))
    with pytest.raises((asyncpg.CheckViolationError, Conflict)) as refused:
        async with acting(crm) as act:
            await forgery(act, world)
    assert "forged" not in [row[0] for row in await database.fetch("SELECT kind FROM ledger_entries")]
    assert any(word in str(refused.value) for word in ("refund", "payment", "document", "ends")), refused.value
