"""A small company to route for: pure facts, and rows in a database."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from crmgql import db
from crmgql.domain.routing import conditions, decide
from crmgql.domain.routing.candidates import Load, Seller
from crmgql.domain.routing.decide import Board, Lead, Queue, Rule, Ruleset
from crmgql.records.records import Act
from crmgql.viewer import Viewer, system
from tests.conftest import NOW

QUEUE = Queue(UUID(int=900), "Rest", 60)


def seller(number: int, **values: Any) -> Seller:
    return Seller(UUID(int=number), f"Seller {number}", **values)


def rule(number: int = 1, given: dict[str, Any] | None = None, **values: Any) -> Rule:
    return Rule(UUID(int=100 + number), f"Rule {number}", conditions.parse(given or {}), **values)


def lead(number: int = 1, age: timedelta = timedelta(0), **values: Any) -> Lead:
    return Lead(UUID(int=1000 + number), f"Lead {number}", NOW - age, **values)


def board(rules: list[Rule], sellers: list[Seller], loads: dict[UUID, Load] | None = None, **values: Any) -> Board:
    ruleset = Ruleset(UUID(int=500), tuple(rules), **{"fallback": QUEUE, **values})
    return Board(ruleset, sellers, [QUEUE], loads or {}, {}, NOW)


def decided(rules: list[Rule], sellers: list[Seller], one: Lead | None = None, **values: Any) -> decide.Decision:
    return decide.decide(one or lead(), board(rules, sellers, **values))


class Firm:
    """Rows to route, in a database of one test."""

    def __init__(self, crm: db.Database, database: asyncpg.Connection) -> None:
        self.crm = crm
        self.database = database

    async def insert(self, table: str, **values: Any) -> UUID:
        given = {
            key: orjson.dumps(value).decode() if isinstance(value, dict) else value for key, value in values.items()
        }
        places = ", ".join(f"${number}" for number in range(1, len(given) + 1))
        sql = f"INSERT INTO {table} ({', '.join(given)}) VALUES ({places}) RETURNING id"
        return await self.database.fetchval(sql, *given.values())  # type: ignore[no-any-return]

    async def seller(
        self, name: str = "Seller", *, roles: tuple[str, ...] = ("SELLER",), active: bool = True, **profile: Any
    ) -> UUID:
        id = await self.insert("users", name=name, roles=list(roles), active=active)
        if profile:
            await self.insert("seller_profiles", user_id=id, **profile)
        return id

    async def ruleset(
        self, *rules: dict[str, Any], fallback: bool = True, queue_owner: UUID | None = None, **values: Any
    ) -> UUID:
        """An active rule set with these rules."""
        if fallback:
            values["fallback_queue_id"] = await self.insert(
                "lead_queues", name="Rest", deadline_min=60, owner_id=queue_owner
            )
        number = await self.database.fetchval("SELECT count(*) + 1 FROM routing_rulesets")
        await self.database.execute("UPDATE routing_rulesets SET status = 'RETIRED' WHERE status = 'ACTIVE'")
        id = await self.insert("routing_rulesets", **{"name": "Rules", "number": number, "status": "ACTIVE", **values})
        for position, each in enumerate(rules, start=1):
            given = {"name": f"Rule {position}", "target": "MATCHING", **each}
            await self.insert("routing_rules", ruleset_id=id, position=position, **given)
        return id

    async def lead(self, name: str = "Lead", **values: Any) -> UUID:
        times = dict.fromkeys(("status_since", "received_at", "last_activity_at"), NOW)
        return await self.insert("leads", **{"name": name, **times, **values})

    async def leads(self, count: int) -> None:
        sql = """INSERT INTO leads (name, status_since, received_at, last_activity_at)
                 SELECT 'Lead ' || n, $2, $2, $2 FROM generate_series(1, $1) n"""
        await self.database.execute(sql, count, NOW)

    async def row(self, lead: UUID) -> dict[str, Any]:
        return dict(await self.database.fetchrow("SELECT * FROM leads WHERE id = $1", lead))

    async def decisions(self, lead: UUID) -> list[dict[str, Any]]:
        sql = "SELECT * FROM assignment_decisions WHERE lead_id = $1 ORDER BY id"
        return [dict(row) for row in await self.database.fetch(sql, lead)]

    async def told(self, lead: UUID) -> list[str]:
        """The lead's events, each of which has its audit row."""
        events = await self.database.fetch("SELECT kind FROM events WHERE subject_id = $1 ORDER BY id", lead)
        audit = await self.database.fetch("SELECT action FROM audit_entries WHERE subject_id = $1 ORDER BY id", lead)
        assert [row["kind"] for row in events] == [row["action"] for row in audit]
        return [row["kind"] for row in events]

    async def act(self, verb: Any, *, at: datetime = NOW, viewer: Viewer | None = None, **given: Any) -> Any:
        """A verb in a transaction of its own."""
        async with self.crm.transaction() as tx:
            return await verb(Act(tx, viewer or system(lambda: at)), **given)
