"""What shapes a plan, what one costs, and that few are kept."""

from __future__ import annotations

from typing import Any

import pytest

from crmgql.errors import BadUserInput, MaxCostExceeded
from crmgql.planner import plan as plan_module
from crmgql.planner.sizes import Sizes
from crmgql.viewer import Who
from tests.access.workshop import Company, gid, person
from tests.planner.bench import Bench

ADMIN = Who(frozenset({"ADMIN"}))
SELLER = Who(frozenset({"SELLER"}))
SAME = [
    ("query ($n: String) { customers(where: {name: {eq: $n}}) { totalCount } }", {"n": "a"}, {"n": "b"}),
    ("query ($n: [String!]) { customers(where: {name: {in: $n}}) { totalCount } }", {"n": ["a"]}, {"n": ["b", "c"]}),
    (
        "query ($w: OrderWhere) { orders(where: $w) { totalCount } }",
        {"w": {"total": {"gt": "1"}}},
        {"w": {"total": {"gt": "2.50"}}},
    ),
    ("query ($i: ID!) { node(id: $i) { id } }", {"i": "cus_" + "0" * 32}, {"i": "cus_" + "1" * 32}),
    ("query ($a: String) { customers(after: $a) { totalCount } }", {"a": "x"}, {"a": "y"}),
    ("query ($n: Int) { orders(where: {version: {eq: $n}}) { totalCount } }", {"n": 1}, {"n": 2}),
    (
        "query ($c: CurrencyCode) { customers { nodes { lifetimeValue(currency: $c) { amount } } } }",
        {"c": "USD"},
        {"c": "EUR"},
    ),
]
OTHER = [
    ("query ($n: String) { customers(where: {name: {eq: $n}}) { totalCount } }", {"n": "a"}, {"n": None}),
    ("query ($n: String) { customers(where: {name: {eq: $n}}) { totalCount } }", {"n": None}, {}),
    (
        "query ($w: OrderWhere) { orders(where: $w) { totalCount } }",
        {"w": {"total": {"gt": "1"}}},
        {"w": {"total": {"lt": "1"}}},
    ),
    ("query ($w: OrderWhere) { orders(where: $w) { totalCount } }", {"w": {"or": [{}]}}, {"w": {"or": [{}, {}]}}),
    ("query ($b: Boolean) { customers(where: {city: {isNull: $b}}) { totalCount } }", {"b": True}, {"b": False}),
    ("query ($b: Boolean!) { me { id name @include(if: $b) } }", {"b": True}, {"b": False}),
    ("query ($i: ID!) { node(id: $i) { id } }", {"i": "cus_" + "0" * 32}, {"i": "ord_" + "0" * 32}),
    ("query ($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": ["cus_1"]}, {"i": ["cus_1", "ord_1"]}),
    ("query ($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": ["cus_1"]}, {"i": ["cus_1", "cus_2"]}),
    ("query ($n: Int) { customers(first: $n) { nodes { id } } }", {"n": 1}, {"n": 2}),
    (
        "query ($o: [CustomerOrderBy!]) { customers(orderBy: $o) { nodes { id } } }",
        {"o": [{"field": "ID"}]},
        {"o": [{"field": "NAME"}]},
    ),
    (
        "query ($o: [CustomerOrderBy!]) { customers(orderBy: $o) { nodes { id } } }",
        {"o": [{"field": "ID"}]},
        {"o": [{"field": "ID", "direction": "DESC"}]},
    ),
]


def plans_of(bench: Bench, query: str, *given: dict[str, Any]) -> int:
    """How many plans some requests need."""
    plans = bench.plans()
    for variables in given:
        prepared, coerced = bench.read(query, variables)
        plans.plan(prepared, coerced, ADMIN)
    return len(plans)


@pytest.mark.parametrize(("query", "one", "other"), SAME)
def test_requests_that_differ_in_values_share_a_plan(bench: Bench, query: str, one: Any, other: Any) -> None:
    assert plans_of(bench, query, one, other) == 1


