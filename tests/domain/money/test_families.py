"""A parent pays for its subsidiary: what moves between them, comes back, and is refused; random histories and twenty writers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import amendments, disputes, families
from crmgql.domain.money.write_offs import Short
from crmgql.errors import (
    AllocationExceedsOpen,
    AllocationExceedsPayment,
    BadUserInput,
    IllegalTransition,
    PeriodClosed,
    RefundExceedsReceived,
)
from tests.conftest import NOW, connect
from tests.domain.money import test_histories as histories
from tests.domain.money.test_allocations import RATE, seller, sums  # noqa: F401 - a fixture
from tests.domain.money.test_exchange import set_rate
from tests.domain.money.test_histories import REFUSED, customers  # noqa: F401 - a fixture
from tests.domain.money.test_receipts import pay
from tests.domain.money.test_refund_histories import OUT, Company
from tests.domain.money.test_refund_histories import WRONG as OF_REFUNDS
from tests.domain.money.test_refunds import end, refund, succeed
from tests.domain.sales.test_revenue import balances, confirmed
from tests.ledger.conftest import acting, add_customer
from tests.ledger.test_verify import broken, tampering

OWNED = """
SELECT purpose, sum(debit) - sum(credit) AS amount FROM balances WHERE owner_id = $1 AND currency = $2
GROUP BY purpose HAVING sum(debit) <> sum(credit) ORDER BY 1"""
STATE = """
SELECT purpose, open, free, base FROM open_items WHERE open <> 0 OR free <> 0 ORDER BY purpose, currency, open, base"""


@pytest_asyncio.fixture
async def subsidiary(database: asyncpg.Connection, customer: UUID) -> UUID:
    """A subsidiary's subsidiary."""
    between, below = await add_customer(database, "Between"), await add_customer(database, "Below")
    await database.execute("UPDATE customers SET parent_id = $2 WHERE id = $1", between, customer)
    await database.execute("UPDATE customers SET parent_id = $2 WHERE id = $1", below, between)
    return below


async def settle(crm: db.Database, payment: UUID, order: UUID, amount: str | None = None, **more: Any) -> None:
    wanted = None if amount is None else (Decimal(amount.split()[0]), (*amount.split(), "USD")[1])
    async with acting(crm) as act:
        await families.allocate(act, id=payment, order_id=order, amount=wanted, **more)


async def undo(crm: db.Database, id: UUID) -> None:
    async with acting(crm) as act:
        await families.undo(act, id=id)


async def give_back(crm: db.Database, id: UUID, amount: str | None = None) -> None:
    async with acting(crm) as act:
        await families.give_back(act, id=id, amount=None if amount is None else (Decimal(amount), "USD"))


async def owned(database: asyncpg.Connection, owner: UUID, currency: str = "USD") -> dict[str, str]:
    return {row[0]: str(row[1]) for row in await database.fetch(OWNED, owner, currency)}


async def passed(database: asyncpg.Connection) -> UUID:
    return await database.fetchval("SELECT id FROM payments WHERE paid_from_id IS NOT NULL")  # type: ignore[no-any-return]


