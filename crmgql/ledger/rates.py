"""Exchange rates: what one unit of a currency is worth in the base currency, on a day.

Enters: currencies with days. Leaves: for each the newest rate on or before its day, with the id of its row, which a document
keeps. The base currency is worth 1 of itself, and asks nobody.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from uuid import UUID

from crmgql.errors import RateMissing
from crmgql.ledger import book
from crmgql.ledger.postings import EXACT
from crmgql.records import money
from crmgql.records.records import Act

# Parameters: currencies, days, base currency.
FIND = """
SELECT wanted.currency, wanted.day, found.id, found.rate
FROM unnest($1::text[], $2::date[]) AS wanted(currency, day)
LEFT JOIN LATERAL (
    SELECT id, rate FROM fx_rates
    WHERE base_currency = $3 AND fx_rates.currency = wanted.currency AND effective_on <= wanted.day
    ORDER BY effective_on DESC, id DESC LIMIT 1
) AS found ON true"""


@dataclass(frozen=True, slots=True)
class Rate:
    """Units of the base currency for one unit of the currency. Without an `id` it is the base currency's own."""

    id: UUID | None
    rate: Decimal


OWN = Rate(None, Decimal(1))


async def on_days(act: Act, wanted: Collection[tuple[str, date]]) -> dict[tuple[str, date], Rate]:
    """The rates of currencies on days, in one statement for all; the newest on or before each day.

    Raises `RateMissing`, which names each currency without one and the first day that it is needed for.
    """
    found = await known(act, wanted)
    without = [pair for pair in wanted if pair not in found]
    if without:
        raise missing(without, (await book.company_of(act)).currency)
    return found


async def known(act: Act, wanted: Collection[tuple[str, date]]) -> dict[tuple[str, date], Rate]:
    """As `on_days`, without those that have none."""
    base = (await book.company_of(act)).currency
    found = {pair: OWN for pair in wanted if pair[0] == base}
    asked = sorted(set(wanted) - found.keys())
    if not asked:
        return found
    rows = await act.tx.connection.fetch(FIND, [pair[0] for pair in asked], [pair[1] for pair in asked], base)
    return found | {
        (row["currency"], row["day"]): Rate(row["id"], row["rate"]) for row in rows if row["id"] is not None
    }


async def on_day(act: Act, currency: str, day: date) -> Rate:
    """The rate of one currency on one day. Raises `RateMissing`."""
    return (await on_days(act, [(currency, day)]))[currency, day]


def converted(amount: Decimal, rate: Decimal, base_currency: str) -> Decimal:
    """The amount in the base currency, rounded half up to its decimals. Raises `BadUserInput` if it is too large. Pure."""
    with localcontext(EXACT):
        value = money.rounded(amount * rate, base_currency)
    money.check_size(value, field="amount")
    return value


def missing(pairs: Collection[tuple[str, date]], base: str) -> RateMissing:
    """The error that names each of these currencies, and the first day that it is needed for. Pure."""
    first: dict[str, date] = {}
    for currency, day in sorted(pairs):
        first.setdefault(currency, day)
    needed = ", nor ".join(f"from {currency} to {base} on or before {day}" for currency, day in first.items())
    currency, day = next(iter(first.items()))
    return RateMissing(
        f"There is no exchange rate {needed}; give one with fxRateSet, an import of fx_rates,"
        f" or “crmgql rates set {currency} {day} …”."
    )
