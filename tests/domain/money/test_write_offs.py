"""Write-offs: by hand, by rule after a payment, together with one, undone; and what raw SQL can't do to them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import allocations, credits, write_offs
from crmgql.domain.money.write_offs import Short
from crmgql.domain.settings import companies
from crmgql.errors import (
    BadUserInput,
    Conflict,
    CrmError,
    CurrencyMismatch,
    Forbidden,
    IllegalTransition,
    ReversedAlready,
    WriteOffExceedsOpen,
)
from crmgql.records.records import Act
from crmgql.schema import build
from crmgql.viewer import Viewer, Who
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_allocations import RATE, STATE, allocate, cancel, made, told, undo
from tests.domain.money.test_invoices import issued
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import balances, confirmed, draft
from tests.ledger.conftest import acting
from tests.ledger.test_verify import broken, tampering

ROWS = "SELECT amount::text, account, reason, allocation_id IS NOT NULL FROM write_offs ORDER BY id"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def tolerate(crm: db.Database, *amounts: tuple[str, str]) -> None:
    async with acting(crm) as act:
        tolerances = [(Decimal(amount), currency) for amount, currency in amounts]
        await companies.update(act, write_off_tolerances=tolerances)


async def write_off(
    crm: db.Database, order: UUID | None = None, amount: str | None = None, currency: str = "USD", **more: Any
) -> UUID:
    async with acting(crm) as act:
        wanted = None if amount is None else (Decimal(amount), currency)
        return await write_offs.write_off(act, order_id=order, amount=wanted, **{"reason": "Too little.", **more})


async def rows(database: asyncpg.Connection) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await database.fetch(ROWS)]


async def test_what_nobody_asks_for_is_an_expense(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await write_off(crm, order, "1.00", account="ROUNDING")
    assert await balances(database) == {
        "RECEIVABLE": ("9.00", "9.00"),
        "REVENUE": ("-10.00", "-10.00"),
        "ROUNDING": ("1.00", "1.00"),
    }
    await write_off(crm, order, reason="They went bankrupt.")
    assert (await balances(database))["WRITE_OFF"] == ("9.00", "9.00")
    assert await rows(database) == [
        ("1.00", "ROUNDING", "Too little.", False),
        ("9.00", "WRITE_OFF", "They went bankrupt.", False),
    ]
    kinds = await database.fetch("SELECT kind FROM events WHERE subject_type = 'WriteOff'")
    assert [row[0] for row in kinds] == ["writeOff.made"] * 2
    with pytest.raises(Conflict, match="settled"):
        await cancel(crm, order)


async def test_it_takes_its_share_of_the_base_amount_and_undone_gives_it_back(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "100.00", currency="EUR")
    before = await database.fetch(STATE)
    id = await write_off(crm, order, "33.33", "EUR")
    assert (await balances(database, "EUR"))["WRITE_OFF"] == ("33.33", "41.66")  # 125.00 − 83.34
    await database.execute(RATE, NOW.date(), Decimal("2.00"))
    async with acting(crm) as act:
        undoing = await write_offs.undo(act, id=id)
    assert await database.fetch(STATE) == before
    with pytest.raises(IllegalTransition):
        async with acting(crm) as act:
            await write_offs.undo(act, id=undoing)
    with pytest.raises(ReversedAlready):
        async with acting(crm) as act:
            await write_offs.undo(act, id=id)
    await cancel(crm, order)


async def test_what_does_not_fit_is_refused(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    order = await confirmed(crm, customer, "10.00")
    async with acting(crm) as act:
        unconfirmed = await draft(act, customer, "1.00")
    before = await database.fetch(STATE)
    for kind, says, given in (
        (WriteOffExceedsOpen, r"10\.00 USD is still owed", {"order": order, "amount": "10.01"}),
        (CurrencyMismatch, "EUR", {"order": order, "amount": "1.00", "currency": "EUR"}),
        (BadUserInput, "more than 0", {"order": order, "amount": "0.00"}),
        (BadUserInput, "blank", {"order": order, "reason": " "}),
        (IllegalTransition, "DRAFT", {"order": unconfirmed}),
    ):
        with pytest.raises(kind, match=says):
            await write_off(crm, **given)
    assert await database.fetch(STATE) == before
    await write_off(crm, order)
    with pytest.raises(WriteOffExceedsOpen, match=r"0\.00 USD"):
        await write_off(crm, order)


async def test_more_of_an_order_than_the_tolerance_takes_an_approval(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """All in all: a debt can't be written off cent by cent."""
    await tolerate(crm, ("0.05", "USD"))
    order = await confirmed(crm, customer, "10.00")
    user = await work.user(database, roles=["INTEGRATION"])

    async def as_integration(amount: str) -> UUID:
        async with crm.transaction() as tx:
            act = Act(tx, Viewer(user, Who(frozenset({"INTEGRATION"})), clock=lambda: NOW))
            return await write_offs.write_off(act, order_id=order, amount=(Decimal(amount), "USD"), reason="Cents.")

    with pytest.raises(Forbidden, match="tolerance"):
        await as_integration("0.06")
    first = await as_integration("0.03")
    with pytest.raises(Forbidden):
        await as_integration("0.03")
    await as_integration("0.02")
    async with acting(crm) as act:
        await write_offs.undo(act, id=first)
    await as_integration("0.03")
    await write_off(crm, order, "9.00")