async def test_a_parent_pays_what_its_subsidiary_owes(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, subsidiary: UUID
) -> None:
    order = await confirmed(crm, subsidiary, "10.00")
    payment = await pay(crm, "25.00", customer_id=customer)
    await settle(crm, payment, order, "4.00")
    assert await owned(database, customer) == {"BANK": "25.00", "TRANSFER": "-4.00", "UNEARNED": "-21.00"}
    assert await owned(database, subsidiary) == {"RECEIVABLE": "6.00", "REVENUE": "-10.00", "TRANSFER": "4.00"}
    await settle(crm, payment, order)
    assert await owned(database, customer) == {"BANK": "25.00", "TRANSFER": "-10.00", "UNEARNED": "-15.00"}
    assert await sums(database) == {order: "10.00"}
    rows = await database.fetch("SELECT * FROM payments WHERE paid_from_id = $1 ORDER BY id", payment)
    assert [(row["customer_id"], str(row["amount"]), row["reference"], row["status"]) for row in rows] == [
        (subsidiary, "4.00", None, "RECEIVED"),
        (subsidiary, "6.00", None, "RECEIVED"),
    ]
    kept = await database.fetch(
        "SELECT customer_id, outstanding, unearned FROM customer_standings ORDER BY customer_id"
    )
    assert {row[0]: (str(row[1]), str(row[2])) for row in kept if row[1] or row[2]} == {customer: ("0.00", "15.00")}
    assert await database.fetchval("SELECT count(*) FROM transfer_moves") == 0
    kinds = await database.fetch(
        "SELECT kind, customer_id FROM events WHERE kind ~ 'payment|allocation' ORDER BY id DESC LIMIT 3"
    )
    assert {tuple(row) for row in kinds} == {
        ("payment.allocated", customer),
        ("payment.received", subsidiary),
        ("allocation.made", subsidiary),
    }
    async with database.transaction():
        assert await broken(database) == []


async def test_the_difference_of_rates_is_the_subsidiarys(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, subsidiary: UUID
) -> None:
    """Booked at 1.1, received at 1.2: what is passed on is its share of what was received, and half of the receivable's gain is 0.50."""
    await database.execute(RATE, NOW.date(), Decimal("1.1"))
    order = await confirmed(crm, subsidiary, "10.00", currency="EUR")
    await database.execute(RATE, NOW.date(), Decimal("1.2"))
    payment = await pay(crm, "20.00", currency="EUR", customer_id=customer)
    await settle(crm, payment, order, "5.00 EUR")
    bases = await database.fetch("SELECT owner_id, sum(base) FROM balances WHERE purpose = 'TRANSFER' GROUP BY 1")
    assert {row[0]: str(row[1]) for row in bases} == {customer: "-6.00", subsidiary: "6.00"}
    gain = "SELECT owner_id, sum(base) FROM balances WHERE purpose = 'FX_GAIN' GROUP BY 1"
    assert [(row[0], str(row[1])) for row in await database.fetch(gain)] == [(subsidiary, "-0.50")]


async def test_what_is_owed_in_another_currency_is_exchanged_there(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, subsidiary: UUID
) -> None:
    await set_rate(database, "KWD", "3.2")
    await set_rate(database, "JPY", "0.01")
    order = await confirmed(crm, subsidiary, "10.500", currency="KWD")
    payment = await pay(crm, "6000", currency="JPY", customer_id=customer)
    await settle(crm, payment, order, "5250 JPY", order_amount=(Decimal("10.500"), "KWD"))
    assert await owned(database, customer, "JPY") == {"BANK": "6000", "TRANSFER": "-5250", "UNEARNED": "-750"}
    assert await owned(database, subsidiary, "JPY") == {"EXCHANGE": "-5250", "TRANSFER": "5250"}
    assert await sums(database) == {order: "10.500"}
    other = await confirmed(crm, subsidiary, "1.000", currency="KWD")
    await settle(crm, payment, other)
    assert await sums(database) == {order: "10.500", other: "1.000"}
    assert await owned(database, customer, "JPY") == {"BANK": "6000", "TRANSFER": "-5570", "UNEARNED": "-430"}


async def test_undone_it_is_the_parents_again(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, subsidiary: UUID
) -> None:
    order = await confirmed(crm, subsidiary, "10.00", currency="EUR")
    await database.execute(RATE, NOW.date(), Decimal("1.37"))
    payment = await pay(crm, "9.99", currency="EUR", customer_id=customer)
    before = await database.fetch(STATE)
    await settle(crm, payment, order, "3.33 EUR")
    await undo(crm, await database.fetchval("SELECT id FROM allocations"))
    assert await database.fetch(STATE) == before
    assert "TRANSFER" not in await owned(database, customer, "EUR")
    with pytest.raises(AllocationExceedsPayment, match=r"0\.00 EUR is left"):
        await give_back(crm, await passed(database))
    with pytest.raises(IllegalTransition, match="refundRequest"):
        await give_back(crm, payment)


