"""What follows from the answers of one endpoint: who goes on, who waits and how long, what is given up, when it is disabled.

Enters: a message and what its answer was judged to be. Leaves: changed lines, and what is to be written.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from crmgql.domain.webhooks import retries
from crmgql.domain.webhooks.attempts import Tried
from crmgql.domain.webhooks.dispatching import Delivery, Health
from crmgql.domain.webhooks.messages import Message
from crmgql.domain.webhooks.retries import Judged, Verdict
from crmgql.viewer import Clock
from crmgql.workers.lines import Lines

GONE = "The receiver answered 410 Gone: it wants no more."
GIVEN_UP = "Nothing was accepted for 72 hours."


class Outcomes:
    """`is_over`: nothing more is to be sent for now. `reason`: why the endpoint is to be disabled.

    `suspect`: with one order for all, an event that failed so often that the next one is tried in its place, to find out
    whether it is the event or the receiver.
    """

    def __init__(self, lines: Lines, health: Health, clock: Clock, *, one_line: bool) -> None:
        self.lines = lines
        self.health = health
        self.clock = clock
        self.one_line = one_line
        self.is_over = False
        self.reason: str | None = None
        self.log: list[Tried] = []
        self.suspect: Message | None = None
        self._deliveries: dict[str, Delivery] = {}

    def __len__(self) -> int:
        """How much there is to write."""
        return len(self.log) + len(self._deliveries)

    def take_written(self) -> tuple[list[Tried], list[Delivery]]:
        """What is to be written; it is not returned again."""
        log, deliveries = self.log, list(self._deliveries.values())
        self.log, self._deliveries = [], {}
        return log, deliveries

    def take(self, message: Message, judged: Judged) -> None:
        """An answer came, or none did."""
        del self.lines.going[message.line]
        if judged.verdict is Verdict.ACCEPTED:
            self._accept(message)
        else:
            self._refuse(message, judged)

    def wait_behind(self, message: Message) -> None:
        """It gets a row: its line is held."""
        self._write(message, "WAITING")
        self.lines.finish(message)

    def end(self, reason: str | None) -> None:
        """Nothing more is to be sent; with a reason, the endpoint is disabled."""
        self.reason = self.reason or reason
        self.is_over = True

    def close(self) -> None:
        """Nothing more will be sent: what was overtaken gets rows."""
        for message in self.lines.overtaken():
            self.lines.hold(message.line, self.clock())
            self.wait_behind(message)

    def _accept(self, message: Message) -> None:
        self.health = Health(delivered_at=self.clock())
        if self.suspect is not None:
            self._convict(message)
            return
        if message.is_open:
            self._end(message, "DELIVERED")
        self.lines.finish(message)

    def _convict(self, message: Message) -> None:
        """The next event was accepted: the suspect itself is what can't be."""
        assert self.suspect is not None
        del self.lines.held[message.line]
        self._write(self.suspect, "DEAD")
        self.suspect = None
        self.lines.rewind(message.cursor)

    def _refuse(self, message: Message, judged: Judged) -> None:
        now, health = self.clock(), self.health
        health.failures += 1
        health.failing_since = health.failing_since or now
        if judged.verdict is Verdict.GONE:
            self.end(GONE)
        elif now - health.failing_since >= retries.GIVEN_UP_AFTER:
            self.end(GIVEN_UP)
        wait = retries.endpoint_wait(now - health.failing_since)
        if judged.after_s is not None:
            wait = timedelta(seconds=judged.after_s)
        if judged.verdict is Verdict.LATER or health.failures >= retries.BREAKER:
            health.retry_at = now + wait
            self.is_over = True
        if self.suspect is not None:
            self.suspect = None
            self.lines.rewind()
        elif judged.verdict is Verdict.FAILED:
            self._fail(message, now)
        elif message.is_open or not self.one_line:
            self._hold(message, now + wait)

    def _fail(self, message: Message, now: datetime) -> None:
        message.attempts += 1
        message.since = message.since or now
        delivered = self.health.delivered_at
        if message.attempts < retries.POISON:
            self._hold(message, now + retries.wait(message.attempts))
        elif delivered is not None and delivered >= message.since:
            self._end(message, "DEAD")
            self.lines.finish(message)
        else:
            self._hold(message, now + retries.wait(message.attempts))
            if self.one_line and self.reason is None:
                self.suspect, self.is_over = message, False

    def _hold(self, message: Message, until: datetime) -> None:
        """The message and its line wait. What was read behind it gets rows, or is read again where all wait for one another."""
        self._write(message, "RETRY", until)
        self.lines.finish(message)
        for behind in self.lines.hold(message.line, until):
            if not self.one_line and not behind.is_open:
                self.wait_behind(behind)
        if self.one_line:
            self.lines.rewind()
            self.health.retry_at = max(until, self.health.retry_at or until)
            self.is_over = True

    def _end(self, message: Message, status: str) -> None:
        """The line goes on: with deliveries that are open too, if there are."""
        was_open = message.is_open
        self._write(message, status)
        if was_open and not self.lines.waits(message.line):
            self.lines.held[message.line] = self.clock()

    def _write(self, message: Message, status: str, until: datetime | None = None) -> None:
        over = self.clock() if status in ("DELIVERED", "DEAD") else None
        message.is_open = over is None
        self._deliveries[message.id] = Delivery(message, status, until, over)
