"""The year end: what a fiscal year earned and cost becomes what is retained.

Enters: a year whose days are closed or soft closed. Leaves: an adjusting entry of the company on the last day, that takes each
income and expense account to zero: its balance is the sum over all owners, so afterwards the company's own part of an account
is minus what customers have. Always holds: after the last day of a closed year all these sums are zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

from crmgql import access
from crmgql.domain.money.periods import check_all_closed
from crmgql.errors import BadUserInput
from crmgql.ledger import book, periods
from crmgql.ledger.accounts import TYPES, Account, Type
from crmgql.ledger.postings import Entry, Posting
from crmgql.models import AccountingPeriod, Purpose
from crmgql.records import checks, records
from crmgql.records.records import Act

KIND = "year.closed"
RESULTS = [str(purpose) for purpose, type in TYPES.items() if type in (Type.INCOME, Type.EXPENSE)]
RETAINED = Account(Purpose.RETAINED)
YEAR = "SELECT fiscal_year_start_month AS month, fiscal_year_start_day AS day FROM companies"
# Parameters: the last day, purposes.
BALANCES = """
WITH sides AS (
    SELECT debit AS purpose, currency, amount, base_amount FROM postings
    WHERE phase = 'POSTED' AND effective_on <= $1 AND debit = ANY ($2::text[])
    UNION ALL
    SELECT credit, currency, -amount, -base_amount FROM postings
    WHERE phase = 'POSTED' AND effective_on <= $1 AND credit = ANY ($2::text[])
)
SELECT purpose, currency, sum(amount) AS amount, sum(base_amount) AS base FROM sides
GROUP BY 1, 2 HAVING sum(amount) <> 0 OR sum(base_amount) <> 0 ORDER BY 1, 2"""
# Parameters: company, kind, a day.
CLOSINGS = """
SELECT effective_on, count(*) AS entries FROM ledger_entries
WHERE owner_id = $1 AND kind = $2 AND effective_on >= $3 GROUP BY 1 ORDER BY 1"""


async def close(act: Act, *, year: int, expected_version: int | None = None) -> UUID:
    """Closes the fiscal year that begins in the calendar year `year`; years after it that are closed follow. Done again, it
    posts what was adjusted since. The id is that of the last day's period.

    Raises `PeriodOpen` if a day of it is open, `PeriodClosed` if there is something to post and the last day is not soft closed.
    """
    access.require_write(act.viewer, "AccountingPeriod")
    access.require(act.viewer, "period.adjust", "Closing a year")
    await records.allow_long_statements(act)
    await periods.take(act)
    first_on, last_on = await _days(act, year)
    last = await check_all_closed(act, first_on, last_on)
    period = await records.lock(act, AccountingPeriod, last["id"], expected_version=expected_version)
    own = await book.company_of(act)
    closed = {
        row["effective_on"]: row["entries"] for row in await act.tx.connection.fetch(CLOSINGS, own.id, KIND, last_on)
    }
    for day in sorted({last_on, *closed}):
        await _post(act, period["id"], day, closed.get(day, 0) + 1)
    payload = {"year": year, "first_on": first_on, "last_on": last_on}
    await records.change(act, AccountingPeriod, period, {}, kind=KIND, payload=payload, touch=True)
    return period["id"]  # type: ignore[no-any-return]


async def _days(act: Act, year: int) -> tuple[date, date]:
    """The first and the last day of the fiscal year."""
    if year not in checks.YEARS or year + 1 not in checks.YEARS:
        raise BadUserInput(f"The year must be {checks.YEARS[0]} to {checks.YEARS[-2]}, not {year}.", field="year")
    start = await act.tx.connection.fetchrow(YEAR)
    first, next = (date(each, start["month"], start["day"]) for each in (year, year + 1))
    return first, next - timedelta(days=1)


async def _post(act: Act, period_id: UUID, day: date, number: int) -> None:
    """Posts what takes the accounts to zero on the day: its closing entry of this number."""
    rows = await act.tx.connection.fetch(BALANCES, day, RESULTS)
    postings = [each for row in rows for each in to_retained(Purpose(row["purpose"]), *list(row.values())[1:])]
    if postings:
        source = ("AccountingPeriod", period_id)
        await book.post(act, [Entry(KIND, f"year {day} {number}", source, day, postings, is_adjusting=True)])


def to_retained(purpose: Purpose, currency: str, amount: Decimal, base: Decimal) -> Iterator[Posting]:
    """What takes a balance, debits minus credits, to zero. Pure. Where differences of rates gave its base amount the other sign,
    it takes two postings, as one goes one way."""
    account, nothing = Account(purpose), Decimal(0)
    parts = [(amount, base)] if amount * base >= 0 else [(amount, base * nothing), (amount * nothing, base)]
    for amount_part, base_part in parts:
        sides = (account, RETAINED) if amount_part + base_part > 0 else (RETAINED, account)
        yield Posting(*sides, currency, abs(amount_part), abs(base_part))
