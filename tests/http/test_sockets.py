"""graphql-transport-ws on a real server, by a real WebSocket client."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from tests.http.conftest import LoggedIn, Serve, Served, logged_in
from tests.http.scripted import cursor
from tests.http.streams import ME, counted, metric, opened, ready, workers

ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[Served]:
    with serve(
        module="tests.http.scripted",
        CRMGQL_SOCKET_INIT_S="60",
        CRMGQL_MAX_SUBSCRIPTIONS="4",
        CRMGQL_MAX_STRANGERS_PER_ADDRESS="3",
        CRMGQL_MAX_STREAMS_PER_VIEWER="3",
        CRMGQL_MAX_BODY_BYTES="100000",
        CRMGQL_CORS_ORIGINS=ORIGIN,
        CRMGQL_TRUSTED_PROXIES="127.0.0.0/8",
    ) as started:
        yield started


@pytest.fixture(scope="module")
def hasty(serve: Serve) -> Iterator[Served]:
    """A server that waits for nobody."""
    with serve(
        module="tests.http.scripted",
        CRMGQL_HEARTBEAT_S="2",
        CRMGQL_SOCKET_INIT_S="3",
        CRMGQL_SLOW_CONSUMER_S="1",
    ) as started:
        yield started


@pytest.mark.parametrize("way", ["authorization", "Authorization", "token", "header"])
async def test_a_token_comes_in_the_payload_or_the_header(server: Served, bo: LoggedIn, way: str) -> None:
    header = {"authorization": f"Bearer {bo.token()}"}
    async with opened(server, additional_headers=header if way == "header" else None) as client:
        payload = {"header": {}, "token": {"token": bo.token()}}.get(way, {way: header["authorization"]})
        await client.send("connection_init", payload=payload)
        ack = await client.read()
    assert ack["type"] == "connection_ack"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", ack["payload"]["tokenExpiresAt"])


async def test_queries_mutations_and_subscriptions_side_by_side(server: Served, bo: LoggedIn) -> None:
    async with ready(server, bo.token()) as client:
        await client.subscribe("s", send=2, then="wait")
        assert [(await client.next())["payload"]["data"]["number"] for _ in range(2)] == [1, 2]
        await client.send("subscribe", id="q", payload=ME)
        assert (await client.next())["payload"]["data"]["me"]["name"].startswith("Bo")
        assert await client.next() == {"id": "q", "type": "complete"}
        mutation = "mutation { notificationsRead(input: {}) { userErrors { code } } }"
        await client.send("subscribe", id="q", payload={"query": mutation})
        assert (await client.next())["type"] in ("next", "error")


async def test_an_end_is_told(server: Served, bo: LoggedIn) -> None:
    async with ready(server, bo.token()) as client:
        await client.subscribe(send=1)
        assert (await client.next())["type"] == "next"
        assert await client.next() == {"id": "1", "type": "complete"}
        await client.subscribe(then="RIGHTS_CHANGED")
        message = await client.next()
        assert (message["id"], message["type"]) == ("1", "error")
        assert message["payload"][0]["extensions"]["code"] == "RIGHTS_CHANGED"
        await client.subscribe(then="break")
        assert (await client.next())["payload"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"


WRONG = [
    ({"query": "{ me {"}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": 7}, "BAD_REQUEST"),
    ("a text", "BAD_REQUEST"),
    (None, "BAD_REQUEST"),
    ({**ME, "variables": []}, "BAD_REQUEST"),
    ({**ME, "variables": {"x": [1] * 12_000}}, "BAD_REQUEST"),
    ({"query": "subscription", "variables": {"refuse": True}}, "BAD_USER_INPUT"),
    ({"query": "subscription", "extensions": {"credit": 0}}, "BAD_USER_INPUT"),
]


async def test_a_bad_operation_ends_itself_and_nothing_else(server: Served, bo: LoggedIn) -> None:
    async with ready(server, bo.token()) as client:
        for payload, code in WRONG:
            await client.send("subscribe", id="bad", payload=payload)
            message = await client.next()
            assert (message["id"], message["type"]) == ("bad", "error")
            assert message["payload"][0]["extensions"]["code"] == code
        await client.send("subscribe", id="good", payload=ME)
        assert (await client.next())["type"] == "next"


INIT = '{"type":"connection_init","payload":{"authorization":"Bearer TOKEN"}}'
SUBSCRIBE = '{"type":"subscribe","id":"1","payload":{"query":"subscription","variables":{"then":"wait"}}}'


@pytest.mark.parametrize(
    ("code", "reason", "sent"),
    [
        (4400, "it is not JSON", ["{"]),
        (4400, "frames are text", [b"{}"]),
        (4400, "a message is a JSON object", ["[]"]),
        (4400, "type is missing", ["{}"]),
        (4400, "clients send no 'next'", ['{"type":"next","id":"1"}']),
        (4400, "id must be a text", ['{"type":"complete"}']),
        (4400, "payload of ping must be an object", ['{"type":"ping","payload":1}']),
        (4401, "Unauthorized", [SUBSCRIBE]),
        (4403, "Forbidden: This access token is not one of ours.", [INIT.replace("TOKEN", "x")]),
        (4403, "Forbidden: Log in first", ['{"type":"connection_init"}']),
        (4409, "Subscriber for 1 already exists", [INIT, SUBSCRIBE, SUBSCRIBE]),
        (4429, "Too many initialisation requests", [INIT, INIT]),
        (
            1009,
            "Message too large: 32768 bytes are allowed",
            ['{"type":"ping","payload":{"a":"' + "x" * 40_000 + '"}}'],
        ),
        (1009, "100000 bytes", [INIT, '{"type":"ping","payload":{"a":"' + "ä" * 60_000 + '"}}']),
    ],
)
async def test_mistakes_in_the_protocol_close_with_their_code(
    server: Served, bo: LoggedIn, code: int, reason: str, sent: list[str | bytes]
) -> None:
    async with opened(server) as client:
        for each in sent:
            await client.connection.send(each.replace("TOKEN", bo.token()) if isinstance(each, str) else each)
        closed = await client.closed()
    assert closed[0] == code
    assert reason in closed[1]


async def test_another_subprotocol_is_not_accepted(server: Served) -> None:
    async with opened(server, subprotocols=None) as client:
        assert (await client.closed())[0] == 4406


async def test_pages_of_other_origins_stay_out(server: Served) -> None:
    for origin in (ORIGIN, server.url, None):
        async with opened(server, origin=None if origin is None else Origin(origin)) as client:
            await client.send("ping")
            assert (await client.read())["type"] == "pong"
    with pytest.raises(InvalidStatus) as caught:
        async with opened(server, origin=Origin("https://evil.example.com")):
            pass
    assert caught.value.response.status_code == 403


async def test_pings_are_answered_and_sent_with_the_position(hasty: Served, bo: LoggedIn) -> None:
    async with ready(hasty, bo.token()) as client:
        await client.send("ping", payload={"mine": 1})
        assert await client.next("pong") == {"type": "pong", "payload": {"mine": 1}}
        await client.subscribe("a", send=2, then="wait")
        ping = await client.next("ping")
        assert ping["payload"]["subscriptions"] == {"a": cursor(9)}
        assert "cursor" in ping["payload"]


async def test_who_may_not_stay_is_sent_away(hasty: Served, http_database_url: str, token: str) -> None:
    """All at once, as each of them waits for some seconds."""
    users = [await logged_in(http_database_url, f"Bo{time.monotonic_ns()}", "SELLER") for _ in range(3)]
    await asyncio.gather(
        _says_nothing(hasty),
        _answers_no_ping(hasty, users[0]),
        _session_ends(hasty, users[1]),
        _token_ends(hasty, users[2], token),
    )


async def _says_nothing(hasty: Served) -> None:
    async with opened(hasty) as client:
        assert await client.closed() == (4408, "Connection initialisation timeout")


async def _answers_no_ping(hasty: Served, user: LoggedIn) -> None:
    async with ready(hasty, user.token()) as client:
        assert await client.closed() == (1001, "No pong")


async def _session_ends(hasty: Served, user: LoggedIn) -> None:
    query = "mutation($token: String!) { logout(input: {refreshToken: $token}) { userErrors { code } } }"
    async with ready(hasty, user.token()) as client:
        async with httpx.AsyncClient(verify=False) as other:
            body = {"query": query, "variables": {"token": user.refresh_token}}
            await other.post(f"{hasty.url}/graphql", json=body)
        code, reason = await client.turned_away()
    assert (code, "session has ended" in reason) == (4403, True)


async def _token_ends(hasty: Served, user: LoggedIn, others_token: str) -> None:
    """Others' and none are refused; a new one is taken in place; at its end the socket is closed."""
    async with ready(hasty, user.token(seconds=3)) as client:
        await client.subscribe(then="wait")
        assert "tokenExpiresAt" in (await client.next("ping"))["payload"]
        for wrong, code in (("nonsense", "UNAUTHENTICATED"), (others_token, "FORBIDDEN")):
            await client.send("ping", payload={"authorization": f"Bearer {wrong}"})
            refused = await client.next("pong", "error")
            assert refused["payload"]["errors"][0]["extensions"]["code"] == code
        await client.send("ping", payload={"authorization": f"Bearer {user.token(seconds=5)}"})
        ends = (await client.next("pong", "error"))["payload"]["tokenExpiresAt"]
        assert await client.turned_away() == (4403, "Forbidden: token expired")
        assert abs(datetime.now(UTC) - datetime.fromisoformat(ends)) < timedelta(seconds=2)


