"""Reconciliation: orders, revenue, books, payments and payouts are held against each other, and what is to be looked at is told of.

Enters: the company's day. Leaves: a run with what it found, events, notifications. Always holds: what lasts is one row and is told of
once; what is gone closes by itself; what somebody closed stays closed for the same amount.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.messages import notifications
from crmgql.domain.messages.notifications import Notice
from crmgql.domain.money import finders
from crmgql.domain.money.finders import Finder
from crmgql.domain.people import users
from crmgql.errors import IllegalTransition
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.ledger import book, rules
from crmgql.models import ReconciliationException, ReconciliationKind
from crmgql.records import checks, records
from crmgql.records.records import Act, Row

CUSTOMERS_AT_ONCE = 1000
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)
TOLD_ONE_BY_ONE = 10
"""Of a kind, in one run; of more, one notification says how many: an import of years must not make thousands."""

LONGEST_FINDING = 500
FOUND, CLOSED = "reconciliationException.found", "reconciliationException.closed"
BEGIN = "INSERT INTO reconciliation_runs (reconciled_on) VALUES ($1) RETURNING id"
COUNT = """
UPDATE reconciliation_runs SET customers = customers + $2, found = found + $3, opened = opened + $4, closed = closed + $5 WHERE id = $1"""
FINISH = "UPDATE reconciliation_runs SET finished_at = $2 WHERE id = $1 RETURNING found, opened, closed"
NEXT = """
SELECT count(*) AS customers, (array_agg(id ORDER BY id DESC))[1] AS last FROM (SELECT id FROM customers WHERE id > $1 ORDER BY id LIMIT $2) AS page"""
# Parameters: what was found, the kinds that were looked for, the first and last owner, the run, now.
APPLY = """
WITH found AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS f(kind text, owner_id uuid, customer_id uuid, subject_type text, subject_id uuid,
        amount numeric, currency text, finding text)
), opened AS (
    INSERT INTO reconciliation_exceptions AS kept (run_id, kind, owner_id, customer_id, subject_type, subject_id, amount, currency, finding, found_at)
    SELECT $5, kind, owner_id, customer_id, subject_type, subject_id, amount, currency, finding, $6 FROM found ORDER BY kind, subject_id, currency
    ON CONFLICT (kind, subject_id, currency) DO UPDATE SET run_id = EXCLUDED.run_id, owner_id = EXCLUDED.owner_id,
        customer_id = EXCLUDED.customer_id, amount = EXCLUDED.amount, finding = EXCLUDED.finding, found_at = EXCLUDED.found_at,
        status = 'OPEN', closed_at = NULL, closed_by_id = NULL, reason = NULL, version = kept.version + 1, updated_at = $6
    WHERE kept.status = 'CLOSED' AND (kept.closed_by_id IS NULL OR kept.amount IS DISTINCT FROM EXCLUDED.amount)
    RETURNING id, kind, customer_id, subject_type, subject_id, amount, currency, finding, version, 'OPEN' AS status
), lasting AS (
    UPDATE reconciliation_exceptions AS kept SET amount = found.amount, finding = found.finding, version = version + 1, updated_at = $6
    FROM found WHERE kept.kind = found.kind AND kept.subject_id = found.subject_id AND kept.currency = found.currency
        AND kept.status = 'OPEN' AND (kept.amount, kept.finding) IS DISTINCT FROM (found.amount, found.finding)
), gone AS (
    UPDATE reconciliation_exceptions AS kept SET status = 'CLOSED', closed_at = $6, version = version + 1, updated_at = $6
    WHERE kept.kind = ANY ($2) AND kept.owner_id BETWEEN $3 AND $4 AND kept.status = 'OPEN' AND NOT EXISTS (
        SELECT FROM found WHERE found.kind = kept.kind AND found.subject_id = kept.subject_id AND found.currency = kept.currency)
    RETURNING id, kind, customer_id, subject_type, subject_id, amount, currency, finding, version, 'CLOSED' AS status
)
SELECT * FROM opened UNION ALL SELECT * FROM gone ORDER BY id"""
# Parameters: the run, how many of a kind.
NEW = """
SELECT * FROM (
    SELECT id, version, kind, customer_id, finding, count(*) OVER (PARTITION BY kind) AS number, row_number() OVER (PARTITION BY kind ORDER BY id) AS n
    FROM reconciliation_exceptions WHERE run_id = $1 AND status = 'OPEN'
) AS numbered WHERE n <= $2 ORDER BY kind, n"""
TITLES = {
    ReconciliationKind.ORDER_PAYMENT_MISMATCH: "An order and its payments differ",
    ReconciliationKind.ORDER_PAID_NOT_OWED: "There is money for an order of which nothing is owed",
    ReconciliationKind.DUPLICATE_PAYMENT: "A payment may have come twice",
    ReconciliationKind.AMOUNT_MISMATCH: "A provider received another amount than is recorded",
    ReconciliationKind.PAYOUT_DIFFERS: "A payout does not add up",
    ReconciliationKind.PAYOUT_LATE: "A payout is late",
    ReconciliationKind.PAYOUT_BANK_DIFFERS: "The bank says otherwise of a payout",
    ReconciliationKind.UNEXPLAINED_CLEARING: "Money at payment providers is not explained",
    ReconciliationKind.SUSPENSE_OPEN: "Nobody has said whose money in suspense is",
    ReconciliationKind.LEDGER: "The books contradict themselves",
    ReconciliationKind.OVERDUE: "A customer is overdue",
    ReconciliationKind.UNUSUAL_PAYMENT: "A payment is unusually large",
    ReconciliationKind.LOW_MARGIN: "The margin of an order is low",
}


@dataclass(frozen=True, slots=True)
class Step:
    """`last`: the last owner that was looked at; None: that was all of them. `customers`: how many they were."""

    last: UUID | None
    customers: int


async def begin(act: Act) -> UUID:
    """The id of a new run."""
    return await act.tx.connection.fetchval(BEGIN, act.today)  # type: ignore[no-any-return]


async def look_at_customers(act: Act, run: UUID, after: UUID) -> Step:
    """Holds the records of the next customers against each other, and what the books say of whoever owns in between."""
    page = await act.tx.connection.fetchrow(NEXT, after, CUSTOMERS_AT_ONCE)
    is_last = page["customers"] < CUSTOMERS_AT_ONCE
    first, last = UUID(int=after.int + 1) if after.int else after, LAST if is_last else page["last"]
    found = await _find(act, finders.OF_CUSTOMERS, first, last) + await _contradictions(act, first, last)
    kinds = [*(kind for finder in finders.OF_CUSTOMERS for kind in finder.kinds), ReconciliationKind.LEDGER]
    await _apply(act, run, found, kinds, first, last, customers=page["customers"])
    return Step(None if is_last else last, page["customers"])


async def finish(act: Act, run: UUID) -> Row:
    """Looks at what is the company's, ends the run, and tells who may close what is new. Returns its counts."""
    found = await _find(act, finders.OF_COMPANY, FIRST, LAST)
    kinds = [kind for finder in finders.OF_COMPANY for kind in finder.kinds]
    await _apply(act, run, found, kinds, FIRST, LAST)
    counts = dict(await act.tx.connection.fetchrow(FINISH, run, act.now))
    await _tell(act, run)
    return counts


