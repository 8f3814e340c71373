"""Posts entries: the only writer of the books.

Enters: entries. Leaves: their ids, and whether they were there already. One statement for one entry or for five thousand; a
second one only if some keys are taken. The trigger `keep_books` keeps chains, balances and open items with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg

from crmgql.errors import CrmError, IdempotencyConflict, PeriodClosed, ResolvedAlready, ReversedAlready
from crmgql.events.canonical import as_json
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Posting
from crmgql.models import Phase, Purpose
from crmgql.postgres import company
from crmgql.postgres.company import Company
from crmgql.records.records import Act, Collided

# Parameters: entries, company, base currency, actor. An entry without an id in the answer found its key taken.
POST = """
WITH given AS MATERIALIZED (
    SELECT uuidv7() AS id, g.*, coalesce(g.customer_id, $2) AS owner_id
    FROM jsonb_to_recordset($1::jsonb) AS g(n integer, customer_id uuid, kind text, phase text, reverses_id uuid, resolves_id uuid,
        key text, request_hash text, source_type text, source_id uuid, effective_on date, is_adjusting boolean, size smallint,
        opens smallint, items jsonb, postings jsonb)
    ORDER BY n
), made AS (
    INSERT INTO ledger_entries (id, company_id, customer_id, owner_id, kind, phase, reverses_id, resolves_id, key, request_hash,
        source_type, source_id, actor_id, effective_on, is_adjusting, base_currency, size, opens)
    SELECT id, $2, customer_id, owner_id, kind, phase, reverses_id, resolves_id, key, request_hash, source_type, source_id, $4,
        effective_on, is_adjusting AND EXISTS (SELECT FROM accounting_periods period
            WHERE period.company_id = $2 AND period.days @> effective_on AND period.status = 'SOFT_CLOSED'), $3, size, opens
    FROM given ORDER BY owner_id, key
    ON CONFLICT (owner_id, key) DO NOTHING RETURNING id
), opened AS (
    INSERT INTO open_items (id, owner_id, customer_id, entry_id, n, opens, opened_on, purpose, currency, due_on, order_id, payment_id,
        invoice_id, credit_note_id, dispute_id, suspense_id)
    SELECT i.id, given.owner_id, given.customer_id, given.id, i.n, given.opens, given.effective_on, i.purpose, i.currency, i.due_on,
        i.order_id, i.payment_id, i.invoice_id, i.credit_note_id, i.dispute_id, i.suspense_id
    FROM given JOIN made USING (id), jsonb_to_recordset(given.items) AS i(id uuid, n smallint, purpose text, currency text, due_on date,
        order_id uuid, payment_id uuid, invoice_id uuid, credit_note_id uuid, dispute_id uuid, suspense_id uuid)
), moved AS (
    INSERT INTO postings (owner_id, entry_id, n, size, phase, effective_on, base_currency, debit, credit, currency, amount,
        base_amount, debit_item_id, credit_item_id, debit_due_on, credit_due_on)
    SELECT given.owner_id, given.id, p.n, given.size, given.phase, given.effective_on, $3, p.debit, p.credit, p.currency, p.amount,
        p.base_amount, p.debit_item_id, p.credit_item_id, p.debit_due_on, p.credit_due_on
    FROM given JOIN made USING (id), jsonb_to_recordset(given.postings) AS p(n smallint, debit text, credit text, currency text,
        amount numeric, base_amount numeric, debit_item_id uuid, credit_item_id uuid, debit_due_on date, credit_due_on date)
)
SELECT given.id, made.id IS NULL AS taken FROM given LEFT JOIN made USING (id) ORDER BY n"""
FIND = """
SELECT id, owner_id, key, request_hash FROM ledger_entries
WHERE (owner_id, key) IN (SELECT * FROM unnest($1::uuid[], $2::text[]))"""
READ = """
SELECT e.id, e.customer_id, e.source_type, e.source_id, p.debit, p.credit, p.currency, p.amount, p.base_amount, p.debit_item_id,
    p.credit_item_id, p.debit_due_on, p.credit_due_on