@pytest.mark.parametrize(("query", "one", "other"), OTHER)
def test_requests_that_differ_in_shape_do_not(bench: Bench, query: str, one: Any, other: Any) -> None:
    assert plans_of(bench, query, one, other) == 2


def test_who_asks_shapes_the_plan(bench: Bench) -> None:
    plans = bench.plans()
    prepared, _ = bench.read("{ customers { totalCount } }", {})
    for who in (ADMIN, SELLER, SELLER, Who(frozenset({"ADMIN"}), frozenset({"customers:read"}))):
        plans.plan(prepared, {}, who)
    assert len(plans) == 3


def test_values_never_get_into_a_plan(bench: Bench) -> None:
    """A shared plan must not carry somebody's value or id."""
    query = (
        "query ($n: String, $d: Decimal) { customers(where: {name: {eq: $n}, annualRevenue: {gt: $d}}) { totalCount } }"
    )
    plan, _ = bench.plan(query, {"n": "Geheim", "d": "4711.00"}, SELLER)
    assert "Geheim" not in plan.sql
    assert "4711" not in plan.sql
    assert plan.values({"n": "x", "d": 5}, person(5)).count("x") == 1


def test_few_plans_are_kept_and_the_oldest_go_first(bench: Bench) -> None:
    plans = bench.plans(size=3)
    made = [bench.read(f"{{ customers(first: {n}) {{ nodes {{ id }} }} }}", {})[0] for n in range(1, 6)]
    first = plans.plan(made[0], {}, ADMIN)
    for prepared in made[1:3]:
        plans.plan(prepared, {}, ADMIN)
    assert plans.plan(made[0], {}, ADMIN) is first
    plans.plan(made[3], {}, ADMIN)
    assert len(plans) == 3
    assert plans.plan(made[0], {}, ADMIN) is first
    plans.plan(made[4], {}, ADMIN)
    plans.plan(made[1], {}, ADMIN)
    plans.plan(made[2], {}, ADMIN)
    assert plans.plan(made[0], {}, ADMIN) is not first


def test_a_refused_query_is_not_kept(bench: Bench) -> None:
    plans = bench.plans(max_cost=5)
    prepared, _ = bench.read("{ customers { nodes { id } } }", {})
    with pytest.raises(MaxCostExceeded):
        plans.plan(prepared, {}, ADMIN)
    assert len(plans) == 0


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        ("{ __typename }", 0),
        ("{ me { id } }", 1),
        ("{ me { team { manager { id } } } }", 3),
        ("{ customers { nodes { id } } }", 20),
        ("{ customers(first: 3) { nodes { owner { id } } totalCount } }", 7),
        ("{ customers(first: 3) { edges { cursor } } }", 3),
        ("{ customers(first: 3) { pageInfo { hasNextPage } } }", 3),
        ("{ customers(first: 3) { nodes { id } pageInfo { hasNextPage } } }", 3),
        ("{ customers(first: 2) { nodes { orders(first: 5) { pageInfo { hasNextPage } } } } }", 12),
        ("{ customers(first: 2) { nodes { orders(last: 5) { nodes { lines(first: 2) { nodes { id } } } } } } }", 32),
        ("{ customers(first: 2) { nodes { orderCount lifetimeValue { amount } } } }", 6),
        ("{ customers(first: 0) { nodes { id } sums { annualRevenue { amount } } } }", 1),
        ('{ nodes(ids: ["cus_1", "cus_2", "zzz_3"]) { id } }', 3),
        ('{ nodes(ids: ["cus_1", "ord_2"]) { id ... on Order { customer { id } } } }', 4),
    ],
)
def test_the_worst_case(bench: Bench, query: str, cost: int) -> None:
    plan, _ = bench.plan(query, {}, ADMIN)
    assert plan.cost == cost


