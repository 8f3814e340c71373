"""The relay of the feed: gives new events their positions and announces the newest one.

Each worker process has one. Whoever receives the bell that a commit rings does the pass; the others wait. Nobody need be elected:
a pass waits for another one, sees what that one has done, and does each event once (`events/positions`). A bell that was lost
with its receiver, or never rung, is made good by the look, within a second.
"""

from __future__ import annotations

import asyncio

import structlog
from redis.asyncio import Redis

from crmgql.db import Database
from crmgql.errors import CrmError, TimedOut
from crmgql.events import announcements, outbox, positions
from crmgql.workers import bells
from crmgql.workers.rings import client

log = structlog.get_logger("crmgql")

SPACING_S = 0.003
"""Between two passes: commits that come close together share one."""

AGAIN_S = 1.0
LONG_S, LONGEST_S = 60, 3600
"""For a pass after one that took too long: the first one in a server that a dump was restored into takes up all that has no
position."""


class FeedRelay:
    """`run` it beside the jobs; `wake` it when events wait that nobody rang for."""

    def __init__(self, database: Database, redis_url: str) -> None:
        self.database = database
        self.redis_url = redis_url
        self.announced = 0
        self.limit_s: int | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()  # there may be events from before

    def wake(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled."""
        valkey = client(self.redis_url)
        listening = asyncio.create_task(self._listen(valkey))
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                await self._pass(valkey)
                await asyncio.sleep(SPACING_S)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await valkey.aclose(close_connection_pool=True)

    async def _pass(self, valkey: Redis) -> None:
        try:
            async with self.database.relaying(limit_s=self.limit_s) as connection:
                newest = await positions.place(connection)
            self.limit_s = None
        except CrmError as error:
            if isinstance(error, TimedOut):
                self.limit_s = LONG_S if self.limit_s is None else LONGEST_S
            self.wake()
            log.warning("events got no positions; the look finds them", reason=error.message)
            await asyncio.sleep(AGAIN_S)
            return
        if newest != self.announced:
            self.announced = newest
            await announcements.publish(valkey, newest)

    async def _listen(self, valkey: Redis) -> None:
        while True:
            try:
                if await bells.receive(valkey, [outbox.BELL]) is not None:
                    self.wake()
            except bells.LOST as error:
                log.debug("bell of the feed not heard", reason=str(error))
                await asyncio.sleep(AGAIN_S)
