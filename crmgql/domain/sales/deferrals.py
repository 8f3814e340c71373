"""What is booked of orders and is no revenue yet: scheduled as they are booked, posted as it falls due or they are shipped.

Enters: orders as they are booked, or a day. Leaves: rows of `recognition_schedules`, entries from deferred to revenue, events.
Always holds: the rows of an order that have no entry, less what of them is credited, are what is deferred of it in the books;
each row is posted once.
Set-based: the same number of statements for one order and for five hundred.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

from crmgql.domain.sales import recognition
from crmgql.domain.sales.recognition import Line, Part, Waiting
from crmgql.errors import Conflict
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.ledger import book, periods, rates
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Posting
from crmgql.models import Purpose, Recognition
from crmgql.records import aside, money
from crmgql.records.records import Act, Row

# Parameters: customers, orders, their newest revisions or 0. The lines of those orders of which something is to be deferred. A
# product keeps the rule that it was booked with.
LINES = """
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS o(customer_id, id, revision)
), found AS (
    SELECT w.*, l.id AS line_id, l.position, l.line_amount, l.quantity * l.unit_cost_amount AS cost,
        coalesce(was.recognition, p.recognition, 'AT_CONFIRMATION') AS rule,
        CASE WHEN was.recognition IS NULL THEN p.recognition_months ELSE was.recognition_months END AS months
    FROM wanted w
    CROSS JOIN LATERAL (SELECT * FROM order_lines WHERE customer_id = w.customer_id AND order_id = w.id OFFSET 0) AS l
    LEFT JOIN products p ON p.id = l.product_id AND p.recognition <> 'AT_CONFIRMATION'
    LEFT JOIN LATERAL (
        SELECT recognition, recognition_months FROM revenue_lines
        WHERE customer_id = w.customer_id AND order_id = w.id AND revision = w.revision AND product_id = l.product_id LIMIT 1
    ) AS was ON true
)
SELECT found.*, since.booked_on FROM found
LEFT JOIN LATERAL (
    SELECT min(booked_on) AS booked_on FROM revenue_records WHERE customer_id = found.customer_id AND order_id = found.id
) AS since ON true
WHERE id IN (SELECT id FROM found WHERE rule <> 'AT_CONFIRMATION') ORDER BY id, position, line_id"""
HOLD = """
SELECT FROM recognition_schedules
WHERE (customer_id, order_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[])) ORDER BY customer_id, order_id, revision, line_id, n
FOR UPDATE"""
POSTED = """
SELECT s.order_id, s.entry_id, e.effective_on, s.currency, sum(s.amount - s.credited_amount) AS amount
FROM recognition_schedules s JOIN ledger_entries e ON e.owner_id = s.customer_id AND e.id = s.entry_id
WHERE (s.customer_id, s.order_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
    AND NOT EXISTS (SELECT FROM ledger_entries back WHERE back.owner_id = s.customer_id AND back.reverses_id = s.entry_id)
GROUP BY s.order_id, s.entry_id, e.effective_on, s.currency"""
DROP = """
DELETE FROM recognition_schedules
WHERE (customer_id, order_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[])) AND entry_id IS NULL"""
SCHEDULE = """
INSERT INTO recognition_schedules (customer_id, order_id, revision, line_id, n, due_on, currency, amount, base_amount, cost_amount,
    credited_amount, credited_base_amount)
SELECT customer_id, order_id, revision, line_id, n, due_on, currency, amount, base_amount, cost_amount, credited_amount,
    credited_base_amount
FROM jsonb_populate_recordset(NULL::recognition_schedules, $1)"""
# Parameters: customers, orders, today, the company's time zone. A part counts on its day, not before the day on which it was booked;
# where that day is not open any more, today.
DUE = """
SELECT s.customer_id, s.order_id, s.revision, s.line_id, s.n, s.due_on, s.currency, s.amount - s.credited_amount AS amount,
    s.base_amount - s.credited_base_amount AS base_amount, s.cost_amount, r.rate, CASE WHEN EXISTS (SELECT FROM accounting_periods WHERE days @> due.day AND status <> 'OPEN') THEN $3 ELSE due.day END AS day
