"""`POST /intake/leads`: forms become leads; nothing else can be done or learnt, and nothing is ever a 500."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmgql.db import Database
from crmgql.dev import embedded
from crmgql.domain.people import tokens
from crmgql.http import intake
from crmgql.http.metrics import Metrics
from crmgql.http.throttling import Throttle
from tests.http.conftest import ORIGIN, Served

URL = "/intake/leads"
START = datetime(2026, 11, 1, 12, 0, 30, tzinfo=UTC)
PAGE = "https://shop.example.com"


class Desk:
    """An endpoint over this test's database, a clock to turn, and its sources."""

    def __init__(self, database: asyncpg.Connection, crm: Database, redis_url: str) -> None:
        self.database = database
        self.now = START
        self.valkey = redis.asyncio.Redis.from_url(redis_url)
        self.metrics = Metrics()
        throttle = Throttle(self.valkey, f"test:{uuid4().hex}")
        self.endpoint = intake.Endpoint(crm, throttle, self.metrics, clock=lambda: self.now)
        transport = httpx.ASGITransport(self.endpoint, client=("8.8.4.4", 1))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://crm.example")

    async def source(self, **values: Any) -> str:
        """A source's key."""
        key = f"crmin_{uuid4().hex}"
        given = {"name": f"Page {key}", "key_hash": tokens.digest(key), "hint": key[:12], "rate_per_minute": 6000}
        given |= values
        places = ", ".join(f"${number}" for number in range(1, len(given) + 1))
        sql = f"INSERT INTO intake_sources ({', '.join(given)}) VALUES ({places})"
        await self.database.execute(sql, *given.values())
        return key

    async def post(self, key: str | None, fields: Any, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            given["x-intake-key"] = key
        return await self.client.post(URL, json=fields, headers=given)

    async def leads(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.database.fetch("SELECT * FROM leads ORDER BY id")]

    async def lead(self) -> dict[str, Any]:
        (lead,) = await self.leads()
        return {**lead, "attributes": json.loads(lead["attributes"])}


@pytest_asyncio.fixture
async def desk(database: asyncpg.Connection, crm: Database, servers: embedded.Servers) -> AsyncIterator[Desk]:
    made = Desk(database, crm, servers.redis_url)
    yield made
    await made.client.aclose()
    await made.valkey.aclose()


def error(response: httpx.Response) -> tuple[int, str, str | None]:
    (one,) = response.json()["errors"]
    assert one["message"]
    return response.status_code, one["extensions"]["code"], one["extensions"].get("field")


async def test_a_form_in_json_becomes_a_lead(desk: Desk) -> None:
    campaign = await desk.database.fetchval("INSERT INTO campaigns (name, channel) VALUES ('C', 'EMAIL') RETURNING id")
    key = await desk.source(lead_source="ads", campaign_id=campaign)
    posted = {
        "firstName": " Ann ",
        "Last-Name": "Lee",
        "email": "Ann@EXAMPLE.com",
        "company": "Acme",
        "website": "acme.example",
        "employee_count": 12,
        "budget": "1500",
        "currency": "eur",
        "message": "Hello\nthere",
        "utm_source": "news",
        "topics": ["anvils", "ropes"],
        "newsletter": True,
        "nothing": None,
        "consent": "no",
    }
    response = await desk.post(key, posted)
    assert (response.status_code, response.json()) == (202, {"accepted": True})
    lead = await desk.lead()
    expected = {
        "name": "Ann Lee",
        "email": "Ann@example.com",
        "normal_email": "ann@example.com",
        "company": "Acme",
        "website": "https://acme.example",
        "employee_count": 12,
        "currency": "EUR",
        "message": "Hello\nthere",
        "lead_source": "ads",
        "campaign_id": campaign,
        "email_opt_out": True,
        "status": "NEW",
        "received_at": START,
        "attributes": {"utm_source": "news", "topics": "anvils, ropes", "newsletter": "true"},
    }
    assert {name: lead[name] for name in expected} == expected
    assert str(lead["budget_amount"]) == "1500.00"
    jobs = await desk.database.fetch("SELECT kind FROM jobs")
    assert "lead.route" in {row["kind"] for row in jobs}
    event = await desk.database.fetchrow("SELECT kind, actor_id FROM events WHERE subject_id = $1", lead["id"])
    assert tuple(event) == ("lead.created", None)


async def test_a_form_as_a_browser_posts_it(desk: Desk) -> None:
    body = f"key={await desk.source()}&email=b%40example.com&topic=a&topic=b&city=M%C3%BCnchen&name="
    headers = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
    response = await desk.client.post(URL, content=body, headers=headers)
    assert response.status_code == 202
    lead = await desk.lead()
    assert (lead["name"], lead["city"], lead["lead_source"]) == ("b", "München", "web")
    assert lead["attributes"] == {"topic": "a, b"}


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({}, "name"),
        ({"phone": "123456"}, "name"),
        ({"name": " \u200b"}, "name"),
        ({"email": "nobody"}, "email"),
        ({"name": "x" * 201}, "name"),
        ({"name": "A", "company": "x" * 201}, "company"),
        ({"name": "A", "message": "x" * 20_001}, "message"),
        ({"name": "A", "note": "x" * 1001}, "note"),
        ({"name": "A", "x" * 61: "1"}, "x" * 60),
        ({"name": "A", "note": {"a": 1}}, "note"),
        ({"name": ["A", ["B"]]}, "name"),
        ({"name": "nul \x00"}, "name"),
        ({"name": "A", "no\x00te": "1"}, "no\x00te"),
        ({"name": "A", **{f"n{number}": "1" for number in range(31)}}, "n30"),
        ({f"n{number}": "1" for number in range(61)}, None),
    ],
)
async def test_a_field_that_can_not_be(desk: Desk, fields: dict[str, Any], where: str | None) -> None:
    assert error(await desk.post(await desk.source(), fields)) == (400, "BAD_USER_INPUT", where)
    assert await desk.leads() == []


