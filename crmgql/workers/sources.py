"""What there is to send to one endpoint: the endpoint as it is now, pages of the feed, deliveries that are open.

Enters: the lease on an endpoint. Leaves: messages, as its owner may see them at this moment. Raises `Ended` when nothing is to
be sent to it any more, or when it was changed, and `LeaseLost`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID

from crmgql.db import Database
from crmgql.domain.streams import sightings
from crmgql.domain.streams.payloads import Registered
from crmgql.domain.streams.sightings import Sighting
from crmgql.domain.webhooks import dispatching, messages
from crmgql.domain.webhooks.messages import Message
from crmgql.errors import DATABASES_OWN, CrmError
from crmgql.events import triggers
from crmgql.events.cursors import Cursor, CursorLost
from crmgql.events.feed import Feed
from crmgql.outbound.client import Client
from crmgql.records.records import Act
from crmgql.viewer import Clock, Viewer

FRESH_S = 1.0
"""So old may be what is known of an endpoint when something is sent: its URL, its secret, its owner's roles."""

PAGE, PAGE_OF_KINDS = 200, 2000
"""Positions in a page, where all kinds count and where some do."""


class Ended(Exception):
    """Nothing more is to be sent for now. `reason`: why the endpoint is to be disabled."""

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Shared:
    """What those who send share in a process. `connect` makes a client for one endpoint, `holder` names the process in leases, `verdicts` counts what requests came to,
    `registered` gives what reads the documents of subscriptions."""

    database: Database
    connect: Callable[[], Client]
    feed: Feed
    holder: UUID
    clock: Clock
    registered: Callable[[], Awaitable[Registered]]
    verdicts: Counter[str] = field(default_factory=Counter)


class Source:
    """Of one endpoint; `open` it first."""

    endpoint: Any

    def __init__(self, shared: Shared, id: UUID) -> None:
        self.shared = shared
        self.id = id
        self._looked = float("-inf")
        self._version: int | None = None

    async def open(self) -> dict[UUID, datetime]:
        """Reads the endpoint. Returns its lines with open deliveries, and when the first of each is due."""
        now, self._looked = self.shared.clock(), monotonic()
        async with self.shared.database.connection() as connection:
            self.endpoint = await dispatching.look(connection, self.id, self.shared.holder, now=now)
            return await dispatching.held(connection, self.id, now=now)

    async def freshen(self) -> None:
        """Reads the endpoint again, if that was not done a moment ago."""
        if monotonic() - self._looked > FRESH_S:
            async with self.shared.database.connection() as connection:
                now = self.shared.clock()
                self.endpoint = await dispatching.look(connection, self.id, self.shared.holder, now=now)
            self._looked = monotonic()
        self._version = self._version or self.endpoint["version"]
        if self.endpoint["status"] != "ACTIVE" or self.endpoint["version"] != self._version:
            raise Ended  # what was changed counts for the next courier, from its start
        if (reason := dispatching.ended(self.endpoint)) is not None:
            raise Ended(reason)

    async def page(self, after: Cursor) -> tuple[list[Message], Cursor] | None:
        """The next messages, and up to where the feed was looked through for them; None at its end."""
        feed = self.shared.feed
        if feed.tail is not None and (feed.tail.position, feed.tail.event_id) == (after.position, after.event_id):
            return None
        wanted = triggers.of(self.endpoint["wanted_kinds"], self.endpoint["wanted_fields"])
        kinds = wanted.kinds()
        try:
            page = await feed.page(after, kinds=kinds, width=PAGE if kinds is None else PAGE_OF_KINDS)
        except CursorLost as error:
            raise Ended(error.message) from None
        if page.end.position == after.position:
            return None
        ids = [event.event_id for event in page.events if wanted.match(event.kind, event.changed)]
        return await self._read(ids), page.end

    async def open_deliveries(self, line: UUID, *, limit: int) -> list[Message]:
        """The first ones of a line that can be sent; those before them that can't be are given up."""
        while True:
            async with self.shared.database.connection() as connection:
                rows = await dispatching.in_line(connection, self.id, line, limit=limit)
            by_id = {row["message_id"]: row for row in rows}
            found = await self._read([messages.event_id(id) for id in by_id])
            for message in found:
                row = by_id.pop(message.id)
                message.line, message.attempts, message.since = line, row["attempts"], row["created_at"]
                message.is_open = True
            if by_id:  # the owner may not see them any more, or they are not kept
                async with self.shared.database.connection() as connection:
                    await dispatching.give_up(connection, self.id, list(by_id), now=self.shared.clock())
            if found or not rows:
                return found

    async def _read(self, ids: Sequence[UUID]) -> list[Message]:
        """Events that the owner may not see, or that are not kept any more, are left out."""
        if not ids:
            return []
        await self.freshen()
        viewer = dispatching.viewer(self.endpoint, self.shared.clock)
        async with self.shared.database.following() as connection:
            found = await sightings.read(connection, viewer, ids)
        if self.endpoint["subscription_id"] is not None:
            found = await self._subscribed(found, viewer)
        return [messages.message(each, self.endpoint) for each in found]

    async def _subscribed(self, found: Sequence[Sighting], viewer: Viewer) -> list[Sighting]:
        registered = await self.shared.registered()
        try:
            async with self.shared.database.transaction() as tx:
                return await messages.subscribed(Act(tx, viewer), registered, self.endpoint["subscription_id"], found)
        except DATABASES_OWN:
            raise
        except CrmError as error:
            raise Ended(f"Its subscription can't be read: {error.message}") from None
