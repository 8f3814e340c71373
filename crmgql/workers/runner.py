"""The worker process: arq, with JSON instead of pickle and no kept results. Jobs are thin calls into the domain."""

from __future__ import annotations

import json
from typing import Any, cast

from arq import cron
from arq.connections import RedisSettings
from arq.worker import Worker

from crmgql import db
from crmgql.config import Settings
from crmgql.errors import SetupError
from crmgql.workers import housekeeping

QUEUE = "crmgql:jobs"
POLL_S = 0.05


def run(settings: Settings) -> None:
    """Works until it is told to stop. Raises `SetupError` when a server can't be reached."""
    worker(settings).run()


def worker(settings: Settings) -> Worker:
    """An arq worker over this installation's database."""
    if settings.database_url is None or settings.redis_url is None:
        raise SetupError("Set CRMGQL_DATABASE_URL and CRMGQL_REDIS_URL, or use “crmgql dev”, which starts both.")
    url = settings.database_url

    async def start(context: dict[str, Any]) -> None:
        context["database"] = await db.connect(url, pool_size=settings.pool_size)

    async def stop(context: dict[str, Any]) -> None:
        await context["database"].close()

    return Worker(
        functions=cast(Any, [housekeeping.sweep]),
        cron_jobs=[cron(cast(Any, housekeeping.sweep), minute={7}, run_at_startup=True, unique=True)],
        redis_settings=RedisSettings.from_dsn(settings.redis_url),
        queue_name=QUEUE,
        on_startup=cast(Any, start),
        on_shutdown=cast(Any, stop),
        keep_result=0,
        poll_delay=POLL_S,
        job_serializer=lambda job: json.dumps(job).encode(),
        job_deserializer=json.loads,
        handle_signals=True,
    )