async def test_credit_is_all_that_is_sent(server: Served, bo: LoggedIn) -> None:
    async with ready(server, bo.token()) as client:
        payload = {"query": "subscription", "variables": {"send": 9, "then": "wait"}, "extensions": {"credit": 2}}
        await client.send("subscribe", id="c", payload=payload)
        assert [(await client.next())["payload"]["data"]["number"] for _ in range(2)] == [1, 2]
        await client.send("ping", payload={"credit": {"c": 0}})
        assert (await client.next())["payload"]["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        await client.send("ping", payload={"credit": {"c": 3, "gone": 5}})
        answered = [await client.next() for _ in range(4)]
        assert {"type": "pong", "payload": {"credit": {"c": 3}}} in answered
        assert [each["payload"]["data"]["number"] for each in answered if each["type"] == "next"] == [3, 4, 5]


async def test_thousands_in_a_row_come_in_order_and_pings_are_answered_between(server: Served, bo: LoggedIn) -> None:
    async with ready(server, bo.token()) as client:
        await client.subscribe(send=20_000, bytes=900)
        answered = [await client.next()]
        await client.send("ping", payload={"are": "you there?"})
        while answered[-1]["type"] != "complete":
            answered.append(await client.next())
        numbers = [each["payload"]["data"]["number"] for each in answered if each["type"] == "next"]
        assert numbers == list(range(1, 20_001))
        assert answered.index({"type": "pong", "payload": {"are": "you there?"}}) < len(answered) - 2


@pytest.mark.parametrize("bytes", [50_000, 500])
async def test_who_does_not_read_is_told_the_cursor_and_dropped(hasty: Served, bo: LoggedIn, bytes: int) -> None:
    dropped = await metric(hasty, "crmgql_slow_consumers_total")
    async with ready(hasty, bo.token(), max_queue=1, max_size=None) as client:
        before = memory(hasty)
        await client.subscribe(send=10**9, bytes=bytes)
        await counted(hasty, "crmgql_slow_consumers_total", dropped + 1)
        assert memory(hasty) - before < 20_000_000, "nothing piles up for who does not read"
        numbers, told = [], None
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                message = await client.read()
                if message["type"] == "next":
                    numbers.append(message["payload"]["data"]["number"])
                elif message["type"] == "error":
                    told = message["payload"][0]["extensions"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert told is not None
    assert told["code"] == "SLOW_CONSUMER"
    assert told["cursor"] in (cursor(numbers[-1]), cursor(numbers[-1] - 1))
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1013, "Slow consumer")


async def test_caps(server: Served, bo: LoggedIn) -> None:
    async with ready(server, bo.token()) as client:
        for number in range(4):
            await client.subscribe(f"{number}", then="wait")
        await client.subscribe("5", then="wait")
        message = await client.next()
        assert (message["id"], message["payload"][0]["extensions"]["code"]) == ("5", "THROTTLED")
        await client.send("complete", id="0")
        while message["type"] == "error":
            await client.subscribe("6", send=1)
            message = await client.next()
        assert message["id"] == "6"
        async with ready(server, bo.token()), ready(server, bo.token()), opened(server) as fourth:
            await fourth.send("connection_init", payload={"token": bo.token()})
            code, reason = await fourth.closed()
            assert (code, reason) == (1013, "You have 3 streams open already: close one.")


async def test_strangers_of_one_address_are_few(server: Served, bo: LoggedIn) -> None:
    address = {"x-forwarded-for": "198.51.100.9"}
    async with (
        opened(server, additional_headers=address),
        opened(server, additional_headers=address),
        opened(server, additional_headers=address) as third,
    ):
        async with opened(server, additional_headers=address) as fourth:
            assert (await fourth.closed())[0] == 1013
        await third.send("connection_init", payload={"token": bo.token()})
        assert (await third.read())["type"] == "connection_ack"
        async with opened(server, additional_headers=address) as fourth:
            await fourth.send("ping")
            assert (await fourth.read())["type"] == "pong"


async def test_who_leaves_takes_all_along(server: Served, bo: LoggedIn) -> None:
    async with ready(server, bo.token()) as client:
        await client.subscribe("1", then="wait")
        await client.subscribe("2", send=10**9, bytes=10)
        await counted(server, "crmgql_subscriptions", 2)
        client.connection.transport.abort()
        gone = time.monotonic()
    await counted(server, "crmgql_subscriptions", 0)
    await counted(server, "crmgql_streams", 0)
    assert time.monotonic() - gone < 4, "sending to nobody keeps the event loop from hearing that nobody is there"


def memory(server: Served) -> int:
    """Bytes that the server's processes have in memory; 0 where the system does not tell."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in workers(server)]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


async def test_a_server_that_stops_has_no_trouble_in_its_log(serve: Serve, bo: LoggedIn) -> None:
    with serve(module="tests.http.scripted") as stopping:
        async with ready(stopping, bo.token()) as idle, ready(stopping, bo.token()) as following:
            await following.subscribe(send=1)
            await following.next("next")
            stopping.process.terminate()
            for client in (idle, following):
                with pytest.raises(ConnectionClosed) as caught:
                    while True:
                        await client.read()
                said = (
                    caught.value.rcvd
                )  # None: the process was gone before its last words, as happens on a busy machine
                assert said is None or (said.code, said.reason) == (1012, "The server stops; connect again")
        assert stopping.stop() == 0
        assert "Traceback" not in stopping.log
