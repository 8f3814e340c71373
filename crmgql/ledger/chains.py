"""The text of an entry, its digest, and the chain of hashes. Pure.

`keep_books` makes the same in SQL; what verifies asks no function of the database, which somebody may have replaced.
The text is an entry's line, those of its postings and those of the items that it opens, separated by tabs, with `\\N` for what
is not there. It starts with the number of its shape, so that there can be another one later. Nothing in it needs escaping, and no
personal value is in it.
An anchor's text is a line of its own and one for each head. Audit rows are chained in the same way, one link for each statement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

SHAPE = b"1\t"
TIME = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
ENTRY = (
    "id",
    "company_id",
    "owner_id",
    "kind",
    "phase",
    "resolves_id",
    "reverses_id",
    "key",
    "request_hash",
    "source_type",
    "source_id",
    "effective_on",
    "recorded_at",
    "actor_id",
    "is_adjusting",
    "base_currency",
    "size",
    "opens",
)
"""The columns of an entry's line, in their order. It ends with the numbers of the lines that follow: postings, then items."""

POSTING = (
    "n",
    "debit",
    "credit",
    "currency",
    "amount",
    "base_amount",
    "debit_item_id",
    "credit_item_id",
    "debit_due_on",
    "credit_due_on",
)

ITEM = (
    "n",
    "id",
    "purpose",
    "currency",
    "due_on",
    "order_id",
    "payment_id",
    "invoice_id",
    "credit_note_id",
    "dispute_id",
    "suspense_id",
)

AUDIT = (
    "id",
    "action",
    "subject_type",
    "subject_id",
    "customer_id",
    "actor_id",
    "api_key_id",
    "kept",
    "commitment",
    "occurred_at",
    "created_at",
)
"""The columns of an audit row's line. Of personal values it has the commitment alone, which stays when they are erased."""


def audit_columns(alias: str) -> str:
    """SQL for the columns of an audit row's line. JSON has backslashes, which `COPY` doubles, as it is hashed."""
    return ", ".join(TIME.format(f"{alias}.{name}") if name.endswith("_at") else f"{alias}.{name}" for name in AUDIT)


def entry_columns(alias: str) -> str:
    """SQL for the columns of an entry's line as texts; `COPY` writes them as they are hashed."""
    return ", ".join(TIME.format(f"{alias}.{name}") if name == "recorded_at" else f"{alias}.{name}" for name in ENTRY)


def posting_columns(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in POSTING)


def item_columns(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in ITEM)


def digest(entry: bytes, lines: Iterable[bytes]) -> bytes:
    """The digest of lines without their ends, as `COPY` writes them: the entry's, then those of its postings and items."""
    return hashlib.sha256(b"".join((SHAPE, entry, b"\n", *(line + b"\n" for line in lines)))).digest()


def link(previous: bytes, digest: bytes) -> bytes:
    """The hash of the next entry of a chain; before its first one there is nothing."""
    return hashlib.sha256(previous + digest).digest()


def anchor_columns(alias: str) -> str:
    """SQL for the columns of an anchor's line. Hashes are in hexadecimal; the first anchor has none before it."""
    previous = f"nullif(encode({alias}.previous, 'hex'), '')"
    return f"{alias}.id, {previous}, {TIME.format(f'{alias}.made_at')}, {alias}.heads"


def head_columns(alias: str) -> str:
    """SQL for the columns of a head's line below its anchor's, in the order of owner and lane."""
    return f"{alias}.owner_id, {alias}.lane, {alias}.seq, encode({alias}.hash, 'hex')"
