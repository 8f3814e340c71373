"""Refunds: what they take, what is undone for them, how they end, and what raw SQL can't do to them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import allocations, bulk, refunds
from crmgql.errors import (
    BadUserInput,
    Conflict,
    CrmError,
    CurrencyMismatch,
    IllegalTransition,
    NotFound,
    PeriodClosed,
    RefundExceedsReceived,
)
from crmgql.schema import build
from crmgql.viewer import system
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_allocations import RATE, allocate, sums, told, undo
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import balances, confirmed, draft
from tests.ledger.conftest import acting, add_customer

STATE = "SELECT purpose, currency, order_id, payment_id, open, free, base FROM open_items ORDER BY id"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


def _money(amount: str | None, currency: str) -> tuple[Decimal, str] | None:
    return None if amount is None else (Decimal(amount), currency)


async def refund(
    crm: db.Database, payment: UUID | None, amount: str | None = None, *, currency: str = "USD", **more: Any
) -> UUID:
    async with acting(crm) as act:
        return await refunds.request(act, payment_id=payment, amount=_money(amount, currency), **more)


async def give(crm: db.Database, payment: UUID | None, amount: str | None = None, **more: Any) -> UUID:
    async with acting(crm) as act:
        return await refunds.record(act, payment_id=payment, amount=_money(amount, "USD"), **more)


async def succeed(crm: db.Database, id: UUID, **more: Any) -> None:
    async with acting(crm) as act:
        await refunds.succeed(act, id=id, **more)


async def end(crm: db.Database, verb: str, id: UUID, **more: Any) -> None:
    async with acting(crm) as act:
        await refunds.end(act, verb, id=id, **more)


async def lose_sight(crm: db.Database, id: UUID) -> None:
    async with acting(crm) as act:
        await refunds.mark_unknown(act, id=id, reason="No answer")


async def free(database: asyncpg.Connection, payment: UUID) -> str:
    sql = "SELECT sum(free) FROM open_items WHERE payment_id = $1"
    return str(await database.fetchval(sql, payment))


async def status(database: asyncpg.Connection, id: UUID) -> str:
    return await database.fetchval("SELECT status FROM refunds WHERE id = $1", id)  # type: ignore[no-any-return]


async def test_money_is_held_until_it_went_back(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    payment = await pay(crm, "9.00", customer_id=customer, provider="stripe", provider_reference="pi_1")
    id = await refund(crm, payment, "4.00", reason="Too late")
    assert await balances(database) == {"CLEARING": ("9.00", "9.00"), "UNEARNED": ("-9.00", "-9.00")}
    assert await free(database, payment) == "5.00"
    row = await database.fetchrow("SELECT * FROM refunds")
    assert (row["method"], row["provider"], row["reason"], row["ended_at"]) == ("CASH", "stripe", "Too late", None)
    await succeed(crm, id, provider_reference="re_1")
    assert await balances(database) == {"CLEARING": ("5.00", "5.00"), "UNEARNED": ("-5.00", "-5.00")}
    assert await free(database, payment) == "5.00"
    row = await database.fetchrow("SELECT * FROM refunds")
    assert (row["status"], row["provider_reference"], row["ended_at"]) == ("SUCCEEDED", "re_1", NOW)
    assert await database.fetchval("SELECT sum(pending_debit + pending_credit) FROM balances") == 0


@pytest.mark.parametrize("verb", ["fail", "cancel"])
async def test_one_that_comes_to_nothing_leaves_everything_as_it_was(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, verb: str
) -> None:
    """Also what it had undone: the orders are paid again, at their own rates."""
    orders = [await confirmed(crm, customer, "10.00", currency="EUR") for _ in range(3)]
    await database.execute(RATE, NOW.date(), Decimal("1.5055"))
    payment = await pay(crm, "31.07", currency="EUR", customer_id=customer)
    await allocate(crm, payment)
    before, settled = await database.fetch(STATE), await sums(database)
    id = await refund(crm, payment, "15.55", currency="EUR")
    assert await sums(database) == dict(zip(orders, ("10.00", "5.52", "0.00"), strict=True))
    await end(crm, verb, id, reason="Account closed")
    assert await sums(database) == settled
    assert await database.fetch(STATE) == before
    row = await database.fetchrow("SELECT status, status_reason FROM refunds")
    assert tuple(row) == ({"fail": "FAILED", "cancel": "CANCELLED"}[verb], "Account closed")


async def test_one_that_comes_back_later_is_undone(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "10.00", order_id=order)
    before = await balances(database)
    id = await give(crm, payment, "3.00")
    assert await balances(database) == {"BANK": ("7.00", "7.00"), "RECEIVABLE": ("3.00", "3.00")} | {
        "REVENUE": ("-10.00", "-10.00")
    }
    await end(crm, "fail", id)
    assert await balances(database) == before
    assert await sums(database) == {order: "10.00"}
    with pytest.raises(IllegalTransition):
        await end(crm, "fail", id)


async def test_what_was_undone_is_not_made_again_where_it_is_no_longer_owed(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "10.00", order_id=order)
    id = await refund(crm, payment, "6.00")
    await pay(crm, "5.00", order_id=order)
    await end(crm, "fail", id)
    assert await sums(database) == {order: "10.00"}
    assert await free(database, payment) == "5.00"


async def test_over_three_orders_the_latest_allocations_come_first(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    orders = [await confirmed(crm, customer, "10.00", ordered_at=NOW.replace(day=1, hour=hour)) for hour in (1, 2, 3)]
    payment = await pay(crm, "32.00", customer_id=customer)
    await allocate(crm, payment)
    tried = await refunds.dry_run(crm, system(lambda: NOW), payment_id=payment, amount=Decimal("17.00"))
    assert [(each["orderId"][4:], each["amount"]["amount"]) for each in tried["undoes"]] == [
        (orders[2].hex, "10.00"),
        (orders[1].hex, "5.00"),
    ]
    assert (tried["amount"]["amount"], tried["unallocated"]["amount"]) == ("17.00", "2.00")
    assert await sums(database) == dict.fromkeys(orders, "10.00")
    await give(crm, payment, "17.00")
    assert await sums(database) == dict(zip(orders, ("10.00", "5.00", "0.00"), strict=True))
    assert await balances(database) == {
        "BANK": ("15.00", "15.00"),
        "RECEIVABLE": ("15.00", "15.00"),
        "REVENUE": ("-30.00", "-30.00"),
    }
    assert (await told(database))[-3:] == ["allocation.undone", "allocation.undone", "allocation.made"]
    assert await free(database, payment) == "0.00"


async def test_named_allocations_are_undone_and_no_others(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    first, second = [await confirmed(crm, customer, "10.00") for _ in range(2)]
    payment = await pay(crm, "25.00", customer_id=customer)
    for order in (first, second):
        await allocate(crm, payment, order)
    id = await database.fetchval("SELECT id FROM allocations WHERE order_id = $1", first)
    with pytest.raises(RefundExceedsReceived, match=r"15\.00 USD"):
        await refund(crm, payment, "15.01", allocation_ids=[id])
    await give(crm, payment, allocation_ids=[id])  # what it settles
    assert await sums(database) == {first: "0.00", second: "10.00"}
    assert await database.fetchval("SELECT amount FROM refunds") == 10
    for gone in (id, payment):  # one that is undone, one that is none
        with pytest.raises(NotFound, match="alc_"):
            await refund(crm, payment, allocation_ids=[gone])


async def test_without_an_amount_it_is_all(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    """What an order took, and the credit above it."""
    order = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "12.00", order_id=order)
    await give(crm, payment)
    assert await balances(database) == {"RECEIVABLE": ("10.00", "10.00"), "REVENUE": ("-10.00", "-10.00")}
    with pytest.raises(RefundExceedsReceived, match=r"0\.00 USD"):
        await refund(crm, payment)


async def test_credit_is_refunded_without_a_payment(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """The oldest first; what is unearned is not the customer's credit."""
    order = await confirmed(crm, customer, "10.00")
    for amount in ("12.00", "3.00"):
        await pay(crm, amount, order_id=order)
    await pay(crm, "50.00", customer_id=customer)
    given: dict[str, Any] = {"customer_id": customer, "method": "BANK_TRANSFER"}
    with pytest.raises(RefundExceedsReceived, match=r"5\.00 USD"):
        await refund(crm, None, "5.01", **given)
    await succeed(crm, await refund(crm, None, "4.00", **given))
    found = await database.fetch("SELECT open FROM open_items WHERE purpose = 'CREDIT' ORDER BY id")
    assert [str(row["open"]) for row in found] == ["0.00", "1.00"]
    assert (await balances(database))["UNEARNED"] == ("-50.00", "-50.00")


