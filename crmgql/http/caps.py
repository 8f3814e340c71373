"""How many streams and subscriptions this process holds open: in all, for each user, and for each address of strangers.

A WebSocket or an event stream has one `Place` from its arrival to its end. Always holds: what a place took, `close` gives back.
"""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from crmgql.config import Settings
from crmgql.domain.people import clients
from crmgql.errors import Throttled

RETRY_S = 5


class Caps:
    """The counts of one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.streams = 0
        self.subscriptions = 0
        self.strangers: Counter[str] = Counter()
        self.streams_of: Counter[UUID] = Counter()
        self.subscriptions_of: Counter[UUID] = Counter()

    def place(self, remote: str | None) -> Place:
        """A place for a stranger's stream. Raises `Throttled`."""
        most = self.settings.max_streams
        if self.streams >= most:
            raise Throttled(f"{most} streams are open here already.", retry_after_s=RETRY_S)
        place = Place(self, clients.address(remote) or clients.UNKNOWN)
        most = self.settings.max_strangers_per_address
        if self.strangers[place.address] >= most:
            raise Throttled(f"{most} connections of your address wait to show a token.", retry_after_s=RETRY_S)
        self.streams += 1
        self.strangers[place.address] += 1
        return place


class Place:
    """What one stream takes. `user_id` is None as long as it is a stranger's."""

    __slots__ = ("_closed", "address", "caps", "subscriptions", "user_id")

    def __init__(self, caps: Caps, address: str) -> None:
        self.caps = caps
        self.address = address
        self.user_id: UUID | None = None
        self.subscriptions = 0
        self._closed = False

    def admit(self, user_id: UUID) -> None:
        """It is this user's from now on. Raises `Throttled`."""
        most = self.caps.settings.max_streams_per_viewer
        if self.caps.streams_of[user_id] >= most:
            raise Throttled(f"You have {most} streams open already: close one.", retry_after_s=RETRY_S)
        self._leave_strangers()
        self.user_id = user_id
        self.caps.streams_of[user_id] += 1

    def subscribe(self) -> None:
        """One more subscription. Raises `Throttled`."""
        caps, user_id = self.caps, self.user_id
        assert user_id is not None
        most = caps.settings.max_subscriptions_per_viewer
        if caps.subscriptions_of[user_id] >= most:
            raise Throttled(f"You have {most} subscriptions already: complete one.", retry_after_s=RETRY_S)
        self.subscriptions += 1
        caps.subscriptions += 1
        caps.subscriptions_of[user_id] += 1

    def unsubscribe(self, number: int = 1) -> None:
        """Nothing, once the place is closed: then all have been."""
        caps, user_id = self.caps, self.user_id
        if self._closed or user_id is None:
            return
        self.subscriptions -= number
        caps.subscriptions -= number
        _lower(caps.subscriptions_of, user_id, number)

    def close(self) -> None:
        if self._closed:
            return
        self.caps.streams -= 1
        if self.user_id is None:
            self._leave_strangers()
        else:
            self.unsubscribe(self.subscriptions)
            _lower(self.caps.streams_of, self.user_id)
        self._closed = True

    def _leave_strangers(self) -> None:
        _lower(self.caps.strangers, self.address)


def _lower(counts: Counter[UUID] | Counter[str], key: UUID | str, number: int = 1) -> None:
    """No entry is left for who has nothing."""
    named: Counter[UUID | str] = counts  # type: ignore[assignment]
    named[key] -= number
    if not named[key]:
        del named[key]
