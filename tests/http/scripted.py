"""The server, with subscriptions that do what their variables say: for tests of how they are carried.

`{"query": "subscription", "variables": {"send": 3, "bytes": 10, "then": "wait"}}` sends three answers of ten bytes and
waits; `then` may also be `end`, `break`, or a code to be rejected with. `send` beyond what anybody reads is for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from crmgql import __main__
from crmgql.engine.errors import Rejected, rejected
from crmgql.engine.event_plans import WhoNow
from crmgql.engine.operations import Engine, Request
from crmgql.engine.readings import Delivery
from crmgql.engine.subscriptions import SOME_BYTES
from crmgql.errors import BadUserInput, CrmError
from crmgql.events import cursors
from crmgql.viewer import Viewer

WORD = "subscription"
kind_of = Engine.kind_of


def cursor(number: int) -> str:
    return f"evc_{1:08x}{number:016x}{number:032x}"


class Scripted:
    """A stream that numbers its answers from after the cursor that it is given."""

    def __init__(self, request: Request, who: WhoNow) -> None:
        self.position: str | None = None
        self._who = who
        self._script = request.variables
        after = request.resume or request.variables.get("after")
        self._first = 0 if after is None else cursors.parse(after).position
        self._left = self._script.get("send", 0)
        self._answers = self._run()

    async def some(self, most: int) -> list[Delivery]:
        found: list[Delivery] = []
        size = 0
        while len(found) < most and size < SOME_BYTES and (self._left or not found):
            try:
                found.append(await anext(self._answers))
            except StopAsyncIteration:
                break
            size += len(found[-1].body)
        return found

    async def aclose(self) -> None:
        await self._answers.aclose()

    async def _run(self) -> Any:
        pad = "x" * self._script.get("bytes", 0)
        last = self._first + self._left
        for number in range(self._first + 1, last + 1):
            await self._ask()
            self._left -= 1
            yield Delivery(f'{{"data":{{"number":{number},"pad":"{pad}"}}}}'.encode(), cursor(number))
        self.position = cursor(last + 7)
        match self._script.get("then", "end"):
            case "wait":
                while True:
                    await asyncio.sleep(0.02)
                    await self._ask()
            case "break":
                raise ZeroDivisionError
            case "end":
                return
            case code:
                raise Rejected([{"message": "No more.", "extensions": {"code": code}}])

    async def _ask(self) -> None:
        try:
            await self._who()
        except CrmError as error:
            raise rejected(error) from None


async def _kind_of(self: Engine, request: Request, viewer: Viewer | None) -> str:
    return WORD if request.query.startswith(WORD) else await kind_of(self, request, viewer)


async def _subscribe(self: Engine, request: Request, who: WhoNow) -> Scripted:
    if "refuse" in request.variables:
        raise rejected(BadUserInput("Not this."))
    return Scripted(request, who)


def main() -> None:
    Engine.kind_of = _kind_of  # type: ignore[method-assign]
    Engine.subscribe = _subscribe  # type: ignore[method-assign,assignment]
    __main__.main()
