"""`GET /events`, and GraphQL's subscriptions, of real events on a real server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio

from crmgql.dev import embedded
from tests.http.conftest import LoggedIn, Serve, Served
from tests.http.events import CREATED, UPDATE, Happen, bearer, do, happening, now, page
from tests.http.streams import PATIENCE_S, asked, read, ready

FIELDS = {
    "actor",
    "changed",
    "cursor",
    "customer",
    "id",
    "isLast",
    "kind",
    "occurredAt",
    "payload",
    "sight",
    "subject",
    "subjectId",
    "subjectType",
    "transactionId",
    "version",
}


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[Served]:
    with serve(CRMGQL_SHARED_EVENTS="true", CRMGQL_HEARTBEAT_S="0.5", CRMGQL_MAX_STREAMS_PER_VIEWER="4") as started:
        yield started


@pytest_asyncio.fixture
async def client(server: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, verify=False) as made:
        yield made


@pytest_asyncio.fixture
async def happen(client: httpx.AsyncClient, servers: embedded.Servers, http_database_url: str) -> AsyncIterator[Happen]:
    async with happening(client, servers.redis_url, http_database_url) as made:
        yield made


async def test_pages_lead_from_one_to_the_next(client: httpx.AsyncClient, happen: Happen, ada: LoggedIn) -> None:
    token = ada.token()
    start = await now(client, token)
    ids = await happen(token, 3)
    first = await page(client, token, after=start, kinds="customer.*", first=2)
    assert [each["subject"] for each in first["events"]] == [{"type": "Customer", "id": id} for id in ids[:2]]
    assert first["events"][0].keys() == FIELDS
    assert first["events"][0]["actor"]["id"] == f"usr_{ada.user_id.hex}"
    assert (first["cursor"], first["more"]) == (first["events"][1]["cursor"], True)
    second = await page(client, token, first["next"])
    assert [each["customer"] for each in second["events"]] == [{"id": ids[2]}]
    assert not second["more"]
    nothing = await page(client, token, second["next"])
    assert (nothing["events"], nothing["cursor"], nothing["more"]) == ([], second["cursor"], False)
    others = await page(client, token, after=start, kinds="order.*,payment.received")
    assert (others["events"], others["cursor"]) == ([], second["cursor"])


async def test_a_poll_waits_for_what_comes(client: httpx.AsyncClient, happen: Happen, ada: LoggedIn) -> None:
    token = ada.token()
    start = await now(client, token)
    waiting = asyncio.create_task(page(client, token, after=start, kinds=CREATED, wait=20))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    (id,) = await happen(token)
    assert [each["subject"]["id"] for each in (await waiting)["events"]] == [id]
    assert (await page(client, token, after=(await now(client, token)), wait=0.1))["events"] == []


async def test_events_follow_the_viewers_rules(
    client: httpx.AsyncClient, happen: Happen, ada: LoggedIn, bo: LoggedIn
) -> None:
    start = await now(client, ada.token())
    await happen(ada.token())
    (mine,) = await happen(bo.token())
    seen = (await page(client, bo.token(), after=start, kinds=CREATED))["events"]
    assert [each["subject"]["id"] for each in seen] == [mine]


async def test_what_leaves_ones_sight_is_told_by_its_id(
    client: httpx.AsyncClient, happen: Happen, ada: LoggedIn, bo: LoggedIn
) -> None:
    (id,) = await happen(bo.token())
    start = await now(client, bo.token())
    await do(client, ada.token(), UPDATE, id=id, ownerId=None)
    await happen(ada.token(), 0)
    (left,) = (await page(client, bo.token(), after=start, kinds="customer.*"))["events"]
    about = {"kind": "customer.assigned", "sight": "LEFT", "subjectType": "Customer", "subjectId": id}
    assert left | about == left
    nothing_else = {"subject": None, "customer": None, "actor": None, "changed": [], "payload": {}}
    assert left | nothing_else == left
    (seen,) = (await page(client, ada.token(), after=start, kinds="customer.*"))["events"]
    assert (seen["sight"], seen["subject"]["id"], seen["changed"]) == ("SEEN", id, ["ownerId"])


async def test_a_filter_is_that_of_graphql(client: httpx.AsyncClient, happen: Happen, ada: LoggedIn) -> None:
    token = ada.token()
    start = await now(client, token)
    _, second, _ = await happen(token, 3)
    for where in (
        {"customer": {"name": {"eq": "Customer 1"}}},
        {"and": [{"kind": {"eq": CREATED}}, {"customer": {"id": {"eq": second}}}]},
    ):
        query = {"after": start, "kinds": "customer.*", "where": json.dumps(where)}
        found = await page(client, token, **query)
        assert [each["subject"]["id"] for each in found["events"]] == [second]
        nothing = await page(client, token, found["next"])
        assert (nothing["events"], "where=" in nothing["next"]) == ([], True)
        accept = {**bearer(token), "accept": "application/jsonl"}
        lines = await client.get("/events", params={**query, "first": 1}, headers=accept)
        assert [json.loads(line)["subject"]["id"] for line in lines.text.splitlines() if "kind" in line] == [second]
    waiting = asyncio.create_task(page(client, token, after=start, where='{"kind": {"eq": "order.created"}}', wait=1.5))
    await happen(token)
    assert (await waiting)["events"] == [], "what does not pass the filter ends no wait"
    assert len((await page(client, token, after=start, kinds=CREATED, where="{}"))["events"]) == 4


async def test_a_filter_reads_no_further_than_a_query(
    client: httpx.AsyncClient, happen: Happen, ada: LoggedIn, bo: LoggedIn
) -> None:
    """Attack: what may not be read is guessed by conditions on it."""
    start = await now(client, ada.token())
    await happen(ada.token())
    where = json.dumps({"customer": {"name": {"eq": "Customer 0"}}})
    assert (await page(client, bo.token(), after=start, where=where))["events"] == []
    hidden = json.dumps({"customer": {"orders": {"some": {"lines": {"some": {"unitCost": {"gt": "1"}}}}}}})
    response = await client.get("/events", params={"after": start, "where": hidden}, headers=bearer(bo.token()))
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (403, "FORBIDDEN")


async def test_a_filter_is_part_of_what_a_proxy_shares(
    client: httpx.AsyncClient, happen: Happen, ada: LoggedIn, token: str
) -> None:
    start = await now(client, token)
    await happen(token)
    plain, facts, records = (
        {"after": start, "kinds": CREATED, **more}
        for more in (
            {},
            {"where": f'{{"kind": {{"eq": "{CREATED}"}}}}'},
            {"where": '{"customer": {"name": {"ne": "X"}}}'},
        )
    )
    addresses = []
    for query, keep in ((plain, 60), (facts, 60), (records, 5)):
        address, _, _ = (await page(client, token, **query))["next"].partition("?")
        kept = await client.get(address, params=query, headers=bearer(token))
        assert (kept.status_code, kept.headers["cache-control"]) == (200, f"public, max-age={keep}")
        addresses.append(address)
    assert len(set(addresses)) == 3
    others, _, _ = (await page(client, ada.token(), **facts))["next"].partition("?")
    assert others == addresses[1], "who has the same rights and filters alike"
    for address, query, status in (
        (addresses[1], facts, 204),
        (addresses[1], plain, 403),
        (addresses[0], {"where": "["}, 403),
    ):
        assert (await client.get(f"{address}/allowed", params=query, headers=bearer(token))).status_code == status


async def test_those_with_the_same_rights_ask_the_same_address(
    client: httpx.AsyncClient, happen: Happen, ada: LoggedIn, bo: LoggedIn, token: str
) -> None:
    start = await now(client, token)
    await happen(token)
    query = {"after": start, "kinds": CREATED, "wait": "0.2"}
    mine, others = [await page(client, each, **query) for each in (ada.token(), token)]
    assert mine == others
    address, _, _ = mine["next"].partition("?")
    sellers, _, _ = (await page(client, bo.token(), **query))["next"].partition("?")
    assert address != sellers

    kept = await client.get(address, params=query, headers=bearer(token))
    assert (kept.status_code, kept.headers["cache-control"]) == (200, "public, max-age=60")
    private = await client.get("/events", params=query, headers=bearer(token))
    assert private.headers["cache-control"] == "no-store"
    nothing = await client.get(mine["next"], headers=bearer(token))
    assert (nothing.json()["events"], nothing.headers["cache-control"]) == ([], "public, max-age=5")
    assert nothing.json()["next"] == f"{mine['next']}&turn=1", (
        "another address: what a proxy has no longer, all would ask for"
    )

    moved = await client.get(sellers, params=query, headers=bearer(token))
    assert (moved.status_code, moved.headers["cache-control"]) == (307, "no-store")
    assert moved.headers["location"].startswith(f"{address}?after=")
    for user, status in ((ada.token(), 204), (bo.token(), 403), ("nonsense", 401)):
        allowed = await client.get(f"{address}/allowed", params=query, headers=bearer(user))
        assert allowed.status_code == status
    personal = [await page(client, each, after=start) for each in (ada.token(), token)]
    assert personal[0]["next"] != personal[1]["next"], "all kinds: one's own notifications are among them"


async def test_lines_and_events_go_on(client: httpx.AsyncClient, happen: Happen, ada: LoggedIn) -> None:
    token = ada.token()
    start = await now(client, token)
    ids = await happen(token, 2)
    query = {"after": start, "kinds": CREATED}
    accept = {**bearer(token), "accept": "application/jsonl"}
    answer = await client.get("/events", params={**query, "first": 2}, headers=accept)
    assert answer.headers["content-type"] == "application/jsonl"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["subject"]["id"] for line in lines if "kind" in line] == ids
    async with client.stream(
        "GET", "/events", params=query, headers={**accept, "accept": "application/x-ndjson"}
    ) as on:
        found = []
        async for line in on.aiter_lines():
            found.append(json.loads(line))
            if len(found) == 2:
                ids += await happen(token)
            if "kind" not in found[-1] and len(found) > 3:
                break
    assert [each["subject"]["id"] for each in found if "kind" in each] == ids
    assert found[-1].keys() == {"cursor", "newest"}
    resumed = {**bearer(token), "accept": "text/event-stream", "last-event-id": lines[0]["cursor"]}
    async with client.stream("GET", "/events", params={**query, "first": 2}, headers=resumed) as events:
        first, second, last = await read(events, 3)
    assert (first["event"], json.loads(first["data"])["subject"]["id"]) == ("message", ids[1])
    assert second["id"] > first["id"]
    assert last == {"event": "end", "data": "{}"}


async def test_the_same_events_over_graphql(
    server: Served, client: httpx.AsyncClient, happen: Happen, ada: LoggedIn
) -> None:
    token = ada.token()
    start = await now(client, token)
    query = (
        'subscription($after: Cursor) { events(after: $after, kinds: ["customer.created"]) { cursor subject { id } } }'
    )
    body = {"query": query, "variables": {"after": start}}
    ids = await happen(token)
    async with ready(server, token) as socket:
        await socket.send("subscribe", id="1", payload=body)
        first = (await socket.next())["payload"]["data"]["events"]
        ids += await happen(token)
        second = (await socket.next())["payload"]["data"]["events"]
        ping = await socket.next("ping")
    assert [first["subject"]["id"], second["subject"]["id"]] == ids
    assert ping["payload"]["subscriptions"]["1"] >= second["cursor"]
    async with asked(server, token, body, **{"last-event-id": first["cursor"]}) as response:
        (event,) = await read(response, 1)
    assert (event["id"], json.loads(event["data"])["data"]["events"]) == (second["cursor"], second)
    async with ready(server, token) as socket:
        await socket.send("subscribe", id="1", payload={**body, "variables": {"after": "evc_1"}})
        assert (await socket.next())["payload"][0]["extensions"]["code"] == "CURSOR_INVALID"


@pytest.mark.parametrize(
    ("query", "headers", "status", "told"),
    [
        ("first=0", {}, 400, "first must be a number from 1 to 500."),
        ("first=many", {}, 400, "first must be"),
        ("wait=31", {}, 400, "wait must be a number from 0 to 30."),
        ("wait=nan", {}, 400, "wait must be"),
        ("from=1", {}, 400, "There is no parameter 'from'"),
        ("kinds=a&kinds=b", {}, 400, "separated by commas"),
        ("kinds=order.confrmed", {}, 400, "did you mean order.confirmed?"),
        ("fields=nothing", {}, 400, "has a field"),
        ("after=evc_1", {}, 400, "CURSOR_INVALID"),
        (f"after=evc_{'0' * 7}1{'f' * 5:0>16}{'0' * 31}1", {}, 400, "CURSOR_OF_ANOTHER_HISTORY"),
        ("kinds=%ff", {}, 400, "percent-encoded"),
        ("where=[]", {}, 400, "where must be a JSON object"),
        ("where={", {}, 400, "where must be a JSON object"),
        ("where=kind", {}, 400, "where must be a JSON object"),
        (f"where={'[' * 4000}", {}, 400, "where must be a JSON object"),
        (f'where={{"kind":{{"in":[{"1," * 4200}1]}}}}', {}, 400, "where is too large; 8192 bytes"),
        (f'where={{"kind":{{"in":[{"1," * 4000}1]}}}}', {}, 400, "BAD_USER_INPUT"),
        (f"where={'{%22not%22:' * 60}{{}}{'}' * 60}", {}, 400, "12 deep"),
        ('where={"kind":{"eq":7}}', {}, 400, "BAD_USER_INPUT"),
        ('where={"colour":{"eq":"red"}}', {}, 400, "BAD_USER_INPUT"),
        ('where={"kind":{"eq":"a%5Cu0000"}}', {}, 400, "BAD_USER_INPUT"),
        ('where={"kind":{"eq":"%5Cud800"}}', {}, 400, "BAD_REQUEST"),
        ('where={"id":{"eq":"cus_1"}}', {}, 400, "BAD_USER_INPUT"),
        ('where={"colour":1}&after=evc_1', {"accept": "text/event-stream"}, 400, "BAD_USER_INPUT"),
        (f"after={'x' * 33_000}", {}, 400, "The query string is too long; 32768 bytes"),
        ("", {"accept": "text/html"}, 406, "application/jsonl"),
        ("", {"authorization": ""}, 401, "UNAUTHENTICATED"),
        ("after=evc_1", {"accept": "text/event-stream"}, 400, "CURSOR_INVALID"),
    ],
)
async def test_what_is_wrong_is_told(
    client: httpx.AsyncClient, ada: LoggedIn, query: str, headers: dict[str, str], status: int, told: str
) -> None:
    response = await client.get(f"/events?{query}", headers={**bearer(ada.token()), **headers})
    assert (response.status_code, told in response.text) == (status, True), response.text
    assert response.json()["errors"][0]["extensions"]["code"]


async def test_only_get_and_only_there(client: httpx.AsyncClient, ada: LoggedIn) -> None:
    assert (await client.post("/events", headers=bearer(ada.token()))).status_code == 405
    assert (await client.get("/events/a/b", headers=bearer(ada.token()))).status_code == 404
    assert (await client.get("/eventsx", headers=bearer(ada.token()))).status_code == 404


async def test_who_leaves_waits_no_longer_and_a_stop_answers_all(serve: Serve, ada: LoggedIn) -> None:
    token = ada.token()
    with serve(CRMGQL_MAX_STREAMS_PER_VIEWER="1") as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, verify=False) as client:
            start = await now(client, token)
            for _ in range(2):
                with pytest.raises(httpx.ReadTimeout):
                    await client.get("/events", params={"after": start, "wait": 30}, headers=bearer(token), timeout=0.3)
                await answered(client, token)
            waiting = asyncio.create_task(page(client, token, after=start, wait=30))
            await waits(client)
            stopped = time.monotonic()
            server.process.terminate()
            assert (await waiting)["cursor"] == start
            assert await asyncio.to_thread(server.process.wait, 10) == 0
            assert time.monotonic() - stopped < 4


async def waits(client: httpx.AsyncClient) -> None:
    """Until the server has a poll that waits."""
    async with asyncio.timeout(PATIENCE_S):
        while "crmgql_streams 1.0" not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.05)


async def answered(client: httpx.AsyncClient, token: str) -> None:
    """Waits until the viewer's only place is free again."""
    async with asyncio.timeout(PATIENCE_S):
        while (await client.get("/events", headers=bearer(token))).status_code != 200:
            await asyncio.sleep(0.05)
