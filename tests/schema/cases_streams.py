"""Cases of subscriptions to events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from crmgql.domain.streams import registry
from crmgql.events import cursors
from tests.schema.cases import EVERYBODY, case
from tests.schema.world import NOW, World, id_of

DOCUMENT = "fragment Payload on Event { kind subject { id } }"
TOKEN = "the token of a lease"


async def subscription(world: World, role: str, **values: Any) -> str:
    """One of the person of a role, which nobody follows yet."""
    row = {
        "name": f"Mirror {uuid4()}",
        "owner_id": world.people[role],
        "document_hash": await document(world),
        "cursor": cursors.START.text(),
        **values,
    }
    return id_of("EventSubscription", await world.insert("event_subscriptions", **row))


async def leased(world: World, role: str) -> str:
    lease = {"lease_token": TOKEN, "lease_until": NOW + timedelta(minutes=1), "pulled": cursors.START.text()}
    return await subscription(world, role, **lease)


async def document(world: World, text: str = DOCUMENT) -> str:
    hash = registry.hash_of(text)
    await world.database.execute(
        "INSERT INTO documents (hash, text, purpose) VALUES ($1, $2, 'PAYLOAD') ON CONFLICT DO NOTHING", hash, text
    )
    return hash


@case("subscriptionCreate", EVERYBODY)
async def subscription_create(world: World, role: str) -> dict[str, Any]:
    return {"name": f"Mirror {uuid4()}", "document": DOCUMENT, "kinds": ["order.*"], "fields": ["status"]}


@case("subscriptionUpdate", EVERYBODY)
async def subscription_update(world: World, role: str) -> dict[str, Any]:
    return {"id": await subscription(world, role), "kinds": ["payment.received"], "readAs": "EVENT"}


@case("subscriptionDelete", EVERYBODY)
async def subscription_delete(world: World, role: str) -> dict[str, Any]:
    return {"id": await subscription(world, role)}


@case("subscriptionPull", EVERYBODY, events=0)
async def subscription_pull(world: World, role: str) -> dict[str, Any]:
    return {"id": await subscription(world, role), "first": 10, "holder": "worker 1"}


@case("subscriptionCommit", EVERYBODY, events=0)
async def subscription_commit(world: World, role: str) -> dict[str, Any]:
    return {"id": await leased(world, role), "token": TOKEN, "cursor": cursors.START.text()}


@case("subscriptionRelease", EVERYBODY, events=0)
async def subscription_release(world: World, role: str) -> dict[str, Any]:
    return {"id": await leased(world, role), "token": TOKEN}


@case("subscriptionSeek", EVERYBODY)
async def subscription_seek(world: World, role: str) -> dict[str, Any]:
    placed = await world.database.fetchval("SELECT feed_pass()")
    assert placed, "there is something to seek"
    return {"id": await subscription(world, role), "to": "END"}


@case("exportCreate", EVERYBODY)
async def export_create(world: World, role: str) -> dict[str, Any]:
    await world.database.execute(
        "UPDATE jobs SET status = 'CANCELLED', finished_at = now() WHERE kind = 'export.write'"
    )
    return {"document": "fragment Record on User { id name }", "filter": {"active": {"eq": True}}}