async def test_one_act_writes_off_what_is_short(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, subsidiary: UUID
) -> None:
    order = await confirmed(crm, subsidiary, "10.00")
    payment = await pay(crm, "9.99", customer_id=customer)
    await settle(crm, payment, order, write_off=Short((Decimal("0.01"), "USD"), "Bank fee"))
    assert await owned(database, subsidiary) == {"REVENUE": "-10.00", "TRANSFER": "9.99", "WRITE_OFF": "0.01"}


async def _three(crm: db.Database, customer: UUID, subsidiary: UUID) -> tuple[UUID, UUID, UUID, UUID]:
    """A payment of 35 of which 10 settle an order of its customer, and 10 each two of the subsidiary's."""
    orders = [await confirmed(crm, each, "10.00") for each in (customer, subsidiary, subsidiary)]
    payment = await pay(crm, "35.00", customer_id=customer)
    for order in orders:
        await settle(crm, payment, order)
    return payment, *orders  # type: ignore[return-value]


async def test_a_refund_brings_back_what_was_passed_on_after_all_else(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, subsidiary: UUID
) -> None:
    payment, own, first, second = await _three(crm, customer, subsidiary)
    before = await database.fetch(STATE)
    id = await refund(crm, payment, "18.00")
    assert await sums(database) == {own: "0.00", first: "10.00", second: "7.00"}
    assert await owned(database, subsidiary) == {"RECEIVABLE": "3.00", "REVENUE": "-20.00", "TRANSFER": "17.00"}
    await end(crm, "fail", id)
    assert await sums(database) == {own: "10.00", first: "10.00", second: "10.00"}
    assert await database.fetch(STATE) == before
    await succeed(crm, await refund(crm, payment))
    assert await owned(database, customer) == {"RECEIVABLE": "10.00", "REVENUE": "-10.00"}
    assert await owned(database, subsidiary) == {"RECEIVABLE": "20.00", "REVENUE": "-20.00"}
    with pytest.raises(RefundExceedsReceived):
        await refund(crm, payment, "0.01")


async def test_money_that_was_passed_on_goes_back_by_way_of_the_parent(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, subsidiary: UUID
) -> None:
    await _three(crm, customer, subsidiary)
    with pytest.raises(IllegalTransition, match="paymentGiveBack, and refund that one"):
        await refund(crm, await passed(database))
    with pytest.raises(IllegalTransition, match="dispute that one"):
        async with acting(crm) as act:
            await disputes.open(act, payment_id=await passed(database))


@pytest.mark.parametrize("amount", ["5.00", "18.00", "35.00"])
async def test_a_lost_chargeback_opens_what_the_money_settled_again(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, subsidiary: UUID, amount: str
) -> None:
    payment, *orders = await _three(crm, customer, subsidiary)
    async with acting(crm) as act:
        id = await disputes.open(act, payment_id=payment, amount=(Decimal(amount), "USD"))
    async with acting(crm) as act:
        await disputes.lose(act, id=id)
    left = {"5.00": (10, 10, 10), "18.00": (0, 10, 7), "35.00": (0, 0, 0)}[amount]
    assert await sums(database) == dict(zip(orders, (f"{each}.00" for each in left), strict=True))
    open_ = "SELECT sum(open) FROM open_items WHERE purpose = 'RECEIVABLE' AND dispute_id IS NOT NULL"
    assert await database.fetchval(open_) is None
    async with database.transaction():
        assert await broken(database) == []