@pytest.mark.parametrize(("paid", "left"), [("9.99", "0.00"), ("9.98", "0.02")])
async def test_a_payment_within_the_tolerance_closes_its_order(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, paid: str, left: str
) -> None:
    await tolerate(crm, ("0.01", "USD"), ("5.00", "EUR"))
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, paid, order_id=order)
    open_ = "SELECT open::text FROM open_items WHERE purpose = 'RECEIVABLE'"
    assert await database.fetchval(open_) == left
    assert await rows(database) == (
        [("0.01", "WRITE_OFF", "Within the tolerance of 0.01 USD.", True)] if left == "0.00" else []
    )
    await undo(crm, await made(database))  # with what completes it
    assert await database.fetchval(open_) == "10.00"
    assert (await balances(database)).get("WRITE_OFF") is None


async def test_by_rule_no_more_of_an_order_than_the_tolerance(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await tolerate(crm, ("0.03", "USD"))
    order = await confirmed(crm, customer, "10.00")
    await write_off(crm, order, "0.02")
    await pay(crm, "9.96", order_id=order)
    assert len(await rows(database)) == 1
    await pay(crm, "0.01", order_id=order)
    assert [row[0] for row in await rows(database)] == ["0.02", "0.01"]


async def test_many_payments_that_are_a_cent_short_take_as_many_statements_as_one(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await tolerate(crm, ("0.01", "USD"))
    counts = []
    for count in (1, 40):
        for _ in range(count):
            await confirmed(crm, customer, "10.00")
        payment = await pay(crm, f"{10 * count}.00", customer_id=customer)
        async with acting(crm) as act:
            asked: list[str] = []
            act.tx.connection.add_query_logger(lambda record, asked=asked: asked.append(record.query))
            await allocations.allocate(act, id=payment, amount=(Decimal(10 * count) - Decimal("0.01"), "USD"))
            counts.append(len(asked))
    assert counts[0] == counts[1], counts
    assert len(await rows(database)) == 2


async def test_half_a_unit_short_is_one_act(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    """45.500 KWD, received 45.000: without a word 0.500 stays open."""
    await database.execute(RATE.replace("EUR", "KWD"), NOW.date(), Decimal("3.25"))
    order = await confirmed(crm, customer, "45.500", currency="KWD")
    payment = await pay(crm, "45.000", customer_id=customer, currency="KWD")

    async def settle(amount: str, short: str, reason: str = "Bank fees.", **more: Any) -> None:
        async with acting(crm) as act:
            paid, off = ((Decimal(each), "KWD") for each in (amount, short))
            more["write_off"] = Short(off, reason, more.pop("account", None))
            await allocations.allocate(act, id=payment, order_id=order, amount=paid, **more)

    before = await database.fetch(STATE)
    for wrong in (("45.501", "0.500"), ("45.000", "0.501"), ("45.000", "0.500", "")):
        with pytest.raises(CrmError):
            await settle(*wrong)
    with pytest.raises(BadUserInput, match="order"):
        async with acting(crm) as act:
            await allocations.allocate(act, id=payment, write_off=Short((Decimal("0.500"), "KWD"), "Bank fees."))
    assert await database.fetch(STATE) == before
    await settle("45.000", "0.500", account="ROUNDING")
    assert (await balances(database, "KWD")).keys() == {"BANK", "REVENUE", "ROUNDING"}
    assert await rows(database) == [("0.500", "ROUNDING", "Bank fees.", True)]
    assert (await told(database))[-2:] == ["payment.allocated", "allocation.made"]
    await undo(crm, await made(database))
    assert [tuple(row)[4:] for row in await database.fetch(STATE)] == [tuple(row)[4:] for row in before]


async def test_an_allocation_is_undone_after_what_completed_it(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await tolerate(crm, ("0.01", "USD"))
    order = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "9.99", customer_id=customer)
    await allocate(crm, payment, order)
    async with acting(crm) as act:
        await write_offs.undo(act, id=await database.fetchval("SELECT id FROM write_offs"))
    await undo(crm, await made(database))
    assert await database.fetchval("SELECT count(*) FROM write_offs") == 2


async def test_twenty_at_once_write_off_no_more_than_is_open(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")

    async def one() -> None:
        with suppress(WriteOffExceedsOpen):
            await write_off(crm, order, "3.00")

    await asyncio.gather(*(one() for _ in range(20)))
    assert (await balances(database))["WRITE_OFF"] == ("9.00", "9.00")


async def test_a_tolerance_is_at_most_one_for_each_currency(crm: db.Database) -> None:
    for wrong in ([("0.01", "USD"), ("0.02", "USD")], [("0.001", "USD")], [("-1.00", "USD")]):
        with pytest.raises(BadUserInput):
            await tolerate(crm, *wrong)


COPY = "INSERT INTO write_offs (customer_id, order_id, item_id, currency, amount, account, reason, written_off_on, undoes_id, entry_id) SELECT "
PART = "customer_id, order_id, item_id, currency"
RAW = {
    "another amount": (
        "write_offs_posted",
        f"{COPY}{PART}, 2.00, account, reason, written_off_on, NULL, {{sale}} FROM write_offs",
    ),
    "undone by nothing": (
        "write_offs_posted",
        f"{COPY}{PART}, amount, account, reason, written_off_on, id, {{sale}} FROM write_offs",
    ),
    "another account": (
        "write_offs_undoes",
        f"{COPY}{PART}, amount, 'ROUNDING', reason, written_off_on, id, {{sale}} FROM write_offs",
    ),
    "changed": (None, "UPDATE write_offs SET amount = 2.00"),
    "without its reason": (None, "UPDATE write_offs SET reason = NULL"),
    "deleted": (None, "DELETE FROM write_offs"),
    "an entry without a row": (
        "write_offs_recorded",
        "WITH e AS (INSERT INTO ledger_entries (company_id, customer_id, owner_id, kind, reverses_id, key, request_hash, source_type,"
        " source_id, effective_on, base_currency, size) SELECT company_id, customer_id, owner_id, kind, id, 'raw', request_hash,"
        " source_type, source_id, effective_on, base_currency, size FROM ledger_entries WHERE source_type = 'WriteOff'"
        " RETURNING id, owner_id, reverses_id)"
        " INSERT INTO postings SELECT p.owner_id, e.id, n, size, phase, effective_on, base_currency, credit, debit, currency, amount,"
        " base_amount, credit_item_id, debit_item_id, credit_due_on, debit_due_on"
        " FROM e JOIN postings p ON p.owner_id = e.owner_id AND p.entry_id = e.reverses_id",
    ),
}


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_cannot_part_them_from_the_books(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, what: str
) -> None:
    await write_off(crm, await confirmed(crm, customer, "10.00"), "1.00")
    constraint, sql = RAW[what]
    sale = "(SELECT id FROM ledger_entries WHERE kind = 'order.confirmed')"
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        await database.execute(sql.format(sale=sale))
    assert refusal.value.constraint_name == constraint


@pytest.mark.parametrize("change", ["SET amount = 2.00", "SET account = 'ROUNDING'", "SET entry_id = uuidv7()"])
async def test_verify_finds_one_that_is_not_as_posted(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, change: str
) -> None:
    await write_off(crm, await confirmed(crm, customer, "10.00"), "1.00")
    async with tampering(database):
        await database.execute(f"UPDATE write_offs {change}")
        assert any("a write-off is not what its entry posted" in each for each in await broken(database))
    async with database.transaction():
        assert await broken(database) == []


OPEN = "SELECT due_on, open::text FROM open_items WHERE purpose = 'RECEIVABLE' AND debited > 0 ORDER BY due_on, id"


async def owed(database: asyncpg.Connection) -> list[str]:
    """What is open, by due date, without what was invoiced."""
    return [row["open"] for row in await database.fetch(OPEN) if row["due_on"]]


async def test_an_invoice_s_instalments_are_written_off_the_first_due_first(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "300.00")
    invoice = await issued(crm, order, amount="200.00", payment_terms="50% NET 0, 50% NET 30")
    other = await issued(crm, order, amount="50.00")
    with pytest.raises(WriteOffExceedsOpen, match=r"For the invoice 200\.00 USD"):
        await write_off(crm, invoice_id=invoice, amount="200.01")
    with pytest.raises(BadUserInput, match="only one"):
        await write_off(crm, order, invoice_id=invoice)
    await write_off(crm, invoice_id=invoice, amount="130.00")
    assert sorted(await owed(database)) == ["0.00", "50.00", "70.00"]
    named = await database.fetch("SELECT invoice_id, order_id, amount::text FROM write_offs w ORDER BY w.amount DESC")
    assert [tuple(row) for row in named] == [(invoice, order, "100.00"), (invoice, order, "30.00")]
    await write_off(crm, order)  # with all its invoices, and what is not invoiced
    assert await database.fetchval("SELECT sum(open) FROM open_items") == 0
    assert await database.fetchval("SELECT sum(amount) FROM write_offs WHERE invoice_id = $1", other) == 50
    assert (await balances(database))["WRITE_OFF"] == ("300.00", "300.00")


async def test_each_invoice_that_is_a_cent_short_is_closed_by_itself(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await tolerate(crm, ("0.01", "USD"))
    order = await confirmed(crm, customer, "200.00")
    first, second = [await issued(crm, order, amount="100.00") for _ in range(2)]
    for invoice in (first, second):
        await pay(crm, "99.99", invoice_id=invoice)
    assert await owed(database) == ["0.00", "0.00"]
    assert {row["invoice_id"] for row in await database.fetch("SELECT invoice_id FROM write_offs")} == {first, second}
    alone = await issued(crm, await confirmed(crm, customer, "10.00"), payment_terms="50% NET 0, 50% NET 30")
    await pay(crm, "4.99", invoice_id=alone)
    assert sorted(await owed(database)) == ["0.00", "0.00", "0.00", "5.00"]
    await pay(crm, "4.99", invoice_id=alone)  # a second cent of the same invoice is too much
    assert sorted(await owed(database)) == ["0.00", "0.00", "0.00", "0.01"]


async def test_an_invoice_is_not_a_way_around_the_tolerance_of_its_order(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await tolerate(crm, ("0.05", "USD"))
    order = await confirmed(crm, customer, "10.00")
    first, second = [await issued(crm, order, amount="0.05") for _ in range(2)]
    user = await work.user(database, roles=["INTEGRATION"])

    async def as_integration(**given: Any) -> None:
        async with crm.transaction() as tx:
            act = Act(tx, Viewer(user, Who(frozenset({"INTEGRATION"})), clock=lambda: NOW))
            await write_offs.write_off(act, reason="Cents.", **given)

    await as_integration(invoice_id=first)
    for rest in ({"invoice_id": second}, {"order_id": order, "amount": (Decimal("0.01"), "USD")}):
        with pytest.raises(Forbidden, match="tolerance"):
            await as_integration(**rest)


async def test_an_invoice_s_payment_and_its_rest_are_one_act(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    invoice = await issued(crm, await confirmed(crm, customer, "45.50"))
    payment = await pay(crm, "45.00", customer_id=customer)
    async with acting(crm) as act:
        short = Short((Decimal("0.50"), "USD"), "Bank fees.")
        await allocations.allocate(act, id=payment, invoice_id=invoice, write_off=short)
    assert await owed(database) == ["0.00"]
    assert await rows(database) == [("0.50", "WRITE_OFF", "Bank fees.", True)]
    await undo(crm, await made(database))
    assert await owed(database) == ["45.50"]


async def test_who_pays_all_the_same_owes_it_again_and_has_paid_it(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """A debt that comes in after all: what was paid is credit that names the order; the write-off is undone, and the credit used."""
    order = await confirmed(crm, customer, "10.00")
    id = await write_off(crm, order)
    await pay(crm, "10.00", order_id=order)
    assert (await balances(database))["CREDIT"] == ("-10.00", "-10.00")
    async with acting(crm) as act:
        await write_offs.undo(act, id=id)
        await credits.apply(act, customer_id=customer, order_id=order)
    assert await balances(database) == {"BANK": ("10.00", "10.00"), "REVENUE": ("-10.00", "-10.00")}
