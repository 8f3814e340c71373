"""Orders in one currency that are paid in another: at the day's rates or as given, with each amount at its own scale, and undone."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import assume, given
from hypothesis import strategies as st

from crmgql import db
from crmgql.domain.money import allocations, exchanging
from crmgql.domain.money.exchanging import Cross, Pair
from crmgql.errors import (
    AllocationExceedsOpen,
    AllocationExceedsPayment,
    BadUserInput,
    CrmError,
    CurrencyMismatch,
    RateMissing,
)
from crmgql.ledger import book
from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Posting, new_id
from crmgql.ledger.rates import Rate
from crmgql.models import Purpose
from crmgql.records import money
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_allocations import INTO, made, undo
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import balances, confirmed
from tests.ledger.conftest import acting, entry

STATE = "SELECT purpose, currency, open, free, settled, base FROM open_items ORDER BY purpose, currency, id"
RATE = "INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source) VALUES ($1, 'USD', $2, $3, 'TEST')"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def exchange(
    crm: db.Database, payment: UUID, order: UUID | None, amount: str | None = None, order_amount: str | None = None
) -> None:
    """`amount` and `order_amount` as "5250 JPY"."""
    given = [each and (Decimal(each.split()[0]), each.split()[1]) for each in (amount, order_amount)]
    async with acting(crm) as act:
        await allocations.allocate(
            act, id=payment, order_id=order, amount=given[0] or None, order_amount=given[1] or None
        )


async def figures(database: asyncpg.Connection) -> list[tuple[str, ...]]:
    rows = await database.fetch("SELECT amount, currency, paid_amount, paid_currency FROM allocations ORDER BY id")
    return [tuple(map(str, row)) for row in rows]


async def set_rate(database: asyncpg.Connection, currency: str, rate: str) -> UUID:
    return await database.fetchval(f"{RATE} RETURNING id", currency, NOW.date(), Decimal(rate))  # type: ignore[no-any-return]


async def test_three_decimals_paid_in_none(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    """10.500 KWD, booked at 3.2 = 33.60 USD, settled by 5,250 JPY, received at 0.01 = 52.50 USD."""
    order = await confirmed(crm, customer, "10.500", currency="KWD")
    payment = await pay(crm, "6000", currency="JPY", customer_id=customer)
    await exchange(crm, payment, order, "5250 JPY", "10.500 KWD")
    assert await figures(database) == [("10.500", "KWD", "5250", "JPY")]
    assert await balances(database, "KWD") == {
        "EXCHANGE": ("10.500", "52.50"),
        "FX_GAIN": ("0.000", "-18.90"),
        "REVENUE": ("-10.500", "-33.60"),
    }
    assert await balances(database, "JPY") == {
        "BANK": ("6000", "60.00"),
        "EXCHANGE": ("-5250", "-52.50"),
        "UNEARNED": ("-750", "-7.50"),
    }
    assert await database.fetchval("SELECT settled FROM open_items WHERE order_id = $1", order) == Decimal("10.500")
    (event,) = await database.fetch("SELECT payload FROM events WHERE kind = 'allocation.made'")
    assert '"paid": {"amount": "5250", "currency": "JPY"}' in event["payload"]


@pytest.mark.parametrize(
    ("amount", "order_amount", "found"),
    [
        ("10.00 USD", None, ("8.00", "10.00")),
        (None, "8.00 EUR", ("8.00", "10.00")),
        (None, None, ("16.00", "20.00")),
        ("0.01 USD", None, ("0.01", "0.01")),
        ("7.00 USD", "8.00 EUR", ("8.00", "7.00")),
    ],
)
async def test_what_is_left_out_follows_at_the_rates_of_the_day(
    crm: db.Database,
    database: asyncpg.Connection,
    customer: UUID,
    amount: str | None,
    order_amount: str | None,
    found: tuple[str, str],
) -> None:
    order = await confirmed(crm, customer, "100.00", currency="EUR")
    payment = await pay(crm, "20.00", customer_id=customer)
    await exchange(crm, payment, order, amount, order_amount)
    assert await figures(database) == [(found[0], "EUR", found[1], "USD")]
    used = await database.fetchrow("SELECT rate_id, paid_rate_id FROM allocations")
    euro = await database.fetchval("SELECT id FROM fx_rates WHERE currency = 'EUR' AND base_currency = 'USD'")
    assert tuple(used) == (None if amount and order_amount else euro, None)


async def test_as_much_as_fits_ends_with_what_is_owed(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """The rest of an order is settled by exactly what it is worth, whatever rounding says of the way back."""
    await set_rate(database, "JPY", "0.0067")
    order = await confirmed(crm, customer, "0.05")
    payment = await pay(crm, "20", currency="JPY", customer_id=customer)
    await exchange(crm, payment, order)
    assert await figures(database) == [("0.05", "USD", "7", "JPY")]
    again = await confirmed(crm, customer, "0.05")
    await exchange(crm, payment, again, "7 JPY")
    assert (await figures(database))[1] == ("0.05", "USD", "7", "JPY")


async def test_the_rate_moved_between_advance_and_order_and_allocation(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """An advance at 1.25 and an order at 0.01 are exchanged at other rates; the books keep their base amounts. Undone, all is as
    it was."""
    payment = await pay(crm, "100.00", currency="EUR", customer_id=customer)
    order = await confirmed(crm, customer, "30000", currency="JPY")
    before = await database.fetch(STATE)
    await set_rate(database, "EUR", "2.00")
    await set_rate(database, "JPY", "0.008")
    await exchange(crm, payment, order, "33.33 EUR")
    assert await figures(database) == [("8333", "JPY", "33.33", "EUR")]
    found = {**await balances(database, "JPY"), **await balances(database, "EUR")}
    assert (found["RECEIVABLE"], found["UNEARNED"]) == (("21667", "216.67"), ("-66.67", "-83.34"))
    assert found["FX_LOSS"] == ("0", "41.67")
    await set_rate(database, "EUR", "3.00")
    await undo(crm, await made(database))
    assert await database.fetch(STATE) == before
    assert {"FX_LOSS", "EXCHANGE"}.isdisjoint({**await balances(database, "JPY"), **await balances(database, "EUR")})
    assert await figures(database) == [("8333", "JPY", "33.33", "EUR")] * 2
    await exchange(crm, payment, order)  # and is settled anew: 100 EUR are worth 37,500 JPY
    assert await database.fetchval("SELECT open FROM open_items WHERE order_id = $1", order) == 0


async def test_a_rest_and_credit_settle_together(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """The unearned rest first, then credit; together they are the pair that was given."""
    first = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "15.00", order_id=first)
    await undo(crm, await made(database))
    order = await confirmed(crm, customer, "9.000", currency="KWD")
    await exchange(crm, payment, order, "14.99 USD", "7.000 KWD")
    parts = [each for each in await figures(database) if each[1] == "KWD"]
    assert sorted(parts) == [("2.330", "KWD", "4.99", "USD"), ("4.670", "KWD", "10.00", "USD")]


@pytest.mark.parametrize(
    ("amount", "order_amount", "error", "says"),
    [
        ("20.01 USD", None, AllocationExceedsPayment, r"20\.00 USD is left"),
        ("12.51 USD", None, AllocationExceedsOpen, r"10\.00 EUR is still owed"),
        (None, "10.01 EUR", AllocationExceedsOpen, r"10\.00 EUR is still owed"),
        ("20.01 USD", "1.00 EUR", AllocationExceedsPayment, r"20\.00 USD is left"),
        ("1.00 USD", "10.01 EUR", AllocationExceedsOpen, r"10\.00 EUR is still owed"),
        ("1.00 EUR", None, CurrencyMismatch, "must be in USD"),
        (None, "1.00 USD", CurrencyMismatch, "must be in EUR"),
        ("1.00 USD", "0.001 EUR", BadUserInput, "2 decimals"),
    ],
)
async def test_what_does_not_fit_is_refused(
    crm: db.Database,
    database: asyncpg.Connection,
    customer: UUID,
    amount: str | None,
    order_amount: str | None,
    error: type[CrmError],
    says: str,
) -> None:
    order = await confirmed(crm, customer, "10.00", currency="EUR")
    payment = await pay(crm, "20.00", customer_id=customer)
    with pytest.raises(error, match=says):
        await exchange(crm, payment, order, amount, order_amount)
    assert await figures(database) == []


async def test_what_cannot_be_exchanged_says_so(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    euros, dollars = [await confirmed(crm, customer, "10.00", currency=each) for each in ("EUR", "USD")]
    payment = await pay(crm, "20.00", customer_id=customer)
    for order in (dollars, None):
        with pytest.raises(BadUserInput, match="another currency"):
            await exchange(crm, payment, order, "1.00 USD", "1.00 USD")
    won = await pay(crm, "1", currency="KRW", customer_id=customer)
    with pytest.raises(BadUserInput, match="smallest amount in EUR"):
        await exchange(crm, won, euros)
    with pytest.raises(CurrencyMismatch, match="allocate it with paymentAllocate"):
        await pay(crm, "1.00", order_id=euros)
    await database.execute("ALTER TABLE fx_rates DISABLE TRIGGER ALL; DELETE FROM fx_rates WHERE currency = 'EUR'")
    await database.execute("ALTER TABLE fx_rates ENABLE TRIGGER ALL")
    with pytest.raises(RateMissing, match="EUR"):
        await exchange(crm, payment, euros, "1.00 USD")
    await exchange(crm, payment, euros, "1.00 USD", "1.00 EUR")  # given, it asks for no rate


UNEVEN = [("50.00", "50.01"), ("0.00", "0.01")]


@pytest.mark.parametrize(("into", "out"), UNEVEN)
async def test_raw_sql_leaves_no_difference_between_currencies(
    crm: db.Database, database: asyncpg.Connection, into: str, out: str
) -> None:
    bank, exchange_ = Account(Purpose.BANK), Account(Purpose.EXCHANGE)
    postings = [
        Posting(bank, exchange_, "EUR", Decimal("40.00"), Decimal(into)),
        Posting(exchange_, bank, "JPY", Decimal("5000"), Decimal(out)),
    ]
    with pytest.raises(asyncpg.CheckViolationError, match="leaves a difference between two currencies"):
        async with acting(crm) as act:
            await book.post(act, [entry("exchange", None, *postings, key="uneven")])
            await act.tx.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


RAW = {
    "another amount": "amount, paid_amount + 1",
    "another order amount": "amount + 1, paid_amount",
}


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_says_no_other_amounts_than_posted(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, what: str
) -> None:
    order = await confirmed(crm, customer, "10.00", currency="EUR")
    await exchange(crm, await pay(crm, "20.00", customer_id=customer), order, "5.00 USD")
    columns = "customer_id, order_id, payment_id, item_id, source_item_id, currency, paid_currency"
    await database.execute("ALTER TABLE allocations DROP CONSTRAINT allocations_entry_once")
    insert = f"{INTO} {columns}, {RAW[what]}, allocated_on, NULL, entry_id FROM allocations"
    with pytest.raises(asyncpg.CheckViolationError, match="is not what its entry posted"):
        await database.execute(insert)


# How much of each: pure.

CURRENCIES = st.sampled_from(["JPY", "USD", "KWD"])
RATES = st.decimals("0.0001", "1000", places=4).map(lambda rate: Rate(None, rate))


def amounts(currency: str, least: int = 1) -> st.SearchStrategy[Decimal]:
    return st.integers(least, 10**6).map(lambda units: Decimal(units).scaleb(-money.scale(currency)))


def rest(purpose: Purpose, currency: str, amount: Decimal, base: Decimal) -> Rest:
    return Rest(Account(purpose, new_id()), currency, amount, amount, base)


@st.composite
def sides(draw: st.DrawFn) -> tuple[list[Rest], list[Rest]]:
    base = amounts("USD", 0)
    paid_currency, owed_currency = draw(st.lists(CURRENCIES, min_size=2, max_size=2, unique=True))
    found: list[list[Rest]] = []
    for purpose, currency in ((Purpose.UNEARNED, paid_currency), (Purpose.RECEIVABLE, owed_currency)):
        given = draw(st.lists(st.tuples(amounts(currency), base), min_size=1, max_size=4))
        found.append([rest(purpose, currency, *each) for each in given])
    return found[0], found[1]


@given(sides(), st.data())
def test_parts_are_the_pair_and_leave_nothing_between_currencies(
    given: tuple[list[Rest], list[Rest]], data: st.DataObject
) -> None:
    paid, owed = given
    whole = [sum((each.free for each in side), Decimal(0)) for side in given]
    pair = Pair(*(data.draw(amounts(side[0].currency)) for side in given))
    assume(pair.paid <= whole[0] and pair.owed <= whole[1])
    bases = [sum((each.base for each in side), Decimal(0)) for side in given]
    try:
        parts = list(exchanging.parts(pair, paid, owed))
    except BadUserInput:
        units = [
            amount.scaleb(money.scale(side[0].currency))
            for amount, side in zip((pair.paid, pair.owed), given, strict=True)
        ]
        assert min(units) < len(paid) + len(owed)  # a few of the smallest unit, for many rests
        return
    assert len(parts) < len(paid) + len(owed)
    exchange_base = result = Decimal(0)
    for i, j, part in parts:
        assert 0 < part.paid <= paid[i].free
        assert 0 < part.owed <= owed[j].free
        for each in exchanging.exchanged(part, paid[i], owed[j], "USD"):
            sides_ = ((each.target, 1), (each.source, -1))
            exchange_base += sum(sign * each.base for side, sign in sides_ if side.purpose is Purpose.EXCHANGE)
            result += sum(
                sign * each.base for side, sign in sides_ if side.purpose in (Purpose.FX_GAIN, Purpose.FX_LOSS)
            )
    assert Pair(sum(each.paid for *_, each in parts), sum(each.owed for *_, each in parts)) == pair
    taken = [base - sum((each.base for each in side), Decimal(0)) for base, side in zip(bases, given, strict=True)]
    assert (exchange_base, result) == (0, taken[1] - taken[0])
    assert all(each.base == 0 for side in given for each in side if not each.open)


@given(CURRENCIES, CURRENCIES, RATES, RATES, st.data())
def test_what_fits_is_within_both_and_all_of_one(
    paid: str, owed: str, paid_rate: Rate, owed_rate: Rate, data: st.DataObject
) -> None:
    cross = Cross((paid, paid_rate), (owed, owed_rate))
    left, open_ = data.draw(amounts(paid)), data.draw(amounts(owed))
    try:
        pair = exchanging.fitting(cross, left, open_, paid=None, owed=None)
    except BadUserInput:
        assert not cross.to_owed(left) or not cross.to_paid(open_)
        return
    assert pair.paid <= left
    assert pair.owed <= open_
    assert pair.paid == left or pair.owed == open_