async def test_what_a_lead_has_no_place_for_is_kept_beside(desk: Desk) -> None:
    odd = {
        "website": "javascript:alert(1)",
        "employee_count": "10-50",
        "budget": "10k",
        "currency": "EUR",
        "merged": "x",
    }
    assert (await desk.post(await desk.source(), {"name": "A", **odd})).status_code == 202
    lead = await desk.lead()
    assert (lead["website"], lead["employee_count"], lead["budget_amount"]) == (None, None, None)
    assert lead["attributes"] == {**{k: v for k, v in odd.items() if k != "merged"}, "form_merged": "x"}


async def test_a_post_sets_nothing_but_the_lead_itself(desk: Desk) -> None:
    """Names of columns that are not a form's to fill are kept as what they are: words."""
    forged = {
        "status": "CONVERTED",
        "owner_id": str(uuid4()),
        "score": 99,
        "source": "x",
        "external_id": "y",
        "id": "z",
    }
    forged |= {"campaign_id": str(uuid4()), "lead_source": "vip", "received_at": "2001-01-01", "version": 7}
    assert (await desk.post(await desk.source(), {"name": "A", **forged})).status_code == 202
    lead = await desk.lead()
    kept = (lead["status"], lead["owner_id"], lead["score"], lead["source"], lead["campaign_id"], lead["lead_source"])
    assert kept == ("NEW", None, 0, None, None, "web")
    assert lead["attributes"] == {name: str(value) for name, value in forged.items()}


async def test_without_a_key_that_is_good(desk: Desk) -> None:
    off = await desk.source(active=False)
    for key in (None, "", "crmin_unknown", off, "ü", "x" * 5000):
        for answer in (
            await desk.post(None, {"name": "A", "key": key}),
            await desk.post(key and ascii(key), {"name": "A"}),
        ):
            assert error(answer)[:2] == (403, "FORBIDDEN")
    assert error(await desk.post(None, {"name": "A", "key": [1]}))[:2] == (403, "FORBIDDEN")
    assert await desk.leads() == []


async def test_only_pages_of_listed_origins(desk: Desk) -> None:
    key = await desk.source(allowed_origins=[PAGE])
    for origin in ("https://evil.example", "null", f"{PAGE}.evil.example", "http://shop.example.com"):
        response = await desk.post(key, {"name": "A"}, origin=origin)
        assert error(response)[:2] == (403, "FORBIDDEN")
        assert "access-control-allow-origin" not in response.headers
    assert error(await desk.post(key, {"name": "A"}))[:2] == (403, "FORBIDDEN")
    assert await desk.leads() == []
    response = await desk.post(key, {"name": "A"}, origin="https://Shop.example.com")
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (202, "https://Shop.example.com")
    assert "Origin" in response.headers["vary"]
    bad = await desk.post(key, {}, origin=PAGE)
    assert bad.headers["access-control-allow-origin"] == PAGE  # the page may say what is wrong
    assert "access-control-allow-credentials" not in bad.headers


