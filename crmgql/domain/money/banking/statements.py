"""Files of banks become statements and lines. Nothing is booked here: lines are matched later, by a job.

Always holds: a file is taken whole or not at all, and the same line once, whatever file it comes in again; opening balance +
lines = closing balance wherever the file tells both, or the file is refused. One statement for each statement of the file.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.money.bank import camt, csv_statements
from crmgql.domain.money.bank.lines import Line, Statement
from crmgql.domain.money.banking import accounts
from crmgql.errors import BadUserInput
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.ledger.postings import new_id
from crmgql.models import BankAccount, BankFileFormat
from crmgql.records import aside, money, records
from crmgql.records.records import Act, Row

MATCH = "match"
"""The key of the job that matches lines: one at a time."""

KNOWN = "SELECT digest, id FROM bank_statements WHERE account_id = $1 AND digest = ANY ($2)"
# Parameters: statement, account, its facts, its lines.
STORE = """
WITH made AS (
    INSERT INTO bank_lines (account_id, statement_id, key, booked_on, value_on, amount, currency, name, counterparty, texts,
        end_to_end_id, bank_id, kind, is_reversal, place, created_at, updated_at)
    SELECT $2, $1, l.key, l.booked_on, l.value_on, l.amount, l.currency, l.name, l.counterparty, l.texts, l.end_to_end_id, l.bank_id,
        l.kind, l.is_reversal, l.place, $5, $5
    FROM jsonb_to_recordset($4::jsonb) AS l(n integer, key text, booked_on date, value_on date, amount numeric, currency text, name text,
        counterparty text, texts text[], end_to_end_id text, bank_id text, kind text, is_reversal boolean, place text)
    ORDER BY l.n ON CONFLICT (account_id, key) DO NOTHING RETURNING id
), said AS (
    INSERT INTO bank_statements (id, account_id, digest, format, reference, currency, opening_amount, opening_on, moved_amount,
        closing_amount, closing_on, first_on, last_on, line_count, known_count, skipped_count, created_at)
    SELECT $1, $2, s.digest, s.format, s.reference, s.currency, s.opening_amount, s.opening_on, s.moved_amount, s.closing_amount,
        s.closing_on, s.first_on, s.last_on, s.line_count, s.line_count - (SELECT count(*) FROM made), s.skipped_count, $5
    FROM jsonb_to_record($3::jsonb) AS s(digest text, format text, reference text, currency text, opening_amount numeric, opening_on date,
        moved_amount numeric, closing_amount numeric, closing_on date, first_on date, last_on date, line_count integer, skipped_count integer)
)
SELECT count(*) FROM made"""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file: its statements, also such as were there, their lines, and how many of these were not."""

    statement_ids: Sequence[UUID]
    lines: int
    new_lines: int


def content_of(text: str) -> bytes:
    """The bytes of a file in base64. Raises `BadUserInput`."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadUserInput(
            "This is not base64; encode the bytes of the file as the bank sent it.", field="content"
        ) from None


async def import_file(act: Act, *, bank_account_id: UUID, content: bytes) -> Imported:
    """Takes the statements of a camt.053 or CSV file, and has the lines that are new matched by a job.

    Raises `BankFileInvalid`, `BankFileUnbalanced`, `BankFileTooLarge`, and `BadUserInput` for a file of another account.
    """
    access.require_write(act.viewer, "BankStatement")
    account = await records.lock(act, BankAccount, bank_account_id, field="bankAccountId")
    format = BankFileFormat.CAMT_053 if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else BankFileFormat.CSV
    found = await asyncio.to_thread(_read, content, format, account)
    for each in found:
        _check_account(each, account)
    lines = sum(len(each.lines) for each in found)
    digests = await aside.done(lambda: [_digest(each) for each in found], rows=lines)
    rows = await act.tx.connection.fetch(KNOWN, account["id"], digests)
    known = {row["digest"]: row["id"] for row in rows}
    events, new = [], 0
    for digest, statement in zip(digests, found, strict=True):
        if digest not in known:
            id, count = new_id(), len(statement.lines)
            known[digest] = id
            facts = as_json(_facts(statement, digest, format))
            told = await aside.done(partial(_told, statement), rows=count)
            made = await act.tx.connection.fetchval(STORE, id, account["id"], facts, told, act.now)
            new += made
            payload = {"line_count": count, "known_count": count - made}
            events.append(outbox.Entry("bankStatement.imported", ("BankStatement", id), None, {}, payload))
    await outbox.record_many(act.tx, act.viewer, events)
    if new:
        await jobs.enqueue(act, kinds.BANK_LINES_MATCH, kinds.Nothing(), unique_key=MATCH)
    return Imported([known[each] for each in digests], lines, new)


def _read(content: bytes, format: BankFileFormat, account: Row) -> Sequence[Statement]:
    if format is BankFileFormat.CAMT_053:
        return camt.read(content)
    if account["layout"] is None:
        raise BadUserInput(
            "This is no camt.053, and how the bank writes CSV files is not known; set the bank account's layout.",
            field="content",
        )
    return csv_statements.read(content, accounts.layout_of(account))


def _check_account(statement: Statement, account: Row) -> None:
    if (statement.account, statement.currency) != (account["number"], account["currency"]):
        told = f"{statement.account} in {statement.currency}, not of {account['number']} in {account['currency']}"
        raise BadUserInput(f"The file is of {told}; name that bank account.", field="bankAccountId")


def _digest(statement: Statement) -> str:
    ends = [(each.amount, each.on) if each else None for each in (statement.opening, statement.closing)]
    facts = [statement.id, ends, statement.skipped, [line.key for line in statement.lines]]
    return hashlib.sha256(as_json(facts).encode()).hexdigest()


def _facts(statement: Statement, digest: str, format: BankFileFormat) -> Row:
    opening, closing = statement.opening, statement.closing
    days = [line.booked_on for line in statement.lines]
    nothing = money.rounded(Decimal(0), statement.currency)
    return {
        "digest": digest,
        "format": format,
        "reference": statement.id or None,
        "currency": statement.currency,
        "opening_amount": opening and opening.amount,
        "opening_on": opening and opening.on,
        "moved_amount": sum((line.amount for line in statement.lines), nothing),
        "closing_amount": closing and closing.amount,
        "closing_on": closing and closing.on,
        "first_on": min(days, default=None),
        "last_on": max(days, default=None),
        "line_count": len(statement.lines),
        "skipped_count": statement.skipped,
    }


def _told(statement: Statement) -> str:
    return as_json([_row(n, line) for n, line in enumerate(statement.lines)])


def _row(n: int, line: Line) -> dict[str, Any]:
    return {
        "n": n,
        "key": line.key,
        "booked_on": line.booked_on,
        "value_on": line.value_on,
        "amount": line.amount,
        "currency": line.currency,
        "name": line.name or None,
        "counterparty": line.counterparty or None,
        "texts": list(line.references),
        "end_to_end_id": line.end_to_end_id or None,
        "bank_id": line.bank_id or None,
        "kind": line.kind or None,
        "is_reversal": line.reversal,
        "place": line.place,
    }
