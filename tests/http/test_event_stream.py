"""Server-sent events for GraphQL: their form, and on a real server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from crmgql.engine.readings import Delivery
from crmgql.http import negotiation
from crmgql.http.event_stream import GRAPHQL
from tests.http.conftest import LoggedIn, Serve, Served
from tests.http.scripted import cursor
from tests.http.streams import EVENTS, ME, asked, counted, events, metric, read, subscription


def test_the_form_of_events() -> None:
    answer = Delivery(b'{"data":\n{}}', "evc_1")
    assert GRAPHQL.delivery(answer) == b'event: next\nid: evc_1\ndata: {"data": {}}\n\n'
    assert GRAPHQL.failed([{"message": "No."}]) == (
        b'event: next\ndata: {"errors":[{"message":"No."}]}\n\nevent: complete\ndata:\n\n'
    )
    assert GRAPHQL.heartbeat("evc_3", "evc_2", None) == b": evc_3\n\nid: evc_2\n\n"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (EVENTS, "only"),
        ("text/event-stream, multipart/mixed", "only"),
        ("text/event-stream, application/json;q=0.5", "only"),
        ("application/graphql-response+json, application/json, text/event-stream, multipart/mixed", "also"),
        ("application/json", None),
        ("*/*", None),
        (None, None),
    ],
)
def test_who_reads_events(accept: str | None, wanted: str | None) -> None:
    assert negotiation.events(accept and accept.encode()) == wanted


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[Served]:
    with serve(
        module="tests.http.scripted",
        CRMGQL_HEARTBEAT_S="0.5",
        CRMGQL_SLOW_CONSUMER_S="1",
        CRMGQL_MAX_STREAMS_PER_VIEWER="2",
    ) as started:
        yield started


async def test_a_subscription_is_events_with_their_cursor_as_id(server: Served, bo: LoggedIn) -> None:
    async with asked(server, bo.token(), subscription(send=2)) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert response.headers["x-accel-buffering"] == "no"
        first, second, last = await read(response, 3)
    assert (first["event"], first["id"], json.loads(first["data"])["data"]["number"]) == ("next", cursor(1), 1)
    assert second["id"] == cursor(2)
    assert last == {"event": "complete", "data": ""}


async def test_last_event_id_resumes(server: Served, bo: LoggedIn) -> None:
    async with asked(server, bo.token(), subscription(send=1), **{"last-event-id": cursor(7)}) as response:
        assert (await read(response, 1))[0]["id"] == cursor(8)


async def test_queries_for_who_reads_only_events(server: Served, bo: LoggedIn) -> None:
    async with asked(server, bo.token(), ME) as response:
        first, last = await read(response, 2)
    assert json.loads(first["data"])["data"]["me"]["name"].startswith("Bo")
    assert last["event"] == "complete"


async def test_who_reads_both_gets_events_for_subscriptions_alone(server: Served, bo: LoggedIn) -> None:
    both = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed"
    async with asked(server, bo.token(), ME, both) as response:
        assert response.headers["content-type"].startswith("application/graphql-response+json")
        assert "data" in json.loads(await response.aread())
    async with asked(server, bo.token(), {"query": "{ nothing }"}, both) as response:
        assert response.status_code == 400
    async with asked(server, bo.token(), subscription(send=1), both) as response:
        assert (await read(response, 1))[0]["event"] == "next"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED"),
        (subscription(refuse=True), "BAD_USER_INPUT"),
        ({**subscription(), "extensions": {"credit": 3}}, "BAD_USER_INPUT"),
        (subscription(then="RIGHTS_CHANGED"), "RIGHTS_CHANGED"),
        (subscription(then="break"), "INTERNAL_SERVER_ERROR"),
    ],
)
async def test_errors_are_events_after_which_nobody_tries_again(
    server: Served, bo: LoggedIn, body: Any, code: str
) -> None:
    async with asked(server, bo.token(), body) as response:
        assert response.status_code == 200
        first, last = await read(response, 2)
    assert json.loads(first["data"])["errors"][0]["extensions"]["code"] == code
    assert last["event"] == "complete"


async def test_statuses_that_are_not_about_the_query_stay(server: Served, bo: LoggedIn) -> None:
    async with asked(server, None, subscription()) as response:
        assert response.status_code == 401
        assert json.loads(await response.aread())["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    async with (
        asked(server, bo.token(), subscription(then="wait")),
        asked(server, bo.token(), subscription(then="wait")),
        asked(server, bo.token(), subscription(then="wait")) as third,
    ):
        assert (third.status_code, third.headers["retry-after"]) == (429, "5")
    async with asked(server, bo.token(), [ME]) as response:
        assert response.status_code == 400


async def test_heartbeats_warn_of_the_tokens_end_and_then_it_ends(server: Served, bo: LoggedIn) -> None:
    found = []
    async with asked(server, bo.token(seconds=3), subscription(then="wait")) as response:
        async for each in events(response):
            found.append(each)
    assert {"id": cursor(7)} in found
    assert any("tokenExpiresAt" in each.get("comment", "") for each in found)
    error, last = found[-2:]
    assert json.loads(error["data"])["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert last["event"] == "complete"


@pytest.mark.parametrize("bytes", [50_000, 500])
async def test_who_does_not_read_is_told_the_cursor_and_dropped(server: Served, bo: LoggedIn, bytes: int) -> None:
    dropped = await metric(server, "crmgql_slow_consumers_total")
    async with asked(server, bo.token(), subscription(send=10**9, bytes=bytes)) as response:
        await counted(server, "crmgql_slow_consumers_total", dropped + 1)
        found = [each async for each in events(response) if "event" in each]
    error = json.loads(found[-2]["data"])["errors"][0]["extensions"]
    assert error == {"code": "SLOW_CONSUMER", "cursor": found[-3]["id"]}


async def test_who_leaves_takes_all_along_and_a_stop_waits_for_nobody(serve: Serve, bo: LoggedIn) -> None:
    with serve(module="tests.http.scripted") as server:
        async with asked(server, bo.token(), subscription(send=1, then="wait")) as response:
            await read(response, 1)
        await counted(server, "crmgql_streams", 0)
        await counted(server, "crmgql_subscriptions", 0)
        async with asked(server, bo.token(), subscription(send=1, then="wait")) as response:
            lines = response.aiter_lines()
            while "data" not in await anext(lines):
                pass
            began = time.monotonic()
            server.process.terminate()
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                async for line in lines:
                    assert "complete" not in line
        assert await asyncio.to_thread(server.process.wait, 10) == 0
        assert time.monotonic() - began < 4
