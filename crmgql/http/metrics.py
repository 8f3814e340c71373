"""Counts and latencies of operations, in the text format of Prometheus.

Enters: one `note` per operation, which costs a dictionary entry and a bisection. Leaves: `exposed()`, made when somebody
scrapes. Always holds: a scrape has the numbers of the whole server. With several processes each leaves its numbers once a second
in a directory they share, and whoever is scraped adds them up; numbers of a process that died stay, so that no counter
runs backwards.
"""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from crmgql import telemetry
from crmgql.domain.jobs.queues import Depths

log = structlog.get_logger("crmgql")

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BOUNDS = (*map(str, BUCKETS_S), "+Inf")
LEAVE_EVERY_S = 1.0

Gauges = dict[str, float]
"""Values by the names in `GAUGES`."""

GAUGES = {
    "crmgql_plan_cache_plans": "Plans kept.",
    "crmgql_db_read_connections": "Connections of the reading pools.",
    "crmgql_db_read_connections_idle": "Connections of the reading pools that wait for work.",
    "crmgql_db_write_connections": "Connections of the writing pools.",
    "crmgql_db_write_connections_idle": "Connections of the writing pools that wait for work.",
    "crmgql_streams": "WebSockets and event streams that are open.",
    "crmgql_subscriptions": "Subscriptions that are open.",
}


DELIVERIES = "crmgql_deliveries"
SLOW_CONSUMERS = "crmgql_slow_consumers"
COUNTERS = {
    DELIVERIES: "Answers of subscriptions that were sent.",
    SLOW_CONSUMERS: "Streams that were ended because their clients did not read them.",
}


class Tally:
    """What is counted; also the shape in which a process leaves it for the others."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], int] = {}
        self.buckets: dict[str, list[int]] = {}
        self.seconds: dict[str, float] = {}
        self.counts = dict.fromkeys(COUNTERS, 0)

    def count(self, name: str, number: int = 1) -> None:
        """So many more of what `COUNTERS` names."""
        self.counts[name] += number

    def note(self, kind: str, code: str, seconds: float) -> None:
        """One operation of a kind (`query`, `mutation`, …) that ended with a code (`OK` or an error's)."""
        key = (kind, code)
        self.outcomes[key] = self.outcomes.get(key, 0) + 1
        buckets = self.buckets.get(kind)
        if buckets is None:
            buckets = self.buckets[kind] = [0] * len(BOUNDS)
        buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds[kind] = self.seconds.get(kind, 0.0) + seconds

    def add(self, left: dict[str, Any]) -> None:
        for kind, code, count in left["outcomes"]:
            self.outcomes[kind, code] = self.outcomes.get((kind, code), 0) + count
        for kind, buckets in left["buckets"].items():
            mine = self.buckets.setdefault(kind, [0] * len(BOUNDS))
            self.buckets[kind] = [a + b for a, b in zip(mine, buckets, strict=True)]
        for kind, seconds in left["seconds"].items():
            self.seconds[kind] = self.seconds.get(kind, 0.0) + seconds
        for name, number in left["counts"].items():
            self.count(name, number)

    def dumped(self) -> dict[str, Any]:
        outcomes = [[kind, code, count] for (kind, code), count in self.outcomes.items()]
        return {"outcomes": outcomes, "buckets": self.buckets, "seconds": self.seconds, "counts": self.counts}


class Metrics:
    """The numbers of one process. `shared`: the directory of a server that has several."""

    def __init__(self, gauges: Callable[[], Gauges] = dict, shared: Path | None = None) -> None:
        self._own = Tally()
        self.note = self._own.note
        self.count = self._own.count
        self._gauges = gauges
        self._shared = shared
        self._warned = False

    def exposed(self, depths: Depths | None = None) -> bytes:
        """The whole server's numbers as text, with those of the queues where they are known."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(*self._summed(), depths))
        return generate_latest(registry)

    async def keep_leaving(self) -> None:
        """Leaves the numbers for the other processes, until cancelled."""
        while self._shared is not None:
            self.leave()
            await asyncio.sleep(LEAVE_EVERY_S)

    def leave(self) -> bool:
        """Whether the numbers are now where the other processes find them.

        The file is replaced, never written in place: a reader finds the old or the new.
        """
        if self._shared is None:
            return False
        mine = self._shared / f"{os.getpid()}.json"
        fresh = mine.with_suffix(".new")
        try:
            fresh.write_bytes(orjson.dumps({**self._own.dumped(), "gauges": self._gauges()}))
            fresh.replace(mine)
        except OSError as error:
            if not self._warned:
                log.warning("numbers not shared with the other processes", reason=str(error))
            self._warned = True
            return False
        self._warned = False
        return True

    def _summed(self) -> tuple[Tally, Gauges]:
        """The whole server's, or this process's own where they can't be shared."""
        if self._shared is None or not self.leave():
            return self._own, self._gauges()
        total, gauges = Tally(), dict.fromkeys(GAUGES, 0.0)
        for path in self._shared.glob("*.json"):
            left = orjson.loads(path.read_bytes())
            total.add(left)
            if _lives(int(path.stem)):
                gauges = {name: value + left["gauges"].get(name, 0.0) for name, value in gauges.items()}
        return total, gauges


class _Collected(Collector):
    """A tally as Prometheus's metric families."""

    def __init__(self, tally: Tally, gauges: Gauges, depths: Depths | None) -> None:
        self._depths = depths
        self._tally = tally
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        outcomes = CounterMetricFamily(
            "crmgql_operations", "Operations by kind and by the code they ended with.", labels=("kind", "code")
        )
        for key, count in self._tally.outcomes.items():
            outcomes.add_metric(key, count)
        yield outcomes
        latencies = HistogramMetricFamily(
            "crmgql_operation_seconds", "Time from an operation's arrival to its answer.", labels=("kind",)
        )
        for kind, buckets in self._tally.buckets.items():
            cumulative = list(zip(BOUNDS, accumulate(buckets), strict=True))
            latencies.add_metric((kind,), cumulative, self._tally.seconds[kind])
        yield latencies
        for name, number in self._tally.counts.items():
            yield CounterMetricFamily(name, COUNTERS[name], value=number)
        for name, value in self._gauges.items():
            yield GaugeMetricFamily(name, GAUGES[name], value=value)
        if self._depths is not None:
            yield from telemetry.gauges(self._depths.gauges())


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
