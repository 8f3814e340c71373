"""What an operator's machines ask: is the process up, can it work, what did it do.

`/healthz` answers as long as the process does and asks nobody else: a restart mends no database. `/readyz` asks
PostgreSQL and Valkey, and says of each whether it is ready: anybody may ask, so why one is not is in the log alone, and
how many jobs wait is in `/metrics`, which is for Prometheus. However many ask, a server is never asked twice at the same
time, and at most once a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Generic, TypeVar

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

Found = TypeVar("Found")


def routes(
    checks: Mapping[str, Check], metrics: Metrics, depths: Callable[[], Awaitable[Depths]] | None = None
) -> list[Route]:
    """The three routes. `checks` by the name of the server that each asks; `depths` asks about the queues of jobs."""
    reasons, queues = Shared(partial(why_not_ready, checks)), Shared(partial(_depths, depths))

    async def healthz(_: Request) -> Response:
        return _json(200, {"status": "ok"})

    async def readyz(_: Request) -> Response:
        found = await reasons.get()
        servers = {name: "ready" if reason is None else "not ready" for name, reason in found.items()}
        if any(found.values()):
            return _json(503, {"status": "unavailable", "servers": servers})
        return _json(200, {"status": "ok", "servers": servers})

    async def scraped(_: Request) -> Response:
        return Response(metrics.exposed(await queues.get()), headers=NO_STORE, media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", scraped)]


class Shared(Generic[Found]):
    """What asking found, for all who want to know at about the same time."""

    def __init__(self, ask: Callable[[], Awaitable[Found]], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._found: asyncio.Task[Found] | None = None
        self._found_at = 0.0

    async def get(self) -> Found:
        """What was found at most `SHARED_S` ago."""
        found = self._found
        if found is None or (found.done() and self._clock() - self._found_at >= SHARED_S):
            found = self._found = asyncio.create_task(self._look())
        return await asyncio.shield(found)  # who leaves must not take the answer from the others

    async def _look(self) -> Found:
        try:
            return await self._ask()
        finally:
            self._found_at = self._clock()


async def why_not_ready(checks: Mapping[str, Check]) -> dict[str, str | None]:
    """By the name of each server, why it is not ready; None when it is."""
    reasons = await asyncio.gather(*(_reason(check) for check in checks.values()))
    found = dict(zip(checks, reasons, strict=True))
    for name, reason in found.items():
        if reason is not None:
            log.warning("not ready", server=name, reason=reason)
    return found


async def _reason(check: Check) -> str | None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await check()
    except TimeoutError:
        return f"no answer within {PATIENCE_S:g} seconds"
    except DiskFull:
        return "its disk is full"
    except Exception as error:
        return f"can't be reached: {error}"
    return None


async def _depths(ask: Callable[[], Awaitable[Depths]] | None) -> Depths | None:
    """None where nobody asks, and while the database does not answer."""
    if ask is None:
        return None
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await ask()
    except (CrmError, TimeoutError):
        return None


def _json(status: int, value: object) -> Response:
    return Response(orjson.dumps(value), status, NO_STORE, media_type="application/json")