FROM unnest($1::uuid[], $2::uuid[]) AS w(customer_id, id)
JOIN orders o ON o.customer_id = w.customer_id AND o.id = w.id
JOIN recognition_schedules s ON s.customer_id = w.customer_id AND s.order_id = w.id AND s.entry_id IS NULL
    AND (s.amount > s.credited_amount OR s.cost_amount > 0)
JOIN revenue_records r ON r.customer_id = s.customer_id AND r.order_id = s.order_id AND r.revision = s.revision
CROSS JOIN LATERAL (
    SELECT greatest(coalesce(s.due_on, (o.shipped_at AT TIME ZONE $4)::date), r.booked_on) AS day
) AS due
WHERE s.due_on <= $3 OR (s.due_on IS NULL AND o.status IN ('SHIPPED', 'DELIVERED'))
ORDER BY s.customer_id, s.order_id, s.revision, s.due_on, s.line_id, s.n FOR UPDATE OF s"""
POST = """
UPDATE recognition_schedules s SET entry_id = given.entry_id
FROM jsonb_to_recordset($1::jsonb) AS given(customer_id uuid, order_id uuid, revision integer, line_id uuid, n smallint, entry_id uuid)
WHERE s.customer_id = given.customer_id AND s.order_id = given.order_id AND s.revision = given.revision AND s.line_id = given.line_id
    AND s.n = given.n"""
WAITING = """
SELECT DISTINCT customer_id, order_id AS id FROM recognition_schedules
WHERE entry_id IS NULL AND (amount > credited_amount OR cost_amount > 0) AND due_on <= $1 LIMIT $2"""
# Parameters: customers, orders, their newest revisions. What of their lines is credited.
CREDITED = """
SELECT s.order_id, s.line_id, sum(s.credited_amount) AS amount
FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS o(customer_id, id, revision)
JOIN recognition_schedules s ON s.customer_id = o.customer_id AND s.order_id = o.id AND s.revision = o.revision
WHERE s.credited_amount > 0 GROUP BY s.order_id, s.line_id"""
# Parameters: customers, orders. Whoever credits them waits for one another, and what of them may be credited.
HOLD_ORDERS = """
SELECT FROM orders WHERE (customer_id, id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[])) ORDER BY id FOR NO KEY UPDATE"""
LEFT = """
SELECT customer_id, order_id, line_id, n, due_on, amount, base_amount, credited_amount, credited_base_amount FROM recognition_schedules
WHERE (customer_id, order_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[])) AND entry_id IS NULL AND amount > credited_amount
ORDER BY customer_id, order_id, revision, due_on, line_id, n FOR UPDATE"""
CREDIT = """
UPDATE recognition_schedules s SET credited_amount = given.credited, credited_base_amount = given.credited_base
FROM jsonb_to_recordset($1::jsonb) AS given(customer_id uuid, order_id uuid, line_id uuid, n smallint, credited numeric,
    credited_base numeric)
