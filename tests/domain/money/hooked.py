"""An account at each provider, posts as they sign them, and jobs as a worker does them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from crmgql import db
from crmgql.domain.jobs import kinds
from crmgql.domain.money.hooks import accounts, arrivals
from crmgql.domain.webhooks.keys import KEYS
from tests.domain import work
from tests.domain.money.providers import posts
from tests.domain.money.providers.posts import NOW, Post
from tests.ledger.conftest import acting

SECRET = "a secret of thirty-two bytes, or more"
SECRETS = {"stripe": [posts.SECRET], "adyen": [posts.HEX_KEY], "wechat": [posts.API_KEY], "alipay": None}
EVENTS = "SELECT * FROM provider_events ORDER BY id"
PAYMENTS = "SELECT * FROM payments ORDER BY provider_reference"


async def set_up(crm: db.Database, provider: str = "stripe", **values: Any) -> UUID:
    """An account whose posts are those of `posts`."""
    KEYS.use(SECRET)
    pure = posts.ACCOUNTS[provider]
    given = {
        "name": f"Shop at {provider}",
        "provider": provider.upper(),
        "identities": sorted(pure.ids),
        "public_keys": dict(pure.public_keys),
        "secrets": SECRETS[provider],
        **values,
    }
    async with acting(crm) as act:
        return await accounts.create(act, **given)


async def deliver(crm: db.Database, post: Post, *, now: datetime = NOW) -> arrivals.Arrived:
    """What the endpoint does with a post."""
    known = await accounts.active(crm, post.provider)
    return await arrivals.receive(crm, post.provider, known, post.headers, post.body, clock=lambda: now)


async def follow(crm: db.Database, database: asyncpg.Connection, *, now: datetime = NOW) -> None:
    """Does what is due, until nothing is."""
    while jobs := await work.work(crm, database, kinds.PROVIDER_EVENT_FOLLOW, now=now):
        assert {job["status"] for job in jobs} == {"DONE"}, [dict(job) for job in jobs]


async def retry(crm: db.Database, database: asyncpg.Connection, *, after: timedelta) -> Any:
    """The sweep, and what it finds, so long after the posts."""
    result = await work.run(crm, database, kinds.PROVIDER_EVENTS_RETRY, now=NOW + after)
    await follow(crm, database, now=NOW + after)
    return result


async def told(crm: db.Database, database: asyncpg.Connection, given: Iterable[Post]) -> None:
    """Each post, followed before the next one comes."""
    for post in given:
        await deliver(crm, post)
        await follow(crm, database)


async def statuses(database: asyncpg.Connection) -> dict[str, str]:
    return {row["raw_kind"]: row["status"] for row in await database.fetch(EVENTS)}