async def test_preflights(desk: Desk) -> None:
    async def preflight(origin: str | None) -> httpx.Response:
        desk.endpoint.origins.read_at = float("-inf")
        headers = {"access-control-request-method": "POST", **({"origin": origin} if origin else {})}
        return await desk.client.options(URL, headers=headers)

    assert error(await preflight(PAGE))[:2] == (403, "FORBIDDEN")
    await desk.source(allowed_origins=[PAGE])
    await desk.source(active=False)
    answer = await preflight(PAGE)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, PAGE)
    assert "x-intake-key" in answer.headers["access-control-allow-headers"]
    for origin in ("https://evil.example", None):
        assert error(await preflight(origin))[:2] == (403, "FORBIDDEN")
    await desk.source()  # one that takes any origin
    assert (await preflight("https://evil.example")).status_code == 204


async def test_a_filled_honeypot_looks_accepted_and_stores_nothing(desk: Desk) -> None:
    key = await desk.source(allowed_origins=[PAGE])
    for field in ("website_url", "homepage", "Website-URL"):
        for more in ({"name": "Bot"}, {}):
            trapped = await desk.post(key, {**more, field: "http://spam.example"}, origin=PAGE)
            assert (trapped.status_code, trapped.json()) == (202, {"accepted": True})
    assert (await desk.leads(), await desk.database.fetchval("SELECT count(*) FROM events")) == ([], 0)
    fine = await desk.post(key, {"name": "Ann", "website_url": "", "homepage": " "}, origin=PAGE)
    assert (fine.status_code, fine.content, len(await desk.leads())) == (trapped.status_code, trapped.content, 1)
    assert fine.headers.keys() == trapped.headers.keys()
    assert b'crmgql_operations_total{code="TRAPPED",kind="intake"} 6.0' in desk.metrics.exposed()


async def test_the_same_key_makes_one_lead(desk: Desk) -> None:
    one, two = await desk.source(), await desk.source()
    for _ in range(2):
        assert (await desk.post(one, {"name": "A"}, idempotency_key="k1")).status_code == 202
        assert (await desk.post(one, {"name": "A", "idempotency_key": "k2"})).status_code == 202
        assert (await desk.post(two, {"name": "A"}, idempotency_key="k1")).status_code == 202
    leads = await desk.leads()
    assert len(leads) == 3
    assert {lead["external_id"] for lead in leads} == {"k1", "k2"}
    answers = await asyncio.gather(*(desk.post(one, {"name": "B"}, idempotency_key="at once") for _ in range(6)))
    assert [answer.status_code for answer in answers] == [202] * 6
    assert len(await desk.leads()) == 4
    assert error(await desk.post(one, {"name": "A"}, idempotency_key="x" * 201)) == (
        400,
        "BAD_USER_INPUT",
        "idempotencyKey",
    )


@pytest.mark.parametrize("shared", [True, False], ids=["Valkey", "alone"])
async def test_so_many_a_minute(desk: Desk, shared: bool) -> None:
    if not shared:
        desk.endpoint.throttle = Throttle(redis.asyncio.Redis.from_url("redis://127.0.0.1:1/0"), "test")
    key, other = await desk.source(rate_per_minute=4), await desk.source(rate_per_minute=4)
    near = {"x_forwarded_for": "198.51.100.1"}  # what a public peer says of others is not believed
    statuses = [(await desk.post(key, {"name": "A"}, **near)).status_code for _ in range(3)]
    assert statuses == [202, 202, 429]  # one address gets half
    refused = await desk.post(key, {"name": "A"})
    assert error(refused)[:2] == (429, "THROTTLED")
    assert refused.headers["retry-after"] == "30"
    assert refused.json()["errors"][0]["extensions"]["retryAfterSeconds"] == 30
    assert (await desk.post(other, {"name": "A"})).status_code == 202
    desk.now += timedelta(seconds=30)
    assert (await desk.post(key, {"name": "A"})).status_code == 202
    assert len(await desk.leads()) == 4


