"""Where values come from: the document, a variable, a part of one; and which of them fit nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from crmgql.errors import BadUserInput
from crmgql.viewer import Who
from tests.access.workshop import Company, gid, person
from tests.planner.bench import Bench

ADMIN = Who(frozenset({"ADMIN"}))

SAME_ANSWER = [
    ('customers(where: {name: {in: ["Acme", "Zeta"]}})', "", {}),
    ('customers(where: {name: {in: [$a, "Zeta"]}})', "$a: String!", {"a": "Acme"}),
    ("customers(where: {name: {in: $a}})", "$a: [String!]", {"a": ["Acme", "Zeta"]}),
    ("customers(where: {name: $a})", "$a: StringFilter", {"a": {"in": ["Acme", "Zeta"]}}),
    ("customers(where: $a)", "$a: CustomerWhere", {"a": {"name": {"in": ["Acme", "Zeta"]}}}),
    ("customers(where: {and: [$a]})", "$a: CustomerWhere!", {"a": {"name": {"in": ["Acme", "Zeta"]}}}),
    ("customers(where: {or: $a})", "$a: [CustomerWhere!]", {"a": [{"name": {"eq": "Acme"}}, {"name": {"eq": "Zeta"}}]}),
    ("customers(where: {or: [{name: {eq: $a}}, {name: {eq: $b}}]})", '$a: String, $b: String = "Zeta"', {"a": "Acme"}),
    ("customers(where: {not: {not: {name: {in: $a}}}})", "$a: [String!]", {"a": ["Acme", "Zeta"]}),
    ('customers(where: {name: {in: ["Acme", "Zeta"], ne: $n}})', "$n: String", {}),
]


@pytest.mark.parametrize(("field", "head", "variables"), SAME_ANSWER)
async def test_a_value_counts_wherever_it_stands(
    company: Company, field: str, head: str, variables: dict[str, Any]
) -> None:
    query = f"query{f'({head})' if head else ''} {{ c: {field} {{ nodes {{ name }} totalCount }} }}"
    data = await company.data(query, person(1), variables)
    assert sorted(node["name"] for node in data["c"]["nodes"]) == ["Acme", "Acme", "Acme", "Zeta", "Zeta"]


@pytest.mark.parametrize(
    ("query", "variables", "message"),
    [
        (
            "query ($a: [String!]) { customers(where: {name: {in: $a}}) { totalCount } }",
            {"a": None},
            "in needs a value",
        ),
        ("{ customers(where: {name: {startsWith: null}}) { totalCount } }", {}, "startsWith needs a value"),
        ("{ orders(where: {total: {gt: null}}) { totalCount } }", {}, "gt needs a value"),
    ],
)
def test_nulls_that_fit_nowhere(bench: Bench, query: str, variables: dict[str, Any], message: str) -> None:
    with pytest.raises(BadUserInput, match=message):
        bench.plan(query, variables, ADMIN)


@pytest.mark.parametrize(
    "query",
    [
        'query ($a: String = "x") { customers(where: {name: {in: ["y", $a]}}) { totalCount } }',
        "query ($a: CustomerWhere = {}) { customers(where: {or: [$a]}) { totalCount } }",
        "query ($a: CustomerOrderBy = {field: NAME}) { customers(orderBy: [$a]) { totalCount } }",
        "query ($a: CustomerOrderField = NAME) { customers(orderBy: [{field: $a}]) { totalCount } }",
        "query ($a: SortDirection = ASC) { customers(orderBy: [{field: NAME, direction: $a}]) { totalCount } }",
        'query ($a: ID = "cus_1") { customer(id: $a) { id } }',
        'query ($a: ID = "cus_1") { node(id: $a) { id } }',
        'query ($a: ID = "cus_1") { nodes(ids: [$a]) { id } }',
        'query ($a: [ID!] = ["cus_1"]) { nodes(ids: $a) { id } }',
    ],
)
def test_a_default_lets_a_variable_be_null_where_no_null_fits(bench: Bench, query: str) -> None:
    """Validation lets it pass, as its default would fit; five of these were mistakes of ours, with a 500."""
    with pytest.raises(BadUserInput, match=r"\$a is null where a value is needed"):
        bench.plan(query, {"a": None}, ADMIN)


@pytest.mark.parametrize("operator", ["contains", "startsWith"])
def test_a_part_of_a_text_has_an_end(bench: Bench, operator: str) -> None:
    query = f"query ($t: String) {{ customers(where: {{name: {{{operator}: $t}}}}) {{ totalCount }} }}"
    plan, variables = bench.plan(query, {"t": "x" * 1000}, ADMIN)
    plan.values(variables, person(1))
    with pytest.raises(BadUserInput, match=f"{operator} has 1001 characters; 1000 are the most"):
        plan.values({"t": "x" * 1001}, person(1))


@pytest.mark.parametrize("value", ["nul\x00byte", "half \ud83d pair"])
@pytest.mark.parametrize("operator", ["eq", "contains", "startsWith"])
def test_texts_that_no_column_holds(bench: Bench, operator: str, value: str) -> None:
    query = f"query ($t: String) {{ customers(where: {{name: {{{operator}: $t}}}}) {{ totalCount }} }}"
    plan, variables = bench.plan(query, {"t": value}, ADMIN)
    with pytest.raises(BadUserInput):
        plan.values(variables, person(1))


@pytest.mark.parametrize("id", ["", "cus", "cus_", "cus_xyz", "CUS_" + "0" * 32, "cus_" + "A" * 32, "cus_" + "0" * 33])
async def test_ids_that_are_none(company: Company, id: str) -> None:
    """Malformed, not missing; only an unknown prefix under `node` is a missing record."""
    one = await company.ask("query ($i: ID!) { customer(id: $i) { id } }", person(1), {"i": id})
    assert one == "BAD_USER_INPUT"
    any_type = await company.ask("query ($i: ID!) { node(id: $i) { id } }", person(1), {"i": id})
    assert any_type in ("BAD_USER_INPUT", '{"node": null}')


async def test_a_shared_plan_answers_each_request_for_itself(company: Company) -> None:
    query = "query ($i: ID!, $n: String) { customer(id: $i) { name } customers(where: {name: {contains: $n}}) { totalCount } }"
    before = len(company.engine.plans)
    found = [
        await company.data(query, person(1), {"i": gid("cus", "customers", number), "n": part})
        for number, part in ((1, "acme"), (9, "zeta"), (12, "中"))
    ]
    assert [each["customer"]["name"] for each in found] == ["Acme", "Zeta", "中文公司"]
    assert [each["customers"]["totalCount"] for each in found] == [4, 2, 1]
    assert len(company.engine.plans) == before + 1


async def test_two_viewers_share_a_plan_and_see_their_own(company: Company) -> None:
    """Attack: be planned after somebody of the same role, and get their rows."""
    query = "{ customers(first: 100) { nodes { owner { id } } } me { id } }"
    for number in (5, 6, 9, 10):
        data = await company.data(query, person(number))
        assert data["me"]["id"] == gid("usr", "users", number)
        assert {node["owner"]["id"] for node in data["customers"]["nodes"]} == {data["me"]["id"]}
