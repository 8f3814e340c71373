"""Exchange rates: what a currency is worth in the base currency of the books, from a day on.

Always holds: rows are only added. The newest one of a day counts, so a mistake is mended by setting the day's rate again. What
was posted already keeps the rate that it was posted at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from crmgql import access
from crmgql.db import Connection
from crmgql.errors import BadUserInput
from crmgql.events import outbox
from crmgql.ledger import book
from crmgql.models import FxRate
from crmgql.postgres import company
from crmgql.records import checks, money, records
from crmgql.records.records import Act, Row

MANUAL = "MANUAL"
"""The source of a rate that somebody typed."""

OF_DAY = """
SELECT id, rate, source FROM fx_rates WHERE base_currency = $1 AND currency = $2 AND effective_on = $3 ORDER BY id DESC LIMIT 1"""
BASE = "SELECT currency FROM books"  # an earlier database has this, and not all columns that `company.read` reads
ADD = "INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source) VALUES ($1, $2, $3, $4, $5)"
# What is posted: orders from their confirmation on, payments that were received or are expected, on the company's days.
MISSING = """
WITH posted AS (
    SELECT currency, coalesce(confirmed_at, ordered_at) AS at FROM orders WHERE status <> 'DRAFT' AND status <> 'CANCELLED'
    UNION ALL
    SELECT currency, coalesce(received_at, created_at) FROM payments WHERE status = 'RECEIVED' OR status = 'PENDING'
), needed AS (
    SELECT posted.currency, books.currency AS base_currency, (at AT TIME ZONE timezone)::date AS day
    FROM posted CROSS JOIN companies JOIN books ON company_id = companies.id WHERE posted.currency <> books.currency
), known AS (
    SELECT currency, base_currency, min(effective_on) AS since FROM fx_rates GROUP BY 1, 2
)
SELECT currency, base_currency, min(day) AS first_on, max(day) AS last_on, count(*) AS records
FROM needed LEFT JOIN known USING (currency, base_currency) WHERE since IS NULL OR day < since
GROUP BY 1, 2 ORDER BY 1"""


@dataclass(frozen=True, slots=True)
class Missing:
    """A currency that orders and payments are in on days for which it has no rate: from the first to the last of these."""

    currency: str
    base_currency: str
    first_on: date
    last_on: date
    records: int


async def set_rate(act: Act, *, currency: str, effective_on: date, rate: Decimal, source: str | None = None) -> UUID:
    """Sets the rate from a day on, until the next day that has one. If it is that of the day already, nothing happens.

    `source`: who says so, such as ECB; `MANUAL` if nobody does. Raises `BadUserInput`.
    """
    access.require_write(act.viewer, "FxRate")
    base = (await book.company_of(act)).currency
    values = _checked(currency, base, effective_on, rate, source)
    there = await act.tx.connection.fetchrow(OF_DAY, base, currency, effective_on)
    if there is not None and (there["rate"], there["source"]) == (values["rate"], values["source"]):
        return there["id"]  # type: ignore[no-any-return]
    made = await records.insert(act, FxRate, values)
    await outbox.record_event(
        act.tx,
        act.viewer,
        kind="rate.set",
        subject=("FxRate", made["id"]),
        customer_id=None,
        changes={column: (None, value) for column, value in values.items()},
        payload={column: value for column, value in values.items() if column != "source"},
    )
    return made["id"]  # type: ignore[no-any-return]


async def add(
    connection: Connection, *, currency: str, effective_on: date, rate: Decimal, source: str | None = None
) -> None:
    """Adds a rate to a database that is on its way to this version: a later migration may need it, and the tables that tell
    of changes may not be as they will be. So nobody is told. Raises `BadUserInput`."""
    base = await connection.fetchval(BASE) or company.NONE.currency
    values = _checked(currency, base, effective_on, rate, source)
    await connection.execute(ADD, *values.values())


async def missing(connection: Connection) -> list[Missing]:
    """The currencies of orders and payments that have no rate on or before their days."""
    return [Missing(**row) for row in await connection.fetch(MISSING)]


def _checked(currency: str, base: str, effective_on: date, rate: Decimal, source: str | None) -> Row:
    if not money.is_code(currency):
        raise BadUserInput("Must be a currency code such as EUR.", field="currency")
    if currency == base:
        raise BadUserInput(f"The books are in {base}; it needs no rate.", field="currency")
    values: Row = {
        "currency": currency,
        "base_currency": base,
        "effective_on": effective_on,
        "rate": checks.positive(rate, field="rate"),
        "source": MANUAL if source is None else source,
    }
    checks.check(FxRate, values)
    return {**values, "rate": Decimal(f"{rate.normalize():f}")}  # without zeros at the end
