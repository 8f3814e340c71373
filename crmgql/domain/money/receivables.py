"""What customers owed on a day, as it was known at a time: by customer and in total; and one customer's statement of account.

Enters: a day, a time, the viewer. Leaves: plain rows. Always holds: only customers count whose orders and payments the viewer
sees, and the sums are those of the postings: what is corrected later changes what is known now of that day, and never what was
known then.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.db import Connection, Database
from crmgql.domain.money.ageing import FIRST_DAYS, AgeingBucket
from crmgql.errors import BadUserInput, Forbidden, NotFound
from crmgql.records import checks, days, money
from crmgql.records.records import Row
from crmgql.sql import ast
from crmgql.viewer import Viewer

MOST = 1000
"""The most customers of a page, and the most movements of a statement."""

EDGES = (None, *FIRST_DAYS)
BUCKETS = [f"bucket_{number}" for number, _ in enumerate(EDGES)]
LATE = (
    f"late < {FIRST_DAYS[0]} OR late IS NULL",
    *(f"late BETWEEN {first} AND {next - 1}" for first, next in pairwise(FIRST_DAYS)),
    f"late >= {FIRST_DAYS[-1]}",
)
SUMS = ", ".join(
    f"coalesce(sum(amount) FILTER (WHERE {late}), 0) AS {name}" for name, late in zip(BUCKETS, LATE, strict=True)
)
"""Each amount is in one bucket, so it is added up once; all buckets make what is owed."""

# One pass over the postings for totals and page, which have the same columns. `{counts}` are further conditions on a posting.
OWED = f"""
WITH owed AS MATERIALIZED (
    SELECT owner_id, currency, {SUMS}
    FROM (
        SELECT owner_id, currency, {{as_of}}::date - debit_due_on AS late, amount FROM postings
        WHERE debit = 'RECEIVABLE' AND phase = 'POSTED' AND effective_on <= {{as_of}}{{counts}}
        UNION ALL
        SELECT owner_id, currency, {{as_of}}::date - credit_due_on, -amount FROM postings
        WHERE credit = 'RECEIVABLE' AND phase = 'POSTED' AND effective_on <= {{as_of}}{{counts}}
    ) AS moves
    GROUP BY owner_id, currency
), debtors AS (
    SELECT owner_id, currency, {" + ".join(BUCKETS)} AS amount, {", ".join(BUCKETS)} FROM owed
    WHERE ({", ".join(BUCKETS)}) <> ({", ".join("0" for _ in BUCKETS)})
), page AS (
    SELECT * FROM debtors ORDER BY currency, amount DESC, owner_id LIMIT {{first}} OFFSET {{skip}}
)
SELECT 0 AS place, NULL::uuid AS owner_id, NULL AS name, currency, count(*) AS customers,
    {", ".join(f"sum({name}) AS {name}" for name in ("amount", *BUCKETS))}
FROM debtors GROUP BY currency
UNION ALL
SELECT row_number() OVER (ORDER BY page.currency, amount DESC, page.owner_id), page.owner_id, customers.name, page.currency, 0, amount,
    {", ".join(BUCKETS)}