async def close(act: Act, *, id: UUID, reason: str, expected_version: int | None = None) -> UUID:
    """Closes what was found, for as long as its amount stays the same. Raises `IllegalTransition` for what is closed."""
    access.require_write(act.viewer, "ReconciliationException")
    checks.check_text(reason, "reason", longest=1000, required=True)
    row = await records.lock(act, ReconciliationException, id, expected_version=expected_version)
    if row["status"] != "OPEN":
        raise IllegalTransition("It is closed already.", field="id")
    after = {"status": "CLOSED", "closed_at": act.now, "closed_by_id": act.viewer.actor_id, "reason": reason}
    await records.change(act, ReconciliationException, row, after, kind=CLOSED, payload=_payload(row))
    return id


async def _find(act: Act, looked_for: Iterable[Finder], first: UUID, last: UUID) -> list[Row]:
    found = []
    for finder in looked_for:
        day = [act.today] if finder.by_day else []
        for row in await act.tx.connection.fetch(finder.sql, first, last, *day):
            found.append({name: row[name] for name in finders.FOUND})
    return found


async def _contradictions(act: Act, first: UUID, last: UUID) -> list[Row]:
    """What breaks a rule of the books, of each owner together: the first of it in words."""
    own = await book.company_of(act)
    broken: dict[UUID, list[str]] = defaultdict(list)
    for rule in rules.RULES:
        for row in await act.tx.connection.fetch(rule.sql, first, last, CUSTOMERS_AT_ONCE):
            broken[row["owner_id"]].append(row["what"])
    return [_contradiction(owner, words, own.id, own.currency) for owner, words in broken.items()]


