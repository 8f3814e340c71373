"""Exchange rates that every test's database has: from each currency that tests use to each other one, whichever the books are in.

NOK, SEK and DKK have none, for tests of rates themselves.
"""

from __future__ import annotations

from decimal import Decimal

import asyncpg

DOLLARS = {
    "USD": "1",
    "EUR": "1.25",
    "GBP": "1.5",
    "CHF": "1.2",
    "BRL": "0.2",
    "CNY": "0.16",
    "JPY": "0.01",
    "KWD": "3.2",
    "BHD": "2.5",
    "OMR": "2.5",
    "TND": "0.32",
    "CZK": "0.05",
    "KRW": "0.001",
}
SOW = """
INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source)
SELECT given.currency, base.currency, '2000-01-01', trim_scale(round(given.dollars / base.dollars, 9)), 'TEST'
FROM unnest($1::text[], $2::numeric[]) AS given(currency, dollars)
JOIN unnest($1::text[], $2::numeric[]) AS base(currency, dollars) ON given.currency <> base.currency"""


async def sow(connection: asyncpg.Connection) -> None:
    await connection.execute(SOW, list(DOLLARS), [Decimal(each) for each in DOLLARS.values()])