async def test_what_a_smaller_order_frees_goes_back_by_hand(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, subsidiary: UUID
) -> None:
    order = await confirmed(crm, subsidiary, "10.00")
    payment = await pay(crm, "10.00", customer_id=customer)
    await settle(crm, payment, order)
    async with acting(crm) as act:
        await amendments.amend(act, id=order, reason="Less", discount=(Decimal("4.00"), "USD"))
    assert (await owned(database, subsidiary))["CREDIT"] == "-4.00"
    id = await passed(database)
    with pytest.raises(AllocationExceedsPayment, match=r"4\.00 USD is left"):
        await give_back(crm, id, "4.01")
    await give_back(crm, id, "1.00")
    await give_back(crm, id)
    assert await owned(database, customer) == {"BANK": "10.00", "TRANSFER": "-6.00", "UNEARNED": "-4.00"}
    await succeed(crm, await refund(crm, payment))
    assert await owned(database, customer) == {}


async def test_nobody_else_pays(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, subsidiary: UUID
) -> None:
    """Neither a stranger, nor a sister, nor the child for its parent."""
    stranger = await add_customer(database, "Stranger")
    sister = await add_customer(database, "Sister")
    await database.execute("UPDATE customers SET parent_id = $2 WHERE id = $1", sister, customer)
    for payer, owes in ((stranger, subsidiary), (sister, subsidiary), (subsidiary, customer), (customer, stranger)):
        order, payment = await confirmed(crm, owes, "1.00"), await pay(crm, "1.00", customer_id=payer)
        with pytest.raises(BadUserInput, match="another customer"):
            await settle(crm, payment, order)


async def test_no_more_than_there_is_on_either_side(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, subsidiary: UUID
) -> None:
    order = await confirmed(crm, subsidiary, "10.00")
    payment = await pay(crm, "20.00", customer_id=customer)
    with pytest.raises(AllocationExceedsOpen):
        await settle(crm, payment, order, "10.01")
    small = await pay(crm, "1.00", customer_id=customer)
    with pytest.raises(AllocationExceedsPayment):
        await settle(crm, small, order, "1.01")
    with pytest.raises(BadUserInput, match="leave it out"):
        await settle(crm, small, order, "1.00", order_amount=(Decimal(1), "USD"))
    await database.execute(
        "INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at)"
        " SELECT id, '1000-01-01', '9999-12-31', 'CLOSED', now() FROM companies"
    )
    with pytest.raises(PeriodClosed):
        await settle(crm, payment, order)
    assert await passed(database) is None


PASSED = """
INSERT INTO payments (customer_id, amount, currency, method, status, received_at, paid_from_id)
SELECT c.id, 1.00, 'USD', 'CASH', 'RECEIVED', now(), p.id FROM payments p, customers c
WHERE p.paid_from_id IS NULL AND c.name = '{}'"""
TRANSFER = """
WITH e AS (
    INSERT INTO ledger_entries (company_id, owner_id, customer_id, kind, key, request_hash, source_type, source_id, effective_on, base_currency, size)
    SELECT company_id, owner_id, customer_id, 'x', 'raw', repeat('0', 64), 'Customer', customer_id, effective_on, 'USD', 1
    FROM ledger_entries WHERE kind = 'payment.passedOn' RETURNING id, owner_id, effective_on
)
INSERT INTO postings (owner_id, entry_id, n, size, phase, effective_on, base_currency, debit, credit, currency, amount, base_amount)
SELECT owner_id, id, 1, 1, 'POSTED', effective_on, 'USD', {}, 'USD', 1.00, 1.00 FROM e"""
RAW = {
    "out of nothing": PASSED.format("Below"),
    "to the payer": PASSED.format("Acme"),
    "to nobody": TRANSFER.format("'FEES', 'TRANSFER'"),
    "from nobody": TRANSFER.format("'TRANSFER', 'FEES'"),
    "of another payment": "UPDATE payments SET paid_from_id = NULL WHERE paid_from_id IS NOT NULL",
    "no longer received": "UPDATE payments SET status = 'CANCELLED' WHERE paid_from_id IS NOT NULL",
    "another amount": "UPDATE payments SET amount = amount + 1 WHERE paid_from_id IS NOT NULL",
    "in another currency": "UPDATE payments SET currency = 'EUR' WHERE paid_from_id IS NOT NULL",
}


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_cannot_part_the_two(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, subsidiary: UUID, what: str
) -> None:
    order = await confirmed(crm, subsidiary, "10.00")
    payment = await pay(crm, "10.00", customer_id=customer)
    await settle(crm, payment, order, "4.00")
    before = await database.fetch("SELECT * FROM payments ORDER BY id")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await database.execute(RAW[what])
    assert await database.fetch("SELECT * FROM payments ORDER BY id") == before
    assert await balances(database) == {"BANK": ("10.00", "10.00"), "RECEIVABLE": ("6.00", "6.00")} | {
        "REVENUE": ("-10.00", "-10.00"),
        "UNEARNED": ("-6.00", "-6.00"),
    }


