"""What the engine reads off an operation once, and what it does with that on each request."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from graphql.execution.values import get_variable_values

from crmgql.engine.budget import Budget
from crmgql.engine.errors import Rejected
from crmgql.engine.operations import Engine, Request
from crmgql.engine.pace import Pace
from tests.conftest import viewer

ADMIN = viewer(uuid.UUID(int=1), "ADMIN")


async def data(engine: Engine, text: str, **variables: Any) -> Any:
    return json.loads(await engine.answer(Request(text, None, variables), ADMIN))["data"]


@pytest.mark.parametrize(
    "text",
    [
        '{ __type\n(name: "User") { name } }',
        '{ a: __type # why not\n(name: "User") { name } }',
        '{ ... { ...A } } fragment A on Query { __type,(name: "User") { name } }',
    ],
)
async def test_introspection_however_it_is_spelled(engine: Engine, text: str) -> None:
    assert list((await data(engine, text)).values()) == [{"name": "User"}]


async def test_a_text_that_only_speaks_of_introspection(engine: Engine) -> None:
    found = await data(engine, '{ customers(where: {name: {eq: "__schema __type("}}) { totalCount } }')
    assert found == {"customers": {"totalCount": 0}}


async def test_introspection_beside_data_with_variables(engine: Engine) -> None:
    found = await data(
        engine,
        "query($d: DateTime, $n: String!, $all: Boolean = true) { "
        "orders(where: {orderedAt: {gt: $d}}) { totalCount } "
        "__type(name: $n) { ...A } } fragment A on __Type { fields(includeDeprecated: $all) @skip(if: $all) { name } "
        "name }",
        d="2026-01-01T00:00:00Z",
        n="Money",
    )
    assert found == {
        "orders": {"totalCount": 0},
        "__type": {"name": "Money"},
    }


VARIABLES: list[dict[str, Any]] = [
    {"id": "cus_1"},
    {"id": "cus_1", "name": "x"},
    {"id": "cus_1", "name": "x", "other": "y", "unknown": [{}]},
    {"id": "", "name": None},
    {"id": 7},
    {"id": "cus_1", "name": 7},
    {"id": "cus_1", "name": True, "other": 1.5},
    {"id": ["cus_1"]},
    {"id": None},
    {},
]


@pytest.mark.parametrize("given", VARIABLES, ids=str)
@pytest.mark.parametrize(
    "definitions",
    ["$id: ID!", "$id: ID, $name: String", '$name: String = "d", $id: ID!', "$id: ID = 3, $other: String = null"],
)
async def test_texts_are_coerced_as_graphql_core_does(engine: Engine, definitions: str, given: dict[str, Any]) -> None:
    uses = " ".join(
        f"{name}: __type(name: $text) @skip(if: true) {{ name }}".replace("$text", f'"{name}"') for name in ("a", "b")
    )
    declared = [part.split(":")[0] for part in definitions.split(", ")]
    used = " ".join(
        f"x{at}: customers(where: {{{'id' if name == '$id' else 'name'}: {{eq: {name}}}}}) {{ totalCount }}"
        for at, name in enumerate(declared)
    )
    operation = engine.documents.get(f"query({definitions}) {{ {used} {uses} }}").find(None)
    assert operation.texts is not None
    node = operation.prepared.operation
    expected = get_variable_values(engine.schema, node.variable_definitions or (), given)
    if isinstance(expected, list):
        with pytest.raises(Rejected) as caught:
            await engine.variables(operation, given, pace(engine))
        assert [error["message"] for error in caught.value.errors] == [error.message for error in expected]
    else:
        found = await engine.variables(operation, given, pace(engine))
        assert found.coerced == expected.coerced


def pace(engine: Engine) -> Pace:
    return Pace("a client", 0, Budget(), engine.reading, engine.plans, engine.sizes)


async def test_other_operations_have_no_texts(engine: Engine) -> None:
    for text in (
        "query($first: Int) { customers(first: $first) { totalCount } }",
        "query($id: ID!, $w: CustomerWhere) { customer(id: $id) { id } customers(where: $w) { totalCount } }",
        "query($ids: [ID!]!) { nodes(ids: $ids) { id } }",
        "mutation($e: String!, $p: String!) { login(input: {email: $e, password: $p}) { userErrors { code } } }",
    ):
        try:
            operation = engine.documents.get(text).find(None)
        except Rejected as error:
            pytest.fail(str(error))
        assert operation.texts is None
