"""A courier sends to one endpoint as long as it holds the lease on it: reads the feed, sends, writes what came of it.

    feed ─▶ page ─▶ under the owner's rules ─▶ lines ─▶ requests, one per line ─▶ outcomes ─▶ one transaction for many

Always holds: what was accepted may be sent again after a crash, nothing is left out, and no message overtakes another of its
line. Nothing is sent once the lease may have run out by this process's clock, be it that it stood still meanwhile.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from time import monotonic
from uuid import UUID

import structlog

from crmgql.domain.webhooks import attempts, dispatching, endpoints, retries, signatures
from crmgql.domain.webhooks.attempts import Tried
from crmgql.domain.webhooks.dispatching import Delivery, Health, LeaseLost
from crmgql.domain.webhooks.messages import Message
from crmgql.domain.webhooks.retries import Judged
from crmgql.events import cursors
from crmgql.events.cursors import Cursor
from crmgql.outbound import targets
from crmgql.records.records import Act
from crmgql.viewer import system
from crmgql.workers.lines import Lines
from crmgql.workers.outcomes import Outcomes
from crmgql.workers.sources import Ended, Shared, Source

log = structlog.get_logger("crmgql")

AT_ONCE = 16
"""Most requests at once to an endpoint; where all events wait for one another, one. So a receiver that takes 30 ms to answer gets
500 events a second."""

BUFFER = 100
"""With fewer messages in memory, another page is read."""

MOST_HELD = 1000
"""With so many lines held, the feed is not read on."""

FLUSH_S, FLUSH_AT = 0.2, 200
"""What came of requests is written so soon, or when there is so much of it; others are sent meanwhile."""

MOST_UNWRITTEN = 1000
"""With so much to write, nothing is sent until it is written."""

IDLE_S = 3.0
"""An endpoint without anything to do is given back after so long."""

LEASE_S = dispatching.LEASE.total_seconds()


class Courier:
    """`leased_at`: when the lease was taken, by the same clock."""

    lines: Lines
    outcomes: Outcomes

    def __init__(self, shared: Shared, id: UUID, *, leased_at: datetime) -> None:
        self.shared = shared
        self.id = id
        self.source = Source(shared, id)
        self.client = shared.connect()
        self._send_until = leased_at + dispatching.LEASE * 2 / 3
        self._event = asyncio.Event()
        self._is_stopped = False
        self._is_caught_up = False
        self._flushed = monotonic()
        self._writing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._came: list[tuple[Message, Judged]] = []

    def wake(self) -> None:
        """There are new events."""
        self._is_caught_up = False
        self._event.set()

    def stop(self) -> None:
        """Ends after what is under way."""
        self._is_stopped = True
        self._event.set()

    async def run(self) -> None:
        """Until there is nothing to do. Raises the database's errors: the lease then runs out."""
        try:
            await self._open()
            try:
                await self._work()
            except Ended as ended:
                self.outcomes.end(ended.reason)
            await self._close()
        except LeaseLost:
            log.warning("the lease on a webhook endpoint ran out", endpoint=str(self.id))
        finally:
            left = [*self._tasks, *([self._writing] if self._writing else [])]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await self.client.close()

    async def _open(self) -> None:
        held = await self.source.open()
        row = self.source.endpoint
        self.lines = Lines(cursors.parse(row["cursor"]), held)
        health = Health(row["failures"], row["failing_since"], row["retry_at"], row["delivered_at"])
        self.outcomes = Outcomes(self.lines, health, self.shared.clock, one_line=row["order_by"] == "ENDPOINT")

    async def _work(self) -> None:
        busy_at = monotonic()
        while not self._is_stopped and not self.outcomes.is_over:
            busy = await self._start()
            if not busy and not self._tasks and monotonic() - busy_at > IDLE_S:
                return
            await self._flush_in_time()
            if not busy or self._room() <= 0:
                await self._wait()
            if self._take_in() or busy:
                busy_at = monotonic()

    async def _close(self) -> None:
        """Waits for what is under way, writes, gives the endpoint back."""
        while self._tasks:
            await self._wait()
            self._take_in()
            await self._flush_in_time()
        self._take_in()
        self.outcomes.close()
        await self._flush()
        if self.outcomes.reason is not None:
            async with self.shared.database.transaction() as tx:
                await endpoints.disable(Act(tx, system(self.shared.clock)), id=self.id, reason=self.outcomes.reason)
        now = self.shared.clock()
        async with self.shared.database.connection() as connection:
            unfinished = self.lines.is_unfinished(now)
            await dispatching.release(connection, self.id, self.shared.holder, now=now, unfinished=unfinished)

    async def _start(self) -> bool:
        """Reads on and starts requests as far as both may be. Returns whether there was anything to do. Raises `Ended`."""
        if self._room() <= 0:
            return False
        busy = await self._try_next() if self.outcomes.suspect else await self._read_on()
        is_well = self.outcomes.health.failures < retries.BREAKER
        if not self.outcomes.suspect and (is_well or not self.lines.has_ready()):
            busy = await self._take_up_held() or busy
        if not self.lines.has_ready():
            return busy
        await self.source.freshen()
        if self.shared.clock() >= self._send_until:
            await self._flush()  # extends the lease, or finds that it is lost
        if not self.outcomes.is_over:
            for message in self.lines.ready(self._room()):
                self._send(message)
        return True

    def _room(self) -> int:
        one = self.outcomes.one_line or self.outcomes.health.failures >= retries.BREAKER
        return (1 if one else AT_ONCE) - len(self._tasks)

    async def _read_on(self) -> bool:
        """The next page of the feed, if there is room for it."""
        held = self.lines.held
        all_held = bool(held) if self.outcomes.one_line else len(held) > MOST_HELD
        if self._is_caught_up or all_held or len(self.lines) > BUFFER:
            return False
        self._is_caught_up = True  # unless somebody wakes us meanwhile
        found = await self.source.page(self.lines.read_to)
        if found is None:
            return False
        self._is_caught_up = False
        for message in self.lines.add_page(*found):
            self.outcomes.wait_behind(message)
        return True

    async def _try_next(self) -> bool:
        """Sends the event behind the suspect, if there is one."""
        found = await self.source.page(self.lines.read_to)
        if found is None:
            self.outcomes.suspect, self.outcomes.is_over = None, True
            return False
        tried, end = found
        if tried:
            self.lines.add_open(tried[0].line, tried[:1])
        else:
            self.lines.rewind(end)
        return True

    async def _take_up_held(self) -> bool:
        """Lines whose time has come: their first deliveries are sent again."""
        now = self.shared.clock()
        due = [line for line, until in self.lines.held.items() if until <= now and line not in self.lines.going]
        if due:
            await self._flush()  # what was just put behind has its row
        for line in due[: self._room()]:
            self.lines.add_open(line, await self.source.open_deliveries(line, limit=BUFFER))
        return bool(due)

    def _send(self, message: Message) -> None:
        task = asyncio.create_task(self._post(message))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._event.set()

    async def _post(self, message: Message) -> None:
        endpoint, now = self.source.endpoint, self.shared.clock()
        pairs = dispatching.pairs(endpoint, now=now)
        headers = signatures.headers(message.id, message.body, pairs, now=now, ed25519=endpoint["ed25519"])
        came = await self.client.post(targets.target(endpoint["url"]), headers, message.body.encode())
        number = message.attempts + 1
        tried = attempts.tried(endpoint, message.id, message.kind, headers, message.body, came, now=now, number=number)
        self.outcomes.log.append(tried)
        self._came.append((message, retries.judge(came, now=self.shared.clock())))

    def _take_in(self) -> bool:
        """What came of requests meanwhile. Returns whether anything did."""
        came, self._came = self._came, []
        for message, judged in came:
            self.shared.verdicts[judged.verdict] += 1
            self.outcomes.take(message, judged)
        return bool(came)

    def _is_flush_due(self) -> bool:
        age = monotonic() - self._flushed
        return (len(self.outcomes) > 0 and age > FLUSH_S) or len(self.outcomes) > FLUSH_AT or age > LEASE_S / 3

    async def _flush_in_time(self) -> None:
        """Begins to write what came, if it is due, and goes on; waits only where writing does not keep up. Raises as `_flush`."""
        if self._writing is not None and (self._writing.done() or len(self.outcomes) > MOST_UNWRITTEN):
            await self._written()
        if self._writing is None and self._is_flush_due():
            self._begin_flush()

    async def _flush(self) -> None:
        """All that came so far is written. Raises `LeaseLost`."""
        await self._written()
        self._begin_flush()
        await self._written()

    async def _written(self) -> None:
        """Waits for what is being written. Raises what that raises."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    def _begin_flush(self) -> None:
        """One transaction for all that came since the last one, and for how far that is: what comes meanwhile is for the next."""
        self._take_in()
        self._flushed = monotonic()
        tried, deliveries = self.outcomes.take_written()
        at = self.lines.cursor, replace(self.outcomes.health)
        self._writing = asyncio.create_task(self._write(self.shared.clock(), at, tried, deliveries))
        self._writing.add_done_callback(lambda _: self._event.set())

    async def _write(
        self, now: datetime, at: tuple[Cursor, Health], tried: list[Tried], deliveries: list[Delivery]
    ) -> None:
        async with self.shared.database.transaction() as tx:
            await dispatching.advance(tx.connection, self.id, self.shared.holder, *at, deliveries, now=now)
            await attempts.record(tx.connection, tried)
        self._send_until = now + dispatching.LEASE * 2 / 3

    async def _wait(self) -> None:
        """For an answer, for new events, or until something is due."""
        seconds = [IDLE_S, LEASE_S / 3]
        if len(self.outcomes):
            seconds.append(FLUSH_S)
        now = self.shared.clock()
        seconds += [(until - now).total_seconds() for until in self.lines.held.values()]
        with suppress(TimeoutError):
            async with asyncio.timeout(max(min(seconds), 0.01)):
                await self._event.wait()
        self._event.clear()
