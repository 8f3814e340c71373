"""Which queues have due jobs, and how many: for workers (`look`) and for metrics (`depths`). Reads only.

An idle worker runs one statement, the look, once a second; it also shows that the database answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from crmgql.db import Connection
from crmgql.domain.jobs import schedules
from crmgql.events import positions

LOOK = f"""
SELECT 'queue' AS what, wanted.queue, due.due_at AS at FROM unnest($1::text[]) AS wanted (queue)
CROSS JOIN LATERAL (
    SELECT due_at FROM jobs WHERE status = 'PENDING' AND jobs.queue = wanted.queue AND due_at <= $2
    ORDER BY due_at LIMIT 1) due
UNION ALL
(SELECT 'lease', NULL, lease_until FROM jobs WHERE status = 'RUNNING' AND lease_until < $2 ORDER BY lease_until LIMIT 1)
UNION ALL
(SELECT 'schedule', NULL, next_at FROM schedules WHERE {schedules.IS_TO_RUN} AND next_at <= $2 ORDER BY next_at LIMIT 1)
"""
WATCHED = {"events": positions.WAITING}
"""What else wakes a worker: name → condition, which may name the time as $2."""


MOST_COUNTED = 10_000
DEPTHS = """
SELECT known.queue, waiting.due, waiting.oldest, running.running FROM unnest($1::text[]) AS known (queue)
CROSS JOIN LATERAL (
    SELECT count(*) AS due, min(due_at) AS oldest FROM (
        SELECT due_at FROM jobs WHERE status = 'PENDING' AND jobs.queue = known.queue AND due_at <= $2
        ORDER BY due_at LIMIT $3) first) waiting
CROSS JOIN LATERAL (SELECT count(*) AS running FROM jobs WHERE status = 'RUNNING' AND jobs.queue = known.queue) running"""
DEAD = "SELECT count(*) FROM (SELECT FROM jobs WHERE status = 'DEAD' LIMIT $1) first"


@dataclass(frozen=True, slots=True)
class Look:
    """`due`: the time of each queue's first job, if it is due now or within the next moments."""

    due: dict[str, datetime]
    lease_ran_out: bool
    schedule_due: bool
    watched: frozenset[str] = frozenset()
    """Those of `WATCHED` that hold: such as `events`, which wait for the relay to give them positions."""


async def look(connection: Connection, *, queues: Sequence[str], now: datetime, ahead: timedelta) -> Look:
    rows = await connection.fetch(_look(), list(queues), now + ahead)
    due = {row["queue"]: row["at"] for row in rows if row["what"] == "queue"}
    passed = {row["what"] for row in rows if row["at"] is None or row["at"] <= now}
    return Look(due, "lease" in passed, "schedule" in passed, frozenset(passed & WATCHED.keys()))


def watch(name: str, condition: str) -> None:
    """Adds a condition to the look, so that nobody else need ask for it again and again."""
    WATCHED[name] = condition
    _look.cache_clear()


@cache
def _look() -> str:
    others = (f"UNION ALL\nSELECT '{name}', NULL, NULL WHERE {condition}" for name, condition in WATCHED.items())
    return LOOK + "\n".join(others)


@dataclass(frozen=True, slots=True)
class Depth:
    """Of one queue: the number of due jobs (up to `MOST_COUNTED`), for how long the oldest is due, and how many run."""

    due: int
    oldest_s: float
    running: int


@dataclass(frozen=True, slots=True)
class Depths:
    queues: dict[str, Depth]
    dead: int
    feed_position: int = 0
    feed_waiting_s: float = 0.0

    def gauges(self) -> Iterator[tuple[str, str, dict[str, str], float]]:
        """Name, help, labels and value of each number, as Prometheus wants them."""
        for queue, depth in self.queues.items():
            labels = {"queue": queue}
            yield "crmgql_jobs_due", "Jobs that are due and not started, counted up to 10,000.", labels, depth.due
            yield "crmgql_jobs_oldest_due_seconds", "How long the oldest of them has been due.", labels, depth.oldest_s
            yield "crmgql_jobs_running", "Jobs that a worker holds a lease on.", labels, depth.running
        yield "crmgql_jobs_dead", "Jobs that failed for good, counted up to 10,000.", {}, self.dead
        yield "crmgql_feed_position", "The newest position in the feed of events.", {}, self.feed_position
        yield "crmgql_feed_waiting_seconds", "How long the oldest event waits for one.", {}, self.feed_waiting_s


async def depths(connection: Connection, *, queues: Sequence[str], now: datetime) -> Depths:
    rows = await connection.fetch(DEPTHS, list(queues), now, MOST_COUNTED)
    found = {
        row["queue"]: Depth(
            row["due"], max(0.0, (now - row["oldest"]).total_seconds()) if row["due"] else 0.0, row["running"]
        )
        for row in rows
    }
    dead = await connection.fetchval(DEAD, MOST_COUNTED)
    feed = await positions.backlog(connection)
    waiting_s = 0.0 if feed.oldest is None else max(0.0, (now - feed.oldest).total_seconds())
    return Depths(found, dead, feed.position, waiting_s)
