"""What an operator's machines ask: is the process up, can it work, what did it do.

`/healthz` answers as long as the process does and asks nobody else: a restart mends no database. `/readyz` asks
PostgreSQL and Valkey, and names in plain words what does not answer: never twice at the same time, and at most once a
second, however many ask; it also tells how many jobs wait, for how long, and how many are dead, which makes nobody unready.
`/metrics` is for Prometheus.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crmgql.domain.jobs.queues import Depths
from crmgql.errors import CrmError, DiskFull
from crmgql.http.metrics import Metrics

log = structlog.get_logger("crmgql")

PATIENCE_S = 2.0
SHARED_S = 1.0
"""How long an answer is good for."""

NO_STORE = {"cache-control": "no-store"}

Check = Callable[[], Awaitable[object]]
"""Returns when a server behind us answers, and raises when it does not."""


def routes(
    checks: Mapping[str, Check], metrics: Metrics, depths: Callable[[], Awaitable[Depths]] | None = None
) -> list[Route]:
    """The three routes. `checks` by the name of the server that each asks; `depths` asks about the queues of jobs."""
    readiness, queues = Readiness(checks), Queues(depths)

    async def healthz(_: Request) -> Response:
        return _json(200, {"status": "ok"})

    async def readyz(_: Request) -> Response:
        failing = await readiness.failing()
        if not failing:
            return _json(200, {"status": "ok", **_summed(await queues.depths())})
        return _json(503, {"status": "unavailable", "failing": failing})

    async def scraped(_: Request) -> Response:
        return Response(metrics.exposed(await queues.depths()), headers=NO_STORE, media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", scraped)]


class Readiness:
    """What the checks found, shared by all who ask at about the same time."""

    def __init__(self, checks: Mapping[str, Check], clock: Callable[[], float] = time.monotonic) -> None:
        self._checks = checks
        self._clock = clock
        self._found: asyncio.Task[list[str]] | None = None
        self._found_at = 0.0

    async def failing(self) -> list[str]:
        """What is wrong, in words; nothing when all answer."""
        found = self._found
        if found is None or (found.done() and self._clock() - self._found_at >= SHARED_S):
            found = self._found = asyncio.create_task(self._look())
        return await asyncio.shield(found)  # who leaves must not take the answer from the others

    async def _look(self) -> list[str]:
        found = await asyncio.gather(*(_ask(name, check) for name, check in self._checks.items()))
        self._found_at = self._clock()
        return [words for words in found if words is not None]


class Queues:
    """How deep the queues are, for all who ask at about the same time."""

    def __init__(
        self, ask: Callable[[], Awaitable[Depths]] | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._found: asyncio.Task[Depths | None] | None = None
        self._found_at = 0.0

    async def depths(self) -> Depths | None:
        """None while the database does not tell."""
        if self._found is None or (self._found.done() and self._clock() - self._found_at >= SHARED_S):
            self._found = asyncio.create_task(self._look())
        return await asyncio.shield(self._found)

    async def _look(self) -> Depths | None:
        found = None
        if self._ask is not None:
            with suppress(CrmError, TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    found = await self._ask()
        self._found_at = self._clock()
        return found


def _summed(depths: Depths | None) -> dict[str, object]:
    if depths is None:
        return {}
    due = sum(each.due for each in depths.queues.values())
    oldest_s = round(max((each.oldest_s for each in depths.queues.values()), default=0.0), 1)
    return {"jobs": {"due": due, "oldestDueSeconds": oldest_s, "dead": depths.dead}}


async def _ask(name: str, check: Check) -> str | None:
    """None, or what is wrong. What the driver said goes to the log, as it may hold addresses."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await check()
    except TimeoutError:
        return f"{name} did not answer within {PATIENCE_S:g} seconds."
    except DiskFull:
        return f"{name} can't write: its disk is full."
    except Exception as error:
        log.warning("not ready", server=name, error=str(error))
        return f"{name} can't be reached."
    return None


def _json(status: int, value: object) -> Response:
    return Response(orjson.dumps(value), status, NO_STORE, media_type="application/json")
