"""The funnel against a count in plain Python over random histories, as everybody sees it."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql.engine.operations import Engine, Request
from tests.conftest import NOW, viewer

STAGES = ("Prospecting", "Engaging", "Proposal", "Negotiation", "Won", "Lost")
STEP = timedelta(hours=7)
QUERY = """query($since: DateTime, $until: DateTime, $owner: ID) {
  funnel(since: $since, until: $until, ownerId: $owner) {
    pipeline won lost wonAmounts { amount currency } lostAmounts { amount currency }
    stages { name entered current movedOn won lost conversion conversionGoal goalMet averageHours medianHours } } }"""


@dataclass
class Deal:
    owner: UUID
    currency: str
    amount: Decimal
    stage: int
    moves: list[tuple[int | None, int, datetime, int | None]] = field(default_factory=list)


def history(dice: random.Random, owner: UUID) -> Deal:
    """A deal that wandered; of some the beginning is not on record, of others nothing."""
    deal = Deal(owner, dice.choice(["EUR", "USD"]), Decimal(dice.randrange(1, 9999)), dice.randrange(4))
    moment, since = NOW + STEP * dice.randrange(100), NOW
    if dice.random() < 0.7:
        deal.moves.append((None, deal.stage, moment, None))
    since = moment
    for _ in range(dice.randrange(5)):
        moment += STEP * dice.randrange(1, 9)
        goes = dice.randrange(6)
        if goes == deal.stage:
            continue
        deal.moves.append((deal.stage, goes, moment, int((moment - since).total_seconds())))
        deal.stage, since = goes, moment
    return deal


async def load(database: asyncpg.Connection, deals: list[Deal]) -> None:
    stages = {row["name"]: row["id"] for row in await database.fetch("SELECT id, name FROM stages")}
    for deal in deals:
        closed = NOW.date() if deal.stage > 3 else None
        since = deal.moves[-1][2] if deal.moves else NOW + STEP
        id = await database.fetchval(
            "INSERT INTO opportunities (name, owner_id, stage_id, closed_on, stage_since, amount, currency)"
            " VALUES ('Deal', $1, $2, $3, $4, round($5::numeric, 2), $6) RETURNING id",
            *(deal.owner, stages[STAGES[deal.stage]], closed, since, deal.amount, deal.currency),
        )
        for left, goes, moment, seconds in deal.moves:
            await database.execute(
                "INSERT INTO stage_transitions (opportunity_id, from_stage_id, to_stage_id, occurred_at, seconds_in_stage)"
                " VALUES ($1, $2, $3, $4, $5)",
                *(id, None if left is None else stages[STAGES[left]], stages[STAGES[goes]], moment, seconds),
            )


def counted(deals: list[Deal], since: datetime | None, until: datetime | None, goal: int) -> dict[str, Any]:
    low, high = since or datetime.min.replace(tzinfo=NOW.tzinfo), until or datetime.max.replace(tzinfo=NOW.tzinfo)
    tallies: dict[int, dict[str, Any]] = {n: defaultdict(int) | {"s": []} for n in range(6)}
    ends: dict[int, dict[str, Decimal]] = {4: defaultdict(Decimal), 5: defaultdict(Decimal)}
    for deal in deals:
        tallies[deal.stage]["current"] += 1
        entered = {goes for _, goes, moment, _ in deal.moves if low <= moment < high}
        if deal.moves and deal.moves[0][0] is not None and low <= deal.moves[0][2] < high:
            entered.add(deal.moves[0][0])
        if not deal.moves and low <= NOW + STEP < high:
            entered.add(deal.stage)
        gone: dict[int, set[int]] = defaultdict(set)
        for left, goes, moment, seconds in deal.moves:
            if left in entered and low <= moment < high:
                gone[left].add(goes)
                tallies[left]["s"].append(seconds)
        for stage in entered:
            tallies[stage]["entered"] += 1
            tallies[stage]["won"] += 4 in gone[stage]
            tallies[stage]["lost"] += 5 in gone[stage]
            tallies[stage]["movedOn"] += any(stage < goes < 5 for goes in gone[stage])
        if deal.stage > 3 and deal.stage in entered:
            ends[deal.stage][deal.currency] += deal.amount
            ends[deal.stage]["n"] += 1
    stages = [shown(number, tally, goal) for number, tally in tallies.items()]
    amounts = {
        n: [{"amount": f"{end[c]}.00", "currency": c} for c in sorted(end) if c != "n"] for n, end in ends.items()
    }
    result = {"pipeline": "Sales", "won": int(ends[4]["n"]), "lost": int(ends[5]["n"]), "stages": stages}
    return {**result, "wonAmounts": amounts[4], "lostAmounts": amounts[5]}


def shown(number: int, tally: dict[str, Any], goal: int) -> dict[str, Any]:
    def exact(value: Any) -> str:
        return str(Decimal(value).quantize(Decimal("0.01"), ROUND_HALF_UP))

    share = Decimal(100 * tally["movedOn"]) / tally["entered"] if tally["entered"] and number < 4 else None
    known = [seconds for seconds in tally["s"] if seconds is not None]
    asked = goal if number == 1 else None
    return {
        "name": STAGES[number],
        **{name: tally[name] for name in ("entered", "current", "movedOn", "won", "lost")},
        "conversion": None if share is None else exact(share),
        "conversionGoal": asked,
        "goalMet": None if asked is None or share is None else share >= asked,
        "averageHours": exact(Decimal(sum(known)) / len(known) / 3600) if known else None,
        "medianHours": exact(Decimal(median(known)) / 3600) if known else None,
    }


async def ask(engine: Engine, who: Any, **variables: Any) -> Any:
    return json.loads(await engine.answer(Request(QUERY, None, variables), who))


@pytest.mark.parametrize("seed", range(4))
async def test_it_is_what_a_count_says(engine: Engine, database: asyncpg.Connection, seed: int) -> None:
    dice = random.Random(seed)
    mine, theirs = [
        await database.fetchval("INSERT INTO users (name, roles) VALUES ('Seller', '{SELLER}') RETURNING id")
        for _ in "12"
    ]
    deals = [history(dice, dice.choice([mine, theirs])) for _ in range(120)]
    await load(database, deals)
    await database.execute("UPDATE stages SET conversion_goal = 30 WHERE name = 'Engaging'")
    times = [None, NOW + STEP * dice.randrange(40), NOW + STEP * dice.randrange(40, 110)]
    for since, until in ((None, None), (times[1], None), (None, times[2]), (times[1], times[2])):
        given = {"since": since and since.isoformat(), "until": until and until.isoformat()}
        whole = await ask(engine, viewer(UUID(int=0), "ADMIN"), **given)
        assert whole == {"data": {"funnel": counted(deals, since, until, 30)}}
        own = [deal for deal in deals if deal.owner == mine]
        seen = await ask(engine, viewer(mine, "SELLER"), **given)
        assert seen["data"]["funnel"] == counted(own, since, until, 30)
        owned = await ask(engine, viewer(UUID(int=0), "ADMIN"), owner=f"usr_{mine.hex}", **given)
        assert owned["data"]["funnel"] == counted(own, since, until, 30)
    hidden = await ask(engine, viewer(mine, "SELLER"), owner=f"usr_{theirs.hex}")
    assert {stage["entered"] for stage in hidden["data"]["funnel"]["stages"]} == {0}


async def test_what_can_not_be_asked(engine: Engine) -> None:
    admin = viewer(UUID(int=0), "ADMIN")
    backwards = await ask(engine, admin, since="2026-02-01T00:00:00Z", until="2026-01-01T00:00:00Z")
    assert backwards["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    unknown = '{ funnel(pipelineId: "ppl_00000000000000000000000000000000") { won } }'
    answer = json.loads(await engine.answer(Request(unknown, None, {}), admin))
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    narrow = viewer(UUID(int=0), "ADMIN", scopes=frozenset({"customers:read"}))
    assert (await ask(engine, narrow))["errors"][0]["extensions"]["code"] == "FORBIDDEN"
