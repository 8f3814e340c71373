"""The handlers of jobs about opportunities, each run twice."""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from crmgql import db
from crmgql.domain.jobs import kinds
from crmgql.domain.opportunities import score_rules
from crmgql.records.records import Act
from crmgql.viewer import system
from crmgql.workers import opportunities  # noqa: F401 - declares what is done
from tests.conftest import NOW
from tests.domain import work

LATER = NOW + timedelta(hours=49)


async def deals(database: asyncpg.Connection, count: int) -> None:
    owner = await work.user(database)
    for number in range(count):
        await work.insert(database, "opportunities", name=f"Deal {number}", owner_id=owner, stage_since=NOW)


async def test_the_sweep_run_twice_alerts_once(crm: db.Database, database: asyncpg.Connection) -> None:
    await deals(database, 5)
    assert await work.run(crm, database, kinds.OPPORTUNITIES_STALE, now=LATER) == {"swept": 10}  # worked out, then told
    assert await work.run(crm, database, kinds.OPPORTUNITIES_STALE, now=LATER) == {"swept": 0}
    for table in ("stale_alerts", "notifications"):
        assert await database.fetchval(f"SELECT count(*) FROM {table}") == 5


async def test_a_changed_rule_scores_all_open_ones(crm: db.Database, database: asyncpg.Connection) -> None:
    await deals(database, 3)
    async with crm.transaction() as tx:
        act = Act(tx, system(lambda: NOW))
        await score_rules.create(act, name="All", field="probability", operator="EQ", value={"value": 10}, points=25)
    (job,) = await work.work(crm, database, kinds.OPPORTUNITIES_SCORE, now=NOW)
    assert (job["status"], job["result"]) == ("DONE", '{"scored": 3}')
    again = await work.run(crm, database, kinds.OPPORTUNITIES_SCORE, now=NOW)
    assert again == {"scored": 3}
    assert await database.fetchval("SELECT array_agg(DISTINCT score) FROM opportunities") == [25]
