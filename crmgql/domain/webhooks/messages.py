"""What an endpoint gets of an event: read under its owner's rules, in the form of its API version.

Enters: ids of events. Leaves: `Message`s, by one statement for any number; events that the owner may not see, or that are
not kept any more, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from crmgql import access
from crmgql.db import Connection
from crmgql.domain.streams import payloads
from crmgql.domain.streams.payloads import Registered
from crmgql.events.cursors import Cursor
from crmgql.models import EventSubscription
from crmgql.models.names import PREFIXES, api_id
from crmgql.records import records
from crmgql.records.records import Act
from crmgql.viewer import Viewer

READ = """
SELECT e.id, e.kind, e.kind_version, e.subject_type, e.subject_id, e.customer_id, e.actor_id, e.changed, e.occurred_at,
    e.payload::text AS payload, p.position, p.epoch, p.is_last
FROM ({events}) e JOIN event_positions p ON p.event_id = e.id WHERE e.id = ANY ({ids}) ORDER BY p.position"""


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


async def read(
    connection: Connection, viewer: Viewer, endpoint: Any, ids: Iterable[UUID], texts: Mapping[UUID, str] | None = None
) -> list[Message]:
    """The messages of these events, in the order of the feed. `texts`: of those that a subscription lets through, their JSON."""
    events = {"events": access.visible("Event", viewer.who)}
    sql, values = access.statement(READ, viewer, selects=events, ids=list(ids))
    rows = await connection.fetch(sql, *values)
    return [_message(row, endpoint, texts) for row in rows if texts is None or row["id"] in texts]


def _message(row: Any, endpoint: Any, texts: Mapping[UUID, str] | None) -> Message:
    payload = row["payload"] if texts is None else texts[row["id"]]
    text = body(row, payload, is_whole=endpoint["payload"] == "WHOLE")
    return Message(api_id("Event", row["id"]), _cursor(row), row["kind"], line(row, endpoint), text)


def line(event: Any, endpoint: Any) -> UUID:
    """What the event's order is kept among: the endpoint, the customer if it has one, or the record."""
    if endpoint["order_by"] == "ENDPOINT":
        return endpoint["id"]  # type: ignore[no-any-return]
    if endpoint["order_by"] == "CUSTOMER" and event["customer_id"] is not None:
        return event["customer_id"]  # type: ignore[no-any-return]
    return event["subject_id"]  # type: ignore[no-any-return]


def body(event: Any, payload: str, *, is_whole: bool) -> str:
    """The request's body, as JSON, in the form 2026-11. `payload` is JSON."""
    ids = {
        "subject": {"type": event["subject_type"], "id": _id(event["subject_type"], event["subject_id"])},
        "customerId": _id("Customer", event["customer_id"]),
        "actorId": _id("User", event["actor_id"]),
    }
    whole = {"changed": list(event["changed"]), **ids, "payload": orjson.Fragment(payload)}
    message = {
        "id": api_id("Event", event["id"]),
        "type": event["kind"],
        "version": event["kind_version"],
        "timestamp": event["occurred_at"].astimezone(UTC),
        "cursor": _cursor(event).text(),
        "isLast": event["is_last"],
        "data": whole if is_whole else ids,
    }
    return orjson.dumps(message).decode()


def _cursor(event: Any) -> Cursor:
    return Cursor(event["epoch"], event["position"], event["id"])


def _id(record: str, id: UUID | None) -> str | None:
    """As the API has it; of what is no record of the API, the bare id."""
    if id is None:
        return None
    return api_id(record, id) if record in PREFIXES else str(id)


def event_id(message_id: str) -> UUID:
    return UUID(hex=message_id.partition("_")[2])


async def subscribed(act: Act, registered: Registered, subscription_id: UUID, ids: Sequence[UUID]) -> dict[UUID, str]:
    """What a subscription delivers of these events. Raises what is wrong with it, or with its owner's rights."""
    row = await records.shown(act, EventSubscription, subscription_id, field="subscriptionId")
    reader = await payloads.of(act, registered, row)
    texts: dict[UUID, str] = {}
    for start in range(0, len(ids), payloads.MOST):
        texts |= await reader.read(ids[start : start + payloads.MOST])
    return texts
