"""Writes one batch inside the caller's transaction: COPY to the stage, upsert, and the totals of orders touched.

When the database refuses the batch, halves of it are tried until the bad rows stand alone: these are given back with
the reason, all others are written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from crmgql.imports import statements
from crmgql.imports.bindings import Plan, Record
from crmgql.imports.reader import Row

# What a row itself is to blame for; anything else (a lost connection, a full disk) ends the import.
_ROW_ERRORS = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, asyncpg.RaiseError)


@dataclass(frozen=True)
class Entry:
    row: Row
    record: Record


@dataclass
class Written:
    inserted: int = 0
    updated: int = 0
    failures: list[tuple[Row, str, str]] = field(default_factory=list)


class Writer:
    """Writes the batches of one step."""

    def __init__(self, connection: Any, plan: Plan, source: str, now: datetime) -> None:
        self._connection = connection
        self._plan = plan
        self._source = source
        self._now = now
        self._upsert = statements.upsert(plan)

    async def open(self) -> None:
        await self._connection.execute(statements.DROP_STAGE)
        await self._connection.execute(statements.create_stage(self._plan))

    async def write(self, entries: list[Entry]) -> Written:
        written = Written()
        if not entries:
            return written
        await self._connection.execute(statements.EMPTY_STAGE)
        await self._connection.copy_records_to_table(
            statements.STAGE,
            records=[(n, *entry.record) for n, entry in enumerate(entries)],
            columns=statements.columns(self._plan),
        )
        await self._apply(entries, 0, len(entries) - 1, written)
        return written

    async def _apply(self, entries: list[Entry], first: int, last: int, written: Written) -> None:
        try:
            async with self._connection.transaction():
                # A constraint that waits for the commit would strike when no row can be blamed any more.
                await self._connection.execute("SET CONSTRAINTS ALL DEFERRED")
                row = await self._connection.fetchrow(self._upsert, self._source, self._now, first, last)
                if row["orders"]:
                    await self._connection.execute(statements.ORDER_TOTALS, row["orders"], self._now)
                await self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            written.inserted += row["inserted"]
            written.updated += row["updated"]
        except _ROW_ERRORS as error:
            if first == last:
                written.failures.append((entries[first].row, *self._explain(error)))
                return
            middle = (first + last) // 2
            await self._apply(entries, first, middle, written)
            await self._apply(entries, middle + 1, last, written)

    def _explain(self, error: Any) -> tuple[str, str]:
        """The file's columns at fault, as far as they are known, and the reason."""
        name, detail = str(error.constraint_name or ""), str(error.detail or "")
        rule = self._plan.noun.rules.get(name, "")
        if isinstance(error, asyncpg.CheckViolationError) and rule:
            return self._labels(rule), f"breaks the rule {name}: {rule}"
        if isinstance(error, asyncpg.UniqueViolationError | asyncpg.ForeignKeyViolationError):
            key = re.match(r"Key \((.*?)\)=", detail)
            return self._labels(key[1] if key else ""), f"breaks the rule {name}: {detail}"
        return "", f"refused by the database: {error}"

    def _labels(self, text: str) -> str:
        words = set(re.findall(r"\w+", text))
        pairs = zip(self._plan.fields, self._plan.labels, strict=False)
        return ", ".join(dict.fromkeys(label for field, label in pairs if field.column in words))
