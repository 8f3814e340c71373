"""Webhook endpoints: who makes them, what they answer before they get anything, what a new URL or secret changes."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
import pytest_asyncio
from standardwebhooks import Webhook
from starlette.applications import Starlette

from crmgql.domain.jobs import kinds
from crmgql.domain.webhooks import challenges, endpoints
from crmgql.domain.webhooks.bounds import BOUNDS
from crmgql.domain.webhooks.keys import KEYS
from crmgql.http import webhook_keys
from crmgql.outbound.client import Client
from crmgql.outbound.targets import Reach, networks
from tests.domain.work import work
from tests.jobs import acting
from tests.receiver import Got, Receiver, Said, receiving
from tests.schema.cases_webhooks import URL, active, endpoint
from tests.schema.world import NOW, SECRET, World, id_of, unlike, uuid_of

SHOWN = "id status statusReason verifiedAt publicKey cursor"


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


@pytest.fixture(autouse=True)
def _start() -> Iterator[None]:
    KEYS.use(SECRET)
    BOUNDS.use("127.0.0.0/8")
    yield
    BOUNDS.use("")


async def challenged(world: World, networks: str = "127.0.0.0/8", **settings: Any) -> list[Any]:
    """Has all challenges posed that are due; the jobs' results."""
    more = {"webhook_networks": networks, "webhook_timeout_s": 2, **settings}
    done = await work(world.engine.database, world.database, kinds.WEBHOOK_CHALLENGE, now=NOW, **more)
    assert {job["status"] for job in done} <= {"DONE"}
    return [job["result"] and orjson.loads(job["result"]) for job in done]


async def make(world: World, who: Any = "INTEGRATION", **given: Any) -> tuple[str, str]:
    """An endpoint's id and its secret."""
    made = await world.do("webhookEndpointCreate", who, **given)
    return made.done["id"], made.payload["secret"]


async def look(world: World, id: str, who: str = "INTEGRATION", show: str = SHOWN) -> dict[str, Any]:
    answer = await world.ask(f"query($id: ID!) {{ webhookEndpoint(id: $id) {{ {show} }} }}", world.viewer(who), id=id)
    return answer["data"]["webhookEndpoint"]  # type: ignore[no-any-return]


def says(text: bytes, status: int = 200) -> Any:
    return lambda got: Said(status, text)


async def test_an_endpoint_is_active_once_it_has_answered(world: World, receiver: Receiver) -> None:
    id, secret = await make(world, url=receiver.url, kinds=["order.*"], ed25519=True)
    assert (await look(world, id))["status"] == "PENDING"
    assert (await challenged(world))[-1] == {"verified": True, "reason": None}
    (got,) = receiver.got
    assert got.json["type"] == "webhook.challenge"
    assert got.json["data"]["challenge"] == got.headers["webhook-challenge"]
    assert Webhook(secret).verify(got.body, signed_now(secret, got))
    assert "v1a," in got.headers["webhook-signature"]
    shown = await look(world, id)
    assert shown["status"] == "ACTIVE"
    assert shown["verifiedAt"]
    assert await world.told(id) == ["webhookEndpoint.created", "webhookEndpoint.verified"]
    assert SECRETS.isdisjoint(await world.changes(id))
    logged = await look(world, id, show="attempts { nodes { kind accepted requestHeaders responseStatus } }")
    (attempt,) = logged["attempts"]["nodes"]
    assert attempt["kind"] == "webhook.challenge"
    assert attempt["accepted"] is True
    assert {name.lower() for name in attempt["requestHeaders"]}.isdisjoint({"webhook-signature", "webhook-challenge"})


SECRETS = {"key_salt", "old_key_salt"}


def signed_now(secret: str, got: Got) -> dict[str, str]:
    """The headers as of today: the library refuses old ones. The signature was checked over the test's own time."""
    moment = NOW.fromtimestamp(int(got.headers["webhook-timestamp"]), NOW.tzinfo)
    ours = Webhook(secret).sign(got.id, moment, got.body.decode())
    assert ours in got.headers["webhook-signature"].split(" ")
    today = NOW.now(NOW.tzinfo)
    return {
        "webhook-id": got.id,
        "webhook-timestamp": str(int(today.timestamp())),
        "webhook-signature": Webhook(secret).sign(got.id, today, got.body.decode()),
    }