def _contradiction(owner: UUID, words: Sequence[str], company: UUID, currency: str) -> Row:
    more = f" And {len(words) - 1} more; `crmgql audit verify` lists them." if len(words) > 1 else ""
    text = f"{words[0]}."
    return {
        "kind": ReconciliationKind.LEDGER,
        "owner_id": owner,
        "customer_id": None if owner == company else owner,
        "subject_type": "Company" if owner == company else "Customer",
        "subject_id": owner,
        "amount": None,
        "currency": currency,
        "finding": notifications.cut(text, LONGEST_FINDING - len(more)) + more,
    }


async def _apply(
    act: Act, run: UUID, found: Sequence[Row], kinds: Sequence[str], first: UUID, last: UUID, *, customers: int = 0
) -> None:
    """Opens what is new, closes what is gone of these kinds and owners, and records both."""
    rows = await act.tx.connection.fetch(APPLY, as_json(found), kinds, first, last, run, act.now)
    opened = sum(row["status"] == "OPEN" for row in rows)
    await act.tx.connection.execute(COUNT, run, customers, len(found), opened, len(rows) - opened)
    for start in range(0, len(rows), outbox.AT_ONCE):
        await outbox.record_many(act.tx, act.viewer, [_entry(row) for row in rows[start : start + outbox.AT_ONCE]])


def _entry(row: Any) -> outbox.Entry:
    is_new = row["status"] == "OPEN"
    changes: outbox.Changes = {"status": (None if is_new else "OPEN", row["status"])}
    subject = ("ReconciliationException", row["id"])
    return outbox.Entry(FOUND if is_new else CLOSED, subject, row["customer_id"], changes, _payload(row))


def _payload(row: Any) -> Row:
    amount = {} if row["amount"] is None else {"amount": (row["amount"], row["currency"])}
    return {"version": row["version"], "found": row["kind"], "finding": row["finding"], **amount}


async def _tell(act: Act, run: UUID) -> None:
    rows = await act.tx.connection.fetch(NEW, run, TOLD_ONE_BY_ONE)
    people = await users.holding(act, "reconciliation.write") if rows else []
    notices = [notice for row in rows if (notice := _notice(run, row)) is not None]
    await notifications.notify_many(act, [_to(person, notice) for notice in notices for person in people])


def _notice(run: UUID, row: Any) -> tuple[str, str, str, UUID | None] | None:
    """Title, body, key and customer; None for those that the first one of many tells of."""
    title = TITLES[ReconciliationKind(row["kind"])]
    if row["number"] <= TOLD_ONE_BY_ONE:
        return title, row["finding"], f"reconciliation {row['id']} {row['version']}", row["customer_id"]
    if row["n"] > 1:
        return None
    body = f"There are {row['number']} new ones; the first: {row['finding']}"
    return f"{title} ({row['number']} times)", body, f"reconciliation {run} {row['kind']}", None


def _to(person: UUID, notice: tuple[str, str, str, UUID | None]) -> Notice:
    title, body, key, customer_id = notice
    return Notice(person, FOUND, title, body, key, customer_id=customer_id)
