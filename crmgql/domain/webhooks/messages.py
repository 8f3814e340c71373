"""What an endpoint gets of an event, in the form of its API version.

Enters: events as its owner sees them (`streams.sightings`). Leaves: `Message`s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from crmgql.access.sights import LEFT
from crmgql.domain.streams import payloads
from crmgql.domain.streams.payloads import Registered
from crmgql.domain.streams.sightings import Sighting
from crmgql.events.cursors import Cursor
from crmgql.events.positions import Placed
from crmgql.models import EventSubscription
from crmgql.models.names import PREFIXES, api_id
from crmgql.records import records
from crmgql.records.records import Act


@dataclass(slots=True)
class Message:
    """One event for one endpoint. `id` is the header `webhook-id`; `line`: which others it waits for. `attempts`: so often
    it failed, since `since`; `is_open`: it has the row of an open delivery."""

    id: str
    cursor: Cursor
    kind: str
    line: UUID
    body: str
    attempts: int = 0
    since: datetime | None = None
    is_open: bool = False


def message(sighting: Sighting, endpoint: Any) -> Message:
    event = sighting.event
    text = body(sighting, is_whole=endpoint["payload"] == "WHOLE")
    return Message(api_id("Event", event.event_id), event.cursor, event.kind, line(event, endpoint), text)


def line(event: Placed, endpoint: Any) -> UUID:
    """What the event's order is kept among: the endpoint, the customer if it has one, or the record."""
    if endpoint["order_by"] == "ENDPOINT":
        return endpoint["id"]  # type: ignore[no-any-return]
    if endpoint["order_by"] == "CUSTOMER" and event.customer_id is not None:
        return event.customer_id
    return event.subject_id


def body(sighting: Sighting, *, is_whole: bool) -> str:
    """The request's body, as JSON, in the form 2026-11. Of what left the owner's sight it has nothing that is hidden now."""
    event, is_hidden = sighting.event, sighting.sight == LEFT
    ids = {
        "sight": sighting.sight,
        "subject": {"type": event.subject_type, "id": _id(event.subject_type, event.subject_id)},
        "customerId": None if is_hidden else _id("Customer", event.customer_id),
        "actorId": None if is_hidden else _id("User", event.actor_id),
    }
    changed = [] if is_hidden else list(event.changed)
    whole = {"changed": changed, **ids, "payload": orjson.Fragment(sighting.payload)}
    message = {
        "id": api_id("Event", event.event_id),
        "type": event.kind,
        "version": event.kind_version,
        "timestamp": event.occurred_at.astimezone(UTC),
        "cursor": event.cursor.text(),
        "isLast": event.is_last,
        "data": whole if is_whole else ids,
    }
    return orjson.dumps(message).decode()


def _id(record: str, id: UUID | None) -> str | None:
    """As the API has it; of what is no record of the API, the bare id."""
    if id is None:
        return None
    return api_id(record, id) if record in PREFIXES else str(id)


def event_id(message_id: str) -> UUID:
    return UUID(hex=message_id.partition("_")[2])


async def subscribed(
    act: Act, registered: Registered, subscription_id: UUID, found: Sequence[Sighting]
) -> list[Sighting]:
    """What a subscription delivers of what the endpoint's owner sees. Raises what is wrong with it, or with its owner's rights."""
    row = await records.shown(act, EventSubscription, subscription_id, field="subscriptionId")
    reader = await payloads.of(act, registered, row)
    events, sights = [each.event for each in found], {each.event.event_id: each.sight for each in found}
    told: list[Sighting] = []
    for start in range(0, len(events), payloads.MOST):
        told += await reader.read(events[start : start + payloads.MOST], sights)
    return told
