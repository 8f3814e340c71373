"""`GET /events?stream=…`: a named subscription for those without GraphQL, in each form of the route."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from crmgql.dev import embedded
from crmgql.engine.named import REMEMBERED_S
from tests.http.conftest import LoggedIn, Serve, Served
from tests.http.events import CREATED, Happen, bearer, do, happening, now, page
from tests.http.streams import PATIENCE_S, counted, read, ready

DOCUMENT = "fragment Payload on Event { kind cursor subject { ... on Customer { id name } } }"
PULL = """mutation($input: SubscriptionPullInput!) { subscriptionPull(input: $input) {
  events { id cursor kind payload } token cursor userErrors { code } } }"""
COMMIT = "mutation($input: SubscriptionCommitInput!) { subscriptionCommit(input: $input) { userErrors { code } } }"
CREATE = """mutation($input: SubscriptionCreateInput!) { subscriptionCreate(input: $input) {
  eventSubscription { id } userErrors { code message } } }"""
UPDATE = "mutation($input: SubscriptionUpdateInput!) { subscriptionUpdate(input: $input) { userErrors { code } } }"
DELETE = "mutation($input: MoveInput!) { subscriptionDelete(input: $input) { userErrors { code } } }"


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[Served]:
    with serve(CRMGQL_SHARED_EVENTS="true", CRMGQL_HEARTBEAT_S="0.5") as started:
        yield started


@pytest_asyncio.fixture
async def client(server: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, verify=False) as made:
        yield made


@pytest_asyncio.fixture
async def happen(client: httpx.AsyncClient, servers: embedded.Servers, http_database_url: str) -> AsyncIterator[Happen]:
    async with happening(client, servers.redis_url, http_database_url) as made:
        yield made


async def subscribe(client: httpx.AsyncClient, token: str, **given: Any) -> str:
    """A subscription from now on."""
    given = {"name": f"Mirror {time.monotonic_ns()}", "document": DOCUMENT, "kinds": ["customer.*"], **given}
    answer = await do(client, token, CREATE, **given)
    assert not answer["userErrors"], answer
    return str(answer["eventSubscription"]["id"])


async def pull(client: httpx.AsyncClient, token: str, id: str) -> Any:
    answer = await do(client, token, PULL, id=id)
    assert not answer["userErrors"], answer
    return answer


async def refusal(client: httpx.AsyncClient, token: str, **query: Any) -> tuple[int, str]:
    response = await client.get("/events", params=query, headers=bearer(token))
    return response.status_code, response.json()["errors"][0]["extensions"]["code"]


async def test_each_form_gives_what_a_pull_gives(client: httpx.AsyncClient, happen: Happen, ada: LoggedIn) -> None:
    token = ada.token()
    id = await subscribe(client, token, filter={"kind": {"eq": CREATED}})
    ids = await happen(token, 3)
    pulled = (await pull(client, token, id))["events"]
    assert [each["payload"]["subject"]["id"] for each in pulled] == ids

    first = await page(client, token, stream=id, first=2)
    assert (first["events"], first["cursor"], first["more"]) == (pulled[:2], pulled[1]["cursor"], True)
    second = await page(client, token, first["next"])
    assert (second["events"], second["more"]) == (pulled[2:], False)
    assert (await page(client, token, second["next"]))["events"] == []

    lines = await client.get(
        "/events", params={"stream": id, "first": 3}, headers={**bearer(token), "accept": "application/jsonl"}
    )
    assert [line for line in map(json.loads, lines.text.splitlines()) if "kind" in line] == pulled
    resumed = {**bearer(token), "accept": "text/event-stream", "last-event-id": pulled[0]["cursor"]}
    async with client.stream("GET", "/events", params={"stream": id, "first": 2}, headers=resumed) as events:
        *found, last = await read(events, 3)
    assert [(each["id"], json.loads(each["data"])) for each in found] == [(each["cursor"], each) for each in pulled[1:]]
    assert last == {"event": "end", "data": "{}"}


async def test_a_poll_waits_and_then_has_what_a_socket_has(
    server: Served, client: httpx.AsyncClient, happen: Happen, ada: LoggedIn
) -> None:
    token = ada.token()
    id = await subscribe(client, token)
    waiting = asyncio.create_task(page(client, token, stream=id, wait=20))
    async with ready(server, token) as socket:
        query = {"query": "subscription($id: ID!) { stream(id: $id) }", "variables": {"id": id}}
        await socket.send("subscribe", id="1", payload=query)
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await happen(token)
        delivered = (await socket.next())["payload"]["data"]["stream"]
    assert [each["payload"] for each in (await waiting)["events"]] == [delivered]


async def test_without_a_cursor_it_begins_at_the_managed_one_and_does_not_move_it(
    client: httpx.AsyncClient, happen: Happen, ada: LoggedIn
) -> None:
    token = ada.token()
    id = await subscribe(client, token)
    ids = await happen(token, 2)
    for _ in range(2):
        seen = (await page(client, token, stream=id))["events"]
        assert [each["payload"]["subject"]["id"] for each in seen] == ids, "it was asked for, not committed"
    pulled = await pull(client, token, id)
    assert [each["payload"]["subject"]["id"] for each in pulled["events"]] == ids, "GET takes nothing from a worker"
    done = {"id": id, "token": pulled["token"], "cursor": pulled["events"][0]["cursor"]}
    assert (await do(client, token, COMMIT, **done))["userErrors"] == []
    seen = (await page(client, token, stream=id))["events"]
    assert [each["payload"]["subject"]["id"] for each in seen] == ids[1:]


async def test_a_name_of_ones_own_is_as_good_as_an_id(
    server: Served, client: httpx.AsyncClient, happen: Happen, ada: LoggedIn, bo: LoggedIn
) -> None:
    name = f"Spiegel, für alle {time.monotonic_ns()}"
    id, bos = [await subscribe(client, each.token(), name=name) for each in (ada, bo)]
    (customer,) = await happen(ada.token())
    mine = await page(client, ada.token(), stream=name)
    assert mine["events"] == (await page(client, ada.token(), stream=id))["events"]
    assert [each["payload"]["subject"]["id"] for each in mine["events"]] == [customer]
    assert f"stream={id}" in mine["next"], "the name may change"
    others = await page(client, bo.token(), stream=name)
    assert (others["events"], f"stream={bos}" in others["next"]) == ([], True)
    async with ready(server, ada.token()) as socket:
        await socket.send("subscribe", id="1", payload={"query": f'subscription {{ stream(id: "{name}") }}'})
        assert (await socket.next())["payload"]["data"]["stream"]["subject"]["id"] == customer


async def test_what_cannot_be_followed(client: httpx.AsyncClient, ada: LoggedIn, bo: LoggedIn) -> None:
    token = ada.token()
    name = f"Mirror {time.monotonic_ns()}"
    id = await subscribe(client, token, name=name)
    for accept in ("application/json", "text/event-stream", "application/jsonl"):
        headers = {**bearer(bo.token()), "accept": accept}
        response = await client.get("/events", params={"stream": id}, headers=headers)
        assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (400, "NOT_FOUND")
    assert await refusal(client, bo.token(), stream=name) == (400, "NOT_FOUND")
    assert await refusal(client, token, stream=f"sub_{'0' * 32}") == (400, "NOT_FOUND")
    assert await refusal(client, token, stream="sub_1") == (400, "BAD_USER_INPUT")
    assert await refusal(client, token, stream=f"cus_{'0' * 32}") == (400, "BAD_USER_INPUT")
    assert await refusal(client, token, stream="a\0b") == (400, "BAD_USER_INPUT")
    assert await refusal(client, token, stream=id, after="evc_1") == (400, "CURSOR_INVALID")
    for more in ({"kinds": CREATED}, {"fields": "name"}, {"where": "{}"}):
        assert await refusal(client, token, stream=id, **more) == (400, "BAD_REQUEST")
    assert await refusal(client, token, stream="") == (400, "BAD_REQUEST")
    assert (await do(client, token, UPDATE, id=id, active=False))["userErrors"] == []
    assert await refusal(client, token, stream=id) == (400, "ILLEGAL_TRANSITION")
    assert (await do(client, token, DELETE, id=id))["userErrors"] == []
    assert await refusal(client, token, stream=id) == (400, "ILLEGAL_TRANSITION")
    assert await refusal(client, token, stream=name) == (400, "NOT_FOUND")


async def test_what_changes_while_a_poll_waits_counts(client: httpx.AsyncClient, happen: Happen, ada: LoggedIn) -> None:
    token = ada.token()
    changed, paused = [await subscribe(client, token) for _ in range(2)]
    waiting = asyncio.gather(
        page(client, token, stream=changed, wait=20), refusal(client, token, stream=paused, wait=20)
    )
    await asyncio.sleep(0.3)
    await do(client, token, UPDATE, id=changed, document="fragment Payload on Event { kind isLast }")
    await do(client, token, UPDATE, id=paused, active=False)
    await asyncio.sleep(REMEMBERED_S)
    await happen(token)
    answer, refused = await waiting
    assert [each["payload"] for each in answer["events"]] == [{"kind": CREATED, "isLast": True}]
    assert refused == (400, "ILLEGAL_TRANSITION")


async def test_a_stop_answers_who_waits_without_a_cursor(serve: Serve, ada: LoggedIn) -> None:
    with serve() as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, verify=False) as client:
            id = await subscribe(client, ada.token())
            waiting = asyncio.create_task(refusal(client, ada.token(), stream=id, wait=20))
            await counted(server, "crmgql_streams", 1)
            server.process.terminate()
            assert await waiting == (503, "SERVICE_UNAVAILABLE")


async def test_a_proxy_shares_a_stream_with_who_may_follow_it_and_nothing_else(
    client: httpx.AsyncClient, happen: Happen, ada: LoggedIn, bo: LoggedIn, token: str
) -> None:
    facts = {"document": "fragment Payload on Event { kind payload }", "readAs": "EVENT"}
    id, same, bos = [await subscribe(client, each, **facts) for each in (token, token, bo.token())]
    records = await subscribe(client, token)
    start = await now(client, token)
    await happen(token)

    async def kept(stream: str, as_whom: str) -> tuple[str, str]:
        query = {"stream": stream, "after": start, "wait": "0.2"}
        address, _, _ = (await page(client, as_whom, **query))["next"].partition("?")
        answer = await client.get(address, params=query, headers=bearer(as_whom))
        assert answer.status_code == 200
        return address, answer.headers["cache-control"]

    address, keep = await kept(id, token)
    assert keep == "public, max-age=60"
    assert (await kept(records, token))[1] == "public, max-age=5", "records are as old as the page"
    assert (await kept(id, ada.token()))[0] == address, "who reads it with the same owner's rights asks the same"
    assert len({address, *[(await kept(each, token))[0] for each in (same, records)]}) == 3
    assert (await kept(bos, bo.token()))[0] != address
    unmoved = await client.get(address, params={"stream": id}, headers=bearer(token))
    assert unmoved.headers["cache-control"] == "no-store", "where it begins is somewhere else soon"

    async def allowed(stream: str, as_whom: str) -> int:
        return (await client.get(f"{address}/allowed", params={"stream": stream}, headers=bearer(as_whom))).status_code

    assert [await allowed(id, each) for each in (token, ada.token(), bo.token(), "nonsense")] == [204, 204, 403, 401]
    assert await allowed(same, token) == 403
    await do(client, token, UPDATE, id=id, kinds=[CREATED])
    assert await allowed(id, token) == 403, "it delivers something else now"
    address, _ = await kept(id, token)
    assert await allowed(id, token) == 204
    await do(client, token, UPDATE, id=id, active=False)
    assert await allowed(id, token) == 403, "a proxy knows no other refusal; the API says that it is switched off"
