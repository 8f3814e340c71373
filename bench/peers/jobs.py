"""Worker processes for `bench jobs`: `python -m bench.peers.jobs arq|arq-uvloop|crmgql`."""

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
"""A tenth of arq's default: its rate is the same, and jobs start sooner."""

NOOP = kinds.declare(kinds.Kind("bench.noop", kinds.Nothing, "default", "Nothing.", writes=()))
ROW = kinds.declare(kinds.Kind("bench.row", kinds.Nothing, "default", "Writes a row.", writes=()))
TABLE = "CREATE TABLE IF NOT EXISTS bench_rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)"
WRITE = "INSERT INTO bench_rows DEFAULT VALUES"


@handler(NOOP, writes=False)
async def noop(act: Act, arguments: kinds.Nothing) -> Result:
    return None


@handler(ROW)
async def row(act: Act, arguments: kinds.Nothing) -> Result:
    """Its end is in the transaction of the row, so each job is a commit of its own."""
    await act.tx.connection.execute(WRITE)
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