async def test_verify_finds_what_was_changed_with_triggers_off(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, subsidiary: UUID
) -> None:
    order = await confirmed(crm, subsidiary, "10.00")
    payment, other = await pay(crm, "10.00", customer_id=customer), await pay(crm, "10.00", customer_id=customer)
    await settle(crm, payment, order, "4.00")
    for change in (
        f"UPDATE payments SET paid_from_id = '{other}' WHERE paid_from_id IS NOT NULL",
        "UPDATE payments SET amount = 5.00 WHERE paid_from_id IS NOT NULL",
    ):
        async with tampering(database):
            await database.execute(change)
            assert any("was passed on" in each for each in await broken(database)), change


class Family(Company):
    """One in which the first customer is the parent of the others, and pays for them."""

    async def step(self) -> None:
        if self.dice.random() < 0.3:
            with suppress(*REFUSED):
                await self.dice.choice((self.pass_on, self.pass_on, self.come_back, self.give_back))()
            return
        await super().step()

    async def pass_on(self) -> None:
        """What is left of the parent's to what the others still owe, mostly in the same currency."""
        parent = f"customer_id = '{self.customers[0]}'"
        left = f"SELECT DISTINCT payment_id AS id FROM open_items WHERE {parent} AND purpose IN ('UNEARNED', 'CREDIT') AND free > 0"
        payment = await self.some(f"SELECT id FROM ({left}) AS p WHERE id IS NOT NULL")
        owed = (
            f"SELECT DISTINCT order_id AS id FROM open_items WHERE NOT {parent} AND purpose = 'RECEIVABLE' AND open > 0"
        )
        if payment is not None and self.dice.random() < 0.8:
            owed = f"{owed} AND currency = '{await self.currency(payment)}'"
        order = await self.some(f"SELECT id FROM ({owed}) AS o WHERE id IS NOT NULL")
        if payment is not None and order is not None:
            amount = self.amount(await self.currency(payment)) if self.dice.random() < 0.5 else None
            async with acting(self.crm) as act:
                await families.allocate(act, id=payment, order_id=order, amount=amount)

    async def come_back(self) -> None:
        passed = "payment_id IN (SELECT id FROM payments WHERE paid_from_id IS NOT NULL)"
        id = await self.some(f"SELECT id FROM allocations WHERE undoes_id IS NULL AND {passed}")
        if id is not None:
            async with acting(self.crm) as act:
                await families.undo(act, id=id)

    async def give_back(self) -> None:
        id = await self.some("SELECT id FROM payments WHERE paid_from_id IS NOT NULL")
        if id is not None:
            async with acting(self.crm) as act:
                await families.give_back(act, id=id)

    async def check(self) -> None:
        for what, sql in WRONG.items():
            assert await self.database.fetch(sql) == [], what


