"""The client against real servers: where it does not go, how long it waits, what it hands on."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpcore2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crmgql.outbound.client import KEPT, Answer, Client, Failure
from crmgql.outbound.connections import Stream
from crmgql.outbound.network import Resolver, Unresolved
from crmgql.outbound.targets import Address, Reach, networks, target
from tests.receiver import Receiver, Said, receiving

LOCAL = Reach(networks("127.0.0.0/8"))


def leads_to(*answers: str) -> Callable[[str], Any]:
    """A resolver that answers in turn, and the last answer from then on."""
    left = list(answers)

    async def resolve(host: str) -> list[Address]:
        text = left.pop(0) if len(left) > 1 else left[0]
        return [ipaddress.ip_address(each) for each in text.split()]

    return resolve


async def ask(client: Client, url: str, **headers: str) -> Answer | Failure:
    try:
        return await client.post(target(url), list(headers.items()), b"{}")
    finally:
        await client.close()


async def test_a_request_and_its_answer() -> None:
    async with receiving() as receiver:
        receiver.answer = lambda got: Said(200, b"x" * 5000, {"X-Said": "yes"})
        client = Client(LOCAL, resolve=leads_to("127.0.0.1"))
        url = f"http://hooks.example:{receiver.port}/a?b=c"
        answers = [await client.post(target(url), [("X-Mine", "1")], b"{}") for _ in range(3)]
        await client.close()
    for answer in answers:
        assert isinstance(answer, Answer)
        assert (answer.status, answer.is_accepted, answer.body) == (200, True, b"x" * KEPT)
        assert answer.headers["x-said"] == "yes"
    got = receiver.got[0]
    assert (got.path, got.body, got.headers["x-mine"]) == ("/a?b=c", b"{}", "1")
    assert got.headers["host"] == f"hooks.example:{receiver.port}"
    assert (len(receiver.got), receiver.connections) == (3, 1)


async def test_connections_are_kept_for_others_and_no_more_are_made_than_requests_at_once() -> None:
    async with receiving() as receiver:
        client = Client(LOCAL)
        for _ in range(3):
            answers = await asyncio.gather(*(client.post(target(receiver.url), [], b"{}") for _ in range(5)))
            assert all(isinstance(each, Answer) for each in answers)
        await client.close()
    assert (len(receiver.got), receiver.connections) == (15, 5)


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    async with receiving() as receiver:
        client, handle = Client(LOCAL), receiver.serve

        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Closes after an answer that does not say so."""
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            assert head
            writer.write(Said(200, b"ok").encoded())
            await writer.drain()
            writer.close()
            receiver.changed.set()

        receiver.serve = once  # type: ignore[method-assign]
        assert isinstance(await client.post(target(receiver.url), [], b"{}"), Answer)
        async with asyncio.timeout(5):
            await receiver.changed.wait()
        await asyncio.sleep(0.05)
        receiver.serve = handle  # type: ignore[method-assign]
        assert isinstance(await ask(client, receiver.url), Answer)
        assert receiver.connections == 1  # counted by the second handler alone


