"""A small company to change: who works there, what they have, and how a test asks for a mutation."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from graphql import get_named_type, is_composite_type
from tortoise.models import Model

from crmgql import access, models
from crmgql.engine import declare, mutations
from crmgql.engine.operations import Engine, Rejected, Request
from crmgql.schema import build  # noqa: F401 - build declares
from crmgql.viewer import Viewer, Who

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SECRET = "a secret that signs the tokens of tests"
PREFIXES = {name: node.prefix for name, node in declare.DECLARED.items()}
ROLES = ("ADMIN", "FINANCE", "MANAGER", "SELLER", "SUPPORT", "MARKETER", "INTEGRATION", "PAYROLL")
MODELS = [model for name in models.__all__ if issubclass(model := getattr(models, name), Model)]
TABLES = sorted({str(model._meta.db_table) for model in MODELS} - {"login_attempts"})
VERSIONED = {str(model._meta.db_table) for model in MODELS if "version" in model._meta.fields_map}

ABLE = "who may"


def able(mutation: str) -> str:
    """A role that may: ADMIN, unless it is for others alone."""
    write = access.ENTRIES[mutations.MUTATIONS[mutation].record].write
    roles = [] if write is None else access.roles_with(write)
    return roles[0] if roles and "ADMIN" not in roles else "ADMIN"


def id_of(record: str, id: UUID) -> str:
    return f"{PREFIXES[record]}_{id.hex}"


def uuid_of(id: str) -> UUID:
    return UUID(id[4:])


def unlike(id: str) -> str:
    """An id of the same type that nothing has."""
    return id[:4] + uuid4().hex


def money(amount: str, currency: str = "EUR") -> dict[str, str]:
    return {"amount": amount, "currency": currency}


@dataclass
class Answer:
    """What came of one mutation: the record, `userErrors`, GraphQL errors."""

    record: dict[str, Any] | None
    rejections: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    payload: dict[str, Any] = field(default_factory=dict)

    @property
    def codes(self) -> list[str]:
        return [item["code"] for item in self.rejections] + [item["extensions"]["code"] for item in self.errors]

    @property
    def code(self) -> str | None:
        assert len(self.codes) <= 1, self
        return self.codes[0] if self.codes else None

    @property
    def field(self) -> str | None:
        return self.rejections[0]["field"] if self.rejections else None

    @property
    def done(self) -> dict[str, Any]:
        assert not self.codes, self
        assert self.record is not None, self
        return self.record


class World:
    """The company's people by role, its connection for looking and preparing, and `do`."""

    def __init__(self, engine: Engine, database: asyncpg.Connection) -> None:
        self.engine = engine
        self.database = database
        self.people: dict[str, UUID] = {}

    async def populate(self) -> World:
        """Hires one person per role. The seller is in the manager's team, the stranger sells elsewhere."""
        for role in ROLES:
            self.people[role] = await self.user(role)
        self.people["STRANGER"] = await self.user("SELLER")
        self.team = await self.insert("teams", name="North", manager_id=self.people["MANAGER"])
        await self.database.execute("UPDATE users SET team_id = $1 WHERE id = $2", self.team, self.people["SELLER"])
        return self

    def viewer(self, role: str = "ADMIN", *, scopes: frozenset[str] | None = None, key: UUID | None = None) -> Viewer:
        roles = frozenset(["SELLER" if role == "STRANGER" else role])
        return Viewer(self.people[role], Who(roles, scopes), key, clock=lambda: NOW)

    async def ask(self, query: str, viewer: Viewer | None, **variables: Any) -> dict[str, Any]:
        """The whole answer. A rejected request is its errors."""
        try:
            body = await self.engine.answer(Request(query, None, variables, clock=lambda: NOW), viewer)
        except Rejected as error:
            return {"data": None, "errors": error.errors}
        return json.loads(body)  # type: ignore[no-any-return]

    async def do(self, mutation: str, who: str | Viewer | None = ABLE, show: str = "id", **given: Any) -> Answer:
        """One mutation with this input; by an administrator, or, where these may not, by who may."""
        declaration = mutations.MUTATIONS[mutation]
        record = declaration.record[0].lower() + declaration.record[1:]
        extras = " ".join(self._shown(declaration, name) for name in declaration.extras)
        query = (
            f"mutation($input: {declaration.input_name}!) {{ {mutation}(input: $input) "
            f"{{ {extras} {record} {{ {show} }} userErrors {{ code field message }} }} }}"
        )
        who = able(mutation) if who == ABLE else who
        viewer = self.viewer(who) if isinstance(who, str) else who
        answer = await self.ask(query, viewer, input=given)
        payload = (answer["data"] or {}).get(mutation) or {}
        return Answer(payload.get(record), payload.get("userErrors", []), answer.get("errors", []), payload)

    def _shown(self, declaration: mutations.MutationDeclaration, extra: str) -> str:
        """A further field of a payload; of objects, only that they are there."""
        payload: Any = self.engine.schema.type_map[declaration.payload]
        return f"{extra} {{ __typename }}" if is_composite_type(get_named_type(payload.fields[extra].type)) else extra

    async def counts(self) -> tuple[int, ...]:
        """The number of rows and the sum of versions of every table: equal before and after a rejection."""
        parts = [f"(SELECT count(*) FROM {table})" for table in TABLES]
        parts += [f"(SELECT coalesce(sum(version), 0) FROM {table})" for table in sorted(VERSIONED)]
        return tuple(await self.database.fetchrow(f"SELECT {', '.join(parts)}"))

    async def told(self, id: str) -> list[str]:
        """The kinds of a record's events, each of which has its audit row."""
        events = await self.database.fetch("SELECT kind FROM events WHERE subject_id = $1 ORDER BY id", uuid_of(id))
        audit = await self.database.fetch(
            "SELECT action FROM audit_entries WHERE subject_id = $1 ORDER BY id", uuid_of(id)
        )
        kinds = [row["kind"] for row in events]
        assert kinds == [row["action"] for row in audit]
        return kinds

    async def changes(self, id: str) -> dict[str, Any]:
        """What the last audit row of a record says."""
        sql = "SELECT changes FROM audit_entries WHERE subject_id = $1 ORDER BY id DESC LIMIT 1"
        return json.loads(await self.database.fetchval(sql, uuid_of(id)))  # type: ignore[no-any-return]

    async def row(self, table: str, id: str) -> dict[str, Any]:
        return dict(await self.database.fetchrow(f"SELECT * FROM {table} WHERE id = $1", uuid_of(id)))

    async def insert(self, table: str, **values: Any) -> UUID:
        columns = ", ".join(values)
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        sql = f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING id"
        return await self.database.fetchval(sql, *values.values())  # type: ignore[no-any-return]

    async def user(self, *roles: str, **values: Any) -> UUID:
        return await self.insert("users", **{"name": "Somebody", "roles": list(roles), **values})

    async def customer(self, owner: str | None = "SELLER", **values: Any) -> str:
        owner_id = self.people[owner] if owner else None
        values = {"name": "Acme", "currency": "EUR", "owner_id": owner_id, **values}
        return id_of("Customer", await self.insert("customers", **values))

    async def contact(self, customer: str | None = None, **values: Any) -> str:
        customer = customer or await self.customer()
        return id_of(
            "Contact", await self.insert("contacts", **{"name": "Ann", "customer_id": uuid_of(customer), **values})
        )

    async def interaction(self, customer: str | None = None) -> str:
        customer = customer or await self.customer()
        values = {"kind": "CALL", "subject": "Hello", "occurred_at": NOW, "customer_id": uuid_of(customer)}
        return id_of("Interaction", await self.insert("interactions", **values))

    async def ticket(self, status: str = "OPEN", customer: str | None = None) -> str:
        customer = customer or await self.customer()
        resolved = NOW if status in ("RESOLVED", "CLOSED") else None
        values = {"subject": "Broken", "status": status, "resolved_at": resolved, "customer_id": uuid_of(customer)}
        return id_of("Ticket", await self.insert("tickets", **values))

    async def product(self, status: str = "ACTIVE", **values: Any) -> str:
        return id_of(
            "Product", await self.insert("products", **{"name": "Anvil", "status": status, "currency": "EUR", **values})
        )

    async def opportunity(self, stage: str = "PROSPECTING", customer: str | None = None, **values: Any) -> str:
        customer = customer or await self.customer()
        closed = NOW.date() if stage in ("WON", "LOST") else None
        stage_id = uuid_of(await self.stage(stage))
        values = {"name": "Deal", "stage_id": stage_id, "closed_on": closed, "customer_id": uuid_of(customer), **values}
        return id_of("Opportunity", await self.insert("opportunities", **values))

    async def stage(self, name: str) -> str:
        """The stage of that name, in capitals, of the default pipeline."""
        sql = "SELECT s.id FROM stages s JOIN pipelines p ON p.id = pipeline_id WHERE is_default AND upper(s.name) = $1"
        return id_of("Stage", await self.database.fetchval(sql, name))

    async def order(self, status: str = "DRAFT", customer: str | None = None, lines: int = 1) -> str:
        """An order of 12.50 EUR, by way of its own mutations up to CONFIRMED and by hand after that."""
        customer = customer or await self.customer()
        line = {"quantity": "1", "description": "Thing", "unitPrice": money("12.50")}
        id: str = (await self.do("orderCreate", customerId=customer, lines=[line] * lines)).done["id"]
        if status not in ("DRAFT", "CANCELLED"):
            assert (await self.do("orderConfirm", id=id)).done
        await self.database.execute("UPDATE orders SET status = $2, version = 1 WHERE id = $1", uuid_of(id), status)
        return id

    async def payment(self, status: str = "PENDING", order: str | None = None) -> str:
        order = order or await self.order("CONFIRMED")
        id: str = (
            await self.do("paymentRecord", orderId=order, amount=money("1.00"), method="CASH", pending=True)
        ).done["id"]
        verbs = {"RECEIVED": "paymentReceive", "FAILED": "paymentFail", "CANCELLED": "paymentCancel"}
        if status in verbs:
            assert (await self.do(verbs[status], id=id)).done
        return id

    async def api_key(self) -> str:
        values = {"user_id": self.people["INTEGRATION"], "name": "Key", "hint": "crm_x", "key_hash": uuid4().hex}
        return id_of("ApiKey", await self.insert("api_keys", scopes=["*:read"], **values))
