"""The relay of the feed alone, as each worker runs it: to see what it costs those who write. It ends when its standard input does."""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop

from crmgql import db
from crmgql.workers.feed import FeedRelay


async def _work() -> None:
    database = await db.connect(os.environ["CRMGQL_DATABASE_URL"], pool_size=2)
    relaying = asyncio.create_task(FeedRelay(database, os.environ["CRMGQL_REDIS_URL"]).run())
    await asyncio.to_thread(sys.stdin.readline)
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    await database.close()


if __name__ == "__main__":
    uvloop.run(_work())
