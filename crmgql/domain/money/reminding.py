"""Reminders of overdue invoices: a job notes what has become overdue, and raises each invoice by at most one level a day.

Always holds: an invoice becomes overdue once; of the same oldest overdue part it gets each level's reminder once, whoever was killed
meanwhile; a reminder is of what is still owed on its day. Set-based: the same number of statements for one invoice and for hundreds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from crmgql.domain.messages import emails, templates
from crmgql.domain.money import dunning, papers
from crmgql.domain.money.mailing import MAILBOX
from crmgql.domain.money.pdf import words
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.ledger.postings import new_id
from crmgql.records import money
from crmgql.records.records import Act, Row

NO_ADDRESS = "the customer has no e-mail address"
UNWANTED = "it is paid meanwhile, or reminders were stopped"

# Parameter: the day. What is held by something that is pending is not asked for.
OVERDUE = """
overdue AS MATERIALIZED (
    SELECT customer_id, invoice_id, min(due_on) AS due_on, sum(free) AS amount FROM open_items
    WHERE open > 0 AND invoice_id IS NOT NULL AND purpose = 'RECEIVABLE' AND free > 0 AND due_on < $1
    GROUP BY customer_id, invoice_id
)"""
# Parameters: the day, how many.
NEWLY = f"""
WITH {OVERDUE}
SELECT i.id, i.customer_id, i.version, i.currency, overdue.due_on, overdue.amount
FROM overdue JOIN invoices i ON i.customer_id = overdue.customer_id AND i.id = overdue.invoice_id
WHERE i.overdue_on IS NULL ORDER BY i.id LIMIT $2 FOR NO KEY UPDATE OF i SKIP LOCKED"""
DUE = f"""
WITH {OVERDUE}
SELECT i.id, i.customer_id, i.version, i.number, i.currency, i.dunning_level, i.dunned_on, overdue.due_on, overdue.amount,
    c.name AS customer, {MAILBOX} AS address, c.language, companies.name AS company, companies.locale,
    next.level, next.subject, next.body, next.subject_zh, next.body_zh
FROM overdue JOIN invoices i ON i.customer_id = overdue.customer_id AND i.id = overdue.invoice_id
JOIN customers c ON c.id = i.customer_id CROSS JOIN companies CROSS JOIN LATERAL (
    SELECT * FROM dunning_levels l
    WHERE l.active AND l.after_days <= $1 - overdue.due_on AND l.level > coalesce((
        SELECT max(r.level) FROM reminders r
        WHERE r.customer_id = i.customer_id AND r.invoice_id = i.id AND r.due_on = overdue.due_on), 0)
    ORDER BY l.level LIMIT 1) AS next
WHERE i.dunning_stop_reason IS NULL AND c.dunning_stop_reason IS NULL AND (i.dunned_on IS NULL OR i.dunned_on < $1)
ORDER BY i.id LIMIT $2 FOR NO KEY UPDATE OF i SKIP LOCKED"""
"""The invoice's own day is looked at again when its row is locked: of two runs at once only one reminds."""

NOTE = """
UPDATE invoices i SET overdue_on = coalesce(n.overdue_on, i.overdue_on), dunning_level = coalesce(n.dunning_level, i.dunning_level),
    dunned_on = coalesce(n.dunned_on, i.dunned_on), version = version + 1, updated_at = $2
FROM jsonb_to_recordset($1::jsonb) AS n(id uuid, customer_id uuid, overdue_on date, dunning_level integer, dunned_on date)
WHERE i.customer_id = n.customer_id AND i.id = n.id"""
RECORD = """
INSERT INTO reminders (id, customer_id, invoice_id, email_id, level, due_on, reminded_on, currency, amount)
SELECT * FROM jsonb_to_recordset($1::jsonb) AS r(id uuid, customer_id uuid, invoice_id uuid, email_id uuid, level integer, due_on date,
    reminded_on date, currency text, amount numeric)"""
# Parameters: an e-mail, the day. Nothing for one that is no reminder.
WANTED = """
SELECT i.dunning_stop_reason IS NULL AND c.dunning_stop_reason IS NULL AND EXISTS (
    SELECT FROM open_items o WHERE o.customer_id = r.customer_id AND o.invoice_id = r.invoice_id
        AND o.purpose = 'RECEIVABLE' AND o.free > 0 AND o.due_on < $2)
FROM reminders r JOIN invoices i ON i.customer_id = r.customer_id AND i.id = r.invoice_id JOIN customers c ON c.id = r.customer_id
WHERE r.email_id = $1"""


