"""The metrics of a worker process, in the text format of Prometheus, and its health, over HTTP.

`/healthz` is 200 as long as the process runs. `/readyz` sends no request of its own: it reports whether PostgreSQL and Valkey
have lately answered what the worker asks anyway. `/metrics` runs one statement about the queues.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from itertools import accumulate
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from crmgql import telemetry
from crmgql.domain.jobs.queues import Depths
from crmgql.errors import CrmError, SetupError

BUCKETS_S = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0)
BOUNDS = (*map(str, BUCKETS_S), "+Inf")
SILENT_S = 10.0
"""`/readyz` names a server that has not answered for so long."""

HEAD_BYTES, HEAD_S = 8192, 5.0
Others = Callable[[], Iterable[Metric]]


class Tally:
    """Attempts, counted by kind and outcome, and how long they took by kind."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], int] = {}
        self.buckets: dict[str, list[int]] = {}
        self.seconds: dict[str, float] = {}

    def note(self, kind: str, outcome: str, seconds: float) -> None:
        self.outcomes[kind, outcome] = self.outcomes.get((kind, outcome), 0) + 1
        buckets = self.buckets.setdefault(kind, [0] * len(BOUNDS))
        buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds[kind] = self.seconds.get(kind, 0.0) + seconds


class Answers:
    """When PostgreSQL and Valkey last answered this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = dict.fromkeys(("PostgreSQL", "Valkey"), float("-inf"))

    def postgresql(self) -> None:
        self._last["PostgreSQL"] = self._clock()

    def valkey(self) -> None:
        self._last["Valkey"] = self._clock()

    def failing(self) -> list[str]:
        """A sentence for each server that does not answer."""
        now = self._clock()
        return [f"{name} does not answer." for name, last in self._last.items() if now - last > SILENT_S]


class _Collected(Collector):
    def __init__(self, tally: Tally, running: int, depths: Depths | None, others: Others) -> None:
        self._others = others
        self._tally = tally
        self._running = running
        self._depths = depths

    def collect(self) -> Iterator[Metric]:
        outcomes = CounterMetricFamily(
            "crmgql_job_attempts", "Attempts by kind and by how they ended.", labels=("kind", "outcome")
        )
        for key, count in self._tally.outcomes.items():
            outcomes.add_metric(key, count)
        yield outcomes
        latencies = HistogramMetricFamily("crmgql_job_seconds", "How long attempts took.", labels=("kind",))
        for kind, buckets in self._tally.buckets.items():
            cumulative = list(zip(BOUNDS, accumulate(buckets), strict=True))
            latencies.add_metric((kind,), cumulative, self._tally.seconds[kind])
        yield latencies
        yield GaugeMetricFamily("crmgql_worker_jobs", "Jobs that this process is doing.", value=self._running)
        yield from self._others()
        if self._depths is not None:
            yield from telemetry.gauges(self._depths.gauges())


class Page:
    """The three paths. `depths` reads the queues from the database, `others` are metrics of what else the process does."""

    def __init__(
        self,
        tally: Tally,
        answers: Answers,
        running: Callable[[], int],
        depths: Callable[[], Awaitable[Depths]],
        others: Others = lambda: (),
    ) -> None:
        self._others = others
        self._tally = tally
        self._answers = answers
        self._running = running
        self._depths = depths

    async def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        if path == "/healthz":
            return _json(200, {"status": "ok"})
        if path == "/readyz":
            failing = self._answers.failing()
            return (
                _json(503, {"status": "unavailable", "failing": failing}) if failing else _json(200, {"status": "ok"})
            )
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, await self._exposed()
        return _json(404, {"status": "The paths are /healthz, /readyz and /metrics."})

    async def _exposed(self) -> bytes:
        depths = None
        with suppress(CrmError):  # while the database is away the other numbers are served
            depths = await self._depths()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(self._tally, self._running(), depths, self._others))
        return generate_latest(registry)


def _json(status: int, value: object) -> tuple[int, str, bytes]:
    return status, "application/json", orjson.dumps(value)


@asynccontextmanager
async def served(page: Page, host: str, port: int) -> Any:
    """Serves the page at this address. Raises `SetupError` when the process can't listen there."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(HEAD_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await _answered(page, head))
                    await writer.drain()
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(talk, host, port, limit=HEAD_BYTES)
    except OSError as error:
        raise SetupError(f"The worker's metrics can't be served on {host}:{port}: {error.strerror}.") from None
    try:
        yield server
    finally:
        server.close()


async def _answered(page: Page, head: bytes) -> bytes:
    """The whole response to a request; the connection is closed after it."""
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    method, target = (words[0], words[1]) if len(words) == 3 else ("", "")
    if method in ("GET", "HEAD"):
        status, kind, body = await page.answer(target.partition("?")[0])
    else:
        status, kind, body = _json(405, {"status": "Use GET."})
    lines = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"content-type: {kind}",
        f"content-length: {len(body)}",
        "cache-control: no-store",
        "connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + (b"" if method == "HEAD" else body)
