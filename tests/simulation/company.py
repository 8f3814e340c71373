"""A company of a seed: its clock and its documents, and how it asks the API."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import asyncpg

from crmgql.engine import mutations
from crmgql.engine.operations import Engine, Rejected
from crmgql.engine.operations import Request as Query
from crmgql.viewer import Viewer, Who
from tests.domain import work
from tests.schema.world import id_of, uuid_of
from tests.simulation import besides
from tests.simulation.besides import Answered

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
CURRENCIES = {"USD": 10, "EUR": 4, "JPY": 1, "KWD": 1}
"""With how often each comes."""

DECIMALS = {"JPY": 0, "KWD": 3}
RULES = {"AT_CONFIRMATION": None, "ON_SHIPMENT": None, "OVER_TIME": 3}
"""How a product's sale becomes revenue, and over how many months."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A mutation as the dice made it, or what happens besides (`besides`). `key`: the client's, the same when it asks again."""

    mutation: str
    given: dict[str, Any]
    key: str


@dataclass(frozen=True, slots=True)
class Document:
    """What is known of a record before a step. `owner`: the customer's id."""

    id: str
    status: str | None = None
    currency: str | None = None
    owner: str | None = None


@dataclass
class Company:
    """`documents`: by type and id, in the order in which they were made."""

    engine: Engine
    database: asyncpg.Connection
    dice: Random
    admin: UUID
    customers: list[str] = field(default_factory=list)
    documents: dict[str, dict[str, Document]] = field(default_factory=lambda: defaultdict(dict))
    now: datetime = START
    asked: int = 0

    async def found(self, seed: int) -> Company:
        """Two customers of its own, of which the first is the other's parent, and a product for each rule of recognition; days are open, and rates are those of the day
        before they are changed."""
        for name in ("Acme", "Ajax"):
            above = {"parent_id": uuid_of(self.customers[0])} if self.customers else {}
            id = await work.insert(self.database, "customers", name=f"{name} {seed}", currency="USD", **above)
            self.customers.append(id_of("Customer", id))
        for rule, months in RULES.items():
            given = {"name": rule, "recognition": rule, "recognition_months": months, "cost_amount": Decimal("3.33")}
            id = await work.insert(self.database, "products", **given)
            self.note("Product", Document(id_of("Product", id)))
        return self

    def note(self, type: str, document: Document) -> None:
        self.documents[type][document.id] = document

    @property
    def name(self) -> str:
        """What no other company is called, of letters and digits."""
        return self.customers[0][4:]

    @property
    def owners(self) -> list[UUID]:
        return [uuid_of(each) for each in self.customers]

    def viewer(self) -> Viewer:
        now = self.now
        return Viewer(self.admin, Who(frozenset({"ADMIN"})), clock=lambda: now)

    def request(self, mutation: str, **given: Any) -> Asked:
        self.asked += 1
        return Asked(mutation, given, f"{self.customers[0]} {self.asked}")

    async def ask(self, asked: Asked) -> Answered:
        if asked.mutation in besides.WORKS:
            return await besides.ask(self.engine.database, asked.mutation, asked.given, self.now)
        declaration = mutations.MUTATIONS[asked.mutation]
        record = declaration.record[0].lower() + declaration.record[1:]
        text = (
            f"mutation($input: {declaration.input_name}!) {{ {asked.mutation}(input: $input) "
            f"{{ {record} {{ id }} userErrors {{ code }} }} }}"
        )
        viewer = self.viewer()
        query = Query(text, None, {"input": asked.given | {"idempotencyKey": asked.key}}, clock=viewer.clock)
        try:
            answer = json.loads(await self.engine.answer(query, viewer))
        except Rejected as error:
            answer = {"data": None, "errors": error.errors}
        payload = (answer["data"] or {}).get(asked.mutation) or {}
        codes = [each["code"] for each in payload.get("userErrors", [])]
        codes += [each["extensions"]["code"] for each in answer.get("errors", [])]
        return Answered((payload.get(record) or {}).get("id"), tuple(codes))

    # What the dice say.

    def wait(self) -> None:
        """Minutes, or days."""
        self.now += timedelta(minutes=self.dice.choice((0, 1, 5, 60, 1440, 20_000)))

    def moment(self) -> str:
        """Now, or some days ago."""
        return (self.now - timedelta(days=self.dice.choice((0, 0, 1, 20)))).isoformat()

    def currency(self) -> str:
        return self.dice.choices(list(CURRENCIES), list(CURRENCIES.values()))[0]

    def amount(self, currency: str, most: int = 3000) -> dict[str, str]:
        decimals = DECIMALS.get(currency, 2)
        value = Decimal(self.dice.randrange(1, most)).scaleb(-decimals) * (100 if decimals == 0 else 1)
        return {"amount": str(value), "currency": currency}

    def one_of(self, type: str, *statuses: str, like: str | None = None) -> str | None:
        """One of the documents of a type, most likely a recent one; mostly one with one of these statuses, and of the owner of the
        one that it is `like`."""
        found = list(self.documents[type].values())
        owner = self.known(like).owner if like else None
        if self.chance(0.9):
            found = [each for each in found if each.status in statuses or not statuses]
            found = [each for each in found if each.owner == owner or owner is None]
        return found[-1 - min(self.dice.randrange(len(found)), self.dice.randrange(len(found)))].id if found else None

    def known(self, id: str) -> Document:
        return next(found[id] for found in self.documents.values() if id in found)

    def currency_of(self, id: str | None) -> str:
        """Mostly that of a document."""
        own = self.known(id).currency if id else None
        return own if own and self.chance(0.9) else self.currency()

    def chance(self, share: float) -> bool:
        return self.dice.random() < share


Step = Callable[[Company], Asked | None]
"""Makes a request of what the company has; None if it has nothing for it."""
