"""Introspection, walked by ourselves, answers what graphql-core's executor answers."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
import pytest
from graphql import ExecutionResult, execute_sync, get_introspection_query, parse

from crmgql.engine import introspection
from crmgql.engine.errors import Rejected
from crmgql.engine.operations import Engine, Request
from tests.conftest import viewer

ADMIN = viewer(uuid.UUID(int=1), "ADMIN")
QUERIES: list[tuple[str, dict[str, Any]]] = [
    (get_introspection_query(), {}),
    (get_introspection_query(specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True), {}),
    ("query($n: String!) { t: __type(name: $n) { name kind possibleTypes { name } interfaces { name } } }", {"n": "Node"}),
    ("query($n: String!) { __type(name: $n) { name } }", {"n": "Nothing"}),
    ("query($d: Boolean) { __type(name: \"OrderStatus\") { enumValues(includeDeprecated: $d) { name isDeprecated } } }", {"d": True}),
    ("query($s: Boolean!) { __schema { directives @skip(if: $s) { name locations args { name defaultValue } } types { name } } }", {"s": True}),
    ("{ __schema { queryType { ...A ...A } mutationType { ...A } subscriptionType { name } __typename } } fragment A on __Type { name ...B } "
     "fragment B on __Type { kind description __typename }", {}),
]  # fmt: skip


@pytest.mark.parametrize(("query", "variables"), QUERIES)
async def test_as_graphql_core_answers(engine: Engine, query: str, variables: dict[str, Any]) -> None:
    expected = execute_sync(engine.schema, parse(query), variable_values=variables)
    assert isinstance(expected, ExecutionResult)
    assert expected.errors is None
    for _ in range(2):  # the second time it is kept
        answer = orjson.loads(await engine.answer(Request(query, None, variables), ADMIN))
        assert answer == {"data": expected.data}


async def test_its_budget(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection, "MOST_VALUES", 1000)
    with pytest.raises(Rejected) as caught:
        await engine.answer(Request("{ __schema { types { fields { name } } } }"), ADMIN)
    assert caught.value.errors[0]["extensions"]["code"] == "QUERY_TOO_COMPLEX"


async def test_what_is_kept_is_bounded_and_not_of_strangers(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection, "MOST_KEPT_BYTES", 300)
    for number in range(20):
        await engine.answer(Request(f'{{ a{number}: __type(name: "User") {{ name kind }} }}'), ADMIN)
    kept = engine.parts.introspection._kept
    assert 0 < sum(len(answer) for answer in kept.values()) == engine.parts.introspection._bytes <= 300
    monkeypatch.setattr(introspection, "MOST_KEPT_BYTES", 10_000)
    before = len(kept)
    open_to_all = engine.settings.model_copy(update={"introspection": "anyone"})
    monkeypatch.setattr(engine, "settings", open_to_all)
    await engine.answer(Request('{ __type(name: "Order") { name } }'), None)
    assert len(kept) == before
    assert engine.documents.kept('{ __type(name: "Order") { name } }') is None