WHERE s.customer_id = given.customer_id AND s.order_id = given.order_id AND s.line_id = given.line_id AND s.n = given.n
    AND s.entry_id IS NULL"""


@dataclass(frozen=True, slots=True)
class Deferral:
    """What of an order is to be deferred, in parts, and the rules of its lines by their ids."""

    parts: Sequence[Part]
    rules: Mapping[str, tuple[str, int | None]]

    @property
    def amount(self) -> Decimal:
        return sum((each.amount for each in self.parts), Decimal(0))

    @property
    def cost(self) -> Decimal:
        return sum((each.cost for each in self.parts), Decimal(0))


NONE = Deferral((), {})


async def of(act: Act, orders: Collection[Row], days: Mapping[UUID, date]) -> dict[UUID, Deferral]:
    """What is deferred of these committed orders, by order; `days`: on which they are booked. Others have no deferral."""
    given = sorted(orders, key=lambda order: order["id"])
    rows = await act.tx.connection.fetch(LINES, *_keys(given), [order["revision"] or 0 for order in given])
    by_id = {order["id"]: order for order in given}

    def found() -> dict[UUID, Deferral]:
        return {
            id: _deferral(by_id[id], list(lines), days[id]) for id, lines in groupby(rows, key=lambda row: row["id"])
        }

    return await aside.done(found, rows=sum(row["months"] or 1 for row in rows))


def _deferral(order: Row, rows: Sequence[Any], day: date) -> Deferral:
    currency = order["currency"]
    costs = recognition.shares(order["cost_amount"], [row["cost"] or Decimal(0) for row in rows], currency)
    lines = [
        Line(row["line_id"], row["line_amount"], cost, Recognition(row["rule"]), row["months"])
        for row, cost in zip(rows, costs, strict=True)
    ]
    parts = recognition.deferred(lines, order["discount_amount"], rows[0]["booked_on"] or day, currency)
    return Deferral(parts, {str(row["line_id"]): (row["rule"], row["months"]) for row in rows})


async def posted(act: Act, orders: Collection[Row]) -> list[Row]:
    """What was recognised of these orders and not taken back, by entry; it stays so until the transaction ends."""
    if not orders:
        return []
    keys = _keys(orders)
    await act.tx.connection.execute(HOLD, *keys)
    return [dict(row) for row in await act.tx.connection.fetch(POSTED, *keys)]


async def schedule(act: Act, orders: Collection[Row], rows: Sequence[Row]) -> None:
    """Drops what is not recognised of these orders, and schedules the rows."""
    if orders:
        await act.tx.connection.execute(DROP, *_keys(orders))
    if rows:
        told = await aside.done(lambda: as_json(rows), rows=len(rows))
        await act.tx.connection.execute(SCHEDULE, told)


async def credited(act: Act, orders: Collection[Row]) -> dict[UUID, dict[UUID | None, Decimal]]:
    """What of the deferred lines of these orders is credited, by order and line."""
    if not orders:
        return {}
    found: dict[UUID, dict[UUID | None, Decimal]] = {}
    for row in await act.tx.connection.fetch(CREDITED, *_keys(orders), [order["revision"] for order in orders]):
        found.setdefault(row["order_id"], {})[row["line_id"]] = row["amount"]
    return found


def rows_of(
    order: Row,
    revision: int,
    deferral: Deferral,
    base: Decimal,
    base_currency: str,
    credits: Mapping[UUID | None, Decimal],
) -> Iterator[Row]:
    """The rows of an order's schedule; `base`: what is deferred in base currency, of which each part has its share.

    `credits`: what of its lines is credited, and stays so. Raises `Conflict` where less is deferred than that.
    """
    bases = recognition.shares(base, [part.amount for part in deferral.parts], base_currency)
    waits = [
        Waiting(part.line_id, part.n, part.due_on, part.amount, share)
        for part, share in zip(deferral.parts, bases, strict=True)
    ]
    taken = sum(credits.values(), Decimal(0))
    if recognition.credit(waits, credits, base_currency, moves=True) < taken:
        raise Conflict(
            f"Of what the order brings later {taken} {order['currency']} is credited; its lines can't bring less.",
            field="id",
        )
    for part, wait in zip(deferral.parts, waits, strict=True):
        yield {
            "customer_id": order["customer_id"],
            "order_id": order["id"],
            "revision": revision,
            "line_id": part.line_id,
            "n": part.n,
            "due_on": part.due_on,
            "currency": order["currency"],
            "amount": part.amount,
            "base_amount": wait.base,
            "cost_amount": part.cost,
            "credited_amount": wait.credited,
            "credited_base_amount": wait.credited_base,
        }


async def waiting(act: Act, orders: Collection[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], list[Waiting]]:
    """What of orders, by customer and order, may be credited before it is revenue; locked."""
    if not orders:
        return {}
    keys = [list(each) for each in zip(*sorted(orders), strict=True)]
    await act.tx.connection.execute(HOLD_ORDERS, *keys)
    rows = await act.tx.connection.fetch(LEFT, *keys)

    def found() -> dict[tuple[UUID, UUID], list[Waiting]]:
        parts: dict[tuple[UUID, UUID], list[Waiting]] = {order: [] for order in orders}
        for row in rows:
            parts[row["customer_id"], row["order_id"]].append(_waiting(row))
        return parts

    return await aside.done(found, rows=len(rows))


def _waiting(row: Any) -> Waiting:
    return Waiting(
        row["line_id"],
        row["n"],
        row["due_on"],
        row["amount"],
        row["base_amount"],
        row["credited_amount"],
        row["credited_base_amount"],
    )


async def credit(act: Act, orders: Mapping[tuple[UUID, UUID], Collection[Waiting]]) -> None:
    """Writes what is credited of these parts of orders, of which the books know already."""

    def told() -> str:
        names = ("line_id", "n", "credited", "credited_base")
        return as_json(
            [
                {"customer_id": customer_id, "order_id": order_id} | {name: getattr(part, name) for name in names}
                for (customer_id, order_id), parts in orders.items()
                for part in parts
            ]
        )

    if orders:
        rows = sum(len(parts) for parts in orders.values())
        await act.tx.connection.execute(CREDIT, await aside.done(told, rows=rows))


async def recognise(act: Act, orders: Collection[Row]) -> list[outbox.Entry]:
    """Posts what of these orders has fallen due, or is shipped. The events are the caller's to record. Raises `PeriodClosed`."""
    if not orders:
        return []
    found = await act.tx.connection.fetch(DUE, *_keys(orders), act.today, act.tx.zone.key)
    if not found:
        return []
    base_currency = (await book.company_of(act)).currency
    groups = [list(rows) for _, rows in groupby(found, key=_group)]
    adjusts = periods.adjusts(act)
    entries = [replace(_entry(rows, base_currency), is_adjusting=adjusts) for rows in groups]
    made = await book.post(act, entries)
    key = ("customer_id", "order_id", "revision", "line_id", "n")
    pairs = zip(groups, made, strict=True)
    rows = [{name: row[name] for name in key} | {"entry_id": entry.id} for rows, entry in pairs for row in rows]
    await act.tx.connection.execute(POST, as_json(rows))
    return [_event("revenue.recognised", rows[0], _sum(rows, "amount"), rows[0]["day"]) for rows in groups]


