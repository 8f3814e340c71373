"""Copies can be kept of some types: whatever a mutation changes of their records, an event (or a tombstone) tells of each."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from crmgql.access import ENTRIES
from crmgql.events.kinds import FOLLOWED
from tests.schema.cases import CASES, load
from tests.schema.test_every_event import prepare, work
from tests.schema.world import World

load()
TABLES = {record: ENTRIES[record].table for record in sorted(FOLLOWED)}
STATE = " UNION ALL ".join(f"SELECT id, version FROM {table}" for table in TABLES.values())
TOLD = """
SELECT e.subject_id FROM events e WHERE e.id > $1
UNION ALL SELECT t.subject_id FROM tombstones t JOIN events e ON e.subject_id = t.erasure_id WHERE e.id > $1
UNION ALL SELECT s.id FROM stages s JOIN events e ON e.subject_id = s.pipeline_id WHERE e.id > $1"""


async def test_no_change_of_a_followed_record_is_untold(world: World) -> None:
    watch = Watch(world, {}, UUID(int=0))
    untold: dict[str, set[UUID]] = {}
    for mutation, (_, make) in CASES.items():
        given = await make(world, "ADMIN")
        await watch.start()
        await world.do(mutation, **given)
        if missing := await watch.untold():
            untold[mutation] = missing
    await prepare(world)
    await watch.start()
    await work(world.engine.database, world.database)
    if missing := await watch.untold():
        untold["jobs"] = missing
    assert untold == {}
    assert watch.seen > 100


async def versions(world: World) -> dict[UUID, int]:
    return {row["id"]: row["version"] for row in await world.database.fetch(STATE)}


@dataclass
class Watch:
    """What changed since the start, and of what no event tells."""

    world: World
    before: dict[UUID, int]
    since: UUID
    seen: int = 0

    async def start(self) -> None:
        self.before = await versions(self.world)
        sql = "SELECT id FROM events ORDER BY id DESC LIMIT 1"
        self.since = await self.world.database.fetchval(sql) or UUID(int=0)

    async def untold(self) -> set[UUID]:
        after = await versions(self.world)
        assert self.before.keys() <= after.keys(), "records were deleted of which copies are kept"
        changed = {id for id, version in after.items() if self.before.get(id) != version}
        self.seen += len(changed)
        return changed - {row["subject_id"] for row in await self.world.database.fetch(TOLD, self.since)}
