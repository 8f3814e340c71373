"""Random changes of records, owners, teams and rights: whoever applies `changesSince` ends with what a fresh query shows."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tortoise.models import Model

from crmgql import db, models
from crmgql.domain.customers import erasure
from crmgql.engine.operations import Engine
from crmgql.events import gaps, positions
from crmgql.records import records
from crmgql.records.records import Act
from crmgql.viewer import Viewer, Who, system
from tests.conftest import NOW
from tests.engine.mirror import TYPES, Mirror, fresh

SEEDS = int(os.environ.get("CRMGQL_EXAMPLES", "2"))
ROUNDS = 15
ROLES = (["ADMIN"], ["FINANCE"], ["MANAGER"], ["SELLER"], ["SELLER", "MANAGER"], ["SUPPORT"], ["MARKETER"])
KEYS = (None, frozenset({"customers:read", "orders:read", "leads:read", "users:read", "routing:read"}))
TABLES = {"teams": models.Team, "users": models.User, "customers": models.Customer, "leads": models.Lead}
TABLES |= {"orders": models.Order, "opportunities": models.Opportunity, "lead_queues": models.LeadQueue}


@dataclass
class Company:
    """Changes random records, as the system does it: each change with its event."""

    crm: db.Database
    database: asyncpg.Connection
    dice: Random
    ids: dict[str, list[UUID]] = field(default_factory=lambda: {table: [] for table in TABLES})
    roles: dict[UUID, list[str]] = field(default_factory=dict)

    def any(self, table: str, *, none: bool = True) -> UUID | None:
        return self.dice.choice(self.ids[table] + [None] * (2 if none else 0))  # type: ignore[list-item]

    async def populate(self) -> None:
        async with self.crm.transaction() as tx:
            act = Act(tx, system(lambda: NOW))
            for number in range(5):
                await self._make(act, models.Team, "teams", "team.created", name=f"Team {number}")
            for number in range(7):
                roles = ROLES[number % len(ROLES)]
                values = {"name": f"User {number}", "roles": roles, "team_id": self.any("teams")}
                row = await self._make(act, models.User, "users", "user.created", **values)
                self.roles[row["id"]] = roles
            for number in range(3):
                await self._make(act, models.LeadQueue, "lead_queues", "leadQueue.created", name=f"Queue {number}")
        for _ in range(8):
            await self.customer()
            await self.order()
            await self.lead()
            await self.opportunity()

    async def change(self) -> None:
        """One to three changes in a transaction, and sometimes the relay comes by."""
        await self.dice.choice(
            (
                *(self.owner, self.owner, self.owner, self.customer, self.order, self.lead, self.opportunity),
                *(self.queue, self.team, self.move, self.promote, self.gap, self.erase, self.note, self.note),
            )
        )()
        if self.dice.random() < 0.5:
            await positions.place(self.database)

    async def customer(self) -> None:
        values = {"name": f"Customer {self.dice.random()}", "kind": "PERSON", "owner_id": self.any("users")}
        await self._in(lambda act: self._make(act, models.Customer, "customers", "customer.created", **values))

    async def order(self) -> None:
        customer_id = self.any("customers", none=False)
        amounts = dict.fromkeys(("shipping_amount", "tax_amount", "discount_amount"), 0)
        values = {"customer_id": customer_id, "currency": "JPY", "subtotal_amount": 5, "total_amount": 5, **amounts}

        async def make(act: Act) -> None:
            row = await self._make(act, models.Order, "orders", "order.created", **values)
            paid = {"customer_id": customer_id, "order_id": row["id"], "amount": 5, "currency": "JPY", "method": "CASH"}
            await records.create(act, models.Payment, {**paid, "status": "PENDING"}, kind="payment.updated")

        await self._in(make)

    async def lead(self) -> None:
        times = dict.fromkeys(("status_since", "received_at", "last_activity_at"), NOW)
        values = {"name": "Lead", "owner_id": self.any("users"), "queue_id": self.any("lead_queues"), **times}
        if values["owner_id"] is not None:
            del values["queue_id"]
        await self._in(lambda act: self._make(act, models.Lead, "leads", "lead.created", **values))

    async def opportunity(self) -> None:
        stage = await self.database.fetchrow("SELECT id, pipeline_id FROM stages WHERE status = 'OPEN' LIMIT 1")
        values = {"stage_id": stage["id"], "pipeline_id": stage["pipeline_id"], "status": "OPEN", "name": "Deal"}
        values |= {"owner_id": self.any("users"), "customer_id": self.any("customers"), "stage_since": NOW}
        await self._in(
            lambda act: self._make(act, models.Opportunity, "opportunities", "opportunity.created", **values)
        )

    async def owner(self) -> None:
        table, kind = self.dice.choice(
            (
                ("customers", "customer.assigned"),
                ("customers", "customer.assigned"),
                ("leads", "lead.updated"),
                ("opportunities", "opportunity.updated"),
            )
        )
        changes = {"owner_id": self.any("users")}
        if table == "leads":
            changes["queue_id"] = None if changes["owner_id"] else self.any("lead_queues")
        await self._alter(table, kind, changes)

    async def note(self) -> None:
        await self._alter("orders", "order.updated", {"note": str(self.dice.random())})
        if self.dice.random() < 0.3:
            await self._alter("opportunities", "opportunity.updated", {"customer_id": self.any("customers")})

    async def queue(self) -> None:
        await self._alter("lead_queues", "leadQueue.updated", {"owner_id": self.any("users")})

    async def team(self) -> None:
        id = self.any("teams", none=False)
        above = [each for each in self.ids["teams"] if str(each) < str(id)]  # no team is its own ancestor
        parent = self.dice.choice([None, *above])
        await self._alter("teams", "team.updated", {"manager_id": self.any("users"), "parent_id": parent}, id)

    async def move(self) -> None:
        await self._alter("users", "user.updated", {"team_id": self.any("teams")})

    async def promote(self) -> None:
        id, roles = self.any("users", none=False), self.dice.choice(ROLES)
        await self._alter("users", "user.updated", {"roles": roles}, id)
        assert id is not None
        self.roles[id] = roles

    async def gap(self) -> None:
        """SQL by hand, with bounds or without."""
        table, column, record = self.dice.choice(
            (("orders", "note = 'by hand'", "Order"), ("customers", "owner_id = $2", "Customer"))
        )
        some = sorted(self.dice.sample(self.ids[table], 3), key=str)
        bounds = {"first": some[0], "last": some[-1]} if self.dice.random() < 0.5 else {}
        owner = [self.any("users")] if "$2" in column else []
        async with self.crm.transaction() as tx:
            await tx.connection.execute(f"UPDATE {table} SET {column} WHERE id = ANY ($1)", some, *owner)
            await gaps.record_gap(tx, record, reason="by hand", **bounds)

    async def erase(self) -> None:
        customer_id = self.any("customers", none=False)
        await self._in(lambda act: erasure.erase(act, customer_id=customer_id))

    async def _make(self, act: Act, model: type[Model], table: str, event: str, **values: Any) -> dict[str, Any]:
        row = await records.create(act, model, values, kind=event)
        self.ids[table].append(row["id"])
        return row

    async def _alter(self, table: str, kind: str, changes: dict[str, Any], id: UUID | None = None) -> None:
        model, id = TABLES[table], id or self.any(table, none=False)
        assert id is not None

        async def alter(act: Act) -> None:
            await records.change(act, model, await records.lock(act, model, id), changes, kind=kind)

        await self._in(alter)

    async def _in(self, verb: Callable[[Act], Awaitable[Any]]) -> None:
        async with self.crm.transaction() as tx:
            await verb(Act(tx, system(lambda: NOW)))


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_copy_ends_as_a_fresh_query_shows_it(
    crm: db.Database, database: asyncpg.Connection, engine: Engine, seed: int
) -> None:
    dice = Random(seed)
    company = Company(crm, database, dice)
    await company.populate()

    def viewer(id: UUID, scopes: frozenset[str] | None) -> Viewer:
        return Viewer(id, Who(frozenset(company.roles[id]), scopes), clock=lambda: NOW)

    def mirror(id: UUID, scopes: frozenset[str] | None) -> Mirror:
        types = TYPES if scopes is None else ("Customer", "Order", "Lead")
        return Mirror(engine, lambda: viewer(id, scopes), types)

    mirrors = [mirror(id, KEYS[number % 5 == 4]) for number, id in enumerate(company.ids["users"])]
    for each in mirrors:
        await each.copy()
    for _ in range(ROUNDS):
        for _ in range(dice.randint(1, 4)):
            await company.change()
        for each in dice.sample(mirrors, 3):
            await each.step(dice.choice((1, 2, 5, 500)))
    await positions.place(database)
    for each in mirrors:
        await each.sync(dice.choice((3, 500)))
        assert each.records == await fresh(engine, each.viewer(), each.types), each.viewer().roles
    assert any(each.records for each in mirrors)