async def test_the_answer_may_be_json(world: World, receiver: Receiver) -> None:
    receiver.answer = lambda got: Said(200, orjson.dumps({"challenge": got.headers["webhook-challenge"]}))
    await make(world, url=receiver.url)
    assert (await challenged(world))[-1]["verified"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (says(b"ok"), "not the challenge"),
        (says(b'{"challenge": null}'), "not the challenge"),
        (says(b"[" * 500), "not the challenge"),
        (says(b"", 302), "status 302"),
        (lambda got: Said(500, got.headers["webhook-challenge"].encode()), "status 500"),
        (lambda got: None, "broke off"),
    ],
)
async def test_who_does_not_answer_gets_nothing(world: World, receiver: Receiver, answer: Any, reason: str) -> None:
    receiver.answer = answer
    id, _ = await make(world, url=receiver.url)
    await challenged(world)
    shown = await look(world, id)
    assert shown["status"] == "PENDING"
    assert reason in shown["statusReason"]
    receiver.answer = Receiver().answer
    await world.do("webhookEndpointChallenge", id=id)
    await challenged(world)
    assert (await look(world, id))["status"] == "ACTIVE"
    assert (await look(world, id))["statusReason"] is None
    assert await world.told(id) == [
        f"webhookEndpoint.{each}" for each in ("created", "challengeFailed", "challenged", "verified")
    ]


@pytest.mark.parametrize(
    "url", ["https://[::ffff:10.0.0.1]/hooks", "https://2130706433/hooks", "https://localhost/hooks"]
)
async def test_an_address_that_is_not_public_is_refused_at_once(world: World, url: str) -> None:
    BOUNDS.use("")
    id = await active(world)
    before = await world.counts()
    for mutation, more in (("webhookEndpointCreate", {}), ("webhookEndpointUpdate", {"id": id})):
        answer = await world.do(mutation, "ADMIN", url=url, **more)
        assert (answer.code, answer.field) == ("ADDRESS_REFUSED", "url")
    assert await world.counts() == before
    BOUNDS.use("127.0.0.0/8, ::1, 10.0.0.0/8")
    assert (await world.do("webhookEndpointUpdate", "ADMIN", id=id, url=url)).code is None


async def test_no_private_address_is_asked(world: World, receiver: Receiver) -> None:
    id, _ = await make(world, url=receiver.url)
    await challenged(world, networks="")
    assert receiver.connections == 0
    assert "CRMGQL_WEBHOOK_NETWORKS" in (await look(world, id))["statusReason"]


@pytest.mark.parametrize("url", ["ftp://example.com", "https://a:b@example.com", "https://example.com:25", "nonsense"])
async def test_what_is_no_receivers_url(world: World, url: str) -> None:
    for mutation, more in (("webhookEndpointCreate", {}), ("webhookEndpointUpdate", {"id": await active(world)})):
        answer = await world.do(mutation, **more, url=url)
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", "url")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kinds": ["order.exploded"]}, "kinds.0"),
        ({"kinds": ["order.*"], "fields": ["nonsense"]}, "fields.0"),
        ({"apiVersion": "1999-01"}, "apiVersion"),
    ],
)
async def test_what_there_is_not(world: World, given: dict[str, Any], field: str) -> None:
    for mutation, more in (
        ("webhookEndpointCreate", {"url": "https://example.com"}),
        ("webhookEndpointUpdate", {"id": await active(world)}),
    ):
        answer = await world.do(mutation, **more, **given)
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)


async def test_a_new_url_is_another_receiver_with_another_secret(world: World, receiver: Receiver) -> None:
    """What others do: a renamed endpoint keeps its old secret, and whoever had the old one can forge."""
    id, secret = await make(world, url=receiver.url)
    await challenged(world)
    await world.do("webhookEndpointRotateSecret", id=id)
    before = await look(world, id)
    same = await world.do("webhookEndpointUpdate", id=id, url=receiver.url, description="Same")
    assert same.payload["secret"] is None
    assert (await look(world, id))["status"] == "ACTIVE"
    moved = await world.do("webhookEndpointUpdate", show=f"{SHOWN} oldKeyUntil", id=id, url=receiver.url + "/new")
    assert moved.payload["secret"] not in (None, secret)
    assert moved.done["status"] == "PENDING"
    assert moved.done["oldKeyUntil"] is None
    assert moved.done["publicKey"] != before["publicKey"]
    assert moved.done["cursor"] == before["cursor"]
    await challenged(world)
    last = receiver.got[-1]
    assert last.path == "/hooks/new"
    assert signed_now(moved.payload["secret"], last)
    assert len(last.headers["webhook-signature"].split(" ")) == 1
    assert (await look(world, id))["status"] == "ACTIVE"