def test_a_cached_plan_lets_no_larger_request_through(bench: Bench) -> None:
    """Attack: have a cheap request planned, then send the same document with many more ids or a longer list."""
    plans = bench.plans(max_cost=50)
    query = "query ($i: [ID!]!) { nodes(ids: $i) { id } }"
    for ids, refused in ((["cus_1"], False), (["cus_1"] * 60, True)):
        prepared, coerced = bench.read(query, {"i": ids})
        if refused:
            with pytest.raises(MaxCostExceeded):
                plans.plan(prepared, coerced, ADMIN)
        else:
            plans.plan(prepared, coerced, ADMIN)
    listed = "query ($n: [String!]) { customers(where: {name: {in: $n}}) { totalCount } }"
    plans.plan(*bench.read(listed, {"n": ["a"]}), ADMIN)
    with pytest.raises(BadUserInput, match="1001 values"):
        plans.plan(*bench.read(listed, {"n": ["a"] * 1001}), ADMIN)


def test_filters_have_bounds(bench: Bench) -> None:
    """Attack: a small document with a huge variable, to fill memory or the database's stack."""
    query = "query ($w: CustomerWhere) { customers(where: $w) { totalCount } }"
    deep: dict[str, Any] = {"name": {"eq": "x"}}
    for _ in range(30):
        deep = {"not": deep}
    wide = {"or": [{"name": {"eq": str(number)}} for number in range(600)]}
    for where in (deep, wide):
        with pytest.raises(BadUserInput, match=r"conditions|deep"):
            bench.plan(query, {"w": where}, ADMIN)


async def test_one_statement_whatever_is_asked(company: Company) -> None:
    """Many root fields, connections, counts and nodes: the database is asked once."""
    query = """query ($ids: [ID!]!) { me { id } customers { totalCount nodes { orders { totalCount nodes {
      payments { nodes { id } } lines { sums { amount { amount } } } } } lifetimeValue { amount } } }
      nodes(ids: $ids) { id } again: customers(last: 2) { nodes { name } } }"""
    variables = {"ids": [gid("cus", "customers", 1), gid("ord", "orders", 1)]}
    said: list[str] = []
    for connection in company.database._reader.free:
        connection.add_query_logger(lambda record: said.append(record.query))
    for _ in range(4):  # asyncpg asks about types it meets for the first time
        await company.data(query, person(5), variables)
    said.clear()
    await company.data(query, person(5), variables)
    assert len(said) == 1
    assert said[0].startswith("WITH")


@pytest.mark.parametrize(
    ("query", "weight"),
    [
        ("{ customers { nodes { id } } }", 0),
        ("{ customers { totalCount } }", 100),
        ("{ a: customers { totalCount sums { annualRevenue { amount } } } b: customers { totalCount } }", 300),
        ("{ orders { totalCount } }", 2500),
        ("{ customers(first: 10) { nodes { orders { totalCount } } } }", 100),
        ("{ customers(first: 1) { nodes { orders { totalCount } } } }", 10),
        ("{ customers(first: 100) { nodes { orders(first: 1) { nodes { payments { totalCount } } } } } }", 0),
        ("{ payments { totalCount } }", 5),
        ("{ users { totalCount } }", 0),
    ],
)
def test_counts_and_sums_weigh_what_they_read(bench: Bench, query: str, weight: int) -> None:
    sizes = Sizes(50_000, {"customers": 1000, "orders": 100_000, "payments": 50})
    plan, _ = bench.plan(query, {}, ADMIN)
    assert sizes.weigh(plan.scans) == weight


def test_what_plans_keep_is_bounded_by_their_length(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "KEPT_CHARACTERS", 5000)
    plans = bench.plans(size=1000)
    for number in range(1, 40):
        plans.plan(bench.read(f"{{ customers(first: {number}) {{ nodes {{ id }} }} }}", {})[0], {}, ADMIN)
    assert 1 <= len(plans) < 39
    assert plans._characters == sum(len(plan.sql) for plan in plans._kept.values()) <= 5000
