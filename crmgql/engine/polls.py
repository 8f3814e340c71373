"""A subscription to events for those who ask again and again: the next stretch of the feed that holds something for them.

Enters: where somebody stands, which events they want, how long they wait. Leaves: answers, and the cursor to ask from next.
Always holds: between the cursor that came in and the one that goes out nothing is missing, so the answer stays right
whenever it is read; it is made by the channel that serves streams too, once for all who are answered the same.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass

from crmgql.engine.channels import Channel
from crmgql.engine.event_plans import Subscriber
from crmgql.engine.followed import Wanted
from crmgql.engine.readings import Delivery
from crmgql.engine.subscriptions import Subscriptions
from crmgql.events import cursors
from crmgql.events.cursors import Cursor
from crmgql.viewer import Viewer

BEHIND_S = 5.0
"""How long it may take to look through what is there already."""


@dataclass(frozen=True, slots=True)
class Poll:
    """`after`: the cursor to go on from; None: none yet, which answers the newest. At most `first` events."""

    after: str | None
    wanted: Wanted
    first: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class Polled:
    """What `viewer` sees of the feed up to `end`. `more`: there is more of it already."""

    viewer: Viewer
    answers: list[Delivery]
    end: Cursor
    more: bool


async def answer(subscriptions: Subscriptions, subscriber: Subscriber, viewer: Viewer, poll: Poll) -> Polled:
    """Raises `CrmError`."""
    feed = subscriptions.following
    head = await feed.head()
    if poll.after is None:
        return Polled(viewer, [], head, more=False)
    at = cursors.parse(poll.after)
    await feed.check(at)
    ends = time.monotonic() + poll.wait_s
    while True:
        with await subscriptions.channel(subscriber, viewer, poll.wanted) as channel:
            end, answers = await _first(channel, at, head, ends, poll.first)
            now = await subscriber.who()
            if now.who == viewer.who:
                return _polled(viewer, channel, end, answers, poll.first)
        viewer = now


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
    viewer: Viewer, channel: Channel, end: Cursor, answers: list[tuple[Cursor, Delivery]], first: int
) -> Polled:
    if len(answers) > first:
        end = answers[first - 1][0]
    more = channel.tail is not None and end.position < channel.tail.position
    return Polled(viewer, [delivery for _, delivery in answers[:first]], end, more)
