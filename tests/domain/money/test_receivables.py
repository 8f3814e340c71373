"""What customers owed on a day, as it was known at a time; statements of account; and who sees them."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmgql import db
from crmgql.domain.money import receivables
from crmgql.domain.money.ageing import AgeingBucket
from crmgql.errors import BadUserInput, Forbidden, NotFound
from crmgql.ledger import book
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Item
from crmgql.models import Purpose
from crmgql.schema import build
from crmgql.viewer import Viewer
from tests.conftest import NOW, viewer
from tests.domain import work
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import DAY, acting, add_customer, entry, sale, usd

FINANCE = viewer(UUID(int=1), "FINANCE")


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def bill(
    crm: db.Database, customer: UUID, amount: str, due_on: date | None, on: date = DAY, key: str = ""
) -> Item:
    async with acting(crm) as act:
        item = Item(Purpose.RECEIVABLE, "USD", due_on=due_on)
        await book.post(act, [sale(customer, item, amount, key=key or f"bill {item.id}", effective_on=on)])
        return item


async def settle(crm: db.Database, customer: UUID, item: Item, amount: str, on: date) -> None:
    async with acting(crm) as act:
        paid = usd(item.account, Account(Purpose.BANK), amount)
        await book.post(act, [entry("payment.received", customer, paid, key=f"paid {item.id} {on}", effective_on=on)])


async def buckets(crm: db.Database, as_of: date, who: Viewer = FINANCE, **more: Any) -> list[str]:
    found = await receivables.ageing(crm, who, as_of=as_of, **more)
    return [str(each["amount"]["amount"]) for row in found["totals"] for each in row["ageing"]]


async def test_each_bucket_has_its_days(crm: db.Database, customer: UUID) -> None:
    for number, days in enumerate((None, 0, 1, 30, 31, 60, 61, 90, 91, 400)):
        await bill(crm, customer, f"{2**number}.00", None if days is None else DAY - timedelta(days=days))
    assert await buckets(crm, DAY) == ["3.00", "12.00", "48.00", "192.00", "768.00"]


async def test_a_day_of_the_past_is_as_it_was(crm: db.Database, customer: UUID) -> None:
    item = await bill(crm, customer, "100.00", DAY + timedelta(days=10))
    await settle(crm, customer, item, "40.00", DAY + timedelta(days=15))
    assert await buckets(crm, DAY - timedelta(days=1)) == []
    assert await buckets(crm, DAY + timedelta(days=10)) == ["100.00", "0.00", "0.00", "0.00", "0.00"]
    assert await buckets(crm, DAY + timedelta(days=14)) == ["0.00", "100.00", "0.00", "0.00", "0.00"]
    assert await buckets(crm, DAY + timedelta(days=45)) == ["0.00", "0.00", "60.00", "0.00", "0.00"]


async def test_what_was_not_known_yet_is_left_out(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await bill(crm, customer, "100.00", None)
    before = await database.fetchval("SELECT clock_timestamp() FROM pg_sleep(0.01)")
    await bill(crm, customer, "11.00", None)
    assert await buckets(crm, DAY) == ["111.00", "0.00", "0.00", "0.00", "0.00"]
    assert await buckets(crm, DAY, known_at=before) == ["100.00", "0.00", "0.00", "0.00", "0.00"]


async def test_postgresql_may_read_what_was_known_in_several_processes(database: asyncpg.Connection) -> None:
    assert await database.fetchval("SELECT proparallel FROM pg_proc WHERE proname = 'uuidv7_at'") == b"s"


async def test_currencies_are_apart_and_those_that_owe_most_come_first(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    other = await add_customer(database, "Ajax")
    await confirmed(crm, customer, "10.00")
    await confirmed(crm, other, "20.00")
    await confirmed(crm, other, "5.01", currency="EUR")
    found = await receivables.ageing(crm, FINANCE, as_of=NOW.date())
    assert [(row["currency"], row["customers"], str(row["outstanding"]["amount"])) for row in found["totals"]] == [
        ("EUR", 1, "5.01"),
        ("USD", 2, "30.00"),
    ]
    assert [(row["currency"], row["name"]) for row in found["customers"]] == [
        ("EUR", "Ajax"),
        ("USD", "Ajax"),
        ("USD", "Acme"),
    ]
    page = await receivables.ageing(crm, FINANCE, as_of=NOW.date(), currency="USD", first=1, skip=1)
    assert [row["name"] for row in page["customers"]] == ["Acme"]
    only = await receivables.ageing(crm, FINANCE, as_of=NOW.date(), customer_id=customer)
    assert [str(row["outstanding"]["amount"]) for row in only["totals"]] == ["10.00"]


async def test_only_customers_that_one_sees_count(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    mine, order = await add_customer(database, "Ajax"), await confirmed(crm, customer, "10.00")
    assert order
    ann = await work.user(database)
    await database.execute("UPDATE customers SET owner_id = $1 WHERE id = $2", ann, mine)
    await confirmed(crm, mine, "7.00")
    me = viewer(ann, "SELLER")
    assert await buckets(crm, NOW.date(), me) == ["7.00", "0.00", "0.00", "0.00", "0.00"]
    assert await buckets(crm, NOW.date(), me, customer_id=customer) == []
    with pytest.raises(NotFound):
        await receivables.statement(crm, me, customer_id=customer, since=DAY)
    assert (await receivables.statement(crm, me, customer_id=mine, since=DAY))["name"] == "Ajax"
    both = viewer(ann, "SELLER", "MARKETER")  # who sees all customers, and orders of their own
    assert await buckets(crm, NOW.date(), both) == ["7.00", "0.00", "0.00", "0.00", "0.00"]
    with pytest.raises(NotFound):
        await receivables.statement(crm, both, customer_id=customer, since=DAY)


@pytest.mark.parametrize(
    "who", [viewer(UUID(int=1), "MARKETER"), viewer(UUID(int=1), "FINANCE", scopes=frozenset({"orders:read"}))]
)
async def test_who_sees_no_payments_is_refused(crm: db.Database, customer: UUID, who: Viewer) -> None:
    with pytest.raises(Forbidden):
        await receivables.ageing(crm, who)
    with pytest.raises(Forbidden):
        await receivables.statement(crm, who, customer_id=customer, since=DAY)


async def test_a_statement_goes_from_balance_to_balance(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await bill(crm, customer, "3.00", None, on=DAY - timedelta(days=40))
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "12.00", order_id=order, reference="TRX-1")  # two of them are credit
    number = await database.fetchval("SELECT number FROM orders WHERE id = $1", order)
    found = await receivables.statement(crm, FINANCE, customer_id=customer, since=DAY - timedelta(days=1))
    assert str(found["opening"]["amount"]) == "3.00"
    told = [
        (row["kind"], row["documentName"], str(row["amount"]["amount"]), str(row["balance"]["amount"]))
        for row in found["movements"]
    ]
    assert told == [("order.confirmed", number, "10.00", "13.00"), ("payment.received", "TRX-1", "-12.00", "1.00")]
    assert str(found["closing"]["amount"]) == "1.00"


@pytest.mark.parametrize("values", [{"since": DAY, "until": DAY - timedelta(days=1)}, {"since": date(1, 1, 1)}])
async def test_a_wrong_period_is_refused(crm: db.Database, customer: UUID, values: dict[str, Any]) -> None:
    with pytest.raises(BadUserInput):
        await receivables.statement(crm, FINANCE, customer_id=customer, **values)


BILLS = st.lists(
    st.tuples(st.integers(-120, 0), st.integers(-100, 30), st.integers(1, 9), st.integers(0, 9)), max_size=8
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(bills=BILLS, days=st.lists(st.integers(-130, 40), min_size=1, max_size=4))
async def test_on_any_day_buckets_items_and_postings_agree(
    crm: db.Database, database: asyncpg.Connection, bills: list[tuple[int, int, int, int]], days: list[int]
) -> None:
    customer = await add_customer(database, "Random")
    wanted: list[tuple[date, date, Decimal]] = []
    for opened, due, amount, paid in bills:
        on, due_on = DAY + timedelta(days=opened), DAY + timedelta(days=due)
        item = await bill(crm, customer, f"{amount}.00", due_on, on)
        wanted.append((on, due_on, Decimal(amount)))
        if part := min(paid, amount):
            await settle(crm, customer, item, f"{part}.00", on + timedelta(days=paid))
            wanted.append((on + timedelta(days=paid), due_on, Decimal(-part)))
    for day in (DAY + timedelta(days=each) for each in days):
        sums = dict.fromkeys(AgeingBucket, Decimal(0))
        for on, due_on, amount in wanted:
            late = (day - due_on).days
            place = sum(late >= first for first in (1, 31, 61, 91))
            sums[list(AgeingBucket)[place]] += amount if on <= day else 0
        found = await receivables.ageing(crm, FINANCE, as_of=day, customer_id=customer)
        got = [each["amount"]["amount"] for row in found["totals"] for each in row["ageing"]]
        assert got == (list(sums.values()) if any(sums.values()) else [])
        account = await receivables.statement(crm, FINANCE, customer_id=customer, since=date(2000, 1, 1), until=day)
        assert account["closing"]["amount"] == sum(sums.values())