async def test_an_answer_of_the_old_url_proves_nothing_for_the_new_one(world: World, receiver: Receiver) -> None:
    id, _ = await make(world, url=receiver.url)
    row = await world.row("webhook_endpoints", id)
    outcome = challenges.Outcome(None, await one_tried(row))
    await world.do("webhookEndpointUpdate", id=id, url=receiver.url + "/new")
    async with acting(world.engine.database) as act:
        assert await challenges.finish(act, row, outcome) is None
    assert (await look(world, id))["status"] == "PENDING"


async def one_tried(row: dict[str, Any]) -> Any:
    client = Client(Reach(networks("127.0.0.0/8")), total_s=2)
    try:
        return (await challenges.pose(client, row, now=NOW)).tried
    finally:
        await client.close()


async def test_a_secret_is_rotated_with_an_overlap(world: World) -> None:
    id = await active(world)
    before = await look(world, id)
    rotated = await world.do("webhookEndpointRotateSecret", show="publicKey oldPublicKey oldKeyUntil", id=id)
    assert rotated.payload["secret"].startswith("whsec_")
    assert rotated.done["oldPublicKey"] == before["publicKey"]
    assert rotated.done["oldKeyUntil"] == (NOW + timedelta(hours=24)).isoformat()
    at_once = await world.do("webhookEndpointRotateSecret", show="oldPublicKey oldKeyUntil", id=id, overlapH=0)
    assert at_once.done == {"oldPublicKey": None, "oldKeyUntil": None}
    for hours in (-1, 169):
        refused = await world.do("webhookEndpointRotateSecret", id=id, overlapH=hours)
        assert (refused.code, refused.field) == ("BAD_USER_INPUT", "overlapH")
    assert await world.told(id) == ["webhookEndpoint.secretRotated"] * 2


async def test_a_repeated_request_does_not_show_the_secret_again(world: World) -> None:
    given = {"url": URL, "idempotencyKey": "once"}
    first = await world.do("webhookEndpointCreate", **given)
    again = await world.do("webhookEndpointCreate", **given)
    assert first.payload["secret"]
    assert again.payload["secret"] is None
    assert again.done == first.done


async def test_states(world: World) -> None:
    id = await endpoint(world)
    for verb in ("Pause", "Resume"):
        assert (await world.do(f"webhookEndpoint{verb}", id=id)).code == "ILLEGAL_TRANSITION"
    id = await active(world)
    assert (await world.do("webhookEndpointChallenge", id=id)).code == "ILLEGAL_TRANSITION"
    assert (await world.do("webhookEndpointPause", show="status", id=id)).done == {"status": "PAUSED"}
    assert (await world.do("webhookEndpointResume", show="status", id=id)).done == {"status": "ACTIVE"}
    assert (await world.do("webhookEndpointDelete", show="status", id=id)).done == {"status": "DELETED"}
    for verb in ("Pause", "Resume", "Update", "RotateSecret", "Delete"):
        assert (await world.do(f"webhookEndpoint{verb}", id=id)).code == "ILLEGAL_TRANSITION"


async def test_the_owner_decides_what_it_gets(world: World) -> None:
    """The attack: an integration has events sent to itself under an administrator's rules."""
    admin, integration = (id_of("User", world.people[role]) for role in ("ADMIN", "INTEGRATION"))
    made = await world.do("webhookEndpointCreate", "ADMIN", url=URL, ownerId=integration)
    assert made.code is None
    refused = await world.do("webhookEndpointCreate", "INTEGRATION", url=URL, ownerId=admin)
    assert (refused.code, refused.errors[0]["extensions"]["field"]) == ("FORBIDDEN", "ownerId")
    by_key = world.viewer("ADMIN", scopes=frozenset({"*:write", "*:read"}), key=UUID(int=1))
    refused = await world.do("webhookEndpointCreate", by_key, url=URL, ownerId=integration)
    assert refused.code == "FORBIDDEN"


