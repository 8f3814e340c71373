"""An installation that sends webhooks, and what its receivers answer: shared by the tests of webhooks."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from crmgql import db
from crmgql.config import Settings
from crmgql.domain.webhooks import dispatching
from crmgql.domain.webhooks.endpoints import _new_key
from crmgql.events import outbox, positions
from crmgql.events.feed import Feed
from crmgql.events.outbox import Entry
from crmgql.models.names import api_id
from crmgql.outbound.client import Client
from crmgql.outbound.targets import Reach, networks
from crmgql.schema import build
from crmgql.workers.couriers import Courier
from crmgql.workers.sources import Shared
from tests.conftest import NOW, viewer
from tests.domain.work import insert
from tests.receiver import Receiver, Said

SECRET = "a secret of 32 bytes or more, for tests"


class Shop:
    """A company that records events and sends them; its time goes on only when a test says so."""

    def __init__(self, crm: db.Database, database: asyncpg.Connection, owner: UUID) -> None:
        self.crm = crm
        self.database = database
        self.owner = owner
        self.now = NOW
        self.verdicts: Counter[str] = Counter()
        self.connect = partial(Client, Reach(networks("127.0.0.0/8")), total_s=2, trust=ssl.create_default_context())

    def clock(self) -> datetime:
        return self.now

    async def registered(self) -> Any:
        return build.engine(self.crm, Settings(log_level="error")).registered

    async def customer(self) -> UUID:
        return await insert(self.database, "customers", name="Acme", currency="EUR")

    async def happen(self, *customers: UUID) -> list[str]:
        """An event about each customer, placed in the feed; their ids."""
        entries = [
            Entry("customer.updated", ("Customer", id), id, {"name": ("A", "B")}, {"version": 2}) for id in customers
        ]
        async with self.crm.transaction() as tx:
            await outbox.record_many(tx, viewer(self.owner, "ADMIN"), entries)
        await positions.place(self.database)
        rows = await self.database.fetch(
            "SELECT event_id FROM event_positions ORDER BY position DESC LIMIT $1", len(entries)
        )
        return [api_id("Event", row["event_id"]) for row in reversed(rows)]

    async def endpoint(self, url: str, **values: Any) -> UUID:
        given = {
            "url": url,
            "api_version": "2026-11",
            "status": "ACTIVE",
            "verified_at": NOW,
            "owner_id": self.owner,
            "cursor": (await positions.head(self.database)).text(),
            **_new_key(),
            **values,
        }
        return await insert(self.database, "webhook_endpoints", **given)

    async def take(self) -> list[Courier]:
        """Couriers of another process for all endpoints that have something to send."""
        holder = uuid4()
        async with self.crm.connection() as connection:
            ids = await dispatching.take(connection, holder, now=self.now, limit=100)
        shared = Shared(
            self.crm, self.connect, Feed(self.crm, None), holder, self.clock, self.registered, self.verdicts
        )
        return [Courier(shared, id, leased_at=self.now) for id in ids]

    async def send(self) -> int:
        """Sends until nothing can be sent now; how many were accepted."""
        before = self.verdicts["ACCEPTED"]
        while taken := await self.take():
            await asyncio.gather(*(courier.run() for courier in taken))
        return self.verdicts["ACCEPTED"] - before

    async def row(self, id: UUID) -> Any:
        return await self.database.fetchrow("SELECT * FROM webhook_endpoints WHERE id = $1", id)

    async def deliveries(self, *columns: str) -> list[Any]:
        listed = ", ".join(columns or ("status",))
        rows = await self.database.fetch(f"SELECT {listed} FROM webhook_deliveries ORDER BY position")
        return [tuple(row) if len(columns) > 1 else row[0] for row in rows]

    async def wait_and_send(self, **times: float) -> int:
        self.now += timedelta(**times)
        return await self.send()


def ids(receiver: Receiver) -> list[str]:
    return [got.id for got in receiver.got]


def refusing(*bad: str, status: int = 500, **headers: str) -> Any:
    """Answers that refuse these messages, or all."""
    return lambda got: Said(status, b"no", headers) if not bad or got.id in bad else Said()
