"""Named subscriptions over any transport: `subscription { stream(id: "sub_…") }`.

Enters: the id of a subscription, or the name of one's own, and who asks for it. Leaves: all that it takes to follow its document as if its owner had sent it.
Always holds: who asks may follow it, and it is read with its owner's rights; both are looked at again while it runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from uuid import UUID

from graphql.execution.values import VariableValues

from crmgql.db import WITHOUT_DAYS, Database, Transaction
from crmgql.domain.streams import payloads, subscriptions
from crmgql.engine.documents import Operation
from crmgql.engine.followed import Wanted
from crmgql.engine.registered import Registered
from crmgql.errors import CrmError, NotFound
from crmgql.models import EventSubscription
from crmgql.models.names import PREFIXES
from crmgql.models.streams import ReadAs
from crmgql.planner.codecs import decode_id, is_id, text_value
from crmgql.records import records
from crmgql.records.records import Act, Row
from crmgql.viewer import Viewer, Who

BY_NAME = "SELECT id FROM event_subscriptions WHERE owner_id = $1 AND name = $2 AND deleted_at IS NULL"
REMEMBERED_S = 2.0
"""So long the rights of an owner are taken for what they were: they are asked for with each batch of events."""

MEANT_AS_IDS = tuple(f"{prefix}_" for prefix in PREFIXES.values())
DEFINITION = ("document_hash", "kinds", "fields", "filter", "read_as")
"""The columns that decide what is delivered."""


class SubscriptionChanged(CrmError):
    """It delivers something else now than when the stream was opened."""

    code = "SUBSCRIPTION_CHANGED"


@dataclass(frozen=True, slots=True)
class Named:
    """`viewer` is the owner as of now, `who` asks for them anew; `cursor` is the managed one. `definition`: the values of all that
    decides what is delivered."""

    id: UUID
    operation: Operation
    variables: VariableValues
    who: Callable[[], Awaitable[Viewer]]
    viewer: Viewer
    wanted: Wanted
    cursor: str
    read_as: ReadAs
    definition: list[Any]


@dataclass(frozen=True, slots=True)
class NamedSubscriptions:
    """Finds them for those who follow."""

    database: Database
    registered: Registered

    async def find(self, id: str, key: str, viewer: Viewer, who: Callable[[], Awaitable[Viewer]]) -> Named:
        """The subscription of this id or name, with its answers under the key. Raises `BadUserInput`, `NotFound`, `Forbidden`,
        `IllegalTransition`."""
        uuid = await self._id(id, viewer)
        row, found = await self.look(uuid, viewer)
        operation = await self.registered.operation(found.text, viewer, key)
        variables = self.registered.variables(operation, found.where)
        definition = _definition(row)
        owner = _Owner(self, uuid, definition, who)
        owner.remember(found.viewer, viewer)
        return Named(
            uuid,
            operation,
            variables,
            owner.now,
            found.viewer,
            Wanted(subscriptions.triggers_of(row)),
            row["cursor"],
            ReadAs(row["read_as"]),
            definition,
        )

    async def look(self, id: UUID, viewer: Viewer) -> tuple[Row, payloads.Payloads]:
        async with self.database.reading() as connection:
            act = Act(Transaction(connection, WITHOUT_DAYS), viewer)
            row = await records.shown(act, EventSubscription, id, field="id")
            subscriptions.require_own(viewer, row)
            subscriptions.require_active(row)
            return row, await payloads.of(act, self.registered, row)

    async def _id(self, text: str, viewer: Viewer) -> UUID:
        """Whatever looks like an id is one. A name is that of the viewer's own: others may have the same."""
        if is_id(text):
            return decode_id(text, prefix=PREFIXES["EventSubscription"])
        async with self.database.reading() as connection:
            found: UUID | None = await connection.fetchval(BY_NAME, viewer.user_id, text_value(text))
        if found is not None:
            return found
        if text.startswith(MEANT_AS_IDS):
            return decode_id(text, prefix=PREFIXES["EventSubscription"])  # which says what is wrong with it
        raise NotFound(
            "You have no subscription of this name; name one of your own, or send an id, as of one of somebody else's.",
            field="id",
        )


@dataclass(slots=True)
class _Owner:
    """Who reads for those who follow, from time to time."""

    named: NamedSubscriptions
    id: UUID
    definition: list[Any]
    who: Callable[[], Awaitable[Viewer]]
    known: Viewer | None = None
    asked_by: Who | None = None
    until: float = field(default=0.0)

    async def now(self) -> Viewer:
        """Raises what `NamedSubscriptions.find` raises, `Unauthenticated`, `SubscriptionChanged`."""
        viewer = await self.who()
        if self.known is None or viewer.who != self.asked_by or monotonic() >= self.until:
            row, found = await self.named.look(self.id, viewer)
            if _definition(row) != self.definition:
                raise SubscriptionChanged(
                    "The subscription delivers something else now: subscribe again, after the last cursor that you had."
                )
            self.remember(found.viewer, viewer)
            return found.viewer
        return self.known

    def remember(self, owner: Viewer, asked_by: Viewer) -> None:
        self.known, self.asked_by, self.until = owner, asked_by.who, monotonic() + REMEMBERED_S


def _definition(row: Row) -> list[Any]:
    return [row[column] for column in DEFINITION]
