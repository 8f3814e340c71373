"""Keeps the rough sizes of the tables up to date, by which counts and sums are weighed."""

from __future__ import annotations

import asyncio

import structlog

from crmgql.engine.operations import Engine
from crmgql.errors import CrmError

log = structlog.get_logger("crmgql")

EACH_S = 60.0

# The larger of two estimates: one is of the last ANALYZE, the other counts since the statistics were last reset.
# Autovacuum never analyzes a table in partitions as a whole, so such a table has the rows of its partitions.
ROWS = """
SELECT whole.relname AS name, sum(greatest(part.reltuples, s.n_live_tup, 0))::bigint AS rows
FROM pg_stat_user_tables s
JOIN pg_class part ON part.oid = s.relid AND part.relkind = 'r'
JOIN pg_class whole ON whole.oid = coalesce(pg_partition_root(part.oid), part.oid)
WHERE s.schemaname = current_schema() GROUP BY whole.relname"""


async def keep(engine: Engine) -> None:
    """Until cancelled. While the database is away, the sizes stay as they were."""
    while True:
        try:
            await refresh(engine)
        except CrmError as error:
            log.warning("table sizes not read", reason=error.message)
        await asyncio.sleep(EACH_S)


async def refresh(engine: Engine) -> None:
    async with engine.database.reading() as connection:
        rows = await connection.fetch(ROWS)
    engine.sizes.rows = {row["name"]: row["rows"] for row in rows}
