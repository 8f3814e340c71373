"""A new token for an event stream that runs, wherever it runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from crmgql.dev import embedded
from crmgql.domain.people import tokens
from crmgql.http import renewals
from tests.http.conftest import ORIGIN, LoggedIn, Serve, Served
from tests.http.events import CREATED, bearer, happening
from tests.http.streams import EVENTS, PATIENCE_S, asked, events, read, subscription, workers

KEY = "INSERT INTO api_keys (user_id, name, hint, key_hash, scopes) VALUES ($1, 'Key', 'crm_', $2, $3)"


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[Served]:
    with serve(module="tests.http.scripted", CRMGQL_HEARTBEAT_S="0.5", CRMGQL_CORS_ORIGINS=ORIGIN) as started:
        yield started


@pytest.fixture(scope="module")
def another(serve: Serve) -> Iterator[Served]:
    """Another one of the same installation."""
    with serve(module="tests.http.scripted", CRMGQL_HEARTBEAT_S="0.5") as started:
        yield started


@pytest.fixture(scope="module")
def real(serve: Serve) -> Iterator[Served]:
    """A server with real events."""
    with serve(CRMGQL_HEARTBEAT_S="0.5") as started:
        yield started


@asynccontextmanager
async def followed(server: Served, token: str, accept: str, **query: str) -> AsyncIterator[httpx.Response]:
    """`GET /events` that goes on."""
    headers = {**bearer(token), "accept": accept}
    async with (
        httpx.AsyncClient(verify=False, timeout=PATIENCE_S) as client,
        client.stream("GET", f"{server.url}/events", params=query, headers=headers) as response,
    ):
        yield response


async def renew(server: Served, id: str, token: str | None) -> httpx.Response:
    async with httpx.AsyncClient(verify=False, timeout=PATIENCE_S) as client:
        headers = {} if token is None else bearer(token)
        return await client.post(f"{server.url}/graphql/streams/{id}/token", headers=headers)


async def reached(server: Served, id: str, token: str) -> None:
    """Waits until another process that has just started listens."""
    async with asyncio.timeout(PATIENCE_S):
        while (await renew(server, id, token)).status_code != 200:
            await asyncio.sleep(0.05)


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errors"][0]["extensions"]["code"]


async def ends_later(server: Served, where: Served, user: LoggedIn) -> None:
    """A stream of 2 s goes on for as long as the new token says, and answers meanwhile."""
    began = time.monotonic()
    async with asked(server, user.token(seconds=2), subscription(then="wait")) as response:
        answer = await renew(where, response.headers["crmgql-stream"], user.token(seconds=5))
        assert answer.status_code == 200, answer.text
        ends = datetime.fromisoformat(answer.json()["tokenExpiresAt"])
        assert abs(datetime.now(UTC) + timedelta(seconds=5) - ends) < timedelta(seconds=3)
        found = [each async for each in events(response)]
    assert time.monotonic() - began > 4
    error, last = found[-2:]
    assert json.loads(error["data"])["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert last["event"] == "complete"


async def test_a_stream_goes_on_with_a_new_token(server: Served, another: Served, bo: LoggedIn, ada: LoggedIn) -> None:
    await asyncio.gather(ends_later(server, server, bo), ends_later(server, another, ada))


async def test_only_with_one_that_is_its_users_and_good(
    server: Served, another: Served, bo: LoggedIn, ada: LoggedIn
) -> None:
    async with asked(server, bo.token(), subscription(then="wait")) as response:
        id = response.headers["crmgql-stream"]
        for where in (server, another):
            assert code(await renew(where, id, ada.token())) == (403, "FORBIDDEN")
            assert code(await renew(where, id, "nonsense")) == (401, "UNAUTHENTICATED")
            assert code(await renew(where, id, None)) == (401, "UNAUTHENTICATED")
            assert code(await renew(where, id, bo.token(seconds=-1))) == (401, "UNAUTHENTICATED")
            assert (await renew(where, id, bo.token())).status_code == 200, "those refused changed nothing"


async def test_a_stream_that_is_over_is_told_so(server: Served, another: Served, serve: Serve, bo: LoggedIn) -> None:
    async with asked(server, bo.token(), subscription(send=1)) as response:
        await read(response, 2)
    ended = response.headers["crmgql-stream"]
    with serve(module="tests.http.scripted") as killed:
        with pytest.raises(httpx.RemoteProtocolError):
            async with asked(killed, bo.token(), subscription(then="wait")) as response:
                gone = response.headers["crmgql-stream"]
                await asyncio.sleep(0.5)
                killed.stop(signal.SIGKILL)
                await response.aread()
    for where in (server, another):
        for id in (ended, gone, "no-id", "a" * 16 + "-" + "b" * 16):
            assert code(await renew(where, id, bo.token())) == (410, "STREAM_ENDED")


async def test_a_process_of_many_finds_it(serve: Serve, bo: LoggedIn) -> None:
    """Each request is a connection, which any of them may get."""
    with serve(module="tests.http.scripted", CRMGQL_WORKERS="3") as server:
        async with asked(server, bo.token(), subscription(then="wait")) as response:
            id = response.headers["crmgql-stream"]
            await reached(server, id, bo.token())
            answers = [await renew(server, id, bo.token()) for _ in range(12)]
    assert [each.status_code for each in answers] == [200] * 12


async def test_events_without_graphql_go_on_too(real: Served, bo: LoggedIn) -> None:
    began = time.monotonic()
    short = bo.token(seconds=2)
    async with followed(real, short, "application/jsonl") as lines, followed(real, short, EVENTS) as sent:
        for each in (lines, sent):
            assert (await renew(real, each.headers["crmgql-stream"], bo.token(seconds=4))).status_code == 200
        texts = [(await each.aread()).decode() for each in (lines, sent)]
    assert (
        time.monotonic() - began > 2.5
    )  # tokens end at whole seconds: the first one at two, the new one from three on
    assert all("UNAUTHENTICATED" in text for text in texts)


async def test_the_new_tokens_rights_count(
    real: Served, servers: embedded.Servers, http_database_url: str, ada: LoggedIn
) -> None:
    """From then on: a key that may read no events ends what a person began."""
    key = tokens.new_api_key()
    connection = await asyncpg.connect(http_database_url)
    await connection.execute(KEY, ada.user_id, tokens.digest(key), ["customers:read"])
    await connection.close()
    async with (
        httpx.AsyncClient(base_url=real.url, verify=False, timeout=PATIENCE_S) as client,
        happening(client, servers.redis_url, http_database_url) as happen,
        followed(real, ada.token(), EVENTS, kinds=CREATED) as sent,
    ):
        (id,) = await happen(ada.token())
        received = events(sent)
        while (first := await anext(received)).get("event") != "message":
            pass
        assert json.loads(first["data"])["subject"]["id"] == id
        answer = await renew(real, sent.headers["crmgql-stream"], key)
        assert answer.json() == {"tokenExpiresAt": None}
        await happen(ada.token())
        rest = [each async for each in received if "event" in each]
    assert [(each["event"], "FORBIDDEN" in each["data"]) for each in rest] == [("end", True)]


async def test_without_valkey_those_of_the_process_itself(otherwise: Served, server: Served, bo: LoggedIn) -> None:
    query = {"query": "subscription { events { cursor } }"}
    async with (
        asked(otherwise, bo.token(), query) as own,
        asked(server, bo.token(), subscription(then="wait")) as others,
    ):
        assert (await renew(otherwise, own.headers["crmgql-stream"], bo.token())).status_code == 200
        refused = await renew(otherwise, others.headers["crmgql-stream"], bo.token())
    assert code(refused) == (503, "SERVICE_UNAVAILABLE")
    assert "connect again" in refused.text


async def test_a_process_that_stands_still_keeps_nobody_waiting(serve: Serve, server: Served, bo: LoggedIn) -> None:
    with serve(module="tests.http.scripted") as stopped:
        async with asked(stopped, bo.token(), subscription(then="wait")) as response:
            id = response.headers["crmgql-stream"]
            await reached(server, id, bo.token())
            if not (found := workers(stopped)):
                pytest.skip("this system does not tell the processes of a server")
            (worker,) = found
            os.kill(worker, signal.SIGSTOP)
            try:
                began = time.monotonic()
                assert code(await renew(server, id, bo.token())) == (503, "SERVICE_UNAVAILABLE")
                assert time.monotonic() - began < 4
            finally:
                os.kill(worker, signal.SIGCONT)
            assert (await renew(server, id, bo.token())).status_code == 200


async def test_no_token_stands_in_valkey(
    server: Served, another: Served, servers: embedded.Servers, bo: LoggedIn
) -> None:
    """Attack: who may listen to Valkey takes the tokens that pass, or sends some of their own."""
    valkey = Redis.from_url(servers.redis_url)
    async with asked(server, bo.token(), subscription(then="wait")) as response, valkey.pubsub() as channel:
        id = response.headers["crmgql-stream"]
        name = f"{renewals.CHANNEL}:{id.partition('-')[0]}"
        await channel.subscribe(name)
        token = bo.token(seconds=1800)
        assert (await renew(another, id, token)).status_code == 200
        async with asyncio.timeout(PATIENCE_S):
            while (message := await channel.get_message(timeout=1)) is None or message["type"] != "message":
                pass
        assert id.encode() in message["data"]
        assert token.encode() not in message["data"]
        await valkey.publish(name, message["data"].replace(id.encode(), id.encode()[::-1]))
        await valkey.publish(name, b"nothing of ours")
        assert (await renew(another, id, token)).status_code == 200, "what is not ours does no harm"
    left = [await valkey.ttl(key) for key in await valkey.keys(f"{renewals.CHANNEL}:answers:*")]
    assert all(0 <= each <= renewals.KEPT_S for each in left), "answers that nobody took go by themselves"
    await valkey.aclose()


async def test_where_and_how(server: Served, bo: LoggedIn) -> None:
    headers = bearer(bo.token())
    async with httpx.AsyncClient(base_url=server.url, verify=False) as client:
        assert code(await client.get("/graphql/streams/x/token", headers=headers)) == (405, "METHOD_NOT_ALLOWED")
        assert code(await client.post("/graphql/streams/x", headers=headers)) == (404, "NOT_FOUND")
        page = {"origin": ORIGIN, **headers}
        answer = await client.post("/graphql/streams/x/token", headers=page)
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "crmgql-stream" in answer.headers["access-control-expose-headers"]