async def test_head_and_body_are_sent_together() -> None:
    """Two packets cost a receiver two wake-ups, and with some proxies a delay of 40 ms."""
    came: list[bytes] = []

    class Server(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            came.append(data)
            self.transport.write(b"HTTP/1.1 204 X\r\n\r\n")

    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client(LOCAL)
    for _ in range(2):
        assert isinstance(await client.post(target(f"http://127.0.0.1:{port}/"), [], b"the body"), Answer)
    await client.close()
    server.close()
    assert len(came) == 2
    assert all(each.startswith(b"POST / ") and each.endswith(b"\r\n\r\nthe body") for each in came)


async def test_an_answer_counts_though_the_request_could_not_be_sent_to_its_end() -> None:
    """A server may refuse by the head alone, and close: what it said is there to be read."""

    class Refusing(httpcore2.AsyncNetworkStream):
        async def write(self, buffer: bytes, timeout: float | None = None) -> None:
            raise httpcore2.WriteError

        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            return b"HTTP/1.1 413 Too Long"

    stream = Stream(Refusing())
    await stream.write(b"POST /")
    assert (await stream.read(100)).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("url", ["http://localhost", "https://127.0.0.1", "https://[::1]", "https://2130706433"])
@pytest.mark.parametrize("reach", [Reach(), Reach(networks("10.0.0.0/8"))])
async def test_a_private_address_is_never_connected_to(url: str, reach: Reach) -> None:
    async with receiving() as receiver:
        failure = await ask(Client(reach), f"{url}:{receiver.port}/")
        assert isinstance(failure, Failure)
        assert failure.code == "ADDRESS_REFUSED"
        assert receiver.connections == 0


async def test_a_name_that_leads_elsewhere_the_second_time_is_checked_again() -> None:
    """DNS rebinding: the address that was checked is the one connected to, and the next connection is checked anew."""
    async with receiving() as receiver:
        reach = Reach(networks("127.0.0.1"))
        client = Client(reach, resolve=leads_to("127.0.0.1", "127.0.0.2 10.0.0.1"))
        receiver.answer = lambda got: Said(200, b"", {"Connection": "close"})
        url = f"http://rebind.example:{receiver.port}/"
        first = await client.post(target(url), [], b"{}")
        second = await ask(client, url)
    assert isinstance(first, Answer)
    assert isinstance(second, Failure)
    assert (second.code, receiver.connections) == ("ADDRESS_REFUSED", 1)


async def test_of_several_addresses_only_allowed_ones_are_tried() -> None:
    async with receiving() as receiver:
        reach = Reach(networks("127.0.0.1, 127.0.0.3"))
        answer = await ask(
            Client(reach, resolve=leads_to("10.0.0.1 127.0.0.3 127.0.0.1")), f"http://many.example:{receiver.port}/"
        )
    assert isinstance(answer, Answer)


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    async with receiving() as receiver, receiving() as inside:
        for status in (301, 302, 303, 307, 308):
            receiver.answer = lambda got, status=status: Said(status, b"", {"Location": inside.url})
            answer = await ask(Client(LOCAL), receiver.url)
            assert isinstance(answer, Answer)
            assert (answer.status, answer.is_accepted) == (status, False)
        assert inside.connections == 0


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver, receiving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert isinstance(await ask(Client(LOCAL), receiver.url), Answer)
        assert proxy.connections == 0


async def slow(got: Any) -> Said:
    await asyncio.sleep(60)
    return Said()


def dripping(receiver: Receiver) -> Any:
    """A server that sends a header line now and then, and never ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                writer.write(b"X-More: 1\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    return serve


async def test_a_slow_answer_ends_in_time() -> None:
    async with receiving() as receiver:
        receiver.answer = slow
        started = time.monotonic()
        failure = await ask(Client(LOCAL, total_s=0.3), receiver.url)
        receiver.serve = dripping(receiver)  # type: ignore[method-assign]
        dripped = await ask(Client(LOCAL, total_s=0.3), receiver.url)
        assert time.monotonic() - started < 2
    assert isinstance(failure, Failure)
    assert isinstance(dripped, Failure)
    assert (failure.code, dripped.code) == ("TIMED_OUT", "TIMED_OUT")
    assert failure.latency_ms >= 300


async def test_an_endless_answer_is_cut() -> None:
    async with receiving() as receiver:
        receiver.answer = lambda got: Said(200, b"y" * 50_000_000)
        started = time.monotonic()
        answer = await ask(Client(LOCAL), receiver.url)
        assert time.monotonic() - started < 2
    assert isinstance(answer, Answer)
    assert answer.body == b"y" * KEPT


async def test_what_is_no_http_and_who_is_not_there() -> None:
    async with receiving() as receiver:
        receiver.answer = lambda got: None
        silent = await ask(Client(LOCAL), receiver.url)
        port = receiver.port
    gone = await ask(Client(LOCAL), f"http://127.0.0.1:{port}/")
    unknown = await ask(Client(LOCAL), "http://nobody.invalid:8080/")
    assert [each.code for each in (silent, gone, unknown) if isinstance(each, Failure)] == [
        "BROKEN_OFF",
        "NOT_CONNECTED",
        "NOT_RESOLVED",
    ]


async def test_a_lookup_that_hangs_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver()

    def getaddrinfo(host: str, *_: Any, **__: Any) -> Any:
        if host.startswith("hangs"):
            time.sleep(0.5)
        raise OSError("none")

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    hanging = [asyncio.create_task(resolver.resolve(f"hangs{number}.example")) for number in range(20)]
    again = asyncio.create_task(resolver.resolve("hangs0.example"))
    await asyncio.sleep(0)
    started = time.monotonic()
    with pytest.raises(Unresolved):
        await resolver.resolve("quick.example")
    assert time.monotonic() - started < 0.4
    assert len(resolver._asked) == 20  # the same name is looked up once
    await asyncio.gather(*hanging, again, return_exceptions=True)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for a name, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(*form))
    return chain, private


async def test_tls_asks_for_the_name_though_the_address_is_pinned(tmp_path: Path) -> None:
    chain, private = certificate(tmp_path, "hooks.example")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, private)
    trust = ssl.create_default_context(cafile=str(chain))
    async with receiving(tls=server) as receiver:
        server.sni_callback = lambda sock, name, context: setattr(receiver, "name", name)
        resolve = leads_to("127.0.0.1")
        answer = await ask(Client(LOCAL, resolve=resolve, trust=trust), f"https://hooks.example:{receiver.port}/")
        other = await ask(Client(LOCAL, resolve=resolve, trust=trust), f"https://other.example:{receiver.port}/")
        stranger = await ask(Client(LOCAL, resolve=resolve), f"https://hooks.example:{receiver.port}/")
    assert isinstance(answer, Answer)
    assert (receiver.got[0].headers["host"], len(receiver.got)) == (f"hooks.example:{receiver.port}", 1)
    assert isinstance(other, Failure)
    assert isinstance(stranger, Failure)
    assert "certificate" in other.message
    assert "certificate" in stranger.message
