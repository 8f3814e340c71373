"""What a subscription delivers of an event: its document, read with the rights that its owner has at this moment.

    payloads = await payloads.of(act, registered, subscription)
    told = await payloads.read(events)

Always holds: nobody reads further than the owner of the subscription may, nor further than the scopes of the API key that made
it, nor than those of the key that asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from uuid import UUID

from crmgql import access
from crmgql.access.sights import ENTERED, LEFT, SEEN
from crmgql.domain.streams import sightings
from crmgql.domain.streams.sightings import Sighting
from crmgql.errors import Forbidden
from crmgql.events.positions import Placed
from crmgql.models.streams import ReadAs
from crmgql.records.records import Act, Row
from crmgql.viewer import Viewer, Who

MOST = 100
"""Events at once."""

OWNER = """
SELECT u.active, u.roles, d.text FROM users u, documents d WHERE u.id = $1 AND d.hash = $2"""


class Registered(Protocol):
    """What the engine does with a registered document."""

    async def check(self, text: str, where: dict[str, Any] | None, read_as: ReadAs, viewer: Viewer) -> None:
        """Raises `BadUserInput` for a document or a filter that can't be used, and what planning it for the viewer raises."""

    async def read(
        self, act: Act, text: str, where: dict[str, Any] | None, viewer: Viewer, ids: Sequence[UUID], sight: str
    ) -> dict[UUID, str]:
        """The JSON of each of these events that the viewer sees and the filter lets through, in one statement. `sight`: what
        they did to the sight of their subjects."""

    async def left(
        self, text: str, where: dict[str, Any] | None, viewer: Viewer, events: Sequence[Placed]
    ) -> dict[UUID, str]:
        """The JSON of events whose subjects left the viewer's sight; of none, if a filter might have held them back."""


@dataclass(frozen=True, slots=True)
class Payloads:
    """The payloads of one subscription, for `viewer`: its owner."""

    act: Act
    registered: Registered
    text: str
    where: dict[str, Any] | None
    viewer: Viewer

    async def read(self, events: Sequence[Placed], sights: Mapping[UUID, str] | None = None) -> list[Sighting]:
        """The events with their payloads, without those that the owner may not see or the filter holds back. At most `MOST`.

        `sights`: what the events did to the sight of whoever gets the payloads, where that is somebody else.
        """
        assert len(events) <= MOST, "read them in pages"
        if not events:
            return []
        ids = [event.event_id for event in events]
        found = await sightings.read(self.act.tx.connection, self.viewer, ids)
        if sights is not None:
            found = [
                replace(each, sight=sight)
                for each in found
                if (sight := sightings.both(each.sight, sights[each.event.event_id])) is not None
            ]
        texts = await self._texts(found)
        return [replace(each, payload=texts[each.event.event_id]) for each in found if each.event.event_id in texts]

    async def _texts(self, found: Sequence[Sighting]) -> dict[UUID, str]:
        """JSON texts by event."""
        asked, texts = (self.text, self.where, self.viewer), dict[UUID, str]()
        for sight in (SEEN, ENTERED):
            if ids := [each.event.event_id for each in found if each.sight == sight]:
                texts |= await self.registered.read(self.act, *asked, ids, sight)
        if left := [each.event for each in found if each.sight == LEFT]:
            texts |= await self.registered.left(*asked, left)
        return texts


async def of(act: Act, registered: Registered, row: Row) -> Payloads:
    """The payloads of a subscription. Raises `Forbidden` when its owner may read events no more."""
    owner = await act.tx.connection.fetchrow(OWNER, row["owner_id"], row["document_hash"])
    if not owner["active"]:
        raise Forbidden("The owner of this subscription is not active any more, and it reads with the owner's rights.")
    viewer = reader(act, row["owner_id"], owner["roles"], scopes_of(row))
    return Payloads(act, registered, owner["text"], row["filter"], viewer)


def scopes_of(row: Row) -> frozenset[str] | None:
    """Those of the API keys that made and changed a subscription; None: persons did."""
    return None if row["scopes"] is None else frozenset(row["scopes"])


def reader(act: Act, owner_id: UUID, roles: Sequence[str], scopes: frozenset[str] | None) -> Viewer:
    """Who reads for an owner: within the scopes of the subscription and of whoever asks. Raises `Forbidden`."""
    who = Who(frozenset(roles), access.narrowed(scopes, act.viewer.who.scopes))
    if not access.may(who, "event.read"):
        raise Forbidden("The owner of this subscription may not read events; it reads with the owner's rights.")
    access.require_read(who, "Event")
    return Viewer(owner_id, who, clock=act.viewer.clock)
