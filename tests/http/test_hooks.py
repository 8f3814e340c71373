"""`POST /hooks/payments/…`: what providers signed is stored before it is accepted, nothing else is, and nothing is ever a 500."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest_asyncio

from crmgql import db
from crmgql.db import Database
from crmgql.domain.money.hooks import accounts
from crmgql.http import hooks
from crmgql.http.metrics import Metrics
from crmgql.models.names import api_id
from tests.domain.money.hooked import set_up
from tests.domain.money.providers import posts
from tests.domain.money.providers.posts import NOW, Post
from tests.domain.money.providers.test_adyen import MAIN_KEY
from tests.http.conftest import Served
from tests.ledger.conftest import acting

INTENT = {"id": "pi_1", "object": "payment_intent", "amount_received": 1000, "currency": "eur"}
STORED = "SELECT * FROM provider_events ORDER BY id"
ACCEPTED = {"stripe": (200, ""), "adyen": (200, "[accepted]"), "alipay": (200, "success"), "wechat": (204, "")}
BURST = 150


class Door:
    """The endpoint over this test's database, with a clock to turn."""

    def __init__(self, database: asyncpg.Connection, crm: Database) -> None:
        self.database = database
        self.now = NOW
        self.metrics = Metrics()
        self.endpoint = hooks.Endpoint(crm, self.metrics, clock=lambda: self.now)
        transport = httpx.ASGITransport(self.endpoint, client=("8.8.4.4", 1))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://crm.example")

    async def post(self, post: Post, *, account: str = "") -> httpx.Response:
        path = f"/hooks/payments/{post.provider}{account and '/'}{account}"
        return await self.client.post(path, content=post.body, headers=dict(post.headers))

    async def stored(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.database.fetch(STORED)]

    def counted(self, code: str, kind: str = "hook.stripe") -> bool:
        return f'crmgql_operations_total{{code="{code}",kind="{kind}"}}' in self.metrics.exposed().decode()


@pytest_asyncio.fixture
async def door(database: asyncpg.Connection, crm: Database) -> AsyncIterator[Door]:
    made = Door(database, crm)
    yield made
    await made.client.aclose()


def intent(number: int = 1, **more: Any) -> Post:
    return posts.stripe("payment_intent.succeeded", {**INTENT, "id": f"pi_{number}"}, id=f"evt_{number}", **more)


def code(response: httpx.Response) -> tuple[int, str]:
    (one,) = response.json()["errors"]
    assert one["message"]
    return response.status_code, one["extensions"]["code"]


async def test_each_provider_hears_its_own_word_of_acceptance(door: Door, crm: db.Database) -> None:
    for post in posts.every_provider():
        await set_up(crm, post.provider)
        response = await door.post(post)
        assert (response.status_code, response.text) == ACCEPTED[post.provider]
        assert door.counted("OK", f"hook.{post.provider}")
    assert {row["provider"].lower() for row in await door.stored()} == ACCEPTED.keys()
    jobs = await door.database.fetch("SELECT status FROM jobs WHERE kind = 'providerEvent.follow'")
    assert [row["status"] for row in jobs] == ["PENDING"] * 4


async def test_what_comes_again_is_accepted_again_and_stored_once(door: Door, crm: db.Database) -> None:
    account = api_id("PaymentAccount", await set_up(crm))
    for post, where in ((intent(), ""), (intent(pending_webhooks=2), account), (intent(), account)):
        assert (await door.post(post, account=where)).status_code == 200
    assert len(await door.stored()) == 1
    assert await door.database.fetchval("SELECT count(*) FROM provider_posts") == 1
    assert await door.database.fetchval("SELECT count(*) FROM jobs WHERE kind = 'providerEvent.follow'") == 1
    headers = json.loads(await door.database.fetchval("SELECT headers FROM provider_posts"))
    assert headers == {"stripe-signature": intent().headers["Stripe-Signature"]}
    assert door.counted("OK")
    assert door.counted("REPEATED")


async def test_what_is_not_signed_is_refused_counted_and_stored_nowhere(door: Door, crm: db.Database) -> None:
    await set_up(crm)
    await set_up(crm, name="Other", secrets=["whsec_" + "o" * 32])
    good = intent()
    wrong = {
        "PROVIDER_SIGNATURE_WRONG": Post("stripe", good.body + b" ", good.headers),
        "PROVIDER_SIGNATURE_MISSING": Post("stripe", good.body, {}),
        "PROVIDER_SIGNATURE_OLD": intent(time=str(int(posts.TIME) - 301)),
    }
    for expected, post in wrong.items():
        assert code(await door.post(post)) == (400, expected)
        assert door.counted(expected)
    assert await door.stored() == []
    assert (await door.post(good)).status_code == 200


async def test_who_is_not_set_up_is_not_found(door: Door, crm: db.Database) -> None:
    account = await set_up(crm)
    async with acting(crm) as act:
        await accounts.disable(act, id=account)
    for path in ("paypal", "stripe", "adyen", "", "stripe/pac_1", f"stripe/{api_id('PaymentAccount', account)}"):
        response = await door.client.post(
            f"/hooks/payments/{path}", content=intent().body, headers=dict(intent().headers)
        )
        assert code(response) == (404, "PROVIDER_UNKNOWN"), path
    response = await door.client.get("/hooks/payments/stripe")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert door.counted("PROVIDER_UNKNOWN")
    assert await door.stored() == []


