"""Receivers of webhooks that are down at times. What they accept comes at least once, and in the order of its line."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from tests.faults.company import Company
from tests.receiver import Got, Receiver, Said, accept, receiving

ORDERS = ("ENDPOINT", "ENDPOINT", "CUSTOMER", "CUSTOMER", "SUBJECT")
CREATE = """mutation($input: WebhookEndpointCreateInput!) {
    webhookEndpointCreate(input: $input) { webhookEndpoint { id } userErrors { code message } } }"""
STATUS = "query($id: ID!) { webhookEndpoint(id: $id) { status statusReason } }"


@dataclass
class Endpoint:
    """`begun`: the cursor from which it gets events, when it has all of them."""

    receiver: Receiver
    order_by: str
    kinds: list[str]
    begun: str = ""
    is_down: bool = False
    accepted: list[Got] = field(default_factory=list)

    def answer(self, got: Got) -> Said | None:
        if "webhook-challenge" in got.headers:
            return accept(got)
        if self.is_down:
            return None  # the connection ends
        self.accepted.append(got)
        return Said()

    def lines(self) -> list[list[str]]:
        """The cursors of the events that had to wait for one another, in the order in which they first came."""
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for got in self.accepted:
            data = got.json["data"]
            line = {"ENDPOINT": "all", "CUSTOMER": data.get("customerId"), "SUBJECT": data["subject"]["id"]}[
                self.order_by
            ]
            found[line or data["subject"]["id"]].setdefault(got.json["cursor"])
        return [list(cursors) for cursors in found.values()]


@asynccontextmanager
async def registered(company: Company) -> AsyncIterator[list[Endpoint]]:
    """Five endpoints that have answered their challenges."""
    async with AsyncExitStack() as stack:
        made = []
        for number, order_by in enumerate(ORDERS):
            receiver = await stack.enter_async_context(receiving())
            endpoint = Endpoint(receiver, order_by, ["order.*", "payment.*"] if number % 2 else [])
            receiver.answer = endpoint.answer
            given = {"url": receiver.url, "orderBy": order_by, "kinds": endpoint.kinds}
            payload = (await company.ask(CREATE, input=given))["webhookEndpointCreate"]
            assert not payload["userErrors"], payload
            await _active(company, payload["webhookEndpoint"]["id"])
            made.append(endpoint)
        begun = (await company.ask('{ changesSince(types: ["Order"]) { cursor } }'))["changesSince"]["cursor"]
        for endpoint in made:
            endpoint.begun = begun
        yield made


async def _active(company: Company, id: str) -> None:
    async with asyncio.timeout(60):
        while (await company.ask(STATUS, id=id))["webhookEndpoint"]["status"] != "ACTIVE":
            await asyncio.sleep(0.05)