FROM page JOIN customers ON customers.id = page.owner_id
ORDER BY place, currency"""
COUNTS = {
    "customers": "owner_id IN ({customers})",
    "known_at": "entry_id < uuidv7_at({known_at})",
    "customer_id": "owner_id = {customer_id}",
    "currency": "currency = {currency}",
}
"""Conditions on a posting, by what asks for them: whose rule leaves customers out, and values that are given."""

# Parameters: customer, currency, the first day and the last, how many movements at most, the time or null for now. What the customer owes,
# less what it has paid ahead and has as credit: an allocation moves nothing between these.
MOVES = """
WITH moves AS (
    SELECT p.entry_id, p.effective_on,
        CASE WHEN debit IN ('RECEIVABLE', 'UNEARNED', 'CREDIT') THEN amount ELSE 0 END
        - CASE WHEN credit IN ('RECEIVABLE', 'UNEARNED', 'CREDIT') THEN amount ELSE 0 END AS amount
    FROM postings p WHERE owner_id = $1 AND phase = 'POSTED' AND currency = $2 AND effective_on <= $4
        AND ($6::timestamptz IS NULL OR entry_id < uuidv7_at($6))
), entries AS (
    SELECT entry_id, effective_on, sum(amount) AS amount FROM moves GROUP BY entry_id, effective_on HAVING sum(amount) <> 0
)
SELECT NULL::date AS day, NULL AS kind, NULL AS source_type, NULL::uuid AS source_id, NULL AS name, coalesce(sum(amount), 0) AS amount, NULL::uuid AS id
FROM entries WHERE effective_on < $3
UNION ALL
SELECT * FROM (
    SELECT e.effective_on, e.kind, e.source_type, e.source_id, CASE e.source_type
            WHEN 'Order' THEN (SELECT number FROM orders WHERE customer_id = $1 AND id = e.source_id)
            WHEN 'Payment' THEN (SELECT coalesce(reference, provider_reference) FROM payments WHERE customer_id = $1 AND id = e.source_id)
            WHEN 'Invoice' THEN (SELECT number FROM invoices WHERE customer_id = $1 AND id = e.source_id)
            WHEN 'CreditNote' THEN (SELECT number FROM credit_notes WHERE customer_id = $1 AND id = e.source_id)
        END AS name, entries.amount, e.id
    FROM entries JOIN ledger_entries e ON e.owner_id = $1 AND e.id = entry_id
    WHERE entries.effective_on >= $3 ORDER BY e.effective_on, e.id LIMIT $5
) AS listed"""


async def ageing(
    database: Database,
    viewer: Viewer,
    *,
    as_of: date | None = None,
    known_at: datetime | None = None,
    customer_id: UUID | None = None,
    currency: str | None = None,
    first: int | None = None,
    skip: int | None = None,
) -> Row:
    """Totals by currency, and a page of customers, those that owe most first; 20 unless `first` says how many. `as_of`: today,
    unless another day is given.

    Raises `Forbidden` for who sees no orders or payments, `BadUserInput`.
    """
    _require(viewer)
    first, skip = 20 if first is None else first, skip or 0
    if not 0 <= first <= MOST:
        raise BadUserInput(f"first is {first}; a page has 0 to {MOST} customers.", field="first")
    if not 0 <= skip <= 1_000_000:
        raise BadUserInput("skip is 0 to 1000000.", field="skip")
    day = as_of or days.day_of(viewer.now(), await database.zone())
    checks.check_year(day, "asOf")
    narrowed = {"known_at": known_at, "customer_id": customer_id, "currency": currency}
    given = {
        "as_of": day,
        "first": first,
        "skip": skip,
        **{name: value for name, value in narrowed.items() if value is not None},
    }
    async with database.reading() as connection:
        rows = await connection.fetch(*_statement(viewer, **given))
    return {
        "asOf": day,
        "knownAt": known_at,
        "totals": [{**_figures(row), "customers": row["customers"]} for row in rows if not row["place"]],
        "customers": [
            {**_figures(row), "customerId": row["owner_id"], "name": row["name"]} for row in rows if row["place"]
        ],
    }


def _require(viewer: Viewer) -> None:
    for record in ("Customer", "Order", "Payment"):
        access.require_read(viewer.who, record)
        if access.rows(record, viewer.who, "t") == ast.FALSE:
            raise Forbidden("Reading receivables is for those who see orders and payments.")


def _seen(viewer: Viewer) -> ast.Expr:
    """The condition on a standing that the viewer sees what its customer owes."""
    return ast.all_of([access.rows(record, viewer.who, "s") for record in ("Order", "Payment")])


def _statement(viewer: Viewer, **given: Any) -> list[Any]:
    """The SQL with its values. Who sees all customers needs no look at them."""
    rule = _seen(viewer)
    table = ast.Table("customer_standings", "s")
    selects = (
        {} if rule == ast.TRUE else {"customers": ast.Select(((ast.Col("s", "customer_id"), "id"),), table, where=rule)}
    )
    counts = "".join(f" AND {condition}" for name, condition in COUNTS.items() if name in given or name in selects)
    text, values = access.statement(OWED.replace("{counts}", counts), viewer, selects=selects, **given)
    return [text, *values]


def _figures(row: Any) -> Row:
    currency = row["currency"]

    def amount(value: Decimal) -> Row:
        return {"amount": money.rounded(value, currency), "currency": currency}

    buckets = [{"bucket": each, "amount": amount(row[f"bucket_{n}"])} for n, each in enumerate(AgeingBucket)]
    overdue = sum((row[f"bucket_{n}"] for n in range(1, len(buckets))), Decimal(0))
    return {
        "currency": currency,
        "outstanding": amount(row["amount"]),
        "overdue": amount(overdue),
        "ageing": buckets,
    }


async def statement(
    database: Database,
    viewer: Viewer,
    *,
    customer_id: UUID,
    since: date,
    until: date | None = None,
    currency: str | None = None,
) -> Row:
    """What a customer owed before a day, what changed that until another one, both included, today unless one is given, and what it
    came to. Raises as `account`."""
    last = until or days.day_of(viewer.now(), await database.zone())
    async with database.snapshot() as connection:
        return await account(connection, viewer, customer_id=customer_id, since=since, until=last, currency=currency)


async def account(
    connection: Connection,
    viewer: Viewer,
    *,
    customer_id: UUID,
    since: date,
    until: date,
    currency: str | None = None,
    known_at: datetime | None = None,
) -> Row:
    """A customer's statement of account, as it was known at a time, or is known now.

    The balance is what is owed, less what was paid ahead and what there is of credit. Raises `Forbidden`, `NotFound`,
    `BadUserInput` for days in the wrong order or more than `MOST` movements.
    """
    _require(viewer)
    for name, day in (("since", since), ("until", until)):
        checks.check_year(day, name)
    if until < since:
        raise BadUserInput(f"The statement would end on {until}, before it begins on {since}.", field="until")
    own = ast.Select(
        ((ast.Col("t", "currency"), "currency"), (ast.Col("t", "name"), "name")),
        ast.Table("customers", "t"),
        where=access.rows("Customer", viewer.who, "t"),
        star="t",
    )
    sql, values = access.statement(
        "SELECT * FROM ({own}) AS own WHERE id = {customer_id}",
        viewer,
        selects={"own": own},
        customer_id=customer_id,
    )
    found = await connection.fetchrow(sql, *values)
    if found is None or not await _sees(connection, viewer, customer_id):
        raise NotFound("There is no such customer.", field="customerId")
    chosen = currency or found["currency"]
    opening, *moves = await connection.fetch(MOVES, customer_id, chosen, since, until, MOST + 1, known_at)
    if len(moves) > MOST:
        raise BadUserInput(f"There are more than {MOST} movements; choose fewer days.", field="since")
    return _account(opening["amount"], moves, chosen) | {
        "since": since,
        "until": until,
        "customerId": customer_id,
        "name": found["name"],
    }


async def open_by_age(
    connection: Connection, viewer: Viewer, *, customer_id: UUID, as_of: date, currency: str, known_at: datetime | None
) -> list[Decimal]:
    """What a customer owes on a day in a currency, by bucket. Raises `Forbidden`."""
    _require(viewer)
    given = {"as_of": as_of, "first": 0, "skip": 0, "customer_id": customer_id, "currency": currency}
    if known_at is not None:
        given["known_at"] = known_at
    row = await connection.fetchrow(*_statement(viewer, **given))
    return [money.rounded(row[name] if row else Decimal(0), currency) for name in BUCKETS]


async def _sees(connection: Any, viewer: Viewer, customer_id: UUID) -> bool:
    standings = ast.Select(
        ((ast.Col("s", "customer_id"), "id"),), ast.Table("customer_standings", "s"), where=_seen(viewer)
    )
    template = "SELECT EXISTS (SELECT FROM ({standings}) AS seen WHERE id = {customer_id})"
    sql, values = access.statement(template, viewer, selects={"standings": standings}, customer_id=customer_id)
    return bool(await connection.fetchval(sql, *values))


def _account(opening: Decimal, moves: list[Any], currency: str) -> Row:
    def amount(value: Decimal) -> Row:
        return {"amount": money.rounded(value, currency), "currency": currency}

    balance, listed = opening, []
    for row in moves:
        balance += row["amount"]
        told = {"day": row["day"], "kind": row["kind"], "documentType": row["source_type"], "documentName": row["name"]}
        listed.append(
            {**told, "documentId": row["source_id"], "amount": amount(row["amount"]), "balance": amount(balance)}
        )
    return {"currency": currency, "opening": amount(opening), "movements": listed, "closing": amount(balance)}
