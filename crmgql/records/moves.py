"""State machines: which verb takes a record from which statuses to which, the time it sets, the event it is.

MOVES = Moves(
    "ticket",
    hold=Move({"OPEN"}, "PENDING", "ticket.held"),
    close=Move({"RESOLVED"}, "CLOSED", "ticket.closed"),
)
move = MOVES.check(verb, ticket)
await records.change(act, Ticket, ticket, move.changes(act.now), kind=move.event)
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime

from crmgql.errors import IllegalTransition
from crmgql.records.records import Row

REFUSAL = "This {noun} is {status}; to {verb} it, it must be {sources}."


@dataclass(frozen=True, slots=True)
class Move:
    """From one of `sources` to `target`. `time`: the column that gets the time of the move."""

    sources: Set[str]
    target: str
    event: str
    time: str | None = None

    def changes(self, now: datetime) -> Row:
        """The columns that the move sets."""
        return {"status": self.target} | ({} if self.time is None else {self.time: now})


class Moves:
    """A noun's moves by verb. `refusal` says why one can't be made: of noun, status, verb, sources (joined by `joined`)."""

    def __init__(self, noun: str, *, refusal: str = REFUSAL, joined: str = " or ", **moves: Move) -> None:
        self.noun = noun
        self.moves = moves
        self._refusal = refusal
        self._joined = joined

    @property
    def events(self) -> dict[str, str]:
        """The event of coming to each status."""
        return {move.target: move.event for move in self.moves.values()}

    def check(self, verb: str, row: Row) -> Move:
        """The move, if the record's status allows it. Raises `IllegalTransition`."""
        move = self.moves[verb]
        if row["status"] not in move.sources:
            sources = self._joined.join(sorted(move.sources))
            raise IllegalTransition(
                self._refusal.format(noun=self.noun, status=row["status"], verb=verb, sources=sources), field="id"
            )
        return move