async def test_many_addresses_together_get_the_source_s_rate(desk: Desk) -> None:
    key = await desk.source(rate_per_minute=3)
    statuses = []
    for number in range(5):
        transport = httpx.ASGITransport(desk.endpoint, client=(f"8.8.4.{number}", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://crm.example") as client:
            response = await client.post(URL, json={"name": "A", "key": key})
            statuses.append(response.status_code)
    assert statuses == [202, 202, 202, 429, 429]


async def post_from(desk: Desk, address: str, key: str) -> int:
    transport = httpx.ASGITransport(desk.endpoint, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://crm.example") as client:
        return (await client.post(URL, json={"name": "A", "key": key})).status_code


async def test_a_network_of_ipv6_counts_as_one_address(desk: Desk) -> None:
    """Attack: who rents one server has 2 to the 64 addresses, and takes a new one for each post."""
    key = await desk.source(rate_per_minute=4)
    assert [await post_from(desk, f"2001:db8::{number:x}", key) for number in range(4)] == [202, 202, 429, 429]
    assert await post_from(desk, "2001:db8:0:1::1", key) == 429  # refused posts count for the source, too
    guesses = [await post_from(desk, f"2001:db8:0:2::{number:x}", f"guess {number}") for number in range(61)]
    assert (guesses[:60], guesses[60:]) == ([403] * 60, [429])


async def test_trying_keys_is_slowed_down(desk: Desk) -> None:
    key = await desk.source()
    assert (await desk.post(key, {"name": "A"})).status_code == 202
    statuses = [(await desk.post(f"guess {number}", {"name": "A"})).status_code for number in range(61)]
    assert (statuses[:59], statuses[59:]) == ([403] * 59, [429] * 2)
    assert (await desk.post(key, {"name": "A"})).status_code == 202
    assert (await desk.post(await desk.source(), {"name": "A"})).status_code == 429


async def test_counters_end_by_themselves(desk: Desk) -> None:
    await desk.post(await desk.source(), {"name": "A"})
    prefix = desk.endpoint.throttle._prefix
    keys = [key async for key in desk.valkey.scan_iter(f"{prefix}:*")]
    assert len(keys) == 3  # of the address, of the source, and of both
    for key in keys:
        assert 0 < await desk.valkey.ttl(key) <= 120


@pytest.mark.parametrize(
    ("to", "followed"),
    [
        (f"{PAGE}/thanks?a=1#b", True),
        (PAGE, True),
        (f"{PAGE}.evil.example/", False),
        (f"{PAGE}@evil.example/", False),
        (f"{PAGE}\\@evil.example", False),
        (f"{PAGE}:8080/", False),
        ("https://evil.example/", False),
        ("//evil.example", False),
        ("/thanks", False),
        ("javascript:alert(1)", False),
        (f"{PAGE}/a b", False),
        (f"{PAGE}/\r\nset-cookie: a=b", False),
        (f"{PAGE}/ü", False),
    ],
)
async def test_redirects_stay_on_the_source_s_pages(desk: Desk, to: str, followed: bool) -> None:
    key = await desk.source(allowed_origins=[PAGE])
    for fields in ({"name": "A"}, {"homepage": "spam"}):
        response = await desk.post(key, {**fields, "redirect": to}, origin=PAGE)
        assert response.status_code == (303 if followed else 202)
        assert response.headers.get("location") == (to if followed else None)
    anywhere = await desk.source()
    assert (await desk.post(anywhere, {"name": "A", "redirect": to})).status_code == 202


async def test_what_is_no_form(desk: Desk) -> None:
    key = await desk.source()
    headers = {"x-intake-key": key}

    async def send(body: bytes, kind: str = "application/json", method: str = "POST", **more: str) -> httpx.Response:
        return await desk.client.request(method, URL, content=body, headers={**headers, "content-type": kind, **more})

    for body in (
        b"{",
        b"[]",
        b"1",
        b"null",
        b'"x"',
        b"\xff",
        b'{"name": "\\ud800"}',
        b'{"a":' * 5000,
        b"[" * 70 + b"]" * 70,
    ):
        assert error(await send(body))[:2] == (400, "BAD_REQUEST")
    form = "application/x-www-form-urlencoded"
    for body in (b"\xff", b"name=%ff", b"name=%ed%a0%80", b"&".join(b"a=1" for _ in range(300))):
        assert error(await send(body, form))[:2] == (400, "BAD_REQUEST")
    for kind in ("multipart/form-data; boundary=x", "text/plain", "", f"{form}; charset=utf-16"):
        assert error(await send(b"name=A", kind))[:2] == (415, "UNSUPPORTED_MEDIA_TYPE")
    gzipped = {"content-encoding": "gzip"}
    assert error(await send(b"{}", **gzipped))[:2] == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert error(await send(b"x" * 65_537))[:2] == (413, "PAYLOAD_TOO_LARGE")
    for method in ("GET", "PUT", "DELETE"):
        response = await send(b"", method=method)
        assert error(response)[:2] == (405, "METHOD_NOT_ALLOWED")
        assert "POST" in response.headers["allow"]
    assert error(await send(b""))[:2] == (400, "BAD_USER_INPUT")
    assert await desk.leads() == []


async def test_a_long_body_in_pieces_is_not_read_to_its_end(desk: Desk) -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b"x" * 10_000

    response = await desk.client.post(URL, content=pieces(), headers={"content-type": "application/json"})
    assert error(response)[:2] == (413, "PAYLOAD_TOO_LARGE")
    assert sent < 10


async def test_a_client_that_goes_away(desk: Desk) -> None:
    sent: list[Any] = []
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": URL, "headers": headers, "client": None}

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await desk.endpoint(scope, receive, send)
    assert sent[0]["status"] == 400


KEYS = st.sampled_from(
    ["name", "email", "company", "message", "budget", "currency", "website", "employee_count", "consent"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2)
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(KEYS | st.text(max_size=70), VALUES, max_size=8), headers=st.binary(max_size=30))
async def test_nothing_is_our_mistake(desk: Desk, fields: dict[str, Any], headers: bytes) -> None:
    key = await desk.source()
    desk.now += timedelta(minutes=1)
    before = len(await desk.leads())
    text = json.dumps({**fields, "key": key})
    sent = {"content-type": "application/json", "idempotency-key": headers, "origin": headers, "x-request-id": headers}
    response = await desk.client.post(URL, content=text.encode("utf-8", "surrogatepass"), headers=sent)
    assert response.status_code in (202, 303, 400), response.text
    assert len(await desk.leads()) - before == (response.status_code == 202 and "homepage" not in fields)
    if response.status_code == 400:
        assert error(response)[1] in ("BAD_USER_INPUT", "BAD_REQUEST")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200), form=st.booleans())
async def test_no_body_is_our_mistake(desk: Desk, body: bytes, form: bool) -> None:
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    response = await desk.client.post(URL, content=body, headers={"content-type": kind})
    assert response.status_code in (400, 403, 429), response.text


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def add_source(url: str, key: str) -> UUID:
    async with connected(url) as connection:
        sql = "INSERT INTO intake_sources (name, key_hash, hint, allowed_origins) VALUES ($1, $2, 'crmin_', $3) RETURNING id"
        return await connection.fetchval(sql, key, tokens.digest(key), [PAGE])  # type: ignore[no-any-return]


async def test_the_served_api(served: Served, http_database_url: str) -> None:
    """As it is wired: beside GraphQL, with its own origins rather than those of CRMGQL_CORS_ORIGINS."""
    key = f"crmin_{uuid4().hex}"
    id = await add_source(http_database_url, key)
    url = f"{served.url}{URL}"
    # An address of its own, as others try keys from this machine: the server trusts it to be a proxy.
    async with httpx.AsyncClient(verify=False, headers={"x-forwarded-for": "198.51.100.77"}) as client:
        preflight = {"origin": PAGE, "access-control-request-method": "POST"}
        assert (await client.options(url, headers=preflight)).status_code == 204
        assert (await client.options(url, headers={**preflight, "origin": ORIGIN})).status_code == 403
        accepted = await client.post(url, json={"name": "Ann", "key": key}, headers={"origin": PAGE})
        assert (accepted.status_code, accepted.json()) == (202, {"accepted": True})
        chunked = await client.post(url, content=b"x" * 70_000, headers={"content-type": "application/json"})
        assert error(chunked)[:2] == (413, "PAYLOAD_TOO_LARGE")
    async with connected(http_database_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM leads WHERE intake_source_id = $1", id) == 1
