"""How a subscriber's events are read: which statement, with which values, and which of it others can share.

Enters: an operation with its variables, and who the subscriber is by now. Leaves: a `Reading` for a channel, under a key that holds
everything that decides its answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from graphql import GraphQLSchema
from graphql.execution.values import VariableValues

from crmgql.access import trails
from crmgql.access.sights import SEEN, deciding
from crmgql.engine.documents import Operation
from crmgql.engine.followed import Wanted
from crmgql.engine.pace import Pace
from crmgql.engine.readings import Reading, Shared, Sights, frozen
from crmgql.planner import sights
from crmgql.planner.plan import Plan, Plans
from crmgql.planner.reader import Reader
from crmgql.planner.statement import EVENT_IDS
from crmgql.viewer import NOBODY, Viewer

WhoNow = Callable[[], Awaitable[Viewer]]
"""The viewer as of now. Raises `Unauthenticated` when nobody is behind the token any more."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who follows what: all that is needed to plan it, and to plan it again."""

    operation: Operation
    variables: VariableValues
    who: WhoNow
    pace: Pace


class EventPlans:
    """Plans and readings of subscriptions to events."""

    def __init__(self, schema: GraphQLSchema, plans: Plans) -> None:
        self.schema = schema
        self.plans = plans

    def reader(self, subscriber: Subscriber) -> Reader:
        prepared, variables = subscriber.operation.prepared, subscriber.variables.coerced
        return Reader(self.schema, self.plans.metadata, prepared.fragments, variables)

    async def plan(self, subscriber: Subscriber, viewer: Viewer, *, shared: bool = False) -> Plan:
        """Raises what planning raises."""
        prepared, variables = subscriber.operation.prepared, subscriber.variables.coerced
        return await subscriber.pace.plan(
            lambda: self.plans.key(prepared, variables, viewer.who, "shared events" if shared else "events"),
            lambda: self.plans.make_events(prepared, variables, viewer.who, shared=shared),
        )

    def values(
        self, plan: Plan, subscriber: Subscriber, viewer: Viewer, ids: Sequence[UUID] = (), sight: str = SEEN
    ) -> list[Any]:
        """Raises `BadUserInput`."""
        return plan.values({**subscriber.variables.coerced, EVENT_IDS: ids, sights.SIGHT: sight}, viewer)

    async def sight(self, subscriber: Subscriber, viewer: Viewer) -> Hashable:
        """All that decides what the viewer is answered of an event: equal for viewers who are answered the same."""
        plan = await self.plan(subscriber, viewer)
        return plan.sql, frozen(self.values(plan, subscriber, viewer))

    async def reading(self, subscriber: Subscriber, viewer: Viewer, wanted: Wanted) -> tuple[Hashable, Reading]:
        plan = await self.plan(subscriber, viewer)
        own = self.values(plan, subscriber, viewer)
        shared = None
        if own != self.values(plan, subscriber, replace(viewer, user_id=NOBODY)):
            others = await self.plan(subscriber, viewer, shared=True)
            shared = Shared(others.sql, self._binder(others, subscriber, viewer), trails.shared(viewer.who))
        reading = Reading(
            plan.sql,
            self._binder(plan, subscriber, viewer),
            self._sights(subscriber, viewer),
            plan.cost,
            self.plans.max_cost,
            shared,
        )
        return (plan.sql, frozen(own), wanted), reading

    def _binder(self, plan: Plan, subscriber: Subscriber, viewer: Viewer) -> Callable[[Sequence[UUID], str], list[Any]]:
        return lambda ids, sight: self.values(plan, subscriber, viewer, ids, sight)

    def _sights(self, subscriber: Subscriber, viewer: Viewer) -> Sights:
        """With a `where` nobody is told what left their sight: it may be what they never asked for."""
        plan = self.plans.sights(viewer.who)
        key, wanted = self.reader(subscriber).events(subscriber.operation.prepared.operation)
        return Sights(
            plan.sql,
            lambda ids: plan.values({EVENT_IDS: ids}, viewer),
            deciding(viewer.who),
            None if wanted.is_filtered else lambda known: _body(key, sights.left(wanted.object, known)),
        )


def _body(key: str, answer: bytes) -> bytes:
    return b'{"data":{"%b":%b}}' % (key.encode(), answer)