async def note_overdue(act: Act, *, limit: int) -> int:
    """Notes invoices of which something has become overdue, up to so many; returns how many."""
    rows = await act.tx.connection.fetch(NEWLY, act.today, limit)
    noted = [
        {"id": row["id"], "customer_id": row["customer_id"], "overdue_on": row["due_on"] + timedelta(days=1)}
        for row in rows
    ]
    await _note(act, noted)
    entries = [
        outbox.Entry(
            "invoice.overdue",
            ("Invoice", row["id"]),
            row["customer_id"],
            {"overdue_on": (None, note["overdue_on"])},
            {"version": row["version"] + 1, "amount": _owed(row), "due_on": row["due_on"]},
        )
        for row, note in zip(rows, noted, strict=True)
    ]
    await outbox.record_many(act.tx, act.viewer, entries)
    return len(rows)


async def remind(act: Act, *, limit: int) -> int:
    """Raises invoices by a level and writes the reminders, up to so many; returns how many."""
    rows = await act.tx.connection.fetch(DUE, act.today, limit)
    if not rows:
        return 0
    reminders = [_reminder(act, row) for row in rows]
    drafts = [_draft(act, row, reminder) for row, reminder in zip(rows, reminders, strict=True)]
    await emails.write_many(act, drafts)
    await act.tx.connection.execute(RECORD, as_json(reminders))
    raised = [{"dunning_level": row["level"], "dunned_on": act.today} for row in rows]
    await _note(
        act,
        [
            {"id": row["id"], "customer_id": row["customer_id"], **after}
            for row, after in zip(rows, raised, strict=True)
        ],
    )
    entries = [
        outbox.Entry(
            "invoice.dunned",
            ("Invoice", row["id"]),
            row["customer_id"],
            {name: (row[name], value) for name, value in after.items()},
            {"version": row["version"] + 1, "amount": _owed(row), "due_on": row["due_on"], "level": row["level"]},
        )
        for row, after in zip(rows, raised, strict=True)
    ]
    await outbox.record_many(act.tx, act.viewer, entries)
    return len(rows)


async def is_unwanted(act: Act, email_id: UUID) -> bool:
    """Whether an e-mail is a reminder of which nothing is overdue any more, or that somebody stopped since it was written."""
    return await act.tx.connection.fetchval(WANTED, email_id, act.today) is False


async def _note(act: Act, changes: Sequence[Row]) -> None:
    await act.tx.connection.execute(NOTE, as_json(changes), act.now)


def _owed(row: Mapping[str, Any]) -> tuple[Any, str]:
    return money.rounded(row["amount"], row["currency"]), row["currency"]


def _reminder(act: Act, row: Mapping[str, Any]) -> Row:
    return {
        "id": new_id(),
        "customer_id": row["customer_id"],
        "invoice_id": row["id"],
        "email_id": new_id(),
        "level": row["level"],
        "due_on": row["due_on"],
        "reminded_on": act.today,
        "currency": row["currency"],
        "amount": _owed(row)[0],
    }


def _draft(act: Act, row: Mapping[str, Any], reminder: Row) -> emails.Draft:
    """The e-mail, in the customer's language if the level has it."""
    say = words.of(papers.locale_of(row["language"], row["locale"]))
    in_chinese = bool(say.column) and row["subject_zh"] is not None
    values = dunning.variables(
        number=row["number"],
        amount=f"{row['currency']} {say.amount(reminder['amount'], row['currency'])}",
        due=say.day(row["due_on"]),
        days=(act.today - row["due_on"]).days,
        customer=row["customer"],
        company=row["company"],
    )
    subject, body = ("subject_zh", "body_zh") if in_chinese else ("subject", "body")
    return emails.Draft(
        reminder["email_id"],
        row["address"] or "",
        templates.render(row[subject], values),
        templates.render(row[body], values),
        f"reminder:{reminder['id']}",
        row["customer_id"],
        row["id"],
        skip=None if row["address"] else NO_ADDRESS,
    )
