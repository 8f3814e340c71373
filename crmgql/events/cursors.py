"""Cursors: where somebody stands in the feed, as text that clients keep.

`evc_` and hexadecimal digits: epoch, position, the event's id. Of one length, and in the order of the feed when sorted as text;
clients treat it as opaque. A cursor is good if its position holds its event, in whatever epoch it was made: positions are given
one after the other, so histories that agree on one event agree on all before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

from crmgql.errors import CrmError

PREFIX = "evc_"
TEXT = re.compile(r"evc_([0-9a-f]{8})([0-9a-f]{16})([0-9a-f]{32})")
NO_EVENT = UUID(int=0)
LAST_POSITION = 2**63 - 1
SQL = "'evc_' || lpad(to_hex({p}.epoch), 8, '0') || lpad(to_hex({p}.position), 16, '0') || replace({p}.event_id::text, '-', '')"
"""The text of a row's cursor; `p` is the alias of `event_positions`."""


class CursorInvalid(CrmError):
    code = "CURSOR_INVALID"
    final = True


class CursorLost(CrmError):
    """A cursor that was one of ours and from which nobody can go on. `snapshot_cursor`: the newest one."""

    final = True

    def __init__(self, message: str, snapshot_cursor: str) -> None:
        super().__init__(message)
        self.snapshot_cursor = snapshot_cursor


class CursorExpired(CursorLost):
    code = "CURSOR_EXPIRED"


class CursorOfAnotherHistory(CursorLost):
    code = "CURSOR_OF_ANOTHER_HISTORY"


AGAIN = "fetch what you keep again, and go on from the snapshot cursor"


def expired(newest: str) -> CursorExpired:
    return CursorExpired(f"The events after this cursor are no longer kept: {AGAIN}.", newest)


def of_another_history(newest: str) -> CursorOfAnotherHistory:
    return CursorOfAnotherHistory(
        f"This cursor is not of this database's history, as after a restore: {AGAIN}.", newest
    )


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """Behind the event at `position`; position 0 is before the first one."""

    epoch: int
    position: int
    event_id: UUID

    def text(self) -> str:
        return f"{PREFIX}{self.epoch:08x}{self.position:016x}{self.event_id.hex}"


START = Cursor(0, 0, NO_EVENT)


def parse(text: str) -> Cursor:
    """Raises `CursorInvalid`."""
    found = TEXT.fullmatch(text)
    if found is None or int(found[2], 16) > LAST_POSITION:
        raise CursorInvalid("This is no cursor of the feed: use one that an event came with, or leave it out.")
    return Cursor(int(found[1], 16), int(found[2], 16), UUID(found[3]))