async def test_a_key_leaves_endpoints_of_others_alone(world: World) -> None:
    """The attack: a key for webhooks alone makes the endpoint of its user, who sees more, send elsewhere."""
    key = uuid_of(await world.api_key())
    narrow = world.viewer("INTEGRATION", scopes=frozenset({"webhooks:write", "webhooks:read"}), key=key)
    id = await active(world)
    before = await world.counts()
    for mutation, more in (("Update", {"url": "https://192.0.2.2/"}), ("RotateSecret", {}), ("Delete", {})):
        assert (await world.do(f"webhookEndpoint{mutation}", narrow, id=id, **more)).code == "FORBIDDEN"
    assert await world.counts() == before
    own, _ = await make(world, narrow, url=URL)
    assert (await world.row("webhook_endpoints", own))["api_key_id"] == key
    assert (await world.do("webhookEndpointUpdate", narrow, id=own, payload="THIN")).code is None


async def test_what_is_under_way_ends_with_the_endpoint(world: World) -> None:
    id = await active(world)
    waiting = {"position": 1, "kind": "order.created", "line": UUID(int=1), "status": "WAITING"}
    await world.insert("webhook_deliveries", endpoint_id=uuid_of(id), message_id="evt_1", **waiting)
    await world.do("webhookEndpointDelete", id=id)
    shown = await look(world, id, show="status deliveries { nodes { status } }")
    assert shown == {"status": "DELETED", "deliveries": {"nodes": [{"status": "DEAD"}]}}


async def test_a_ping_is_sent_and_logged(world: World, receiver: Receiver) -> None:
    id = await endpoint(world, "PAUSED", url=receiver.url)
    await world.do("webhookPing", id=id)
    settings = {"webhook_networks": "127.0.0.0/8", "webhook_timeout_s": 2}
    done = await work(world.engine.database, world.database, kinds.WEBHOOK_PING, now=NOW, **settings)
    result = orjson.loads(done[-1]["result"])
    assert (result["accepted"], result["status"]) == (True, 204)
    (got,) = receiver.got
    assert (got.json["type"], got.json["id"]) == ("webhook.ping", got.id)
    logged = await look(world, id, show="attempts { nodes { kind messageId accepted } }")
    assert logged["attempts"]["nodes"] == [{"kind": "webhook.ping", "messageId": got.id, "accepted": True}]


async def test_public_keys_are_published(world: World) -> None:
    id = await active(world)
    await world.do("webhookEndpointRotateSecret", id=id)
    shown = await look(world, id, show="publicKey oldPublicKey")
    app = Starlette(routes=webhook_keys.routes(world.engine.database))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://crm") as client:
        found = (await client.get(f"/.well-known/webhook-keys/{id}")).json()["keys"]
        for unknown in ("nonsense", unlike(id), "whe_x", "cus_" + "0" * 32):
            assert (await client.get(f"/.well-known/webhook-keys/{unknown}")).status_code == 404
    assert found[0]["kid"] == shown["publicKey"]
    raw = base64.urlsafe_b64decode(found[0]["x"] + "=")
    assert shown["publicKey"] == "whpk_" + base64.b64encode(raw).decode()


async def test_a_subscription_says_which_events(world: World) -> None:
    document = "fragment Payload on Event { kind }"
    made = await world.do("subscriptionCreate", "INTEGRATION", name="Mine", document=document, kinds=["order.*"])
    kept = {"url": URL, "subscriptionId": made.done["id"]}
    refused = await world.do("webhookEndpointCreate", "INTEGRATION", **kept, kinds=["order.*"])
    assert (refused.code, refused.field) == ("BAD_USER_INPUT", "kinds")
    id = (await world.do("webhookEndpointCreate", "INTEGRATION", **kept)).done["id"]
    assert await look(world, id, show="subscription { name }") == {"subscription": {"name": "Mine"}}
    refused = await world.do("webhookEndpointUpdate", "INTEGRATION", id=id, fields=["total"])
    assert (refused.code, refused.field) == ("BAD_USER_INPUT", "fields")
    other = await world.do("subscriptionCreate", "ADMIN", name="Theirs", document=document)
    refused = await world.do("webhookEndpointCreate", "INTEGRATION", **{**kept, "subscriptionId": other.done["id"]})
    assert refused.code == "NOT_FOUND"


def test_fields_that_an_update_takes_are_no_secrets() -> None:
    assert SECRETS.isdisjoint(endpoints.FACTS.split())
