"""Input that is nested or repeated without end is refused quickly, with a code, and never breaks the process."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from crmgql.schema.engine import Engine, Request
from crmgql.schema.errors import Rejected
from tests.conftest import viewer

ADMIN = viewer(uuid.UUID(int=1), "ADMIN")
CODES = ("BAD_USER_INPUT", "QUERY_TOO_COMPLEX", "GRAPHQL_PARSE_FAILED")
QUERY = "query($w: CustomerWhere) { customers(where: $w) { totalCount } }"


def nested(depth: int) -> dict[str, Any]:
    where: dict[str, Any] = {"name": {"eq": "x"}}
    for _ in range(depth):
        where = {"not": where}
    return where


async def refused(engine: Engine, request: Request) -> str:
    started = time.perf_counter()
    with pytest.raises(Rejected) as caught:
        await engine.answer(request, ADMIN)
    assert time.perf_counter() - started < 5
    return str(caught.value.errors[0]["extensions"]["code"])


@pytest.mark.parametrize("depth", [30, 200, 900])
async def test_deep_variables(engine: Engine, depth: int) -> None:
    assert await refused(engine, Request(QUERY, None, {"w": nested(depth)})) in CODES


@pytest.mark.parametrize("depth", [30, 200, 600, 1900])
async def test_deep_literals(engine: Engine, depth: int) -> None:
    text = "{not:" * depth + "{}" + "}" * depth
    code = await refused(engine, Request(f"{{ customers(where: {text}) {{ totalCount }} }}"))
    assert code in CODES


async def test_wide_conditions(engine: Engine) -> None:
    wide = {"or": [{"name": {"eq": str(number)}} for number in range(5000)]}
    assert await refused(engine, Request(QUERY, None, {"w": wide})) == "BAD_USER_INPUT"


async def test_many_ids(engine: Engine) -> None:
    ids = [f"cus_{uuid.uuid4().hex}" for _ in range(101)]
    request = Request("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", None, {"ids": ids})
    assert await refused(engine, request) == "BAD_USER_INPUT"


async def test_long_lists(engine: Engine) -> None:
    where = {"name": {"in": [str(number) for number in range(1001)]}}
    assert await refused(engine, Request(QUERY, None, {"w": where})) == "BAD_USER_INPUT"


async def test_a_deep_selection(engine: Engine) -> None:
    for depth in (20, 400, 1300):
        text = "{ team { parent" + " { parent" * depth + " { id }" + " }" * depth + " } }"
        assert await refused(engine, Request("{ me " + text + " }")) in CODES
