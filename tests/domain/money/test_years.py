"""The year end: results become what is retained, by the difference when it is done again; the next year begins at zero."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from crmgql import db
from crmgql.domain.money import periods, years
from crmgql.errors import BadUserInput, Forbidden, PeriodClosed, PeriodOpen
from crmgql.ledger import book
from crmgql.ledger.accounts import TYPES, Account, Type
from crmgql.ledger.postings import Entry, Item, Posting
from crmgql.models import Purpose
from crmgql.records.records import Act
from crmgql.schema import build
from crmgql.viewer import Viewer, Who
from tests.conftest import NOW
from tests.domain import work
from tests.ledger import trial
from tests.ledger.conftest import add_customer

FIRST, LAST = date(2025, 1, 1), date(2025, 12, 31)
RESULTS = {purpose for purpose, type in TYPES.items() if type in (Type.INCOME, Type.EXPENSE)}


class Office:
    """Finance, and ways to post and to close."""

    def __init__(self, crm: db.Database, database: asyncpg.Connection, user: UUID) -> None:
        self.crm, self.database, self.user = crm, database, user

    @asynccontextmanager
    async def acting(self, role: str = "FINANCE") -> AsyncIterator[Act]:
        async with self.crm.transaction() as tx:
            yield Act(tx, Viewer(self.user, Who(frozenset({role})), clock=lambda: NOW))

    async def post(self, customer: UUID | None, day: date, *postings: Posting, items: tuple[Item, ...] = ()) -> None:
        key = str(await self.database.fetchval("SELECT uuidv7()"))
        source = ("Customer", customer or UUID(int=1))
        async with self.acting() as act:
            made = Entry("test", key, source, day, postings, customer_id=customer, items=items, is_adjusting=True)
            await book.post(act, [made])

    async def sell(
        self, customer: UUID, day: date, amount: str, currency: str = "USD", base: str | None = None
    ) -> None:
        item = Item(Purpose.RECEIVABLE, currency)
        await self.post(
            customer, day, move(Account(Purpose.REVENUE), item.account, amount, currency, base), items=(item,)
        )

    async def spend(self, purpose: Purpose, day: date, amount: str) -> None:
        await self.post(None, day, move(Account(Purpose.BANK), Account(purpose), amount))

    async def close(self, verb: str = "soft_close", last: date = LAST) -> UUID:
        async with self.acting() as act:
            return await periods.close(act, verb, last_on=last)

    async def close_year(self, year: int = 2025, **more: Any) -> UUID:
        async with self.acting() as act:
            return await years.close(act, year=year, **more)

    async def retained(self, day: date) -> dict[str, tuple[str, str]]:
        """What is retained by the end of a day, when nothing is left of results."""
        found = await trial.as_of(self.database, day)
        assert not {purpose for purpose, _ in found} & RESULTS
        return {currency: tuple(map(str, sums)) for (purpose, currency), sums in found.items() if purpose == "RETAINED"}


def move(source: Account, target: Account, amount: str, currency: str = "USD", base: str | None = None) -> Posting:
    return Posting(source, target, currency, Decimal(amount), Decimal(base or amount))


@pytest_asyncio.fixture
async def office(crm: db.Database, database: asyncpg.Connection) -> Office:
    assert build.built()
    return Office(crm, database, await work.user(database))


async def test_results_of_all_owners_become_what_is_retained(office: Office) -> None:
    acme, ajax = [await add_customer(office.database, name) for name in ("Acme", "Ajax")]
    await office.sell(acme, FIRST, "100.00")
    await office.sell(ajax, LAST, "40.00")
    await office.sell(ajax, LAST, "1000", "JPY", "10.00")
    await office.sell(ajax, date(2026, 1, 1), "7.00")
    await office.spend(Purpose.FEES, LAST, "15.00")
    await office.close()
    period = await office.close_year()
    assert await office.retained(LAST) == {"USD": ("-125.00", "-125.00"), "JPY": ("-1000", "-10.00")}
    found = await trial.as_of(office.database, date(2026, 1, 1))
    assert {key: sums for key, sums in found.items() if key[0] in RESULTS} == {
        ("REVENUE", "USD"): (Decimal("-7.00"), Decimal("-7.00"))
    }
    own = await office.database.fetch(
        "SELECT purpose, currency, debit - credit AS amount FROM balances JOIN companies ON owner_id = companies.id"
        " WHERE purpose = 'REVENUE' ORDER BY currency"
    )
    assert [tuple(row) for row in own] == [("REVENUE", "JPY", 1000), ("REVENUE", "USD", Decimal("140.00"))]
    entry = await office.database.fetchrow("SELECT * FROM ledger_entries WHERE kind = 'year.closed'")
    assert (entry["effective_on"], entry["is_adjusting"], entry["source_id"]) == (LAST, True, period)
    event = await office.database.fetchrow("SELECT subject_id, payload FROM events WHERE kind = 'year.closed'")
    assert event["subject_id"] == period


async def test_closing_again_posts_the_difference_also_of_years_after_it(office: Office) -> None:
    customer = await add_customer(office.database)
    await office.sell(customer, LAST, "100.00")
    await office.close(last=date(2024, 12, 31))
    await office.close()
    await office.close_year()
    await office.close_year()
    count = "SELECT count(*) FROM ledger_entries WHERE kind = 'year.closed'"
    assert await office.database.fetchval(count) == 1

    await office.spend(Purpose.FEES, LAST, "30.00")
    await office.close_year()
    assert await office.retained(LAST) == {"USD": ("-70.00", "-70.00")}
    assert await office.database.fetchval(count) == 2

    # A year that was never closed lies before one that was: what it earned is in the later one already.
    await office.sell(customer, date(2024, 5, 1), "5.00")
    await office.close_year()
    await office.close_year(2024)
    assert await office.retained(date(2024, 12, 31)) == {"USD": ("-5.00", "-5.00")}
    assert await office.retained(LAST) == {"USD": ("-75.00", "-75.00")}
    assert await office.retained(date.max) == {"USD": ("-75.00", "-75.00")}


async def test_all_days_must_be_closed_and_the_last_one_adjustable(office: Office) -> None:
    await office.sell(await add_customer(office.database), LAST, "100.00")
    with pytest.raises(PeriodOpen, match="2025-01-01 is open"):
        await office.close_year()
    await office.close("close", date(2025, 11, 30))
    with pytest.raises(PeriodOpen, match="2025-12-01 is open"):
        await office.close_year()
    december = await office.close("close")
    with pytest.raises(PeriodClosed, match="closed on 2025-12-31"):
        await office.close_year()
    async with office.acting("ADMIN") as act:
        await periods.reopen(act, id=december, reason="The year end.", to_adjust=True)
    assert await office.close_year(expected_version=2) == december
    assert await office.retained(LAST) == {"USD": ("-100.00", "-100.00")}


async def test_the_fiscal_year_is_the_companys(office: Office) -> None:
    await office.database.execute("UPDATE companies SET fiscal_year_start_month = 4")
    customer, last = await add_customer(office.database), date(2026, 3, 31)
    await office.sell(customer, last, "3.00")
    await office.sell(customer, date(2026, 4, 1), "4.00")
    await office.close(last=last)
    await office.close_year()
    assert await office.retained(last) == {"USD": ("-3.00", "-3.00")}


@pytest.mark.parametrize("year", [0, 999, 2200, 10**9])
async def test_a_year_that_is_none_is_refused(office: Office, year: int) -> None:
    with pytest.raises(BadUserInput, match="1000 to 2199"):
        await office.close_year(year)


async def test_a_seller_closes_no_year(office: Office) -> None:
    with pytest.raises(Forbidden):
        async with office.acting("SELLER") as act:
            await years.close(act, year=2025)


AMOUNTS = st.integers(-(10**9), 10**9).map(lambda cents: Decimal(cents).scaleb(-2))


@given(AMOUNTS, AMOUNTS)
def test_a_balance_is_taken_to_zero_by_postings_that_go_one_way(amount: Decimal, base: Decimal) -> None:
    if amount == base == 0:
        return
    postings = list(years.to_retained(Purpose.FX_LOSS, "EUR", amount, base))
    left = [amount, base]
    for each in postings:
        assert each.base >= 0
        assert each.amount > 0 or each.base > 0
        sign = 1 if each.source.purpose is Purpose.FX_LOSS else -1
        left = [left[0] - sign * each.amount, left[1] - sign * each.base]
    assert left == [0, 0]
