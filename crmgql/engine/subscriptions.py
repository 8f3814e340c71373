"""Subscriptions: what a document follows, and one subscriber's stream of answers.

Enters: an operation with its variables, and a way to ask who the subscriber is by now. Leaves: a `Stream` of bodies. What is
wrong with the request is raised when it is opened; what ends a stream later is raised from it. Always holds: an event is read
under the rights that its subscriber has when it is handed over. If these change, the statement is planned again.

Four things are followed: events (see `channels`), a named subscription to them (see `named`), a query sent with `@live`,
and a job (see `live_queries`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from graphql import FieldNode, GraphQLError, GraphQLSchema
from graphql.execution.values import get_argument_values

from crmgql.db import Database
from crmgql.engine import copies, parts
from crmgql.engine.channels import Batch, Channel, Channels
from crmgql.engine.errors import rejected
from crmgql.engine.event_plans import EventPlans, Subscriber
from crmgql.engine.followed import FOLLOWED, JOB_PROGRESS, STREAM, Wanted
from crmgql.engine.live_queries import LiveQueries
from crmgql.engine.named import Named, NamedSubscriptions
from crmgql.engine.readings import Delivery, Reading, Reads, frozen
from crmgql.engine.registered import Registered
from crmgql.errors import BadUserInput, CrmError, NotFound, Unavailable
from crmgql.events import cursors
from crmgql.events.cursors import Cursor
from crmgql.events.feed import Feed
from crmgql.models.names import PREFIXES
from crmgql.planner import interests
from crmgql.planner.arguments import Scalar
from crmgql.planner.codecs import decode_id
from crmgql.planner.interests import Interest
from crmgql.planner.plan import Plan, Plans
from crmgql.viewer import Viewer

FINISHED = "SELECT finished_at IS NOT NULL FROM jobs WHERE id = $1"


SOME_BYTES = 65_536
"""What is handed over at once, unless one answer is longer."""

Answers = Sequence[tuple[Cursor | None, Delivery]]


class Stream:
    """One subscriber's answers. `position`: the cursor from which somebody would go on who has had all that was handed over."""

    def __init__(self, answers: AsyncGenerator[Answers], at: At) -> None:
        self._answers = answers
        self._at = at
        self._ready: Answers = ()
        self._next = 0

    async def some(self, most: int) -> list[Delivery]:
        """The next answers, as soon as there is one: those that are there already, at most so many. None: the stream is over."""
        if self._next == len(self._ready):
            self._ready, self._next = (), 0
            try:
                self._ready = await anext(self._answers)
            except StopAsyncIteration:
                return []
            except CrmError as error:
                raise rejected(error) from error
        found: list[Delivery] = []
        size = 0
        for cursor, delivery in self._ready[self._next : self._next + most]:
            size += len(delivery.body)
            if found and size > SOME_BYTES:
                break
            found.append(delivery)
            if cursor is not None:
                self._at.hand_over(cursor)
        self._next += len(found)
        return found

    async def aclose(self) -> None:
        await self._answers.aclose()

    @property
    def position(self) -> str | None:
        return self._at.position()


@dataclass(frozen=True, slots=True)
class Source:
    """Events for one subscriber: read as `viewer` by the operation of `subscriber`, which is their own, or that of the
    subscription that they `named`."""

    subscriber: Subscriber
    viewer: Viewer
    wanted: Wanted
    named: Named | None = None

    @property
    def begins(self) -> str | None:
        """The cursor from which it is read if nobody says another one; None: from now on."""
        return None if self.named is None else self.named.cursor


@dataclass(slots=True)
class At:
    """Where a subscriber stands: `cursor`. They are told `known`: behind what was handed over last, or a whole transaction after it.
    `passed` says how far that is, when nothing came since that they want."""

    cursor: Cursor | None = None
    known: Cursor | None = None
    passed: Callable[[Cursor], Cursor | None] | None = None

    def hand_over(self, cursor: Cursor) -> None:
        self.cursor = self.known = cursor

    def finish(self, batch: Batch) -> None:
        self.cursor = batch.end
        if batch.whole is not None:
            self.known = max(_known(self.known), batch.whole)

    def position(self) -> str | None:
        if self.cursor is None or self.known is None:
            return None
        further = None if self.passed is None else self.passed(self.cursor)
        return max(self.known, further or self.known).text()


