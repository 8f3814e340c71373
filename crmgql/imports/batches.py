"""Writes one batch by the verb of its noun, and reports refused rows by the columns of the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crmgql.db import WITHOUT_DAYS, Transaction
from crmgql.imports.bindings import Plan, Record
from crmgql.imports.reader import Row
from crmgql.records.changes import Refusal
from crmgql.records.records import Act
from crmgql.viewer import system

Failure = tuple[Row, str, str]
"""A row, the file's columns at fault, and the reason."""


@dataclass(frozen=True)
class Entry:
    row: Row
    record: Record


@dataclass
class Written:
    inserted: int = 0
    updated: int = 0
    failures: list[Failure] = field(default_factory=list)


def check(plan: Plan, entries: Sequence[Entry]) -> tuple[list[Entry], list[Failure]]:
    """The entries whose values fit their columns, and the others. Without the database."""
    refused = plan.noun.writer.check(plan.columns, [entry.record for entry in entries])
    bad = {refusal.place for refusal in refused}
    return [entry for n, entry in enumerate(entries) if n not in bad], _failures(plan, entries, refused)


async def write(
    connection: Any, plan: Plan, entries: Sequence[Entry], *, source: str, history: bool, now: datetime
) -> Written:
    """Writes entries whose values were checked, inside the caller's transaction."""
    act = Act(Transaction(connection, WITHOUT_DAYS), system(lambda: now))
    records = [entry.record for entry in entries]
    written = await plan.noun.writer.write_many(
        act, plan.columns, records, source=source, mapped=plan.mapped, history=history, checked=True
    )
    return Written(written.inserted, written.updated, _failures(plan, entries, written.refused))


def _failures(plan: Plan, entries: Sequence[Entry], refused: Sequence[Refusal]) -> list[Failure]:
    return [(entries[refusal.place].row, _labels(plan, refusal), refusal.reason) for refusal in refused]


def _labels(plan: Plan, refusal: Refusal) -> str:
    """The file's columns at fault, as far as they are known."""
    labels = {"external_id": plan.key_label}
    labels |= {field.column: label for field, label in zip(plan.fields, plan.labels, strict=False)}
    return ", ".join(dict.fromkeys(labels[name] for name in labels if name in refusal.columns))