async def recognise_due(act: Act, *, most: int) -> int:
    """Posts what has fallen due of up to so many orders; of how many there was something."""
    orders = [dict(row) for row in await act.tx.connection.fetch(WAITING, act.today, most)]
    await outbox.record_many(act.tx, act.viewer, await recognise(act, orders))
    return len(orders)


def taken_back(rows: Sequence[Row], customers: Mapping[UUID, UUID], days: Mapping[UUID, date]) -> list[outbox.Entry]:
    """The events of entries that are reversed, each on its day."""
    return [
        _event(
            "revenue.reversed",
            row | {"customer_id": customers[row["order_id"]]},
            row["amount"],
            days[row["entry_id"]],
        )
        for row in rows
    ]


def _keys(orders: Collection[Row]) -> tuple[list[UUID], list[UUID]]:
    return [order["customer_id"] for order in orders], [order["id"] for order in orders]


def _group(row: Row) -> tuple[Any, ...]:
    """What is posted by one entry: the parts of a revision that fall due on the same day."""
    return row["customer_id"], row["order_id"], row["revision"], row["due_on"]


def _sum(rows: Sequence[Row], column: str) -> Decimal:
    amounts: list[Decimal] = [row[column] for row in rows]
    return sum(amounts, amounts[0] * 0)


def _entry(rows: Sequence[Row], base_currency: str) -> Entry:
    first, cost = rows[0], _sum(rows, "cost_amount")
    currency, base = first["currency"], rates.converted(cost, first["rate"], base_currency)
    revenue, deferred = Account(Purpose.REVENUE), Account(Purpose.DEFERRED)
    postings = [
        Posting(revenue, deferred, currency, _sum(rows, "amount"), _sum(rows, "base_amount")),
        Posting(Account(Purpose.INVENTORY), Account(Purpose.COST), currency, cost, base),
    ]
    return Entry(
        "revenue.recognised",
        f"recognised {first['order_id']} {first['revision']} {first['due_on'] or 'shipped'}",
        ("Order", first["order_id"]),
        first["day"],
        [each for each in postings if each.amount or each.base],
        customer_id=first["customer_id"],
    )


def _event(kind: str, row: Row, amount: Decimal, day: date) -> outbox.Entry:
    payload = {"amount": (money.rounded(amount, row["currency"]), row["currency"]), "effective_on": day}
    return outbox.Entry(kind, ("Order", row["order_id"]), row["customer_id"], {}, payload)
