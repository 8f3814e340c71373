"""Many people at a few leads at once: whatever wins, the books agree afterwards."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.schema.cases_leads import lead
from tests.schema.world import NOW, World, id_of, uuid_of

CLEAN = {None, "ILLEGAL_TRANSITION", "FORBIDDEN", "CONFLICT", "BAD_USER_INPUT", "NOT_FOUND"}

BOOKS = """
SELECT l.id, l.status, l.version, l.pool_id, l.merged_into_id,
    (SELECT to_status FROM lead_transitions t WHERE t.lead_id = l.id ORDER BY t.id DESC LIMIT 1) AS last_status,
    (SELECT count(*) FROM events e WHERE e.subject_id = l.id) AS told,
    (SELECT count(*) FROM audit_entries a WHERE a.subject_id = l.id) AS audited,
    (SELECT array_agg(pool_id) FROM pool_items i WHERE i.lead_id = l.id AND left_at IS NULL) AS here,
    (SELECT chosen_id FROM assignment_decisions d WHERE d.id = l.routing_id) AS chosen, l.owner_id
FROM leads l WHERE l.id = ANY($1)"""


@pytest.mark.parametrize("seed", range(4))
async def test_whoever_wins_the_books_agree(world: World, seed: int) -> None:
    """Every change is told once, the last transition is the status, a pool and its items agree, no cycle of merges."""
    dice = random.Random(seed)
    pool = await world.insert("pools", name=f"Pool of {seed}", kind="LEAD")
    ids = [await lead(world, None, email=f"a{seed}@x.com", pool_id=pool) for _ in range(5)]
    for id in ids:
        await world.insert("pool_items", pool_id=pool, lead_id=uuid_of(id), entered_at=NOW)
    owners = [id_of("User", world.people[name]) for name in ("ADMIN", "SELLER", "STRANGER")]

    async def act() -> str | None:
        id, other = dice.sample(ids, 2)
        inputs: dict[str, dict[str, Any]] = {
            "leadUpdate": {"city": dice.choice(["Rome", "Oslo"])},
            "leadAccept": {},
            "leadAssign": {"ownerId": dice.choice(owners)},
            "leadNurture": {},
            "leadQualify": {},
            "leadLose": {"reason": "Gone"},
            "leadReopen": {},
            "leadConvert": {"withOpportunity": False},
            "leadMerge": {"otherId": other},
        }
        rare = ["leadConvert", "leadMerge", "leadLose"]
        mutation = dice.choice([*inputs, *(name for name in inputs if name not in rare), "leadReopen"])
        return (await world.do(mutation, dice.choice(["ADMIN", "ADMIN", "SELLER"]), id=id, **inputs[mutation])).code

    codes: list[str | None] = []
    for _ in range(12):
        codes += await asyncio.gather(*(act() for _ in range(8)))
    assert set(codes) <= CLEAN, codes
    assert codes.count(None) >= 10
    rows = await world.database.fetch(BOOKS, [uuid_of(id) for id in ids])
    into = {row["id"]: row["merged_into_id"] for row in rows}
    for row in rows:
        assert row["told"] == row["audited"] == row["version"] - 1
        assert row["last_status"] in (row["status"], None)
        assert (row["here"] or [None])[0] == row["pool_id"]
        assert row["owner_id"] is None or row["chosen"] == row["owner_id"]
        at, steps = row["id"], 0
        while (at := into[at]) is not None:
            steps += 1
            assert steps <= len(ids)
