"""Revaluation at period end: open items in foreign currencies at the closing rate, advances as well as receivables.

Enters: the last day of a period. Leaves: for each owner an adjusting entry on that day, UNREALISED_FX against REVALUATION, and the
same the other way round on the next. Always holds: on that day the base amounts of an owner's open items in a currency and its
REVALUATION are together what these items are worth, each rounded by itself; from the next day on, they are as they were posted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.errors import PeriodOpen
from crmgql.ledger import book, periods, rates
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Posting
from crmgql.models import AccountingPeriod, Purpose
from crmgql.records import money, records
from crmgql.records.records import Act

KIND = "revaluation.made"
BACK = "revaluation.reversed"
AT_ONCE = 5_000
"""Most entries in one statement."""

PERIOD = "SELECT id FROM accounting_periods WHERE last_on = $1"
# Parameters: the day, base currency, its decimals. By owner and currency what REVALUATION lacks; null without a rate.
LACKING = """
WITH sides AS (
    SELECT owner_id, debit_item_id AS item_id, currency, amount, base_amount AS base FROM postings
    WHERE phase = 'POSTED' AND effective_on <= $1 AND currency <> $2 AND debit_item_id IS NOT NULL
    UNION ALL
    SELECT owner_id, credit_item_id, currency, -amount, -base_amount FROM postings
    WHERE phase = 'POSTED' AND effective_on <= $1 AND currency <> $2 AND credit_item_id IS NOT NULL
), open AS MATERIALIZED (
    SELECT owner_id, currency, sum(amount) AS amount, sum(base) AS base FROM sides
    GROUP BY owner_id, item_id, currency HAVING sum(amount) <> 0 OR sum(base) <> 0
), closing AS MATERIALIZED (
    SELECT currency, (
        SELECT rate FROM fx_rates
        WHERE base_currency = $2 AND fx_rates.currency = used.currency AND effective_on <= $1
        ORDER BY effective_on DESC, id DESC LIMIT 1
    ) AS rate FROM (SELECT DISTINCT currency FROM open) AS used
), due AS (
    SELECT owner_id, currency, sum(round(amount * coalesce(rate, 0), $3) - base) AS base, bool_and(rate IS NOT NULL) AS is_rated
    FROM open JOIN closing USING (currency) GROUP BY owner_id, currency
), kept AS (
    SELECT owner_id, currency, sum(CASE WHEN debit = 'REVALUATION' THEN base_amount ELSE -base_amount END) AS base FROM postings
    WHERE phase = 'POSTED' AND effective_on <= $1 AND 'REVALUATION' IN (debit, credit) GROUP BY owner_id, currency
)
SELECT owner_id, currency, CASE WHEN coalesce(is_rated, true) THEN coalesce(due.base, 0) - coalesce(kept.base, 0) END AS base
FROM due FULL JOIN kept USING (owner_id, currency)
WHERE NOT is_rated OR coalesce(due.base, 0) <> coalesce(kept.base, 0) ORDER BY owner_id, currency"""


async def revalue(act: Act, *, on: date, expected_version: int | None = None) -> UUID:
    """Revalues what is open in foreign currencies at the end of a day, which is the last one of a period; on the next day it is
    taken back. Done again, it posts the difference. The id is that of the period.

    Raises `PeriodOpen` for a day that no period ends with, `PeriodClosed`, and `RateMissing`, which names all currencies.
    """
    access.require_write(act.viewer, "AccountingPeriod")
    access.require(act.viewer, "period.adjust", "Revaluing")
    await records.allow_long_statements(act)
    await periods.take(act)
    id = await act.tx.connection.fetchval(PERIOD, on)
    if id is None:
        raise PeriodOpen(f"No period ends on {on}; soft close the days up to it first.", field="on")
    period = await records.lock(act, AccountingPeriod, id, expected_version=expected_version)
    own = await book.company_of(act)
    rows = await act.tx.connection.fetch(LACKING, on, own.currency, money.scale(own.currency))
    missing = [(row["currency"], on) for row in rows if row["base"] is None]
    if missing:
        raise rates.missing(missing, own.currency)
    source = ("AccountingPeriod", period["id"])
    entries = _entries(rows, own.id, source, on, f"revaluation {on} {period['version']}")
    while some := list(islice(entries, AT_ONCE)):
        await book.post(act, some)
    total = money.rounded(sum((row["base"] for row in rows), Decimal(0)), own.currency)
    payload = {"on": on, "difference": (total, own.currency)}
    await records.change(act, AccountingPeriod, period, {}, kind=KIND, payload=payload, touch=True)
    return period["id"]  # type: ignore[no-any-return]


def _entries(rows: Sequence[Any], company_id: UUID, source: tuple[str, UUID], on: date, key: str) -> Iterator[Entry]:
    """Two entries of each owner. `rows`: owner, currency, and what its items gained in base currency."""
    owners: dict[UUID, list[Posting]] = defaultdict(list)
    for row in rows:
        owners[row["owner_id"]].append(difference(row["currency"], row["base"]))
    for owner_id, postings in owners.items():
        customer_id = None if owner_id == company_id else owner_id
        made = Entry(KIND, key, source, on, postings, customer_id=customer_id, is_adjusting=True)
        yield made
        back = [each.back for each in postings]
        yield replace(made, kind=BACK, key=f"{key} back", effective_on=on + timedelta(days=1), postings=back)


def difference(currency: str, gain: Decimal) -> Posting:
    """What adds a gain, or a loss as a minus, to REVALUATION. Pure."""
    sides = (Account(Purpose.UNREALISED_FX), Account(Purpose.REVALUATION))
    return Posting(*(sides if gain > 0 else sides[::-1]), currency, money.rounded(Decimal(0), currency), abs(gain))
