"""One operation of a WebSocket: a query, a mutation, or a subscription. What is wrong with it ends it and nothing else.

Enters: the payload of `subscribe`. Leaves: frames `next`, then `complete` or `error`, never both. With credit (`extensions: {credit: N}`) a
subscription sends so many deliveries and then waits until a ping brings more: nothing is read for it meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import structlog

from crmgql.engine.errors import Rejected, formatted, internal
from crmgql.engine.operations import Request
from crmgql.engine.readings import Delivery
from crmgql.engine.subscriptions import Stream
from crmgql.errors import BadUserInput, CrmError
from crmgql.http import requests, socket_protocol
from crmgql.http.exchange import OK
from crmgql.http.metrics import DELIVERIES
from crmgql.http.refusals import Refused
from crmgql.http.requests import Arrival

if TYPE_CHECKING:
    from crmgql.http.socket_connection import Connection

log = structlog.get_logger("crmgql")

SUBSCRIPTION = "subscription"
AT_ONCE = 64
"""Deliveries that are sent in a row. What the client sends is answered in between."""


class Operation:
    """`cursor`: of the last delivery that was sent. `ended`: all but the last frame was sent, and its id is free again."""

    __slots__ = (
        "_follows",
        "_quiet",
        "connection",
        "credit",
        "cursor",
        "ended",
        "id",
        "more",
        "sending",
        "stream",
        "task",
        "values",
    )

    def __init__(self, connection: Connection, id: str, values: int) -> None:
        self.connection = connection
        self.id = id
        self.values = values
        self.task: asyncio.Task[None] | None = None
        self.stream: Stream | None = None
        self.cursor: str | None = None
        self.credit: int | None = None
        self.more: asyncio.Event | None = None
        self.sending = False
        self.ended = False
        self._follows = False
        self._quiet = False

    async def run(self, payload: Any) -> None:
        """Sends the operation's frames, the last one included."""
        errors: list[dict[str, Any]] | None = None
        try:
            await self._answer(payload)
        except Rejected as error:
            errors = error.errors
        except Refused as error:
            errors = [error.error()]
        except CrmError as error:
            errors = [formatted(error)]
        except Exception:
            log.exception("operation failed")
            errors = [internal()]
        self.ended = True
        last = socket_protocol.complete(self.id) if errors is None else socket_protocol.error(self.id, errors)
        await self._send(last)

    def stop(self) -> None:
        """No more frames. A subscription ends; what else is under way is done to its end, as over HTTP."""
        self._quiet = True
        if self._follows and self.task is not None:
            self.task.cancel()

    def add_credit(self, number: int) -> None:
        if self.credit is not None and self.more is not None:
            self.credit = min(self.credit + number, socket_protocol.MOST_CREDIT)
            self.more.set()

    async def _answer(self, payload: Any) -> None:
        arrival = Arrival(self.connection.remote, self.connection.agent, self.values)
        request = requests.from_json(payload, arrival)
        started, code = time.perf_counter(), "INTERNAL_SERVER_ERROR"
        try:
            await self._run(request, started)
            code = OK
        except Rejected as error:
            code = error.errors[0]["extensions"]["code"]
            raise
        except CrmError as error:
            code = error.code
            raise
        finally:
            if request.kind != SUBSCRIPTION or code != OK:
                self.connection.metrics.note(request.kind, code, time.perf_counter() - started)

    async def _run(self, request: Request, started: float) -> None:
        engine, session = self.connection.engine, self.connection.session
        assert session is not None
        viewer = await session.who()
        request.kind = await engine.kind_of(request, viewer)
        if self._quiet:
            return
        if request.kind != SUBSCRIPTION:
            body = await engine.answer(request, viewer)
            await self._send(socket_protocol.next_of(socket_protocol.encoded_id(self.id), body))
            return
        self._follows = True
        self._take_credit(request.extensions)
        self.connection.place.subscribe()
        try:
            stream = await engine.subscribe(request, session.who)
            self.connection.metrics.note(SUBSCRIPTION, OK, time.perf_counter() - started)
            await self._follow(stream)
        finally:
            self.connection.place.unsubscribe()

    async def _follow(self, stream: Stream) -> None:
        head = socket_protocol.encoded_id(self.id)
        self.stream = stream
        try:
            while some := await stream.some(AT_ONCE if self.credit is None else min(AT_ONCE, self.credit)):
                self.sending = True
                await self._deliver(head, some)
                self.sending = False
                if self.credit is not None:
                    await self._spend(len(some))
        finally:
            self.stream = None
            await stream.aclose()

    async def _deliver(self, head: str, some: list[Delivery]) -> None:
        if self._quiet:
            return
        left = deque(socket_protocol.next_of(head, each.body) for each in some)
        try:
            await self.connection.out.send_all(left)
        finally:
            if sent := len(some) - len(left):
                self.cursor = some[sent - 1].cursor or self.cursor
                self.connection.metrics.count(DELIVERIES, sent)

    def _take_credit(self, extensions: dict[str, Any]) -> None:
        if (given := extensions.get("credit")) is None:
            return
        if not socket_protocol.is_credit(given):
            raise BadUserInput(f"extensions.credit must be a number from 1 to {socket_protocol.MOST_CREDIT}.")
        self.credit, self.more = given, asyncio.Event()

    async def _spend(self, number: int) -> None:
        assert self.credit is not None and self.more is not None  # noqa: PT018
        self.credit -= number
        while self.credit == 0:
            self.more.clear()
            await self.more.wait()

    async def _send(self, text: str) -> None:
        if not self._quiet:
            await self.connection.out.send(text)
