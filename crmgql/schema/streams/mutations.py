"""Mutations of subscriptions: made and changed, and followed with a managed cursor."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
import strawberry

from crmgql.domain.streams import exports, pulls, subscriptions
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Done, Row, mutation
from crmgql.engine.registered import Registered
from crmgql.engine.scalars import Cursor, DateTimeText, JsonValue
from crmgql.engine.strawberries import Field, enum_type, lazy, list_of, object_type
from crmgql.models.names import api_id
from crmgql.records.records import Act

SeekTo = enum_type("SeekTo", ("START", "END"))

object_type(
    "PulledEvent",
    [
        Field("id", strawberry.ID, "The event's id: the same however often it is delivered."),
        Field("cursor", Cursor, "Commit it when this event and those before it are done."),
        Field("kind", str),
        Field("payload", JsonValue, "The subscription's document, read for this event."),
    ],
    "An event that a subscription delivers.",
)


@input
class ExportCreateInput:
    """`document` is a fragment `Record` on the type that is exported, such as `fragment Record on Order { id version number }`,
    `filter` a `where` of that type."""

    document: str
    filter: JsonValue | None = UNSET


mutations.table(
    "Export",
    Row(
        "exportCreate",
        "Exports all records of a type that you see, as JSON Lines of one moment; a job writes them.",
        exports.create,
        input=ExportCreateInput,
        registered=True,
    ),
)


@input
class SubscriptionPullInput:
    """`first` is 1 to 100, `leaseS` 1 to 3600 seconds (60 without one). A worker that pulls again sends its lease's `token`."""

    id: strawberry.ID
    first: int | None = UNSET
    lease_s: int | None = UNSET
    holder: str | None = UNSET
    token: str | None = UNSET


@input
class SubscriptionCommitInput:
    """The lease's token, and the cursor of the last event that is done, or the pull's own."""

    id: strawberry.ID
    token: str
    cursor: Cursor


@input
class SubscriptionSeekInput:
    """One of `cursor` and `to`."""

    id: strawberry.ID
    cursor: Cursor | None = UNSET
    to: SeekTo | None = UNSET  # type: ignore[valid-type]
    expected_version: int | None = UNSET


@input
class SubscriptionReleaseInput:
    """The lease's token."""

    id: strawberry.ID
    token: str


mutations.table(
    "EventSubscription",
    Row(
        "subscriptionCreate",
        "Makes a subscription to events, which begins after the cursor `after`, or now.",
        subscriptions.create,
        input=inputs.create(
            subscriptions.FACTS,
            "owner_id",
            also={"document": str, "after": Cursor | None},
            optional="owner_id",
            doc="`document` is a fragment `Payload` on `Event`. It reads with the rights of its owner: you, unless another is named.",
        ),
        registered=True,
    ),
    Row(
        "subscriptionUpdate",
        "Changes what the input names; the cursor stays where it is.",
        subscriptions.update,
        input=inputs.update(subscriptions.FACTS, also={"document": str | None}),
        registered=True,
    ),
    Row("subscriptionDelete", "Deletes a subscription for good; it can still be read.", subscriptions.delete),
    Row(
        "subscriptionCommit",
        "Moves the managed cursor forward: everything up to it is done and will not be delivered again.",
        pulls.commit,
        input=SubscriptionCommitInput,
    ),
    Row(
        "subscriptionSeek",
        "Sets the managed cursor, forward or back, and ends the lease of whoever pulls.",
        pulls.seek,
        input=SubscriptionSeekInput,
    ),
    Row(
        "subscriptionRelease",
        "Ends a lease before its time, so that another worker can pull.",
        pulls.release,
        input=SubscriptionReleaseInput,
    ),
)

PULLED: dict[str, Any] = {
    "events": list_of(lazy("PulledEvent")),
    "cursor": Cursor,
    "hasMore": bool,
    "token": str,
    "leaseUntil": DateTimeText,
}


@mutation("EventSubscription", SubscriptionPullInput, extras=PULLED, calls=pulls.pull, registered=True)
async def subscription_pull(act: Act, registered: Registered, *, id: UUID, **values: Any) -> Done:
    """Takes the lease and answers the events after the managed cursor; `cursor` is what to commit when all are done. Where
    `hasMore` is true there may be no events and yet more to come. Send no `idempotencyKey`: repeated, it answers no events."""
    pulled = await pulls.pull(act, registered, id=id, **values)
    events = [
        {
            "id": api_id("Event", each.event.event_id),
            "cursor": each.event.cursor.text(),
            "kind": each.event.kind,
            "payload": orjson.Fragment(each.payload),
        }
        for each in pulled.deliveries
    ]
    extras = {
        "events": events,
        "cursor": pulled.end.text(),
        "hasMore": pulled.more,
        "token": pulled.token,
        "leaseUntil": pulled.until,
    }
    return Done(id, extras)