FROM ledger_entries e JOIN postings p ON p.owner_id = e.owner_id AND p.entry_id = e.id
WHERE e.id = ANY ($1) ORDER BY e.id, p.n"""

Refusals = Mapping[str, Callable[[], CrmError]]
"""By constraint: what the verb says when the books refuse."""


@dataclass(frozen=True, slots=True)
class Posted:
    """`is_replay`: the same entry was posted before, under the same key."""

    id: UUID
    is_replay: bool


async def company_of(act: Act) -> Company:
    """Whose books they are, and their base currency."""
    return act.tx.company or await company.read(act.tx.connection)


async def post(act: Act, entries: Sequence[Entry], *, refusals: Refusals | None = None) -> list[Posted]:
    """Posts entries, each whole or, if its key was used for the same request before, not again.

    Raises `IdempotencyConflict` for a key that stands for another request, `PeriodClosed`, `ReversedAlready`,
    `ResolvedAlready`; what `refusals` says of a constraint such as `open_items_not_over`, when more is taken from an item than it
    has; and `Collided`.
    """
    if not entries:
        return []
    own = await company_of(act)
    rows = [_row(number, each) for number, each in enumerate(entries)]
    try:
        made = await act.tx.connection.fetch(POST, as_json(rows), own.id, own.currency, act.viewer.actor_id)
    except asyncpg.IntegrityConstraintViolationError as error:
        refusal = _refusal(act, error, refusals or {})
        if refusal is None:
            raise
        raise refusal from error
    posted = [Posted(row["id"], False) for row in made]
    taken = [number for number, row in enumerate(made) if row["taken"]]
    if taken:
        for number, each in zip(taken, await _replayed(act, own, [entries[n] for n in taken]), strict=True):
            posted[number] = each
    return posted


async def reversals(act: Act, days: Mapping[UUID, date], *, kind: str, is_adjusting: bool = False) -> list[Entry]:
    """The entries that take these back, each on its day, to be posted. Each can be taken back once."""
    found: dict[UUID, list[Any]] = defaultdict(list)
    for row in await act.tx.connection.fetch(READ, sorted(days)):
        found[row["id"]].append(row)
    return [
        Entry(
            kind=kind,
            key=f"reverses {id}",
            source=(rows[0]["source_type"], rows[0]["source_id"]),
            effective_on=days[id],
            postings=[_posting(row).back for row in rows],
            customer_id=rows[0]["customer_id"],
            reverses_id=id,
            is_adjusting=is_adjusting,
        )
        for id, rows in found.items()
    ]


def _posting(row: Any) -> Posting:
    source = Account(Purpose(row["credit"]), row["credit_item_id"], row["credit_due_on"])
    target = Account(Purpose(row["debit"]), row["debit_item_id"], row["debit_due_on"])
    return Posting(source, target, row["currency"], row["amount"], row["base_amount"])


def _row(number: int, entry: Entry) -> dict[str, Any]:
    if (entry.phase is Phase.VOIDED) == bool(entry.postings):
        raise ValueError("A VOIDED entry has no postings, every other one has some.")
    return {
        "n": number,
        "customer_id": entry.customer_id,
        "kind": entry.kind,
        "phase": entry.phase,
        "reverses_id": entry.reverses_id,
        "resolves_id": entry.resolves_id,
        "key": entry.key,
        "request_hash": entry.request_hash,
        "source_type": entry.source[0],
        "source_id": entry.source[1],
        "effective_on": entry.effective_on,
        "is_adjusting": entry.is_adjusting,
        "size": len(entry.postings),
        "opens": len(entry.items),
        "items": [asdict(item) | {"n": n} for n, item in enumerate(entry.items, start=1)],
        "postings": [
            {
                "n": n,
                "debit": each.target.purpose,
                "credit": each.source.purpose,
                "currency": each.currency,
                "amount": each.amount,
                "base_amount": each.base,
                "debit_item_id": each.target.item_id,
                "credit_item_id": each.source.item_id,
                "debit_due_on": each.target.due_on,
                "credit_due_on": each.source.due_on,
            }
            for n, each in enumerate(entry.postings, start=1)
        ],
    }


async def _replayed(act: Act, own: Company, entries: Sequence[Entry]) -> list[Posted]:
    owners = [each.customer_id or own.id for each in entries]
    rows = await act.tx.connection.fetch(FIND, owners, [each.key for each in entries])
    there = {(row["owner_id"], row["key"]): row for row in rows}
    found = [there.get((owner, each.key)) for owner, each in zip(owners, entries, strict=True)]
    for entry, row in zip(entries, found, strict=True):
        if entry.reverses_id is not None:
            raise _reversed()
        if row is not None and row["request_hash"] != entry.request_hash:
            raise IdempotencyConflict("This was posted already, with other amounts; use a new key for a new posting.")
    if None in found:  # made by who has not committed when the statement began
        raise Collided
    return [Posted(row["id"], True) for row in found if row is not None]


def _reversed() -> ReversedAlready:
    return ReversedAlready("It was reversed already; what was reversed stays so.", field="id")


def _refusal(act: Act, error: asyncpg.IntegrityConstraintViolationError, refusals: Refusals) -> Exception | None:
    """What a constraint's refusal means; None where it can only be our own mistake."""
    name = str(error.constraint_name or "")
    if name in refusals:
        return refusals[name]()
    match name:
        case "ledger_entries_period":
            return PeriodClosed(str(error), field="effectiveOn")
        case "ledger_entries_reversed_once":
            return _reversed()
        case "ledger_entries_resolved_once":
            return ResolvedAlready("What was pending has ended already: it was posted or voided.", field="id")
        case "ledger_entries_base_currency":  # it was changed a moment ago, while the books were empty
            act.tx.forget_company()
            return Collided()
        case _:
            return None
