"""Revaluation at period end: what is open in foreign currencies is worth the closing rate on that day, and on no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import payments, periods, revaluation
from crmgql.errors import CrmError, Forbidden, PeriodClosed, PeriodOpen, RateMissing, VersionConflict
from crmgql.ledger import book
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Item, Posting
from crmgql.models import Purpose
from crmgql.records.records import Act
from crmgql.schema import build
from crmgql.viewer import Viewer, Who
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_allocations import allocate, undo
from tests.domain.money.test_histories import Company
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger import trial
from tests.ledger.conftest import acting, add_customer, entry

LAST = date(2026, 11, 30)
NEXT = LAST + timedelta(days=1)
LATER = NOW + timedelta(days=31)
RATE = "INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source) VALUES ($1, 'USD', $2, $3, 'TEST')"
# Each item by itself, rounded as a person would: what it is worth at the day's rates less what it was booked at.
DUE = """
SELECT owner_id, currency, sum(sign * (round(open * rate, 2) - base)) AS base FROM (
    SELECT *, CASE WHEN purpose IN ('RECEIVABLE', 'DISPUTED') THEN 1 ELSE -1 END AS sign FROM open_items
) AS item JOIN (SELECT DISTINCT ON (currency) currency, rate FROM fx_rates
    WHERE base_currency = 'USD' ORDER BY currency, effective_on DESC, id DESC) AS closing USING (currency)