GIVEN = """
SELECT i.payment_id, sum(CASE WHEN p.debit_item_id = i.id THEN p.amount ELSE -p.amount END) AS amount
FROM open_items i JOIN postings p ON i.id IN (p.debit_item_id, p.credit_item_id) JOIN ledger_entries e ON e.id = p.entry_id
WHERE 'TRANSFER' IN (p.debit, p.credit) AND e.key NOT LIKE 'received %' GROUP BY 1"""
"""What payments gave to others, less what they got back; of what was passed on to them, nothing."""
WRONG = {
    **{
        what: sql
        for what, sql in OF_REFUNDS.items()
        if what
        not in (
            "a payment is not what is allocated, left, refunded and lost",
            "the bank does not have what came in less what went out",
            "more is refunded to a customer than was received",
        )
    },
    "a payment is not what is allocated, left, passed on, refunded and lost": f"""
        SELECT p.id, p.amount, a.amount, i.open, o.amount, g.amount FROM payments p
        LEFT JOIN (SELECT payment_id, {histories.NET.format("paid_amount")} AS amount FROM allocations GROUP BY 1) a ON a.payment_id = p.id
        LEFT JOIN (SELECT payment_id, sum(open) AS open FROM open_items WHERE purpose IN ('UNEARNED', 'CREDIT') GROUP BY 1) i
            ON i.payment_id = p.id
        LEFT JOIN ({OUT}) o ON o.payment_id = p.id LEFT JOIN ({GIVEN}) g ON g.payment_id = p.id
        WHERE coalesce(a.amount, 0) + coalesce(i.open, 0) + coalesce(o.amount, 0) + coalesce(g.amount, 0)
            <> CASE WHEN status = 'RECEIVED' THEN p.amount ELSE 0 END""",
    "owners do not give what others take": """
        SELECT currency FROM balances WHERE purpose = 'TRANSFER' GROUP BY 1 HAVING sum(debit) <> sum(credit) OR sum(base) <> 0""",
    "somebody moved what is not there any more": "SELECT currency FROM transfer_moves",
}


async def _family(database: asyncpg.Connection, customers: list[UUID]) -> None:  # noqa: F811
    await database.execute("UPDATE customers SET parent_id = $1 WHERE id = ANY ($2)", customers[0], customers[1:])


@pytest.mark.parametrize("seed", [1, 4])
async def test_in_any_history_what_one_gives_another_takes(
    crm: db.Database,
    database: asyncpg.Connection,
    customers: list[UUID],  # noqa: F811
    seed: int,
) -> None:
    await _family(database, customers)
    family = Family(crm, database, customers, Random(seed))
    for _ in range(150):
        await family.step()
        await family.check()
    kinds = await database.fetch(
        "SELECT kind, count(*) FROM ledger_entries WHERE kind ~ 'passedOn|takenBack' GROUP BY 1"
    )
    assert len(kinds) == 2, "a history in which nothing happens shows nothing"
    async with database.transaction():
        assert await broken(database) == []


async def test_twenty_writers_pass_on_no_more_than_there_is(
    database_url: str,
    database: asyncpg.Connection,
    customers: list[UUID],  # noqa: F811
) -> None:
    await _family(database, customers)
    crm = await connect(database_url, pool_size=20)
    family = Family(crm, database, customers[:2], Random(7))
    for _ in range(20):
        await histories.Company.step(family)

    async def write(seed: int) -> None:
        own = Family(crm, database, family.customers, Random(seed))
        for _ in range(5):
            for act in (
                own.pass_on,
                own.refund,
                own.end_refund,
                own.pass_on,
                own.come_back,
                own.give_back,
                own.allocate,
            ):
                with suppress(*REFUSED):
                    await act()

    await asyncio.gather(*(write(seed) for seed in range(20)))
    await crm.close()
    await family.check()
    assert await database.fetchval("SELECT count(*) FROM payments WHERE paid_from_id IS NOT NULL") > 0
