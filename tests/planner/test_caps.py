"""What a query may ask for is bounded before it runs: relations in where, lists and related records."""

from __future__ import annotations

import uuid

import pytest

from crmgql.engine.errors import Rejected
from crmgql.engine.operations import Engine, Request
from crmgql.planner import compiling, filters
from tests.conftest import viewer

ADMIN = viewer(uuid.UUID(int=1), "ADMIN")


async def refused(engine: Engine, query: str) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        await engine.answer(Request(query), ADMIN)
    error = caught.value.errors[0]
    return error["extensions"]["code"], error["message"]


async def test_where_looks_into_a_bounded_number_of_relations(engine: Engine) -> None:
    one = "{orders: {some: {total: {gt: 1}}}}"
    most = ", ".join([one] * filters.MAX_RELATIONS)
    await engine.answer(Request(f"{{ customers(where: {{or: [{most}]}}) {{ totalCount }} }}"), ADMIN)
    code, message = await refused(engine, f"{{ customers(where: {{or: [{most}, {one}]}}) {{ totalCount }} }}")
    assert code == "BAD_USER_INPUT"
    assert str(filters.MAX_RELATIONS) in message


async def test_lists_and_related_records_are_bounded(engine: Engine) -> None:
    def query(number: int) -> str:
        fields = " ".join(f"a{index}: owner {{ name }}" for index in range(number // 3))
        return f"{{ customers(first: 1) {{ nodes {{ {fields} }} }} b: customers(first: 1) {{ nodes {{ {fields} }} }} }}"

    await engine.answer(Request(query(60)), ADMIN)
    fragment = "fragment F on User { " + " ".join(f"{name}: team {{ name }}" for name in "abcdefghij") + " }"
    wide = " ".join(f"o{index}: owner {{ ...F }}" for index in range(14))
    code, message = await refused(engine, f"{{ customers(first: 1) {{ nodes {{ {wide} }} }} }} {fragment}")
    assert code == "QUERY_TOO_COMPLEX"
    assert str(compiling.MAX_RELATIONS) in message or "aliases" in message


async def test_never_unknown_conditions_are_not_wrapped(engine: Engine) -> None:
    """`IS TRUE` around EXISTS keeps PostgreSQL from turning it into a join: seconds instead of milliseconds."""
    query = '{ customers(where: {orders: {every: {lines: {every: {product: {name: {eq: "x"}}}}}}}) { totalCount } }'
    prepared = engine.documents.get(query).find(None).prepared
    sql = engine.plans.make(getattr(prepared, "prepared", prepared), {}, ADMIN.who).sql
    assert "IS TRUE" not in sql
    assert '"customer_id" = "f1"."customer_id"' in sql
