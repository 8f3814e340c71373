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

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
CURRENCIES = {"USD": 10, "EUR": 4, "JPY": 1, "KWD": 1}
"""With how often each comes."""

DECIMALS = {"JPY": 0, "KWD": 3}


@dataclass(frozen=True, slots=True)
class Asked:
    """A mutation as the dice made it. `key`: the client's, the same when it asks again."""

    mutation: str
    given: dict[str, Any]
    key: str


@dataclass(frozen=True, slots=True)
class Answered:
    """`id`: of the record, if it was done. `codes`: of rejections and errors."""

    id: str | None
    codes: tuple[str, ...]


@dataclass
class Company:
    """`documents`: ids by type, in the order in which they were made."""

    engine: Engine
    database: asyncpg.Connection
    dice: Random
    admin: UUID
    customers: list[str] = field(default_factory=list)
    documents: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    now: datetime = START
    asked: int = 0

    async def found(self, seed: int) -> Company:
        """Two customers of its own; days are open, and rates are those of the day before they are changed."""
        for name in ("Acme", "Ajax"):
            id = await work.insert(self.database, "customers", name=f"{name} {seed}", currency="USD")
            self.customers.append(id_of("Customer", id))
        return self

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

    def currency(self) -> str:
        return self.dice.choices(list(CURRENCIES), list(CURRENCIES.values()))[0]

    def amount(self, currency: str, most: int = 3000) -> dict[str, str]:
        decimals = DECIMALS.get(currency, 2)
        value = Decimal(self.dice.randrange(1, most)).scaleb(-decimals) * (100 if decimals == 0 else 1)
        return {"amount": str(value), "currency": currency}

    def one_of(self, *types: str) -> str | None:
        """One of the documents of these types, most likely a recent one."""
        found = [id for type in types for id in self.documents[type]]
        return found[-1 - min(self.dice.randrange(len(found)), self.dice.randrange(len(found)))] if found else None

    def chance(self, share: float) -> bool:
        return self.dice.random() < share


Step = Callable[[Company], Asked | None]
"""Makes a request of what the company has; None if it has nothing for it."""