GROUP BY 1, 2 HAVING sum(sign * (round(open * rate, 2) - base)) <> 0 ORDER BY 1, 2"""
KEPT = """
SELECT owner_id, currency, sum(CASE WHEN debit = 'REVALUATION' THEN base_amount ELSE -base_amount END) AS base FROM postings
WHERE effective_on <= $1 AND 'REVALUATION' IN (debit, credit) GROUP BY 1, 2
HAVING sum(CASE WHEN debit = 'REVALUATION' THEN base_amount ELSE -base_amount END) <> 0 ORDER BY 1, 2"""


class Office:
    """Finance, some weeks later."""

    def __init__(self, crm: db.Database, database: asyncpg.Connection, user: UUID) -> None:
        self.crm, self.database, self.user = crm, database, user

    @asynccontextmanager
    async def acting(self, role: str = "FINANCE", now: datetime = LATER) -> AsyncIterator[Act]:
        async with self.crm.transaction() as tx:
            yield Act(tx, Viewer(self.user, Who(frozenset({role})), clock=lambda: now))

    async def close(self, verb: str = "soft_close", last: date = LAST) -> UUID:
        async with self.acting() as act:
            return await periods.close(act, verb, last_on=last)

    async def revalue(self, on: date = LAST, version: int | None = None) -> UUID:
        async with self.acting() as act:
            return await revaluation.revalue(act, on=on, expected_version=version)

    async def set_rate(self, currency: str, rate: str, day: date = LAST) -> None:
        await self.database.execute(RATE, currency, day, Decimal(rate))

    async def kept(self, day: date = LAST) -> dict[str, str]:
        """REVALUATION by currency, when it is what UNREALISED_FX lacks."""
        found = await trial.as_of(self.database, day)
        kept = {currency: base for (purpose, currency), (_, base) in found.items() if purpose == "REVALUATION"}
        assert {c: -base for (purpose, c), (_, base) in found.items() if purpose == "UNREALISED_FX"} == kept
        return {currency: str(base) for currency, base in kept.items()}


@pytest_asyncio.fixture
async def office(crm: db.Database, database: asyncpg.Connection) -> Office:
    assert build.built()
    return Office(crm, database, await work.user(database))


async def test_receivables_and_advances_are_worth_the_closing_rate(office: Office, customer: UUID) -> None:
    """100.00 EUR are owed at 1.25, and 40.00 EUR and 30,000 JPY were paid ahead; at the end they are at 1.40 and 0.008."""
    await confirmed(office.crm, customer, "100.00", currency="EUR")
    await confirmed(office.crm, customer, "7.00")
    await pay(office.crm, "40.00", currency="EUR", customer_id=customer)
    await pay(office.crm, "30000", currency="JPY", customer_id=customer)
    await office.set_rate("EUR", "1.40")
    await office.set_rate("JPY", "0.008")
    period = await office.close()
    assert await office.revalue() == period
    assert await office.kept() == {"EUR": "9.00", "JPY": "60.00"}
    assert await office.kept(NEXT) == {}
    entries = await office.database.fetch(
        "SELECT kind, effective_on, is_adjusting, source_id, owner_id FROM ledger_entries WHERE kind ~ 'revaluation' ORDER BY id"
    )
    assert [tuple(each) for each in entries] == [
        ("revaluation.made", LAST, True, period, customer),
        ("revaluation.reversed", NEXT, False, period, customer),
    ]
    (event,) = await office.database.fetch("SELECT subject_id, payload FROM events WHERE kind = 'revaluation.made'")
    assert event["subject_id"] == period
    assert '"difference": {"amount": "69.00", "currency": "USD"}' in event["payload"]


async def test_done_again_it_posts_the_difference(office: Office, customer: UUID) -> None:
    order = await confirmed(office.crm, customer, "100.00", currency="EUR")
    await office.set_rate("EUR", "1.40")
    await office.close()
    for _ in range(2):
        await office.revalue()
        assert await office.kept() == {"EUR": "15.00"}
    count = "SELECT count(*) FROM ledger_entries WHERE kind = 'revaluation.made'"
    assert await office.database.fetchval(count) == 1
    await office.set_rate("EUR", "1.10")
    await office.revalue()
    assert (await office.kept(), await office.kept(NEXT)) == ({"EUR": "-15.00"}, {})
    assert await office.database.fetchval(count) == 2

    # What was settled later was open on that day all the same; what was settled on it, is not.
    await pay(office.crm, "60.00", currency="EUR", order_id=order, received_at=LATER)
    await office.revalue()
    assert await office.kept() == {"EUR": "-15.00"}
    async with office.acting() as act:
        await payments.record(act, amount=(Decimal("40.00"), "EUR"), method="CASH", order_id=order, received_at=NOW)
    await office.revalue()
    assert await office.kept() == {"EUR": "-9.00"}
    assert await office.kept(NEXT) == {}


async def test_each_month_begins_without_the_last_ones(office: Office, customer: UUID) -> None:
    await confirmed(office.crm, customer, "100.00", currency="EUR")
    await office.close(last=NOW.date())
    await office.set_rate("EUR", "1.30", NOW.date())
    await office.revalue(NOW.date())
    await office.close()
    await office.set_rate("EUR", "1.40")
    await office.revalue()
    assert [await office.kept(day) for day in (NOW.date(), NOW.date() + timedelta(1), LAST, NEXT)] == [
        {"EUR": "5.00"},
        {},
        {"EUR": "15.00"},
        {},
    ]


async def test_what_belongs_to_the_company_is_revalued_too(office: Office, database: asyncpg.Connection) -> None:
    """Money of which nobody knows whose it is."""
    item = Item(Purpose.SUSPENSE, "EUR")
    received = Posting(item.account, Account(Purpose.BANK), "EUR", Decimal("10.00"), Decimal("12.50"))
    async with acting(office.crm) as act:
        await book.post(act, [entry("suspense.received", None, received, key="line", items=[item])])
    await office.set_rate("EUR", "1.40")
    await office.close()
    await office.revalue()
    assert await office.kept() == {"EUR": "-1.50"}
    assert await database.fetchval("SELECT customer_id FROM ledger_entries WHERE kind = 'revaluation.made'") is None


async def test_missing_rates_are_named_all_at_once(office: Office, customer: UUID) -> None:
    for currency in ("EUR", "JPY", "KWD"):
        await confirmed(office.crm, customer, "100", currency=currency)
    await office.close()
    await office.database.execute(
        "ALTER TABLE fx_rates DISABLE TRIGGER ALL; DELETE FROM fx_rates WHERE currency <> 'KWD'"
    )
    with pytest.raises(RateMissing, match=r"from EUR to USD .*2026-11-30, nor from JPY to USD"):
        await office.revalue()
    assert await office.kept() == {}


@pytest.mark.parametrize(
    ("verb", "on", "error", "says"),
    [
        ("soft_close", date(2026, 11, 29), PeriodOpen, "No period ends on 2026-11-29"),
        ("close", LAST, PeriodClosed, "closed on 2026-11-30"),
    ],
)
async def test_the_day_ends_a_period_that_takes_entries(
    office: Office, customer: UUID, verb: str, on: date, error: type[CrmError], says: str
) -> None:
    await confirmed(office.crm, customer, "100.00", currency="EUR")
    await office.set_rate("EUR", "1.40", NOW.date())
    await office.close(verb)
    with pytest.raises(error, match=says):
        await office.revalue(on)


async def test_a_seller_revalues_nothing_and_nobody_another_version(office: Office) -> None:
    await office.close()
    with pytest.raises(Forbidden):
        async with office.acting("SELLER") as act:
            await revaluation.revalue(act, on=LAST)
    with pytest.raises(VersionConflict):
        await office.revalue(version=2)


async def test_many_customers_take_as_many_statements_as_one(office: Office, database: asyncpg.Connection) -> None:
    await office.set_rate("EUR", "1.40")
    period = await office.close()
    async with office.acting() as act:  # days that were opened again are revalued like soft closed ones
        await periods.reopen(act, id=period, reason="Orders came late.")
    counts = []
    for count in (1, 60):
        for number in range(count):
            await confirmed(office.crm, await add_customer(database, f"{count} {number}"), "10.00", currency="EUR")
        async with office.acting() as act:
            asked: list[str] = []
            act.tx.connection.add_query_logger(lambda record, asked=asked: asked.append(record.query))
            await revaluation.revalue(act, on=LAST)
            counts.append(len(asked))
    assert counts[0] == counts[1], counts
    assert await office.kept() == {"EUR": "91.50"}


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_history_items_and_revaluation_are_worth_the_closing_rate(
    office: Office, database: asyncpg.Connection, seed: int
) -> None:
    """Partial payments, advances, exchanges and undone allocations of two customers in three currencies."""
    customers = [await add_customer(database, name) for name in ("Acme", "Ajax")]
    company = Company(office.crm, database, customers, Random(seed))
    for _ in range(60):
        await company.step()
    await office.set_rate("EUR", "1.3719")
    await office.set_rate("JPY", "0.007351")
    await office.close()
    await office.revalue()
    due = await database.fetch(DUE)
    assert due == await database.fetch(KEPT, LAST)
    assert len(due) > 1, "a history in which nothing is open shows nothing"
    assert await database.fetch(KEPT, NEXT) == []
    await company.check()


async def test_an_advance_that_is_allocated_after_the_rate_moved(office: Office, customer: UUID) -> None:
    """326.33 in advance and 328.36 owed: half of it is a loss of 1.02, the rest one of 1.01; undone, neither is left."""
    # An amount of 1,320,000 at 0.000247219 is 326.33, at 0.000248756 it is 328.36.
    await office.set_rate("KRW", "0.000247219", NOW.date())
    payment = await pay(office.crm, "1320000", currency="KRW", customer_id=customer)
    await office.set_rate("KRW", "0.000248756", NOW.date())
    order = await confirmed(office.crm, customer, "1320000", currency="KRW")

    async def loss() -> str:
        found = await trial.as_of(office.database, LAST)
        return str(found.get(("FX_LOSS", "KRW"), (0, Decimal("0.00")))[1])

    await allocate(office.crm, payment, order, "660000", "KRW")
    assert await loss() == "1.02"
    await allocate(office.crm, payment, order)
    assert await loss() == "2.03"
    for id in [row["id"] for row in await office.database.fetch("SELECT id FROM allocations ORDER BY id")]:
        await undo(office.crm, id)
    found = await trial.as_of(office.database, LAST)
    assert (found["RECEIVABLE", "KRW"][1], found["UNEARNED", "KRW"][1], await loss()) == (
        Decimal("328.36"),
        Decimal("-326.33"),
        "0.00",
    )