async def refused(crm: db.Database, kind: type[CrmError], says: str, *given: Any, **more: Any) -> None:
    with pytest.raises(kind, match=says):
        await refund(crm, *given, **more)


async def test_what_does_not_fit_is_refused(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    payment = await pay(crm, "5.00", customer_id=customer)
    pending = await pay(crm, "5.00", customer_id=customer, pending=True)
    await refund(crm, payment, "2.00")
    other = await rich(crm, database)
    before = await database.fetch(STATE)
    await refused(crm, RefundExceedsReceived, r"3\.00 USD", payment, "3.01")
    await refused(crm, CurrencyMismatch, "USD", payment, "1.00", currency="EUR")
    await refused(crm, BadUserInput, "more than", payment, "0")
    await refused(crm, BadUserInput, "decimals", payment, "0.001")
    await refused(crm, IllegalTransition, "PENDING", pending)
    await refused(crm, NotFound, "payment", customer)
    await refused(crm, BadUserInput, "another customer", payment, customer_id=await add_customer(database))
    await refused(crm, BadUserInput, "Name the payment", None, "1.00")
    await refused(crm, BadUserInput, "how much", None, customer_id=customer)
    await refused(crm, BadUserInput, "method", None, "1.00", customer_id=other)
    assert await database.fetchval("SELECT count(*) FROM refunds") == 1
    assert await database.fetch(STATE) == before


async def rich(crm: db.Database, database: asyncpg.Connection) -> UUID:
    """A customer with credit."""
    customer = await add_customer(database)
    async with acting(crm) as act:
        order = await draft(act, customer, "1.00")
        columns = ("customer_id", "order_id", "amount", "currency", "method", "status", "received_at")
        row = ["p-1", customer, order, Decimal("2.00"), "USD", "CASH", "RECEIVED", NOW]
        await bulk.payments.write_many(act, columns, [row], source="old")
    return customer


async def test_an_unknown_one_holds_its_money_until_somebody_knows(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """The provider timed out: it is asked again by the refund's key, and answers for the one that it has."""
    payment = await pay(crm, "5.00", customer_id=customer)
    id = await refund(crm, payment, "5.00")
    await lose_sight(crm, id)
    await refused(crm, RefundExceedsReceived, r"0\.00 USD", payment, "5.00")
    with pytest.raises(IllegalTransition, match="UNKNOWN"):
        await end(crm, "cancel", id)
    await succeed(crm, id)
    with pytest.raises(IllegalTransition):
        await succeed(crm, id)
    assert await balances(database) == {}
    kinds = await database.fetch("SELECT kind FROM events WHERE subject_id = $1 ORDER BY id", id)
    assert [row["kind"] for row in kinds] == ["refund.requested", "refund.unknown", "refund.succeeded"]


async def test_a_providers_refund_is_recorded_once(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    payment = await pay(crm, "5.00", customer_id=customer, provider="stripe", provider_reference="pi_1")
    await give(crm, payment, "1.00", provider_reference="re_1")
    with pytest.raises(Conflict, match="recorded already"):
        await give(crm, payment, "1.00", provider_reference="re_1")
    id = await refund(crm, payment, "1.00")
    with pytest.raises(Conflict, match="recorded already"):
        await succeed(crm, id, provider_reference="re_1")
    assert await status(database, id) == "REQUESTED"


async def test_parts_in_another_currency_sum_to_the_whole(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """The base amount that is held is worked out anew when it goes back: other parts went in between."""
    await database.execute(RATE, NOW.date(), Decimal("1.3333"))
    payment = await pay(crm, "10.00", currency="EUR", customer_id=customer)
    held = await refund(crm, payment, "3.33", currency="EUR")
    other = await refund(crm, payment, "3.33", currency="EUR")
    await succeed(crm, other)
    last = await refund(crm, payment, currency="EUR")
    await succeed(crm, last)
    await succeed(crm, held)
    assert await balances(database, "EUR") == {}


async def test_a_closed_day_takes_none(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    payment = await pay(crm, "4.00", customer_id=customer)
    id = await refund(crm, payment, "1.00")
    await database.execute(
        "INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at) SELECT id, '2026-01-01', '2026-12-31', 'CLOSED', now() FROM companies"
    )
    await refused(crm, PeriodClosed, "2027-01-01", payment)
    for verb in ("fail", "cancel"):
        with pytest.raises(PeriodClosed):
            await end(crm, verb, id)
    with pytest.raises(PeriodClosed):
        await succeed(crm, id)


async def test_an_allocation_that_was_made_again_is_the_payments(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """What somebody undid by hand afterwards is not brought back by a refund that fails."""
    order = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "10.00", order_id=order)
    id = await refund(crm, payment, "4.00")
    again = await database.fetchval("SELECT id FROM allocations WHERE amount = 6 ORDER BY entry_id DESC LIMIT 1")
    await undo(crm, again)
    await end(crm, "fail", id)
    assert await sums(database) == {order: "4.00"}


async def test_many_allocations_take_as_many_statements_as_one(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    counts = []
    for count in (1, 60):
        for _ in range(count):
            await confirmed(crm, customer, "10.00")
        payment = await pay(crm, f"{count}0.00", customer_id=customer)
        await allocate(crm, payment)
        for verb in ("request", "fail"):
            async with acting(crm) as act:
                asked: list[str] = []
                act.tx.connection.add_query_logger(lambda record, asked=asked: asked.append(record.query))
                if verb == "request":
                    id = await refunds.request(act, payment_id=payment, amount=(Decimal(count * 10 - 5), "USD"))
                else:
                    await refunds.end(act, "fail", id=id)
                counts.append(len(asked))
    assert counts[:2] == counts[2:], counts
    assert set((await sums(database)).values()) == {"10.00"}


async def test_of_two_at_once_one_gets_the_rest(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    payment = await pay(crm, "10.00", customer_id=customer)
    found = await asyncio.gather(*(refund(crm, payment, "6.00") for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, UUID) for each in found) == 1
    assert sum(isinstance(each, RefundExceedsReceived) for each in found) == 3, found


async def test_it_ends_once(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    id = await refund(crm, await pay(crm, "10.00", customer_id=customer))
    ends = (succeed(crm, id), end(crm, "fail", id), end(crm, "cancel", id), succeed(crm, id))
    found = await asyncio.gather(*ends, return_exceptions=True)
    assert sum(each is None for each in found) in (1, 2), found  # one that succeeded may fail
    assert (await status(database, id) == "SUCCEEDED") == (await balances(database) == {})


RAW = {
    "without an entry": """INSERT INTO refunds (customer_id, payment_id, amount, currency, method, requested_at)
        SELECT customer_id, id, 1.00, currency, method, now() FROM payments""",
    "failed without an entry": """INSERT INTO refunds (customer_id, payment_id, amount, currency, method, status, requested_at, ended_at)
        SELECT customer_id, id, 1.00, currency, method, 'FAILED', now(), now() FROM payments""",
    "another amount": "UPDATE refunds SET amount = 3.99",
    "no longer held": "UPDATE refunds SET status = 'FAILED', ended_at = now()",
    "done": "UPDATE refunds SET status = 'SUCCEEDED', ended_at = now()",
    "of credit": "UPDATE refunds SET payment_id = NULL",
    "of another payment": "UPDATE refunds SET payment_id = (SELECT max(id::text)::uuid FROM payments)",
    "from elsewhere": "UPDATE refunds SET provider = 'stripe'",
    "an entry that ends it": """INSERT INTO ledger_entries (company_id, customer_id, owner_id, kind, phase, resolves_id, key, request_hash,
        source_type, source_id, effective_on, base_currency, size, opens) SELECT company_id, customer_id, owner_id, 'x', 'VOIDED', id, 'raw',
        request_hash, source_type, source_id, effective_on, base_currency, 0, 0 FROM ledger_entries WHERE phase = 'PENDING'""",
    "an entry without its refund": """WITH made AS (
            INSERT INTO ledger_entries (company_id, customer_id, owner_id, kind, key, request_hash, source_type, source_id, effective_on,
                base_currency, size, opens)
            SELECT company_id, customer_id, owner_id, 'x', 'raw', request_hash, 'Refund', uuidv7(), effective_on, base_currency, 1, 0
            FROM ledger_entries WHERE phase = 'PENDING' RETURNING *)
        INSERT INTO postings (owner_id, entry_id, n, size, phase, effective_on, base_currency, debit, credit, currency, amount, base_amount,
            debit_item_id)
        SELECT made.owner_id, made.id, 1, 1, 'POSTED', made.effective_on, 'USD', 'UNEARNED', 'BANK', 'USD', 1.00, 1.00, i.id
        FROM made JOIN open_items i ON i.owner_id = made.owner_id LIMIT 1""",
}


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_cannot_part_a_refund_from_the_books(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, what: str
) -> None:
    payment = await pay(crm, "5.00", customer_id=customer)
    if what not in ("without an entry", "failed without an entry"):
        await refund(crm, payment, "4.00")
        await pay(crm, "5.00", customer_id=customer)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        await database.execute(RAW[what])
    assert refusal.value.constraint_name == "refunds_posted"


async def test_nobody_deletes_one(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    await refund(crm, await pay(crm, "5.00", customer_id=customer))
    for sql in ("DELETE FROM refunds", "TRUNCATE refunds CASCADE"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await database.execute(sql)
    await database.execute("SET ROLE crmgql_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.execute("DELETE FROM refunds")


@pytest.mark.parametrize("verb", ["fail", "succeed"])
async def test_what_settles_an_order_in_another_currency_is_undone_at_its_own_rate(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, verb: str
) -> None:
    """10.500 KWD for 5,250 JPY: 2,000 JPY less settle 4.000 KWD less, whatever the rates are now."""
    order = await confirmed(crm, customer, "10.500", currency="KWD")
    payment = await pay(crm, "5250", currency="JPY", customer_id=customer)
    given = {"amount": (Decimal(5250), "JPY"), "order_amount": (Decimal("10.500"), "KWD")}
    async with acting(crm) as act:
        await allocations.allocate(act, id=payment, order_id=order, **given)  # type: ignore[arg-type]
    before = await database.fetch(STATE)
    id = await refund(crm, payment, "2000", currency="JPY")
    assert await sums(database) == {order: "6.500"}
    if verb == "fail":
        await end(crm, "fail", id)
        assert (await sums(database), await database.fetch(STATE)) == ({order: "10.500"}, before)
    else:
        await succeed(crm, id)
        assert await free(database, payment) == "0"
        assert (await balances(database, "JPY"))["BANK"] == ("3250", "32.50")
