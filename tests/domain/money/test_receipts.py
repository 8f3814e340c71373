"""Payments in the books: expected, received, allocated, above what is owed; and what raw SQL can't part from them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import bulk, payments
from crmgql.domain.sales import bulk as sales
from crmgql.domain.sales import orders
from crmgql.errors import Conflict
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.sales.test_revenue import AMOUNTS, FOUR, balances, confirmed, draft
from tests.ledger.conftest import acting, add_customer

ITEMS = "SELECT purpose, open, free, base FROM open_items ORDER BY purpose, id"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def pay(crm: db.Database, amount: str, *, currency: str = "USD", **more: Any) -> UUID:
    async with acting(crm) as act:
        return await payments.record(act, amount=(Decimal(amount), currency), method="CASH", **more)


async def items(database: asyncpg.Connection) -> dict[str, tuple[str, str]]:
    return {row["purpose"]: (str(row["open"]), str(row["free"])) for row in await database.fetch(ITEMS)}


async def test_a_payment_settles_its_order(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    order = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "4.00", order_id=order)
    assert await balances(database) == {
        "BANK": ("4.00", "4.00"),
        "RECEIVABLE": ("6.00", "6.00"),
        "REVENUE": ("-10.00", "-10.00"),
    }
    assert await items(database) == {"RECEIVABLE": ("6.00", "6.00"), "UNEARNED": ("0.00", "0.00")}
    row = await database.fetchrow("SELECT order_id, payment_id, amount FROM allocations")
    assert tuple(row) == (order, payment, Decimal("4.00"))


async def test_what_is_paid_above_is_credit_that_names_the_order(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "99.00", order_id=order, provider="stripe", provider_reference="pi_1")
    assert await balances(database) == {
        "CLEARING": ("99.00", "99.00"),
        "CREDIT": ("-89.00", "-89.00"),
        "REVENUE": ("-10.00", "-10.00"),
    }
    assert await database.fetchval("SELECT order_id FROM open_items WHERE purpose = 'CREDIT'") == order


async def test_a_prepayment_is_unearned(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    await pay(crm, "5.00", customer_id=customer)
    assert await balances(database) == {"BANK": ("5.00", "5.00"), "UNEARNED": ("-5.00", "-5.00")}


@pytest.mark.parametrize(("verb", "bank"), [("receive", "5.00"), ("fail", None), ("cancel", None)])
async def test_what_is_pending_is_expected_until_it_ends(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, verb: str, bank: str | None
) -> None:
    payment = await pay(crm, "5.00", customer_id=customer, pending=True)
    pending = "SELECT sum(pending_debit) FROM balances WHERE purpose = 'BANK'"
    assert await balances(database) == {}
    assert await database.fetchval(pending) == 5
    async with acting(crm) as act:
        await payments.move(act, verb, id=payment)
    assert await database.fetchval(pending) == 0
    assert (await balances(database)).get("BANK") == (None if bank is None else (bank, bank))


async def test_a_difference_of_rates_is_a_gain_or_a_loss(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """As in ../shared/cases/money.md: booked at one rate, paid at others, in parts."""
    order = await confirmed(crm, customer, "100.00", currency="EUR")
    rate = "INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source) VALUES ('EUR', 'USD', $1, $2, 'TEST')"
    await database.execute(rate, NOW.date(), Decimal("1.50"))
    await pay(crm, "40.00", currency="EUR", order_id=order)
    await database.execute(rate, NOW.date(), Decimal("1.00"))
    await pay(crm, "60.00", currency="EUR", order_id=order)
    found = await balances(database, "EUR")
    assert found == {
        "BANK": ("100.00", "120.00"),
        "FX_GAIN": ("0.00", "-10.00"),
        "FX_LOSS": ("0.00", "15.00"),
        "REVENUE": ("-100.00", "-125.00"),
    }
    assert {row["base"] for row in await database.fetch("SELECT base FROM open_items")} == {0}


async def test_many_payments_at_once_never_settle_more_than_is_owed(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await asyncio.gather(*(pay(crm, "3.00", order_id=order) for _ in range(8)))
    found = await balances(database)
    assert found["BANK"][0] == "24.00"
    assert "RECEIVABLE" not in found
    assert found["CREDIT"][0] == "-14.00"
    assert await database.fetchval("SELECT sum(amount) FROM allocations") == 10


async def test_a_paid_order_is_not_cancelled_by_raw_sql_either(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "10.00", order_id=order)
    with pytest.raises(Conflict):
        async with acting(crm) as act:
            await orders.move(act, "cancel", id=order)
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="open_items_live_order"):
        await database.execute("UPDATE orders SET status = 'CANCELLED' WHERE id = $1", order)


RAW = {
    "money out of nothing": "INSERT INTO payments (customer_id, amount, currency, method, status, received_at)"
    " SELECT id, 5.00, 'USD', 'CASH', 'RECEIVED', now() FROM customers",
    "a pending one received": "UPDATE payments SET status = 'RECEIVED', received_at = now() WHERE status = 'PENDING'",
    "a received one gone": "UPDATE payments SET status = 'FAILED' WHERE status = 'RECEIVED'",
    "another amount": "UPDATE payments SET amount = 6.00 WHERE status = 'RECEIVED'",
    "another order": "UPDATE payments SET order_id = NULL WHERE status = 'RECEIVED'",
    "another place": "UPDATE payments SET provider = 'x', provider_reference = 'y' WHERE status = 'RECEIVED'",
    "another day": "UPDATE payments SET received_at = received_at - interval '1 year' WHERE status = 'RECEIVED'",
    "an allocation out of nothing": "INSERT INTO allocations (customer_id, order_id, payment_id, item_id, source_item_id,"
    " currency, paid_currency, amount, paid_amount, allocated_on, entry_id) SELECT customer_id, order_id, payment_id, item_id,"
    " source_item_id, currency, currency, 1.00, 1.00, allocated_on, (SELECT id FROM ledger_entries WHERE kind = 'order.confirmed') FROM allocations",
}


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_cannot_part_payments_from_their_money(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, what: str
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "5.00", order_id=order)
    await pay(crm, "5.00", order_id=order, pending=True)
    with pytest.raises(asyncpg.CheckViolationError, match=r"in the books|is not what its entry posted"):
        await database.execute(RAW[what])


async def test_many_payments_come_with_their_money_and_stay_as_they_are(
    crm: db.Database, database: asyncpg.Connection
) -> None:
    """As an import writes history: for orders that are owed, drafts and none; the same again changes nothing."""
    customer = await add_customer(database)
    order = await confirmed(crm, customer, "10.00")
    async with acting(crm) as act:
        other = await draft(act, customer, "10.00")
    columns = ("customer_id", "order_id", "amount", "currency", "method", "status", "received_at")
    rows = [
        [f"p-{n}", customer, each, Decimal("4.00"), "USD", "CASH", "RECEIVED", NOW]
        for n, each in enumerate((order, order, order, other, None))
    ]
    for _ in range(2):
        async with acting(crm) as act:
            assert (await bulk.payments.write_many(act, columns, rows, source="old")).refused == []
    assert await balances(database) == {
        "BANK": ("20.00", "20.00"),
        "CREDIT": ("-6.00", "-6.00"),
        "REVENUE": ("-10.00", "-10.00"),
        "UNEARNED": ("-4.00", "-4.00"),
    }
    async with acting(crm) as act:
        more = [[*rows[0][:3], Decimal("5.00"), *rows[0][4:]]]
        (refused,) = (await bulk.payments.write_many(act, columns, more, source="old")).refused
    assert "in the books" in refused.reason


COLUMNS = (
    "customer_id",
    "order_id",
    "amount",
    "currency",
    "method",
    "status",
    "received_at",
    "provider",
    "provider_reference",
)
RECEIVED = {"amount": Decimal("4.00"), "currency": "USD", "method": "CASH", "status": "RECEIVED", "received_at": NOW}


async def write(crm: db.Database, customer: UUID, **values: Any) -> list[str]:
    """Writes the payment p-1 as an import does; answers why it was refused."""
    values = {"customer_id": customer, **RECEIVED, **values}
    async with acting(crm) as act:
        row = ["p-1", *(values.get(column) for column in COLUMNS)]
        written = await bulk.payments.write_many(act, COLUMNS, [row], source="old")
    return [refusal.reason for refusal in written.refused]


@pytest.mark.parametrize(
    "change",
    [
        {"amount": Decimal("0.00")},
        {"received_at": NOW.replace(year=2020)},
        {"provider": "stripe", "provider_reference": "pi_1"},
        {"status": "PENDING", "received_at": None},
    ],
)
async def test_an_import_changes_nothing_of_a_received_payment(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, change: dict[str, Any]
) -> None:
    assert await write(crm, customer) == []
    (reason,) = await write(crm, customer, **change)
    assert reason == "The payment is received and in the books; it stays as it is. Refund it instead."
    assert await write(crm, customer, method="OTHER") == []  # of this the books say nothing


async def test_what_is_expected_does_not_become_nothing(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    pending = {"status": "PENDING", "received_at": None}
    assert await write(crm, customer, **pending) == []
    (reason,) = await write(crm, customer, **pending, amount=Decimal("0.00"))
    assert "expected in the books" in reason
    assert await write(crm, customer, provider="stripe", provider_reference="pi_1") == []
    assert await balances(database) == {"CLEARING": ("4.00", "4.00"), "UNEARNED": ("-4.00", "-4.00")}


async def test_an_import_takes_no_paid_order_back(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Neither whole nor in part; the rows beside it are written."""
    columns = (
        "customer_id",
        "status",
        "currency",
        "number",
        *(f"{each}_amount" for each in ("subtotal", "shipping", "tax", "discount")),
    )

    async def write_orders(status: str, amount: str) -> list[tuple[int, str]]:
        rows = [
            [f"o-{n}", customer, status, "USD", f"N-{n}", Decimal(amount), *[Decimal("0.00")] * 3] for n in range(3)
        ]
        async with acting(crm) as act:
            refused = (await sales.orders.write_many(act, columns, rows, source="old")).refused
        return [(each.place, each.reason.partition(";")[0]) for each in refused]

    assert await write_orders("DELIVERED", "4.00") == []
    order = await database.fetchval("SELECT id FROM orders WHERE number = 'N-1'")
    await pay(crm, "4.00", order_id=order)
    reason = "More would be taken back than is still owed for the order"
    assert await write_orders("DELIVERED", "3.00") == [(1, reason)]
    assert await write_orders("CANCELLED", "3.00") == [(1, reason)]
    assert await balances(database) == {"BANK": ("4.00", "4.00"), "REVENUE": ("-4.00", "-4.00")}


READ = """
SELECT sum(pg_stat_get_xact_blocks_fetched(oid))::integer FROM pg_class
WHERE relname LIKE 'open_items%' OR relname LIKE 'postings%'"""


async def test_payments_are_checked_by_their_own_items(crm: db.Database, database: asyncpg.Connection) -> None:
    """However many its customer has, as many blocks are read for each."""

    async def read_for_each(count: int) -> float:
        customer = await add_customer(database)
        columns, values = ("customer_id", "status", "currency", *AMOUNTS), {"customer_id": customer, **RECEIVED}
        async with acting(crm) as act:
            rows = [[f"o-{n}", customer, "DELIVERED", "USD", *FOUR] for n in range(count)]
            written = await sales.orders.write_many(act, columns, rows, source=f"{count}")
        ids = [each.id for each in written.changes]
        async with acting(crm) as act:
            rows = [[f"p-{id}", *({**values, "order_id": id}.get(column) for column in COLUMNS)] for id in ids]
            before = await act.tx.connection.fetchval(READ)
            assert (await bulk.payments.write_many(act, COLUMNS, rows, source="old")).refused == []
            return float(await act.tx.connection.fetchval(READ) - before) / count

    assert await read_for_each(2500) < 1.15 * await read_for_each(500)
