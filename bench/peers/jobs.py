"""Worker processes that do nothing, as fast as they can: `python -m bench.peers.jobs arq|arq-uvloop|crmgql`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Any, cast

import uvloop
from arq import func, run_worker
from arq.connections import RedisSettings

from crmgql import config, logs
from crmgql.domain.jobs import kinds
from crmgql.records.records import Act
from crmgql.workers import runner
from crmgql.workers.handlers import Result, handler

QUEUE = "bench:noop"
POLL_S = 0.05
"""arq's own default is ten times as long: its rate is the same, and whoever wants jobs taken up soon asks as often."""

NOOP = kinds.declare(kinds.Kind("bench.noop", kinds.Nothing, "default", "Nothing.", writes=()))


@handler(NOOP, writes=False)
async def noop(act: Act, arguments: kinds.Nothing) -> Result:
    return None


async def arq_noop(context: dict[str, Any]) -> None:
    """arq's own."""


def main() -> None:
    settings = config.settings()
    logs.set_up(settings)
    if sys.argv[1] == "crmgql":
        runner.run(settings, ["default"])
        return
    logging.getLogger("arq.worker").setLevel(logging.WARNING)
    if sys.argv[1] == "arq-uvloop":
        asyncio.set_event_loop(uvloop.new_event_loop())
    run_worker(
        {
            "functions": cast(Any, [func(cast(Any, arq_noop), name="noop", keep_result=0)]),
            "queue_name": QUEUE,
            "redis_settings": RedisSettings.from_dsn(os.environ["CRMGQL_REDIS_URL"]),
            "max_jobs": settings.worker_jobs,
            "poll_delay": POLL_S,
            "keep_result": 0,
            "handle_signals": True,
        }
    )


if __name__ == "__main__":
    main()
