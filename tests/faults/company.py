"""A company that sells: orders and payments by mutations, whoever answers them, and by verbs in one transaction."""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import asyncpg
import httpx

from crmgql import db
from crmgql.domain.money import payments
from crmgql.domain.people import api_keys
from crmgql.domain.sales import orders
from crmgql.events import gaps
from crmgql.models.names import api_id
from crmgql.records.records import Act
from crmgql.viewer import Viewer, Who
from tests import rates
from tests.http.conftest import logged_in

SCOPES = ["orders:read", "payments:read", "customers:read", "events:read"]
PATIENCE_S = 120
NOTE = "one line\u2028and \u0085another"
"""With what Unicode takes for ends of lines, and server-sent events don't."""


@dataclass
class Company:
    """`urls`: of its API. What it does it does once, however often it has to ask."""

    crm: db.Database
    database: asyncpg.Connection
    database_url: str
    urls: list[str]
    token: str
    viewer: Viewer
    key: str
    customers: list[uuid.UUID] = field(default_factory=list)
    sold: int = 0
    dice: random.Random = field(default_factory=lambda: random.Random(5))
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(verify=False, timeout=10))

    @classmethod
    async def founded(
        cls, crm: db.Database, database: asyncpg.Connection, database_url: str, urls: list[str]
    ) -> Company:
        ada = await logged_in(database_url, "Ada", "ADMIN")
        machine = await logged_in(database_url, "Machine", "INTEGRATION")
        viewer = Viewer(ada.user_id, Who(frozenset({"ADMIN"})))
        async with crm.transaction() as tx:
            _, key = await api_keys.create(Act(tx, viewer), user_id=machine.user_id, name="Integrator", scopes=SCOPES)
        if not await database.fetchval("SELECT EXISTS (SELECT FROM fx_rates)"):  # not from the template
            await rates.sow(database)
        made = cls(crm, database, database_url, urls, ada.token(), viewer, key)
        for number in range(6):
            insert = "INSERT INTO customers (name, currency, kind) VALUES ($1, 'EUR', 'PERSON') RETURNING id"
            made.customers.append(await database.fetchval(insert, f"Customer {number}"))
        return made

    async def do(self, mutation: str, **given: Any) -> str:
        """The id of the record."""
        given["idempotencyKey"] = uuid.uuid4().hex
        noun = "erasure" if mutation == "personErase" else "order" if mutation.startswith("order") else "payment"
        kind = "OrderMoveInput" if mutation == "orderConfirm" else f"{mutation[0].upper()}{mutation[1:]}Input"
        query = f"mutation($input: {kind}!) {{ {mutation}(input: $input) {{ {noun} {{ id }} userErrors {{ code message }} }} }}"
        payload = (await self.ask(query, input=given))[mutation]
        assert not payload["userErrors"], payload
        return str(payload[noun]["id"])

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data, from whichever process answers."""
        body = {"query": query, "variables": variables}
        headers = {"authorization": f"Bearer {self.token}", "accept": "application/json"}
        async with asyncio.timeout(PATIENCE_S):
            while (response := await self._posted(body, headers)) is None or response.status_code in (429, 503):
                await asyncio.sleep(0.05)
        answer = response.json()
        assert "errors" not in answer, answer
        return answer["data"]

    async def _posted(self, body: Any, headers: dict[str, str]) -> httpx.Response | None:
        self.urls.append(self.urls.pop(0))
        try:
            return await self.http.post(f"{self.urls[0]}/graphql", json=body, headers=headers)
        except httpx.TransportError:
            return None

    async def order(self) -> str:
        line = {"quantity": "2", "description": "Pump", "unitPrice": {"amount": "12.50", "currency": "EUR"}}
        customer = api_id("Customer", self.dice.choice(self.customers))
        id = await self.do("orderCreate", customerId=customer, lines=[line], note=NOTE)
        return await self.do("orderConfirm", id=id)

    async def sell(self) -> None:
        """An order, which is paid in two parts."""
        id = await self.order()
        amount = {"amount": "12.50", "currency": "EUR"}
        await self.do("paymentRecord", orderId=id, amount=amount, method="CASH", reference="first half")
        expected = await self.do("paymentRecord", orderId=id, amount=amount, method="CASH", pending=True)
        await self.do("paymentReceive", id=expected)
        await self.do("orderUpdate", id=id, note=f"{NOTE}, paid")

    async def sell_at_once(self, *, number: int = 1) -> None:
        """Orders with their payments in one transaction. Nobody rings for it: the relay has to look."""
        async with self.crm.transaction() as tx:
            for _ in range(number):
                await self.sell_in(Act(tx, self.viewer))

    async def sell_in(self, act: Act) -> None:
        await self._pay(act, await self._draft(act))

    async def sell_in_two_steps(self) -> None:
        """A draft, then its confirmation with the payment in one transaction."""
        async with self.crm.transaction() as tx:
            id = await self._draft(Act(tx, self.viewer))
        async with self.crm.transaction() as tx:
            await self._pay(Act(tx, self.viewer), id)

    async def _draft(self, act: Act) -> uuid.UUID:
        line = orders.Line(Decimal(1), description="Valve", unit_price=(Decimal("3.00"), "EUR"))
        return await orders.create(act, customer_id=self.dice.choice(self.customers), lines=[line], note="at once")

    async def _pay(self, act: Act, id: uuid.UUID) -> None:
        await orders.move(act, "confirm", id=id)
        await payments.record(act, order_id=id, amount=(Decimal("3.00"), "EUR"), method="CASH")

    async def mend_by_hand(self) -> None:
        """Changes all payments by SQL, as a migration might, and says so."""
        async with self.crm.transaction() as tx:
            await tx.connection.execute("UPDATE payments SET reference = 'mended', version = version + 1")
            await gaps.record_gap(tx, "Payment", reason="mended")

    async def erase(self) -> None:
        customer = self.customers.pop()
        await self.do("personErase", customerId=api_id("Customer", customer), reason="asked for it")
