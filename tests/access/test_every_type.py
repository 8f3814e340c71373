"""Every type, field and relation, for everybody: nothing of the schema is left to the dice of `test_no_leak`.

Each question is asked about all rows at once and answered by the oracle too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from graphql import GraphQLField, GraphQLSchema, get_named_type

from tests.access.oracle import PLURAL, Oracle
from tests.access.queries import DETAILS, MONEY, ORDER_REVENUE, RECEIVABLES, STANDING, Query, is_relation
from tests.access.relations import PREFIXES
from tests.access.rules import SCOPE_OF, TABLE_OF
from tests.access.workshop import VIEWERS, Company, check, person

TYPES = sorted(TABLE_OF)
INNER = {
    "Money": MONEY,
    "CustomerReceivables": RECEIVABLES,
    "OrderRevenue": ORDER_REVENUE,
    "CommissionStanding": STANDING,
    **DETAILS,
    "Node": "{ id __typename }",
}
PLURALS = {kind: plural for plural, kind in PLURAL.items()}


def test_the_oracle_knows_every_type(schema: GraphQLSchema) -> None:
    """A type that it did not know would never be asked for."""
    node = schema.type_map["Node"]
    assert {kind.name for kind in schema.get_possible_types(node)} == set(TABLE_OF) == set(PREFIXES)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", TYPES)
async def test_nobody_gets_more_rows_or_fields_than_the_rules_say(
    company: Company, schema: GraphQLSchema, oracles: list[Oracle], kind: str
) -> None:
    fields = fields_of(schema, kind)
    leaves = " ".join(
        f"{name} {INNER.get(get_named_type(field.type).name, '')}"
        for name, field in fields.items()
        if not is_relation(field)
    )
    text = f"{{ {PLURALS[kind]}(first: 100) {{ totalCount nodes {{ {leaves} }} }} }}"
    answers = await everybodys(company, oracles, kind, text)
    assert len(set(answers)) > 1


@pytest.mark.parametrize("kind", TYPES)
async def test_no_relation_leads_to_more_than_the_rules_say(
    company: Company, schema: GraphQLSchema, oracles: list[Oracle], kind: str
) -> None:
    for name, target, many in related(schema, kind):
        inner = "{ totalCount nodes { id } }" if many else "{ id __typename }"
        text = f"{{ {PLURALS[kind]}(first: 100) {{ nodes {{ id {name} {inner} }} }} }}"
        await everybodys(company, oracles, kind, text, target)


@pytest.mark.parametrize("kind", TYPES)
async def test_no_filter_tells_of_more_than_the_rules_say(
    company: Company, schema: GraphQLSchema, oracles: list[Oracle], kind: str
) -> None:
    some = "{id: {isNull: false}}"
    for name, target, many in related(schema, kind):
        wheres = [f"{{some: {some}}}", f"{{none: {some}}}"] if many else [some, "null"]
        counts = " ".join(
            f"w{number}: {PLURALS[kind]}(where: {{{name}: {where}}}) {{ totalCount }}"
            for number, where in enumerate(wheres)
        )
        await everybodys(company, oracles, kind, f"{{ {counts} }}", target)


@pytest.mark.parametrize("kind", TYPES)
async def test_a_key_needs_just_the_scope_of_the_type(company: Company, kind: str) -> None:
    own = f"{SCOPE_OF[kind]}:read"
    others = frozenset(f"{scope}:{way}" for scope in SCOPE_OF.values() for way in ("read", "write")) - {own}
    query = f"{{ {PLURALS[kind]} {{ totalCount }} }}"
    assert json.loads(await company.ask(query, person(1, frozenset({own}))))
    assert await company.ask(query, person(1, others)) == "FORBIDDEN"


async def everybodys(company: Company, oracles: list[Oracle], *rest: str) -> list[str]:
    """The answers to one question for all who may ask it; the last argument but the types is the query."""
    kinds = [each for each in rest if each in TABLE_OF]
    (text,) = [each for each in rest if each not in TABLE_OF]
    answers = []
    for oracle, viewer in zip(oracles, VIEWERS, strict=True):
        if all(oracle.sight.in_scope(kind) for kind in kinds):
            answers.append(await check(company, oracle, viewer, Query(text, {})))
    return answers


def fields_of(schema: GraphQLSchema, kind: str) -> dict[str, GraphQLField]:
    return schema.type_map[kind].fields  # type: ignore[attr-defined, no-any-return]


def related(schema: GraphQLSchema, kind: str) -> Iterator[tuple[str, str, bool]]:
    """The relations of a type: name, target, whether there are many."""
    for name, field in fields_of(schema, kind).items():
        if is_relation(field):
            target = get_named_type(field.type).name
            yield name, target.removesuffix("Connection"), target.endswith("Connection")
