"""The feed as the database has it, to compare with what followers got."""

from __future__ import annotations

import asyncio
from itertools import groupby

import asyncpg

from crmgql.events import cursors

FEED = f"""
SELECT {cursors.SQL.format(p="p")} AS cursor, position, kind, transaction_id::text AS transaction, is_last
FROM event_positions p JOIN events ON id = event_id ORDER BY position"""
UNPLACED = "SELECT (SELECT count(*) FROM events) > (SELECT count(*) FROM event_positions)"
PATIENCE_S = 120


async def placed(database: asyncpg.Connection) -> list[asyncpg.Record]:
    """The whole feed, once every event that is visible has its position."""
    async with asyncio.timeout(PATIENCE_S):
        while await database.fetchval(UNPLACED):
            await asyncio.sleep(0.05)
    return list(await database.fetch(FEED))


def cursors_of(feed: list[asyncpg.Record], kinds: list[str] | None = None) -> list[str]:
    """Those of some kinds, such as `order.*`."""
    nouns = {kind.removesuffix(".*") for kind in kinds or ()}
    return [event["cursor"] for event in feed if not nouns or event["kind"].partition(".")[0] in nouns]


def check_feed(feed: list[asyncpg.Record]) -> None:
    """No position is missing, and transactions are whole: neighbours, of which the last one is marked."""
    assert [event["position"] for event in feed] == list(range(1, len(feed) + 1))
    transactions = [list(events) for _, events in groupby(feed, key=lambda event: event["transaction"])]
    assert len(transactions) == len({event["transaction"] for event in feed})
    for events in transactions:
        assert [event["is_last"] for event in events] == [False] * (len(events) - 1) + [True]
