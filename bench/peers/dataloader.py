"""The idiomatic way in Python: Strawberry types with resolvers, a DataLoader per relation, asyncpg behind them.

As a competent developer writes it: one statement per level, keyed by all parents at once and limited per parent, parser
and validation caches on, the same ids, fields and order as crmgql. No access rules, no tracing.
"""

from __future__ import annotations

import os
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.types import Info

Key = tuple[uuid.UUID, uuid.UUID, int]  # customer, parent, how many

ORDERS = """
SELECT c.id AS parent, o.* FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS c(customer, id, first), LATERAL (
    SELECT id, customer_id, number, total_amount, currency FROM orders
    WHERE customer_id = c.id ORDER BY ordered_at DESC, orders.id DESC LIMIT c.first) o
"""
PAYMENTS = """
SELECT k.id AS parent, p.* FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS k(customer, id, first), LATERAL (
    SELECT id, customer_id, amount, currency FROM payments
    WHERE customer_id = k.customer AND order_id = k.id ORDER BY received_at DESC, payments.id DESC LIMIT k.first) p
"""
COMMISSIONS = """
SELECT k.id AS parent, c.* FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS k(customer, id, first), LATERAL (
    SELECT id, amount, currency, seller_id FROM commissions
    WHERE customer_id = k.customer AND payment_id = k.id ORDER BY earned_at DESC, commissions.id DESC LIMIT k.first) c
"""


def children(pool: asyncpg.Pool, sql: str) -> DataLoader[Key, list[Any]]:
    """Loads the rows below each parent, in the statement's order."""

    async def load(keys: list[Key]) -> Sequence[list[Any]]:
        customers, parents, firsts = (list(column) for column in zip(*keys, strict=True))
        rows = defaultdict(list)
        for row in await pool.fetch(sql, customers, parents, firsts):
            rows[row["parent"]].append(row)
        return [rows[parent] for parent in parents]

    return DataLoader(load_fn=load)


def by_id(pool: asyncpg.Pool, sql: str) -> DataLoader[uuid.UUID, Any]:
    async def load(ids: list[uuid.UUID]) -> Sequence[Any]:
        rows = {row["id"]: row for row in await pool.fetch(sql, ids)}
        return [rows.get(key) for key in ids]

    return DataLoader(load_fn=load)


@strawberry.type
class Money:
    amount: str
    currency: str


@strawberry.type
class User:
    id: strawberry.ID
    name: str


@strawberry.type
class Commission:
    row: strawberry.Private[Any]
    id: strawberry.ID
    amount: Money

    @strawberry.field
    async def seller(self, info: Info[dict[str, Any], None]) -> User:
        row = await info.context["users"].load(self.row["seller_id"])
        return User(id=strawberry.ID(f"usr_{row['id'].hex}"), name=row["name"])


@strawberry.type
class CommissionConnection:
    nodes: list[Commission]


@strawberry.type
class Payment:
    row: strawberry.Private[Any]
    id: strawberry.ID
    amount: Money

    @strawberry.field
    async def commissions(self, info: Info[dict[str, Any], None], first: int = 20) -> CommissionConnection:
        rows = await info.context["commissions"].load((self.row["customer_id"], self.row["id"], first))
        return CommissionConnection(
            nodes=[
                Commission(
                    row=row,
                    id=strawberry.ID(f"com_{row['id'].hex}"),
                    amount=Money(amount=str(row["amount"]), currency=row["currency"]),
                )
                for row in rows
            ]
        )


@strawberry.type
class PaymentConnection:
    nodes: list[Payment]


@strawberry.type
class Order:
    row: strawberry.Private[Any]
    id: strawberry.ID
    number: str
    total: Money

    @strawberry.field
    async def payments(self, info: Info[dict[str, Any], None], first: int = 20) -> PaymentConnection:
        rows = await info.context["payments"].load((self.row["customer_id"], self.row["id"], first))
        return PaymentConnection(
            nodes=[
                Payment(
                    row=row,
                    id=strawberry.ID(f"pay_{row['id'].hex}"),
                    amount=Money(amount=str(row["amount"]), currency=row["currency"]),
                )
                for row in rows
            ]
        )


@strawberry.type
class OrderConnection:
    nodes: list[Order]


@strawberry.type
class Customer:
    row: strawberry.Private[Any]
    id: strawberry.ID
    name: str

    @strawberry.field
    async def orders(self, info: Info[dict[str, Any], None], first: int = 20) -> OrderConnection:
        rows = await info.context["orders"].load((self.row["id"], self.row["id"], first))
        return OrderConnection(
            nodes=[
                Order(
                    row=row,
                    id=strawberry.ID(f"ord_{row['id'].hex}"),
                    number=row["number"],
                    total=Money(amount=str(row["total_amount"]), currency=row["currency"]),
                )
                for row in rows
            ]
        )


@strawberry.type
class Query:
    @strawberry.field
    async def customer(self, info: Info[dict[str, Any], None], id: strawberry.ID) -> Customer | None:
        row = await info.context["customers"].load(uuid.UUID(id[4:]))
        return row and Customer(row=row, id=strawberry.ID(f"cus_{row['id'].hex}"), name=row["name"])


class View(GraphQL[dict[str, Any], None]):
    pool: asyncpg.Pool

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> dict[str, Any]:
        return {
            "customers": by_id(self.pool, "SELECT id, name FROM customers WHERE id = ANY($1)"),
            "users": by_id(self.pool, "SELECT id, name FROM users WHERE id = ANY($1)"),
            "orders": children(self.pool, ORDERS),
            "payments": children(self.pool, PAYMENTS),
            "commissions": children(self.pool, COMMISSIONS),
        }


schema = strawberry.Schema(Query, extensions=[ParserCache, ValidationCache])
view = View(schema)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["BENCH_DATABASE_URL"], min_size=8, max_size=8) as view.pool:
        yield


app = Starlette(routes=[Route("/graphql", view, methods=["POST"])], lifespan=lifespan)
