"""Rough sizes of the tables: what counts and sums over them cost."""

from __future__ import annotations

from typing import Any

from crmgql.engine import table_sizes
from crmgql.engine.operations import Engine

EVENTS = """
INSERT INTO events (kind, subject_type, subject_id, occurred_at)
SELECT 'customer.created', 'Customer', uuidv7(), now() FROM generate_series(1, 3000)"""

PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass"


async def test_a_table_in_partitions_has_the_rows_of_all_of_them(engine: Engine, database: Any) -> None:
    await database.execute(EVENTS)
    await database.execute("INSERT INTO teams (name) SELECT 'team ' || n FROM generate_series(1, 500) n")
    for analyzed in ("teams", "events"):  # the parent's own statistics, too, count no row twice
        await database.execute(f"ANALYZE {analyzed}")
        await table_sizes.refresh(engine)
    assert engine.sizes.rows["teams"] == 500
    assert engine.sizes.rows["events"] == 3000
    assert not [name for name in engine.sizes.rows if name.startswith("events_2")]


async def test_partitions_that_nobody_analyzed_as_a_whole(engine: Engine, database: Any) -> None:
    """As autovacuum leaves them: it never analyzes the parent."""
    await database.execute(EVENTS)
    for name in await database.fetch(PARTITIONS):
        await database.execute(f"ANALYZE {name[0]}")
    await table_sizes.refresh(engine)
    assert engine.sizes.rows["events"] == 3000
