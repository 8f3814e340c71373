"""What tests of `GET /events` do again and again: let something happen, ask for a page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
from redis.asyncio import Redis

from crmgql.events import announcements

CREATE = (
    "mutation($input: CustomerCreateInput!) { customerCreate(input: $input) { customer { id } userErrors { code } } }"
)
UPDATE = (
    "mutation($input: CustomerUpdateInput!) { customerUpdate(input: $input) { customer { id } userErrors { code } } }"
)
CREATED = "customer.created"

Happen = Callable[..., Awaitable[list[str]]]


@asynccontextmanager
async def happening(client: httpx.AsyncClient, redis_url: str, database_url: str) -> AsyncIterator[Happen]:
    """Customers are made by somebody, and their events get their positions. The customers' ids."""
    connection, valkey = await asyncpg.connect(database_url), Redis.from_url(redis_url)

    async def made(token: str, number: int = 1) -> list[str]:
        ids = [(await do(client, token, CREATE, name=f"Customer {each}"))["customer"]["id"] for each in range(number)]
        await announcements.publish(valkey, await connection.fetchval("SELECT feed_pass()"))
        return ids

    yield made
    await valkey.aclose()
    await connection.close()


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def do(client: httpx.AsyncClient, token: str, mutation: str, /, **given: Any) -> Any:
    """The payload of a mutation."""
    body = {"query": mutation, "variables": {"input": given}}
    answer = (await client.post("/graphql", json=body, headers=bearer(token))).json()
    assert "errors" not in answer, answer
    (payload,) = answer["data"].values()
    return payload


async def page(client: httpx.AsyncClient, token: str, address: str = "/events", **parameters: Any) -> Any:
    response = await client.get(address, params=parameters or None, headers=bearer(token), follow_redirects=True)
    assert response.status_code == 200, response.text
    return response.json()


async def now(client: httpx.AsyncClient, token: str) -> str:
    """The newest cursor."""
    return str((await page(client, token))["cursor"])
