"""One WebSocket from its acceptance to its end: the messages of graphql-transport-ws, the token, the operations under way.

Enters: what the client sends, and the beats of `open_streams`. Leaves: frames, and one close. Always holds: only a mistake in
the protocol, an end of the token or of the client's attention closes it; whatever is wrong with an operation ends that one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from starlette.types import Receive, Send

from crmgql.config import Settings
from crmgql.engine.errors import formatted
from crmgql.engine.operations import Engine
from crmgql.engine.pace import MANY_VALUES
from crmgql.errors import BadUserInput, CrmError, Throttled, Unauthenticated
from crmgql.http import json_limits, sessions, socket_protocol
from crmgql.http.caps import Place
from crmgql.http.json_limits import MAX_VALUES, STRANGERS_VALUES
from crmgql.http.metrics import Metrics
from crmgql.http.open_streams import FAREWELL_S, TOO_SLOW, OpenStream
from crmgql.http.outgoing import Outgoing
from crmgql.http.refusals import Refused
from crmgql.http.socket_operations import Operation
from crmgql.http.socket_protocol import Close, Code, Message, Payload

log = structlog.get_logger("crmgql")

STRANGERS_BYTES = 32_768
SLOW = "Slow consumer"
STOPS = "The server stops; connect again"


class Connection(OpenStream):
    """`remote` is the client's address, `agent` its User-Agent, `header` its Authorization header, used if the payload has none."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        metrics: Metrics,
        place: Place,
        *,
        receive: Receive,
        send: Send,
        remote: str | None,
        agent: bytes | None,
        header: str | None,
    ) -> None:
        self.out: Outgoing[str]
        super().__init__(engine, settings, metrics, place, Outgoing(partial(_write, send)))
        self.remote = remote
        self.agent = agent
        self.operations: dict[str, Operation] = {}
        self._header = header
        self._receive = receive
        self._send = send
        self._under_way: set[Operation] = set()
        self._heard = self.opened

    async def run(self) -> None:
        """Until the client is gone or sent away."""
        try:
            await self._receive_all()
            self._stop_all()
        except Close as close:
            await self._part(close)
        except asyncio.CancelledError:
            ending = self.ending()
            task = asyncio.current_task()
            if ending is None and task is not None and task.cancelling():
                self._stop_all()
                raise
            await self._part(ending if isinstance(ending, Close) else Close(Code.RESTART, STOPS))
        except Exception:
            log.exception("socket failed")
            await self._part(Close(Code.INTERNAL, "Internal server error"))

    # What the client sends.

    async def _receive_all(self) -> None:
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                return
            self._heard = time.monotonic()
            text = event.get("text")
            if text is None:
                raise socket_protocol.bad("frames are text")
            most = self.settings.max_body_bytes if self.session else min(STRANGERS_BYTES, self.settings.max_body_bytes)
            if len(text) > most or (len(text) * 4 > most and len(text.encode()) > most):
                raise Close(Code.TOO_LARGE, f"Message too large: {most} bytes are allowed")
            await self._take(text)

    async def _take(self, text: str) -> None:
        values = text.count(",") + text.count("[") + text.count("{")
        if self.session is None or values < MANY_VALUES:
            value, refusal = _read(text, STRANGERS_VALUES if self.session is None else MAX_VALUES)
        else:
            value, refusal = await self.engine.reading.run(self.session.first.user_id, _read, text, MAX_VALUES)
        message = socket_protocol.message(value)
        match message.type:
            case "connection_init":
                await self._init(message.payload)
            case "ping":
                await self._answer_ping(message.payload)
            case "subscribe":
                await self._subscribe(message, values, refusal)
            case "complete" if message.id in self.operations:
                self.operations.pop(message.id).stop()

    async def _init(self, payload: Payload) -> None:
        if self.session is not None:
            raise Close(Code.TOO_MANY_INITS, "Too many initialisation requests")
        authorization = socket_protocol.authorization(payload) or self._header or ""
        try:
            session = await sessions.opened(self.engine.identities, authorization)
            self.place.admit(session.first.user_id)
        except Unauthenticated as error:
            raise Close(Code.FORBIDDEN, f"Forbidden: {error.message}") from None
        except CrmError as error:
            raise Close(Code.TRY_LATER, error.message) from None
        self.session = session
        await self.out.send(socket_protocol.ack({"tokenExpiresAt": sessions.text(session.ends)}))

    async def _answer_ping(self, payload: Payload) -> None:
        answer: Payload = {}
        try:
            if (authorization := socket_protocol.authorization(payload)) is not None:
                answer |= await self._renew(authorization)
            if "credit" in payload:
                answer |= self._add_credit(payload)
        except CrmError as error:
            answer = {"errors": [formatted(error)]}
        await self.out.send(socket_protocol.pong(answer or payload))

    async def _renew(self, authorization: str) -> Payload:
        return {"tokenExpiresAt": sessions.text(await self.renew(authorization))}

    def _add_credit(self, payload: Payload) -> Payload:
        credit = socket_protocol.credit(payload)
        if credit is None:
            raise BadUserInput(f"credit must name operations with numbers from 1 to {socket_protocol.MOST_CREDIT}.")
        for id, number in credit.items():
            if id in self.operations:
                self.operations[id].add_credit(number)
        return {"credit": {id: self.operations[id].credit for id in credit if id in self.operations}}

    async def _subscribe(self, message: Message, values: int, refusal: Refused | None) -> None:
        if self.session is None:
            raise Close(Code.UNAUTHORIZED, "Unauthorized")
        known = self.operations.get(message.id)
        if known is not None and not known.ended:
            raise Close(Code.ID_TAKEN, f"Subscriber for {message.id} already exists")
        most = self.settings.max_subscriptions
        if refusal is not None:
            await self.out.send(socket_protocol.error(message.id, [refusal.error()]))
        elif len(self._under_way) >= most:
            error = Throttled(f"{most} operations are under way on this connection: complete one.", retry_after_s=1)
            await self.out.send(socket_protocol.error(message.id, [formatted(error)]))
        else:
            self._start(Operation(self, message.id, values), message.payload)

    def _start(self, operation: Operation, payload: Any) -> None:
        def forget(_: asyncio.Task[None]) -> None:
            self._under_way.discard(operation)
            if self.operations.get(operation.id) is operation:
                del self.operations[operation.id]

        self.operations[operation.id] = operation
        self._under_way.add(operation)
        operation.task = asyncio.create_task(operation.run(payload))
        operation.task.add_done_callback(forget)

    # What the clock says.

    def beat(self, now: float) -> None:
        if self.session is None:
            if now - self.opened > self.settings.socket_init_s:
                self.end(Close(Code.INIT_TIMEOUT, "Connection initialisation timeout"))
        elif now - max(self._heard, self.out.moved) > 2 * self.settings.heartbeat_s:
            self.end(Close(Code.GONE, "No pong"))
        super().beat(now)

    def too_slow(self) -> Close:
        return Close(Code.TRY_LATER, SLOW)

    def shut_out(self, why: str) -> Close:
        return Close(Code.FORBIDDEN, f"Forbidden: {why}")

    async def heartbeat(self, head: str | None, token_ends: str | None) -> None:
        at = {
            each.id: each.stream.position
            for each in self.operations.values()
            if each.stream is not None and not each.sending and each.stream.position is not None
        }
        news: Payload = {"cursor": head}
        if at:
            news["subscriptions"] = at
        if token_ends is not None:
            news["tokenExpiresAt"] = token_ends
        await self.out.send(socket_protocol.ping(news))

    # The end.

    def _stop_all(self) -> list[Operation]:
        """Those that were subscriptions."""
        self.still()
        following = [each for each in self._under_way if each.stream is not None]
        for each in list(self._under_way):
            each.stop()
        return following

    async def _part(self, close: Close) -> None:
        """The last frames, for a client that reads them."""
        self.parting = True
        following = self._stop_all()
        stopped = [each.task for each in following if each.task is not None]
        await asyncio.gather(*stopped, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                for each in following if close.reason == SLOW else ():
                    await self.out.send(socket_protocol.error(each.id, [_too_slow(each)]))
                await send_close(self._send, close)


async def send_close(send: Send, close: Close) -> None:
    await send({"type": "websocket.close", "code": int(close.code), "reason": close.reason})


def _write(send: Send, text: str) -> Awaitable[None]:
    return send({"type": "websocket.send", "text": text})


def _read(text: str, most: int) -> tuple[Any, Refused | None]:
    """The JSON value of a text, and why it holds too much."""
    refusal = None
    try:
        json_limits.check(text.encode(), most=most)
    except Refused as error:
        refusal = error
    return socket_protocol.decoded(text), refusal


def _too_slow(operation: Operation) -> dict[str, Any]:
    return {"message": TOO_SLOW, "extensions": {"code": "SLOW_CONSUMER", "cursor": operation.cursor}}