async def test_an_account_that_is_named_is_the_only_one_asked(door: Door, crm: db.Database) -> None:
    await set_up(crm)
    other = await set_up(crm, name="Other", secrets=["whsec_" + "o" * 32])
    assert code(await door.post(intent(), account=api_id("PaymentAccount", other)))[1] == "PROVIDER_SIGNATURE_WRONG"
    assert (await door.post(intent())).status_code == 200


async def test_of_ten_megabytes_one_is_read(door: Door, crm: db.Database) -> None:
    await set_up(crm)
    read = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(160):
            read += 65_536
            yield b"x" * 65_536

    response = await door.client.post("/hooks/payments/stripe", content=parts())
    assert code(response) == (413, "PAYLOAD_TOO_LARGE")
    announced = await door.client.post("/hooks/payments/stripe", content=b"", headers={"content-length": "10485760"})
    assert code(announced) == (413, "PAYLOAD_TOO_LARGE")
    assert await door.stored() == []


async def test_a_body_of_the_largest_size_keeps_nobody_waiting(door: Door, crm: db.Database) -> None:
    await set_up(crm)
    thing = {**INTENT, "metadata": {"text": "x" * (1024 * 1024 - 600)}}
    post = posts.stripe("payment_intent.succeeded", thing)
    loop, longest = asyncio.get_running_loop(), 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            started = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - started)

    watching = asyncio.create_task(watch())
    assert (await door.post(post)).status_code == 200
    watching.cancel()
    assert longest < 0.05


async def test_a_verified_post_that_is_nonsense_is_kept(door: Door, crm: db.Database) -> None:
    await set_up(crm)
    assert (await door.post(posts.signed(b'{"id": "evt_1"}'))).status_code == 200
    (event,) = await door.stored()
    assert (event["kind"], event["status"]) == ("UNKNOWN", "RECEIVED")
    assert event["reason"] == "type must be a text of 1 to 255 characters without control characters."


async def test_the_published_events_of_stripe_are_taken(door: Door, crm: db.Database) -> None:
    given = json.loads(posts.published("stripe_events/signatures.txt.json").read_bytes())
    door.now = datetime.fromtimestamp(1735689600, UTC)
    await set_up(crm, secrets=[given["secret"]], test_mode=True)
    for name, signature in given["headers"].items():
        post = Post("stripe", posts.published(f"stripe_events/{name}").read_bytes(), {"stripe-signature": signature})
        assert (await door.post(post)).status_code == 200
        assert code(await door.post(Post("stripe", post.body + b"\n", post.headers))) == (
            400,
            "PROVIDER_SIGNATURE_WRONG",
        )
    stored = await door.stored()
    assert len(stored) == 27
    assert {row["kind"] for row in stored} >= {"PAYMENT_SUCCEEDED", "REFUND_SUCCEEDED", "DISPUTE_LOST", "UNKNOWN"}


async def test_the_published_webhooks_of_adyen_are_taken(door: Door, crm: db.Database) -> None:
    saved = sorted(posts.published("adyen_webhooks/python_hmac").glob("*_notification.json"))
    await set_up(crm, "adyen", secrets=[MAIN_KEY])
    items = [json.loads(path.read_bytes()) for path in saved]
    found = [(await door.post(posts.adyen_post(item))).status_code for item in items]
    assert found.count(200) >= 4
    assert set(found) <= {200, 400}
    assert all(row["raw_kind"] == "AUTHORISATION" for row in await door.stored())


async def test_a_burst_is_answered_and_nothing_is_lost(served: Served, http_database_url: str) -> None:
    """By a real server, over real sockets, each post on a connection that is open already or a new one."""
    now, mark = str(int(datetime.now(UTC).timestamp())), datetime.now(UTC).timestamp()
    crm = await db.connect(http_database_url)
    secret = f"whsec_{mark}"
    account = api_id("PaymentAccount", await set_up(crm, name=f"Burst {mark}", secrets=[secret]))
    limits = httpx.Limits(max_connections=60)
    async with httpx.AsyncClient(base_url=served.url, verify=False, timeout=60, limits=limits) as client:

        async def send(number: int) -> int:
            post = posts.stripe("payment_intent.succeeded", INTENT, id=f"evt_{mark}_{number}", secret=secret, time=now)
            path = f"/hooks/payments/stripe/{account}"
            return (await client.post(path, content=post.body, headers=dict(post.headers))).status_code

        before = resident(served)
        found = await asyncio.gather(*(send(number // 2) for number in range(2 * BURST)))
        assert set(found) == {200}
        assert resident(served) - before < 40_000_000
    async with crm.reading() as connection:
        kept = await connection.fetchval("SELECT count(*) FROM provider_events WHERE event_id LIKE $1", f"evt_{mark}_%")
    await crm.close()
    assert kept == BURST
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(
        f"POST /hooks/payments/stripe/{account} HTTP/1.1\r\nhost: crm\r\ncontent-length: 10000000\r\n\r\n".encode()
    )
    assert (await reader.readline()).split()[1] == b"413"  # before any of the ten megabytes is sent
    writer.close()


def resident(served: Served) -> int:
    """Bytes of the server's processes, all together."""
    return sum(
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in processes_of(served.process.pid)
    )


def processes_of(pid: int) -> list[int]:
    below = [int(each) for path in Path(f"/proc/{pid}/task").glob("*/children") for each in path.read_text().split()]
    return [pid, *(each for child in below for each in processes_of(child))]
