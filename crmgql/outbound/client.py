"""Sends a request to a server of somebody else, and tells what came of it.

Enters: a `Target`, headers and body. Leaves: an `Answer` or a `Failure`, never an exception of the network's. Always
holds: it takes no longer than the time set, reads no more than `READ` bytes of the answer, follows no redirect, takes no
proxy from the environment, keeps no cookies, and connects nowhere but where `Reach` allows (`network`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import httpcore2

from crmgql.outbound.connections import Connections
from crmgql.outbound.network import Guard, Refused, Resolve, Resolver, Unresolved
from crmgql.outbound.targets import PORTS, AddressRefused, Reach, Target

READ = 65_536
"""An answer that is longer is cut, and its connection closed."""

KEPT = 1024
"""Bytes of an answer that are handed on."""

KEPT_HEADERS, LONGEST_HEADER = 40, 500
KEEP_ALIVE_S = 4.0
"""Shorter than what servers usually wait (5 s), so that none closes a connection while a request is on its way."""

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said. `body` is its beginning."""

    status: int
    headers: dict[str, str]
    body: bytes
    latency_ms: int

    @property
    def is_accepted(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer, as a code and in words."""

    code: str
    message: str
    latency_ms: int


class Client:
    """Keeps connections open for a moment. `trust`: which certificates count; by default the system's, read anew, which takes a
    while. `resolve` and `trust` may be shared by several clients."""

    def __init__(
        self,
        reach: Reach,
        *,
        total_s: float = 15,
        connect_s: float = 5,
        resolve: Resolve | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._total_s = total_s
        self._timeouts = {"connect": min(connect_s, total_s)}  # all else ends with the request
        resolve = resolve or Resolver().resolve
        trust = trust or ssl.create_default_context()
        guards: dict[str, httpcore2.AsyncNetworkBackend] = {scheme: Guard(reach, scheme, resolve) for scheme in PORTS}
        self._connections = Connections(guards, trust, kept_s=KEEP_ALIVE_S)

    async def post(self, target: Target, headers: Headers, body: bytes) -> Answer | Failure:
        """One request, once."""
        started = perf_counter()

        def failed(code: str, message: str) -> Failure:
            return Failure(code, message, _ms(started))

        try:
            async with asyncio.timeout(self._total_s):
                return await self._post(target, headers, body, started)
        except TimeoutError:
            return failed("TIMED_OUT", f"There was no whole answer within {self._total_s:g} s.")
        except Refused:
            return failed(AddressRefused.code, target.refusal)
        except Unresolved as error:
            return failed("NOT_RESOLVED", f"{target.host} leads to no address ({error}).")
        except httpcore2.ConnectTimeout:
            return failed("NOT_CONNECTED", f"There was no connection within {self._timeouts['connect']:g} s.")
        except httpcore2.ConnectError as error:
            return failed("NOT_CONNECTED", f"There is no connection to {target.authority} ({_why(error)}).")
        except httpcore2.TimeoutException:
            return failed("TIMED_OUT", f"There was no whole answer within {self._total_s:g} s.")
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            return failed("BROKEN_OFF", f"The server broke off, or does not speak HTTP ({_why(error)}).")

    async def _post(self, target: Target, headers: Headers, body: bytes, started: float) -> Answer:
        request = httpcore2.Request(
            "POST",
            httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path),
            headers=[("Host", target.authority), ("Content-Length", str(len(body))), *headers],
            content=body,
            extensions={"timeout": self._timeouts},
        )
        connection = await self._connections.take(target)
        try:
            response = await connection.handle_async_request(request)
            try:
                kept = await _beginning(response)
            finally:
                await response.aclose()
        finally:
            await self._connections.put_back(target, connection)
        return Answer(response.status, _headers(response), kept, _ms(started))

    async def close(self) -> None:
        await self._connections.close()


async def _beginning(response: httpcore2.Response) -> bytes:
    """The first `KEPT` bytes. What follows is read up to `READ`, so that the connection can be used again."""
    kept, read = b"", 0
    async for chunk in response.aiter_stream():
        kept, read = kept + chunk[: KEPT - len(kept)], read + len(chunk)
        if read > READ:
            break
    return kept


def _headers(response: httpcore2.Response) -> dict[str, str]:
    """The answer's headers, as far as somebody may want to read them."""
    listed = response.headers[:KEPT_HEADERS]
    return {name.decode("latin-1").lower(): value.decode("latin-1")[:LONGEST_HEADER] for name, value in listed}


def _why(error: BaseException) -> str:
    text = " ".join(str(error.__cause__ or error).split()) or type(error).__name__
    return text[:200]


def _ms(started: float) -> int:
    return round((perf_counter() - started) * 1000)
