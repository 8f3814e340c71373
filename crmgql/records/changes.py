"""What became of rows that were written many at once: `Written`, with a `Change` or a `Refusal` for each that matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from crmgql.events.outbox import Changes
from crmgql.records.records import Row


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was not written: its place among the rows, the columns at fault where they are known, and the reason."""

    place: int
    columns: tuple[str, ...]
    reason: str


@dataclass(slots=True)
class Change:
    """A record that was made or changed. `row` has what the statement returned; `changes` what differs, by column."""

    id: UUID
    new: bool
    row: Mapping[str, Any]
    changes: Changes

    @property
    def payload(self) -> Row:
        """What the event of any record says."""
        return {"version": self.row["version"]} if "version" in self.row else {}


@dataclass(slots=True)
class Written:
    """What became of the rows. Those that are neither changed nor refused were there already, just so."""

    changes: list[Change] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    @property
    def inserted(self) -> int:
        return sum(change.new for change in self.changes)

    @property
    def updated(self) -> int:
        return len(self.changes) - self.inserted


def touched(changes: Iterable[Change], column: str) -> list[UUID]:
    """The records that a reference means now or meant before, where it is new or differs, in one order."""
    return sorted({id for change in changes for id in change.changes.get(column, ()) if id is not None})
