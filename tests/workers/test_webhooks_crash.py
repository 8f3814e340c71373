"""Worker processes that send webhooks are killed at random: every endpoint gets every event, in order, and no lease stays."""

from __future__ import annotations

import asyncio
import os
import random
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crmgql import db
from crmgql.dev import embedded
from crmgql.domain.webhooks.endpoints import _new_key
from crmgql.domain.webhooks.keys import KEYS
from crmgql.events import outbox
from crmgql.events.cursors import START
from crmgql.events.outbox import Entry
from crmgql.schema import build
from crmgql.workers.bells import Bells
from crmgql.workers.rings import client
from tests import processes
from tests.conftest import NOW, viewer
from tests.domain.work import insert, user
from tests.receiver import Got, Receiver, Said, receiving

SECRET = "a secret of 32 bytes or more, for tests"
WORKERS, KILLS, EVENTS, CUSTOMERS = 2, 4, 100, 5
OPEN = """
SELECT count(*) FROM webhook_endpoints e, feed
WHERE lease_by IS NOT NULL OR substr(cursor, 13, 16) < lpad(to_hex(feed.position), 16, '0')"""


def start(database_url: str, redis_url: str) -> processes.Process:
    environment = {
        **os.environ,
        "CRMGQL_DATABASE_URL": database_url,
        "CRMGQL_REDIS_URL": redis_url,
        "CRMGQL_SECRET_KEY": SECRET,
        "CRMGQL_WEBHOOK_NETWORKS": "127.0.0.0/8",
        "CRMGQL_LOG_LEVEL": "error",
    }
    return processes.Process("tests.workers.webhook_worker", environment=environment, log=Path(os.devnull))


def sometimes_failing(chance: random.Random) -> Any:
    return lambda got: Said(500) if chance.random() < 0.05 else Said()


def firsts(got: list[Got]) -> dict[str, list[str]]:
    """By customer, the events in the order in which they first came and were accepted."""
    seen: dict[str, dict[str, None]] = defaultdict(dict)
    for each in got:
        seen[each.json["data"]["customerId"]].setdefault(each.json["cursor"])
    return {customer: list(cursors) for customer, cursors in seen.items()}


async def test_killed_senders_lose_nothing_and_keep_the_order(
    crm: db.Database, database: asyncpg.Connection, database_url: str, servers: embedded.Servers
) -> None:
    assert build.built()
    KEYS.use(SECRET)
    owner, chance = await user(database, roles=["ADMIN"]), random.Random(3)
    customers = [await insert(database, "customers", name="Acme", currency="EUR") for _ in range(CUSTOMERS)]
    async with AsyncExitStack() as stack:
        receivers: list[Receiver] = []
        for order_by in ("ENDPOINT", "CUSTOMER", "CUSTOMER"):
            receiver = await stack.enter_async_context(receiving())
            receivers.append(receiver)
            given = {"url": receiver.url, "order_by": order_by, "owner_id": owner, "cursor": START.text()}
            more = {"api_version": "2026-11", "status": "ACTIVE", "verified_at": NOW, "kinds": ["customer.*"]}
            await insert(database, "webhook_endpoints", **given, **more, **_new_key())
        receivers[2].answer = sometimes_failing(chance)
        valkey = client(servers.redis_url)
        stack.push_async_callback(valkey.aclose, close_connection_pool=True)
        crm.on_queued = Bells(valkey).ring
        workers = [start(database_url, servers.redis_url) for _ in range(WORKERS)]
        try:
            writing = asyncio.create_task(write(crm, customers, owner, chance))
            for number in range(KILLS):
                await asyncio.sleep(chance.uniform(0.4, 1.0))
                workers[number % WORKERS].kill()
                workers[number % WORKERS] = start(database_url, servers.redis_url)
            await writing
            async with asyncio.timeout(60):
                while await database.fetchval(OPEN) or await database.fetchval(
                    "SELECT count(*) FROM webhook_deliveries WHERE finished_at IS NULL"
                ):
                    await asyncio.sleep(0.1)
        finally:
            for worker in workers:
                worker.kill()
    for receiver in receivers:
        found = firsts(receiver.got)
        assert sum(map(len, found.values())) == EVENTS
        if receiver is not receivers[2]:  # that one came first and was refused
            assert all(cursors == sorted(cursors) for cursors in found.values())
    in_all = [got.json["cursor"] for got in receivers[0].got]
    assert list(dict.fromkeys(in_all)) == sorted(set(in_all))


async def write(crm: db.Database, customers: list[Any], owner: Any, chance: random.Random) -> None:
    for _ in range(EVENTS // 5):
        chosen = [chance.choice(customers) for _ in range(5)]
        entries = [Entry("customer.updated", ("Customer", id), id, {}, {"version": 2}) for id in chosen]
        async with crm.transaction() as tx:
            await outbox.record_many(tx, viewer(owner, "ADMIN"), entries)
        await asyncio.sleep(0.08)


pytestmark = pytest.mark.usefixtures("database")
