"""A subscription to events for those who ask again and again: the next stretch of the feed that holds something for them.

Enters: what somebody follows, where they stand, how long they wait. Leaves: answers, and the cursor to ask from next.
Always holds: between the cursor that came in and the one that goes out nothing is missing, so the answer stays right
whenever it is read; it is made by the channel that serves streams too, once for all who are answered the same.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, replace

from crmgql.engine.channels import Channel
from crmgql.engine.event_plans import Subscriber
from crmgql.engine.named import SubscriptionChanged
from crmgql.engine.readings import Delivery
from crmgql.engine.subscriptions import Source, Subscriptions
from crmgql.events import cursors
from crmgql.events.cursors import Cursor
from crmgql.viewer import Viewer

BEHIND_S = 5.0
"""How long it may take to look through what is there already."""


@dataclass(frozen=True, slots=True)
class Poll:
    """`after`: the cursor to go on from; None: none yet, which answers the newest, and of a named subscription what comes behind
    its own. At most `first` events."""

    after: str | None
    first: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class Polled:
    """What a source has of the feed up to `end`. `more`: there is more of it already."""

    source: Source
    answers: list[Delivery]
    end: Cursor
    more: bool


async def answer(subscriptions: Subscriptions, subscriber: Subscriber, viewer: Viewer, poll: Poll) -> Polled:
    """Raises `CrmError`."""
    feed = subscriptions.following
    head = await feed.head()
    source = await subscriptions.source(subscriber, viewer)
    after = poll.after or source.begins
    if after is None:
        return Polled(source, [], head, more=False)
    at = cursors.parse(after)
    await feed.check(at)
    ends = time.monotonic() + poll.wait_s
    while True:
        with await subscriptions.channel(source) as channel:
            end, answers = await _first(channel, at, head, ends, poll.first)
            try:
                now = await source.subscriber.who()
            except SubscriptionChanged:  # who asks again each time wants what it delivers now
                source = await subscriptions.source(subscriber, await subscriber.who())
                continue
            if now.who == source.viewer.who:
                return _polled(source, channel, end, answers, poll.first)
        source = replace(source, viewer=now)


async def _first(
    channel: Channel, at: Cursor, head: Cursor, ends: float, first: int
) -> tuple[Cursor, list[tuple[Cursor, Delivery]]]:
    """The first answers, and the end of what was looked through for them; none if there are none in time."""
    async with aclosing(channel.after(at, most=first)) as batches:
        while True:
            left_s = max(0.0, ends - time.monotonic())
            try:
                async with asyncio.timeout(left_s if at.position >= head.position else max(left_s, BEHIND_S)):
                    batch = await anext(batches)
            except TimeoutError:
                return max(at, channel.passed(at) or at), []
            if answers := batch.after(at):
                return batch.end, answers
            at = batch.end


def _polled(
    source: Source, channel: Channel, end: Cursor, answers: list[tuple[Cursor, Delivery]], first: int
) -> Polled:
    if len(answers) > first:
        end = answers[first - 1][0]
    more = channel.tail is not None and end.position < channel.tail.position
    return Polled(source, [delivery for _, delivery in answers[:first]], end, more)
