"""Subscriptions to events: how a root field of `Subscription` is declared, and which events it is about.

    followed("customerChanged", "Events of a customer and of all around it.", record="Customer")
    followed("paymentReceived", "Payments as they are received.", kinds=("payment.received",))

All of them answer an `Event`, whose fields are planned as those of any record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import strawberry
from strawberry.directive import DirectiveLocation, DirectiveValue

from crmgql.engine import scalars
from crmgql.engine.documents import LIVE
from crmgql.engine.strawberries import REQUIRED, Argument, Field, lazy, object_type
from crmgql.errors import DeclarationError
from crmgql.events import triggers
from crmgql.events.kinds import KINDS
from crmgql.events.positions import Placed
from crmgql.events.triggers import Triggers
from crmgql.models.names import PREFIXES
from crmgql.planner.codecs import decode_id

AFTER = Argument(
    "after", scalars.Cursor, doc="The cursor to go on from, such as that of the last event; else from now on."
)
JOB_PROGRESS = "jobProgress"
"""The one field that answers no event: a job, whenever it got further."""
STREAM = "stream"
"""The field of named subscriptions, which answers what their documents say."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a subscriber follows, as far as it is decided without a statement."""

    triggers: Triggers
    customer_id: UUID | None = None
    subject_id: UUID | None = None

    def match(self, event: Placed) -> bool:
        return (
            (self.customer_id is None or event.customer_id == self.customer_id)
            and (self.subject_id is None or event.subject_id == self.subject_id)
            and self.triggers.match(event.kind, event.changed)
        )


@dataclass(frozen=True, slots=True)
class Followed:
    """A root field. `kinds`: the only ones it is about; `record`: the type of its `id`, which is that of the events' subject,
    and a customer's that of their customer."""

    name: str
    doc: str
    kinds: tuple[str, ...] = ()
    record: str | None = None

    def wanted(self, given: Mapping[str, Any]) -> Wanted:
        """What a subscriber wants by the arguments. Raises `BadUserInput`."""
        kinds, fields = list(given.get("kinds") or self.kinds), list(given.get("fields") or ())
        triggers.check(kinds, fields)
        wanted = triggers.of(kinds, fields)
        if self.record is None:
            return Wanted(wanted)
        id = decode_id(given["id"], prefix=PREFIXES[self.record])
        return Wanted(wanted, customer_id=id) if self.record == "Customer" else Wanted(wanted, subject_id=id)

    def field(self) -> Field:
        arguments: list[Argument] = []
        if self.record is not None:
            arguments.append(Argument("id", strawberry.ID, REQUIRED))
        arguments.append(AFTER)
        if self.name == "events":
            arguments += [
                Argument("kinds", list[str], doc="Such as order.confirmed, or order.* for all of a noun's; else all."),
                Argument("fields", list[str], doc="Only events that changed one of these, or no field at all."),
                Argument("where", lazy("EventWhere")),
            ]
        return Field(self.name, lazy("Event"), self.doc, tuple(arguments))


@strawberry.directive(
    locations=[DirectiveLocation.QUERY],
    name=LIVE,
    description="Over a stream the query is answered again when something in its answer changed, at most twice a second.",
)
def live(value: DirectiveValue[Any]) -> Any:
    """Strawberry wants something to call; no field has this directive."""
    return value


FOLLOWED: dict[str, Followed] = {}


def followed(name: str, doc: str, *, kinds: tuple[str, ...] = (), record: str | None = None) -> None:
    """Declares a root field. Raises `DeclarationError` for a kind that there is not."""
    if unknown := set(kinds) - KINDS.keys():
        raise DeclarationError(f"{name} follows {', '.join(sorted(unknown))}, which no kind declares.")
    FOLLOWED[name] = Followed(name, doc, kinds, record)


def build() -> Any:
    """The type `Subscription`."""
    fields = [each.field() for each in FOLLOWED.values()]
    by_id = (Argument("id", strawberry.ID, REQUIRED),)
    by_name = Argument("id", strawberry.ID, REQUIRED, doc="The subscription's id, or the name of one of your own.")
    progress = "A job, and again whenever it got further, at most twice a second, until it is finished."
    fields.append(Field(JOB_PROGRESS, lazy("Job"), progress, by_id))
    stream = "What a named subscription of yours delivers: its document, read for each event."
    after = Argument("after", scalars.Cursor, doc="The cursor to go on from; else the managed one.")
    fields.append(Field(STREAM, scalars.JsonValue, stream, (by_name, after)))
    return object_type("Subscription", fields, "What can be followed, over a WebSocket or as server-sent events.")
