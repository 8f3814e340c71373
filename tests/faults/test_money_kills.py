"""API processes are killed while clients pay: whoever is cut off asks again under the same key, whichever process answers. Each key
then has one payment, which is what its client was told, and the books are whole.

In the suite a few kills; `make soak` does fifty.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.ledger import audits
from crmgql.models.names import api_id
from tests.faults.company import Company
from tests.faults.installation import Installation, installed

PAY = """
mutation($input: PaymentRecordInput!) { paymentRecord(input: $input) { payment { id } userErrors { code message } } }"""
CLIENTS = 6
FEWEST_CUT = 1
"""Of the requests at least: else nothing was shown."""


@dataclass(frozen=True)
class Pace:
    kills: int
    timeout_s: float


FEW = Pace(kills=5, timeout_s=120)
MANY = Pace(kills=50, timeout_s=600)


@dataclass
class Client:
    """`told`: the payment of each key, as the server said. `cut`: how often a process went away before it answered."""

    company: Company
    orders: list[str]
    dice: random.Random
    told: dict[str, str] = field(default_factory=dict)
    cut: int = 0

    async def pay(self, enough: asyncio.Event) -> None:
        """For an order, or ahead, until it is enough; what was begun is finished."""
        while not enough.is_set():
            key = uuid.uuid4().hex
            given: dict[str, Any] = {
                "idempotencyKey": key,
                "reference": key,
                "amount": {"amount": f"{self.dice.randrange(100, 900) / 100}", "currency": "EUR"},
                "method": "CASH",
            }
            if self.dice.random() < 0.7:
                given["orderId"] = self.dice.choice(self.orders)
            else:
                given["customerId"] = api_id("Customer", self.dice.choice(self.company.customers))
            payload = await self._asked(given)
            assert payload["userErrors"] == [], payload
            self.told[key] = payload["payment"]["id"]

    async def _asked(self, given: dict[str, Any]) -> Any:
        """The payload, from whichever process answers."""
        body = {"query": PAY, "variables": {"input": given}}
        headers = {"authorization": f"Bearer {self.company.token}", "accept": "application/json"}
        while True:
            url = self.dice.choice(self.company.urls)
            try:
                response = await self.company.http.post(f"{url}/graphql", json=body, headers=headers)
            except httpx.ConnectError:
                await asyncio.sleep(0.02)
            except httpx.TransportError:
                self.cut += 1
            else:
                if response.status_code not in (429, 503):
                    answer = response.json()
                    assert "errors" not in answer, answer
                    return answer["data"]["paymentRecord"]
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture(
    params=[FEW, pytest.param(MANY, marks=pytest.mark.soak)], ids=lambda pace: f"{pace.kills} kills"
)
async def pace(request: Any) -> Pace:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def apis(database_url: str, tmp_path: Path) -> Any:
    with installed(database_url, tmp_path, apis=2, workers=0) as installation:
        yield installation


@pytest_asyncio.fixture
async def company(
    crm: db.Database, database: asyncpg.Connection, database_url: str, apis: Installation
) -> AsyncIterator[Company]:
    await apis.ready()
    made = await Company.founded(crm, database, database_url, [api.url for api in apis.apis])
    yield made
    await made.http.aclose()


async def kill(apis: Installation, clients: list[Client], kills: int) -> None:
    """One process after the other, some time after all clients have been answered since the last kill."""
    dice = random.Random(11)
    for _ in range(kills):
        answered = [len(client.told) for client in clients]
        while sum(len(client.told) for client in clients) < sum(answered) + CLIENTS:
            await asyncio.sleep(0.005)
        await asyncio.sleep(dice.random() * 0.1)
        api = dice.choice(apis.apis)
        await api.kill()
        api.start()
        await api.ready()


async def test_each_key_has_one_payment(pace: Pace, apis: Installation, company: Company) -> None:
    orders = [await company.order() for _ in range(8)]
    clients = [Client(company, orders, random.Random(number)) for number in range(CLIENTS)]
    enough = asyncio.Event()
    paying = [asyncio.create_task(client.pay(enough)) for client in clients]
    killing = asyncio.create_task(kill(apis, clients, pace.kills))
    try:
        async with asyncio.timeout(pace.timeout_s):
            await asyncio.wait([killing, *paying], return_when=asyncio.FIRST_COMPLETED)
            enough.set()
            await asyncio.gather(killing, *paying)
    finally:
        for task in (killing, *paying):
            task.cancel()
    assert sum(client.cut for client in clients) >= FEWEST_CUT
    told = {key: id for client in clients for key, id in client.told.items()}
    there = await company.database.fetch("SELECT reference, id FROM payments")
    assert sorted((row["reference"], api_id("Payment", row["id"])) for row in there) == sorted(told.items())
    posted = await company.database.fetch("SELECT source_id FROM ledger_entries WHERE kind = 'payment.received'")
    assert sorted(api_id("Payment", row["source_id"]) for row in posted) == sorted(told.values())
    books = await audits.verify_all(company.database_url, processes=1, progress=lambda done, total: None)
    assert books.is_whole, books.found.broken
