"""The messages of one endpoint in memory: in lines, of which each has one message under way, and how far all are finished.

Pure. A message is finished when it was accepted or has a row of its own; the position moves up to the first that is not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from crmgql.domain.webhooks.messages import Message
from crmgql.events.cursors import Cursor

DRAINING = datetime.max.replace(tzinfo=UTC)
"""In place of a time: the line's first deliveries are in memory, and others may be behind them in the database."""


class Lines:
    """`cursor`: up to here all is finished. `read_to`: up to here the feed was read. `held`: lines with rows of open
    deliveries, and when the first of each is to be sent again."""

    def __init__(self, cursor: Cursor, held: dict[UUID, datetime]) -> None:
        self.cursor = cursor
        self.read_to = cursor
        self.held = held
        self.going: dict[UUID, Message] = {}
        self._waiting: dict[UUID, deque[Message]] = {}
        self._unfinished: dict[str, Message] = {}
        self._marks: deque[tuple[Cursor, str | None]] = deque()
        """Positions in their order, with the message that must be finished before it is passed; None: nothing."""

    def __len__(self) -> int:
        return len(self._unfinished)

    def add_page(self, messages: Iterable[Message], end: Cursor) -> list[Message]:
        """Takes up what the feed has up to a position. Returns those whose line is held: they need rows."""
        behind = []
        for message in messages:
            self._marks.append((message.cursor, message.id))
            self._unfinished[message.id] = message
            if message.line in self.held:
                behind.append(message)
            else:
                self._waiting.setdefault(message.line, deque()).append(message)
        self._marks.append((end, None))
        self.read_to = end
        self._advance()
        return behind

    def add_open(self, line: UUID, messages: list[Message]) -> None:
        """Takes up the first open deliveries of a held line. Without any it is held no longer."""
        if messages:
            self.held[line] = DRAINING
            self._waiting[line] = deque(messages)
        else:
            del self.held[line]

    def ready(self, most: int) -> list[Message]:
        """First messages of lines that have none under way, those first that have failed least; they are under way now."""
        free = [line for line in self._waiting if line not in self.going]
        free.sort(key=lambda line: self._waiting[line][0].attempts)
        for line in free[:most]:
            self.going[line] = self._waiting[line].popleft()
            if not self._waiting[line]:
                del self._waiting[line]
        return [self.going[line] for line in free[:most]]

    def has_ready(self) -> bool:
        return any(line not in self.going for line in self._waiting)

    def waits(self, line: UUID) -> bool:
        return line in self._waiting

    def finish(self, message: Message) -> None:
        self._unfinished.pop(message.id, None)
        self._advance()

    def hold(self, line: UUID, until: datetime) -> list[Message]:
        """Nothing more of the line until then. Returns what waited in it."""
        self.held[line] = until
        return list(self._waiting.pop(line, ()))

    def rewind(self, to: Cursor | None = None) -> None:
        """Forgets what is not finished; it is read again, from there or from the position on."""
        self._waiting.clear()
        self._unfinished.clear()
        self._marks.clear()
        self.cursor = self.read_to = to or self.cursor

    def overtaken(self) -> list[Message]:
        """What is not finished although something behind it is: with rows of their own, nothing is sent twice."""
        finished = [n for n, (_, id) in enumerate(self._marks) if id is not None and id not in self._unfinished]
        last = max(finished, default=-1)
        ids = [id for n, (_, id) in enumerate(self._marks) if n < last and id is not None]
        return [self._unfinished[id] for id in ids if id in self._unfinished]

    def is_unfinished(self, now: datetime) -> bool:
        """Whether some held line need not wait any longer."""
        return any(until is DRAINING or until <= now for until in self.held.values())

    def _advance(self) -> None:
        while self._marks and (self._marks[0][1] is None or self._marks[0][1] not in self._unfinished):
            self.cursor = self._marks.popleft()[0]