class Subscriptions:
    """Those of one process. `feed` is set by wiring; without one nothing can be followed."""

    def __init__(self, schema: GraphQLSchema, plans: Plans, database: Database, registered: Registered) -> None:
        self.schema = schema
        self.plans = plans
        self.database = database
        self.events = EventPlans(schema, plans)
        self.named = NamedSubscriptions(database, registered)
        self.feed: Feed | None = None
        self.channels = Channels(Reads(database))
        self.live_queries = LiveQueries()

    async def open(self, subscriber: Subscriber, viewer: Viewer, resume: str | None) -> Stream:
        """A stream, whose request is all right. Raises `CrmError` of whatever is wrong with it."""
        feed = self.following
        if subscriber.operation.kind == "query":
            return await self._open_live(feed, subscriber, viewer)
        key, node = self._root(subscriber)
        if node.name.value == JOB_PROGRESS:
            return await self._open_progress(feed, subscriber, viewer)
        given = self._given(node, subscriber)
        source = await self._source(subscriber, viewer, key, node.name.value, given)
        return await self._open_events(feed, source, resume or given.get("after"))

    async def source(self, subscriber: Subscriber, viewer: Viewer) -> Source:
        """What a subscription to events reads. Raises `CrmError`."""
        key, node = self._root(subscriber)
        return await self._source(subscriber, viewer, key, node.name.value, self._given(node, subscriber))

    async def sight(self, source: Source) -> Hashable:
        """All that decides what is answered of an event: equal for those who are answered the same."""
        sight = await self.events.sight(source.subscriber, source.viewer)
        return sight if source.named is None else (sight, source.named.id, repr(source.named.definition))

    @property
    def following(self) -> Feed:
        """The feed. Raises `Unavailable`."""
        if self.feed is None:
            raise Unavailable("Nothing can be followed here: this process has no feed.")
        return self.feed

    async def channel(self, source: Source) -> AbstractContextManager[Channel]:
        """What reads the events of a source."""
        source.subscriber.pace.pay(await self.events.plan(source.subscriber, source.viewer))
        key, reading = await self.events.reading(source.subscriber, source.viewer, source.wanted)
        return self.channels.channel(self.following, key, reading, source.wanted)

    def _root(self, subscriber: Subscriber) -> tuple[str, FieldNode]:
        """The one root field of a subscription, with its response key."""
        operation = subscriber.operation.prepared.operation
        ((key, nodes),) = self.events.reader(subscriber).top("Subscription", operation).items()
        return key, nodes[0]

    def _given(self, node: FieldNode, subscriber: Subscriber) -> dict[str, Any]:
        """The arguments of a root field. Raises `BadUserInput`."""
        assert self.schema.subscription_type is not None
        try:
            return get_argument_values(
                self.schema.subscription_type.fields[node.name.value], node, subscriber.variables
            )
        except GraphQLError as error:  # a variable that is null where a value is needed
            raise BadUserInput(error.message) from None

    async def _source(
        self, subscriber: Subscriber, viewer: Viewer, key: str, name: str, given: dict[str, Any]
    ) -> Source:
        if name != STREAM:
            return Source(subscriber, viewer, FOLLOWED[name].wanted(given))
        named = await self.named.find(given["id"], key, viewer, subscriber.who)
        owners = Subscriber(named.operation, named.variables, named.who, subscriber.pace)
        return Source(owners, named.viewer, named.wanted, named)

    async def _open_events(self, feed: Feed, source: Source, after: str | None) -> Stream:
        subscriber, viewer, wanted = source.subscriber, source.viewer, source.wanted
        subscriber.pace.pay(await self.events.plan(subscriber, viewer))
        key, reading = await self.events.reading(subscriber, viewer, wanted)
        after = after or source.begins
        if after is None:
            cursor = await feed.head()
        else:
            cursor = cursors.parse(after)
            await feed.check(cursor)
        at = At(cursor, cursor)
        return Stream(self._events(feed, subscriber, wanted, viewer, key, reading, at), at)

    async def _events(
        self,
        feed: Feed,
        subscriber: Subscriber,
        wanted: Wanted,
        viewer: Viewer,
        key: Hashable,
        reading: Reading,
        at: At,
    ) -> AsyncGenerator[Answers]:
        while True:
            with self.channels.channel(feed, key, reading, wanted) as channel:
                at.passed = channel.passed
                async with aclosing(channel.after(_known(at.cursor))) as batches:
                    async for batch in batches:
                        now = await subscriber.who()
                        if now.who != viewer.who:
                            break
                        if answers := batch.after(_known(at.cursor)):
                            yield answers
                        at.finish(batch)
            viewer = now
            key, reading = await self.events.reading(subscriber, viewer, wanted)

    async def _open_live(self, feed: Feed, subscriber: Subscriber, viewer: Viewer) -> Stream:
        if parts.are_needed(subscriber.operation):
            raise BadUserInput("A live query has records only: no introspection, and nothing that is worked out.")
        if copying := copies.ROOTS & subscriber.operation.roots.keys():
            raise BadUserInput(f"{min(copying)} can't be live: ask it again from the cursor that it answered.")
        prepared, variables = subscriber.operation.prepared, subscriber.variables.coerced

        async def plan(viewer: Viewer) -> Plan:
            return await subscriber.pace.plan(
                lambda: self.plans.key(prepared, variables, viewer.who),
                lambda: self.plans.make(prepared, variables, viewer.who),
            )

        first = await plan(viewer)
        subscriber.pace.pay(first)
        first.values(variables, viewer)
        interest = interests.interest(self.events.reader(subscriber).root(prepared.operation))
        return Stream(self._answers(feed, subscriber, viewer, Asked(plan, interest)), At())

    async def _open_progress(self, feed: Feed, subscriber: Subscriber, viewer: Viewer) -> Stream:
        prepared, variables = subscriber.operation.prepared, subscriber.variables.coerced
        key, job = self.events.reader(subscriber).job(prepared.operation)
        assert isinstance(job.id, Scalar)
        id = decode_id(str(job.id.value), prefix=PREFIXES["Job"])

        async def plan(viewer: Viewer) -> Plan:
            return await subscriber.pace.plan(
                lambda: self.plans.key(prepared, variables, viewer.who, JOB_PROGRESS),
                lambda: self.plans.compile(((key, job),), viewer.who),
            )

        first = await plan(viewer)
        subscriber.pace.pay(first)
        row = await self.database.fetch_json(first.sql, first.values(variables, viewer))
        if row[1] == 0:
            raise NotFound("There is no such job, or you may not see it.", field="id")
        return Stream(self._answers(feed, subscriber, viewer, Asked(plan, None, id)), At())

    async def _answers(
        self, feed: Feed, subscriber: Subscriber, viewer: Viewer, asked: Asked
    ) -> AsyncGenerator[Answers]:
        """The answer, and again when it changed; the last one is that of a job that is finished."""
        while True:
            plan = await asked.plan(viewer)
            values = plan.values(subscriber.variables.coerced, viewer)
            ask = partial(self._ask, plan, values, asked.job_id)
            with self.live_queries.query(
                feed, (plan.sql, frozen(values), asked.interest), ask, asked.interest
            ) as query:
                async with aclosing(query.answers()) as answers:
                    async for body in answers:
                        now = await subscriber.who()
                        if now.who != viewer.who:
                            break
                        yield ((None, Delivery(body, None)),)
                    else:
                        return
            viewer = now

    async def _ask(self, plan: Plan, values: list[Any], job_id: UUID | None) -> tuple[bytes, bool]:
        is_over = False
        if job_id is not None:
            async with self.database.reading() as connection:
                is_over = bool(await connection.fetchval(FINISHED, job_id))
        row = await self.database.fetch_json(plan.sql, values)
        return f'{{"data":{row[0]}}}'.encode(), is_over


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked again and again: how it is planned for a viewer, what may change its answer, or whose progress it shows."""

    plan: Callable[[Viewer], Awaitable[Plan]]
    interest: Interest | None
    job_id: UUID | None = None


def _known(cursor: Cursor | None) -> Cursor:
    assert cursor is not None
    return cursor
