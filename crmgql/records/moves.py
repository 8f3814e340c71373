"""State machines: which verb takes a record from which statuses to which, the time that it sets, the event that it records.

MOVES = Moves(
    Ticket,
    hold=Move({"OPEN"}, "PENDING", "ticket.held"),
    close=Move({"RESOLVED"}, "CLOSED", "ticket.closed"),
    change=Move({"OPEN", "PENDING", "RESOLVED"}),
)
ticket, move = await MOVES.lock(act, verb, id, expected_version=expected_version)
await records.change(act, Ticket, ticket, move.changes(act.now), kind=move.event)
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tortoise.models import Model

from crmgql import access
from crmgql.errors import IllegalTransition
from crmgql.records import records
from crmgql.records.records import Act, Row


@dataclass(frozen=True, slots=True)
class Move:
    """From one of `sources` to `target`. `time`: the column that gets the time of the move.

    Without a target: a verb that needs one of these statuses and changes something else.
    """

    sources: Set[str]
    target: str = ""
    event: str = ""
    time: str | None = None

    def changes(self, now: datetime) -> Row:
        """The columns that the move sets."""
        return {"status": self.target} | ({} if self.time is None else {self.time: now})


class Moves:
    """A record type's moves by verb; where a status is set like any other value, by that status."""

    def __init__(self, model: type[Model], **moves: Move) -> None:
        self._model = model
        self._moves = moves

    def __getitem__(self, verb: str) -> Move:
        return self._moves[verb]

    def __iter__(self) -> Iterator[Move]:
        return iter(self._moves.values())

    @property
    def events(self) -> dict[str, str]:
        """The event of a move to each status; of several moves to one, the last."""
        return {move.target: move.event for move in self if move.target}

    async def lock(self, act: Act, verb: str, id: UUID, *, expected_version: int | None = None) -> tuple[Row, Move]:
        """The record, locked for the verb, and the move. Raises `Forbidden`, and as `records.lock` and `check` do."""
        access.require_write(act.viewer, self._model.__name__)
        row = await records.lock(act, self._model, id, expected_version=expected_version)
        return row, self.check(verb, row)

    def check(self, verb: str, row: Row, *, to: str = "", hint: str = "", field: str = "id") -> Move:
        """The move, if the record's status allows it. Raises `IllegalTransition`.

        `to`: what the verb does, in words, such as “become DORMANT”. `hint`: what can be done instead, as a sentence.
        """
        move = self._moves[verb]
        if row["status"] not in move.sources:
            *others, last = sorted(move.sources)
            needed = f"{', '.join(others)} or {last}" if others else last
            noun, purpose = records.noun(self._model), to or f"{verb} it"
            text = f"This {noun} is {row['status']}; to {purpose}, it must be {needed}. {hint}"
            raise IllegalTransition(text.strip(), field=field)
        return move
