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


@dataclass(frozen=True)
class Entry:
    row: Row
    record: Record


@dataclass
class Written:
    inserted: int = 0
    updated: int = 0
    failures: list[tuple[Row, str, str]] = field(default_factory=list)


async def write(
    connection: Any, plan: Plan, entries: Sequence[Entry], *, source: str, history: bool, now: datetime
) -> Written:
    """Inside the caller's transaction."""
    act = Act(Transaction(connection, WITHOUT_DAYS), system(lambda: now))
    records = [entry.record for entry in entries]
    written = await plan.noun.writer.write_many(
        act, plan.columns, records, source=source, mapped=plan.mapped, history=history
    )
    failures = [(entries[refusal.place].row, _labels(plan, refusal), refusal.reason) for refusal in written.refused]
    return Written(written.inserted, written.updated, failures)


def _labels(plan: Plan, refusal: Refusal) -> str:
    """The file's columns at fault, as far as they are known."""
    labels = {"external_id": plan.key_label}
    labels |= {field.column: label for field, label in zip(plan.fields, plan.labels, strict=False)}
    return ", ".join(dict.fromkeys(labels[name] for name in labels if name in refusal.columns))
