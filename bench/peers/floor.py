"""The floor: the best hand-written SQL for the 360 in a bare Starlette route. No GraphQL, no access rules, no tracing.

One level, one CTE, filtered by the keys of its parents and by the customer, so that an index on (customer, parent)
finds a whole level in one search; each level is grouped once; JSON is built as text; the list's limit is a slice.
Its answer is, byte for byte, the GraphQL answer to the 360 query.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SQL = """
WITH o AS MATERIALIZED (
    SELECT id, number, total_amount, currency, ordered_at FROM orders
    WHERE customer_id = $1 ORDER BY ordered_at DESC, id DESC LIMIT 20),
p AS MATERIALIZED (
    SELECT id, order_id, amount, currency, received_at FROM payments
    WHERE customer_id = $1 AND order_id = ANY (ARRAY(SELECT id FROM o))),
c_json AS (
    SELECT payment_id, array_to_string((array_agg('{"id":"com_' || encode(uuid_send(c.id), 'hex')
        || '","amount":{"amount":"' || amount || '","currency":"' || currency || '"},"seller":{"id":"usr_'
        || encode(uuid_send(u.id), 'hex') || '","name":' || to_json(u.name) || '}}'
        ORDER BY earned_at DESC, c.id DESC))[1:5], ',') AS nodes
    FROM commissions c JOIN users u ON u.id = c.seller_id
    WHERE customer_id = $1 AND payment_id = ANY (ARRAY(SELECT id FROM p)) GROUP BY payment_id),
p_json AS (
    SELECT order_id, array_to_string((array_agg('{"id":"pay_' || encode(uuid_send(id), 'hex')
        || '","amount":{"amount":"' || amount || '","currency":"' || currency || '"},"commissions":{"nodes":['
        || coalesce(nodes, '') || ']}}' ORDER BY received_at DESC, id DESC))[1:5], ',') AS nodes
    FROM p LEFT JOIN c_json ON payment_id = id GROUP BY order_id)
SELECT '{"data":{"customer":{"id":"cus_' || encode(uuid_send(id), 'hex') || '","name":' || to_json(name)
    || ',"orders":{"nodes":[' || coalesce((
        SELECT string_agg('{"id":"ord_' || encode(uuid_send(id), 'hex') || '","number":' || to_json(number)
            || ',"total":{"amount":"' || total_amount || '","currency":"' || currency || '"},"payments":{"nodes":['
            || coalesce(nodes, '') || ']}}', ',' ORDER BY ordered_at DESC, id DESC)
        FROM o LEFT JOIN p_json ON order_id = id), '') || ']}}}}'
FROM customers WHERE id = $1
"""


class Connection(asyncpg.Connection):  # type: ignore[misc]
    """A route that only reads leaves nothing behind in a session, so nothing is reset."""

    async def reset(self, **options: object) -> None:
        pass


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(
        os.environ["BENCH_DATABASE_URL"],
        min_size=8,
        max_size=8,
        connection_class=Connection,
        server_settings={"plan_cache_mode": "force_generic_plan", "jit": "off"},
    ) as app.state.pool:
        yield


async def customer_360(request: Request) -> Response:
    variables = orjson.loads(await request.body())["variables"]
    async with request.app.state.pool.acquire() as connection:
        answer = await connection.fetchval(SQL, uuid.UUID(variables["id"][4:]))
    return Response(answer or '{"data":{"customer":null}}', media_type="application/json")


app = Starlette(routes=[Route("/graphql", customer_360, methods=["POST"])], lifespan=lifespan)
