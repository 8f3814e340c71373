"""What somebody would try who wants to know more than they may. Each case says in a line what the attack is."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

import pytest

from crmgql.engine.operations import Request
from crmgql.viewer import Viewer
from tests.access import company as rows_of
from tests.access.oracle import snake
from tests.access.relations import PREFIXES
from tests.access.rules import TABLE_OF, Sight
from tests.access.workshop import Company, gid, person, role, viewers

SELLER = person(5)
FOREIGN = 3  # a customer of another seller


def sight(company: Company, viewer: Viewer) -> Sight:
    return Sight(company.rows, viewer.user_id, viewer.who.roles, viewer.who.scopes)


def hidden(company: Company, viewer: Viewer, kind: str) -> list[dict[str, Any]]:
    """Rows of a type that a viewer may not see."""
    seen = sight(company, viewer)
    return [row for row in company.rows[TABLE_OF[kind]] if not seen.sees(kind, row)]


async def same(company: Company, viewer: Viewer, queries: Iterable[str]) -> Any:
    """All queries get the very same answer; returns it."""
    answers = {await company.ask(query, viewer) for query in queries}
    assert len(answers) == 1, answers
    return json.loads(answers.pop())


@pytest.mark.parametrize("viewer", viewers(), ids=lambda v: "+".join(sorted(v.roles)) or "nobody")
async def test_a_hidden_row_is_like_a_missing_one(company: Company, viewer: Viewer) -> None:
    """Attack: ask for records by id, of every type, and look for any difference between hidden and missing."""
    for kind, prefix in PREFIXES.items():
        listed = hidden(company, viewer, kind)
        if not listed:
            continue
        ids = [f"{prefix}_{listed[0]['id'].hex}", f"{prefix}_{listed[-1]['id'].hex}", f"{prefix}_{'0' * 31}1"]
        singular = kind[0].lower() + kind[1:]
        for query in (
            "{ x: node(id: %s) { id } }",
            "{ x: nodes(ids: [%s]) { id } }",
            f"{{ x: {singular}(id: %s) {{ id }} }}",
        ):
            bodies = set()
            for id in ids:
                try:
                    bodies.add(await company.engine.answer(Request(query % json.dumps(id)), viewer))
                except Exception as error:
                    bodies.add(str(error).encode())
            assert len(bodies) == 1, (kind, query, bodies)


@pytest.mark.parametrize("quantifier", ["some", "none", "every"])
@pytest.mark.parametrize(
    "guess",
    [
        'customers: {%s: {id: {eq: "%s"}, annualRevenue: {gte: "%s"}}}',
        'customers: {%s: {id: {eq: "%s"}, createdAt: {lt: "2026-01-0%sT00:00:00Z"}}}',
        'customers: {%s: {id: {eq: "%s"}, orders: {some: {total: {gt: "%s"}}}}}',
        'customers: {%s: {not: {id: {ne: "%s"}, version: {ne: %s}}}}',
    ],
)
async def test_binary_search_over_a_hidden_customer(company: Company, quantifier: str, guess: str) -> None:
    """Attack: narrow a foreign customer's figures down by asking for its owner under ever other guesses."""
    owner = gid("usr", "users", rows_of.OWNERS[FOREIGN - 1])
    target = gid("cus", "customers", FOREIGN)
    queries = [
        f'{{ users(where: {{id: {{eq: "{owner}"}}, {guess % (quantifier, target, value)}}}) {{ totalCount }} }}'
        for value in ("1", "2", "5", "9")
    ]
    await same(company, SELLER, queries)


async def test_a_visible_record_does_not_tell_of_its_hidden_parent(company: Company) -> None:
    """Attack: one's own commission was earned on a foreign customer; guess that customer's name letter by letter."""
    seen = sight(company, SELLER)
    own = [
        row
        for row in company.rows["commissions"]
        if seen.sees("Commission", row) and not seen.sees("Customer", {"owner_id": owner_of(company, row)})
    ]
    assert own
    for row in own:
        id = f"com_{row['id'].hex}"
        for form in ('customer: {name: {startsWith: "%s"}}', 'not: {customer: {name: {startsWith: "%s"}}}'):
            names = ["", "A", "a", "Z", "Ä", "1", "under_score", "中"]
            await same(
                company,
                SELLER,
                [f'{{ commissions(where: {{id: {{eq: "{id}"}}, {form % name}}}) {{ totalCount }} }}' for name in names],
            )
        data = await company.data(
            f'{{ commissions(where: {{id: {{eq: "{id}"}}, customer: null}}) {{ totalCount }} }}', SELLER
        )
        assert data["commissions"]["totalCount"] == 1


def owner_of(company: Company, row: dict[str, Any]) -> Any:
    return next(c["owner_id"] for c in company.rows["customers"] if c["id"] == row["customer_id"])


@pytest.mark.parametrize(
    "viewer", [SELLER, role("MANAGER"), person(4), person(15)], ids=["seller", "top", "sub", "both"]
)
async def test_the_way_back_up_ends_where_sight_ends(company: Company, viewer: Viewer) -> None:
    """Attack: climb from one's own commission to the payment, the order and the customer of somebody else."""
    query = """{ commissions(first: 100) { nodes { id customer { id } order { id customer { id } }
      payment { id customer { id } order { id customer { id owner { id } } } } } } }"""
    data = await company.data(query, viewer)
    seen = sight(company, viewer)
    customers = {f"cus_{row['id'].hex}" for row in company.rows["customers"] if seen.sees("Customer", row)}
    nodes = data["commissions"]["nodes"]
    assert any(node["customer"] is None for node in nodes)
    for node in nodes:
        if node["customer"] is None:
            assert node["order"] is None
            assert node["payment"] is None
        else:
            assert node["customer"]["id"] in customers


async def test_a_deal_of_ones_own_on_a_foreign_customer(company: Company) -> None:
    """Attack: own a deal on a foreign customer and read the customer, its contact and its orders through it."""
    query = """{ opportunities(first: 100) { nodes { id customer { id } contact { id customer { id } }
      orders(first: 100) { nodes { id } totalCount sums { total { amount } } } interactions { totalCount } } } }"""
    seen = sight(company, SELLER)
    orders = {f"ord_{row['id'].hex}" for row in company.rows["orders"] if seen.sees("Order", row)}
    foreign = [n for n in (await company.data(query, SELLER))["opportunities"]["nodes"] if n["customer"] is None]
    assert foreign
    for node in foreign:
        ids = {order["id"] for order in node["orders"]["nodes"]}
        assert ids <= orders
        assert node["orders"]["totalCount"] == len(ids)
        assert bool(node["orders"]["sums"]["total"]) == bool(ids)


async def test_a_deal_without_a_customer_is_not_reached_over_somebody_elses_word(company: Company) -> None:
    """Attack: a foreign deal without a customer names one's own contact; read it through the contact."""
    query = "{ contacts(first: 100) { nodes { opportunities(first: 100) { nodes { id } totalCount } } } }"
    for viewer in (SELLER, role("MANAGER")):
        seen = sight(company, viewer)
        may = {f"opp_{row['id'].hex}" for row in company.rows["opportunities"] if seen.sees("Opportunity", row)}
        for node in (await company.data(query, viewer))["contacts"]["nodes"]:
            assert {each["id"] for each in node["opportunities"]["nodes"]} <= may
            assert node["opportunities"]["totalCount"] == len(node["opportunities"]["nodes"])


HIDDEN_FILTERS = {
    "a product's cost": 'products(where: {cost: {gt: "1"}})',
    "whether a product has a cost": "products(where: {cost: {isNull: true}})",
    "whether a product has a cost, by null": "products(where: {cost: null})",
    "the currency of a cost": "products(where: {cost: {currency: USD}})".replace("USD", '"USD"'),
    "a cost behind an or": 'products(where: {or: [{name: {eq: "x"}}, {cost: {gt: "1"}}]})',
    "a cost behind two nots": 'products(where: {not: {not: {cost: {gt: "1"}}}})',
    "a line's cost": 'orderLines(where: {unitCost: {lt: "5"}})',
    "a line's cost from its order": 'orders(where: {lines: {some: {unitCost: {lt: "5"}}}})',
    "a line's cost from its customer": 'customers(where: {not: {orders: {every: {lines: {none: {unitCost: {lt: "5"}}}}}}})',
    "a product's cost from a line": 'orderLines(where: {product: {cost: {gt: "5"}}})',
}


@pytest.mark.parametrize("attack", HIDDEN_FILTERS)
async def test_hidden_fields_cannot_be_filtered_by(company: Company, attack: str) -> None:
    """Attack: learn a hidden figure by filtering; also of oneself, for who may filter would be told by it."""
    query = f"{{ {HIDDEN_FILTERS[attack]} {{ totalCount }} }}"
    assert await company.ask(query, SELLER) == "FORBIDDEN"
    assert await company.ask(query, role("SUPPORT")) == "FORBIDDEN"
    for allowed in ("ADMIN", "FINANCE", "MANAGER"):
        assert await company.ask(query, role(allowed)) != "FORBIDDEN"


@pytest.mark.parametrize("field", ["COST", "MARGIN", "SALARY", "UNIT_COST"])
async def test_hidden_fields_are_no_order(company: Company, field: str) -> None:
    """Attack: learn a ranking of hidden figures by ordering. No such order is in the schema."""
    for plural in ("products", "users", "orderLines", "orders", "customers"):
        query = f"{{ {plural}(orderBy: [{{field: {field}}}]) {{ totalCount }} }}"
        assert await company.ask(query, SELLER) == "GRAPHQL_VALIDATION_FAILED"


KEPT = ["lifetimeValue", "outstanding", "overdue", "oldestDueOn", "creditBalance", "unearned"]
NO_ORDERS = {
    "marketing": role("MARKETER"),
    "a seller who also does marketing": person(14),
    "a key for customers": person(1, frozenset({"customers:read"})),
}


@pytest.mark.parametrize("name", NO_ORDERS)
@pytest.mark.parametrize("field", KEPT)
async def test_what_is_owed_is_no_order_for_who_does_not_see_it_of_all(company: Company, field: str, name: str) -> None:
    """Attack: see a customer but not its orders, and learn what it owes by ordering and filtering, from wherever one gets there."""
    order = f"orderBy: [{{field: {snake(field).upper()}}}]"
    value = "2026-01-01" if field == "oldestDueOn" else "1"
    where = f'{field}: {{gt: "{value}"}}'
    for query in (
        f"{{ customers({order}) {{ totalCount }} }}",
        f"{{ customers({order}) {{ nodes {{ id }} }} }}",
        f"{{ customers {{ nodes {{ subsidiaries({order}) {{ nodes {{ id }} }} }} }} }}",
        f"{{ customers(where: {{{where}}}) {{ totalCount }} }}",
        f"{{ customers(where: {{not: {{{where}}}}}) {{ totalCount }} }}",
        f"{{ customers(where: {{parent: {{{where}}}}}) {{ totalCount }} }}",
        f"{{ customers(where: {{subsidiaries: {{some: {{{where}}}}}}}) {{ totalCount }} }}",
    ):
        assert await company.ask(query, NO_ORDERS[name]) == "FORBIDDEN", query
        assert await company.ask(query, role("FINANCE")) != "FORBIDDEN", query


@pytest.mark.parametrize("name", NO_ORDERS)
@pytest.mark.parametrize("field", ["received", "outstanding", "overdue"])
async def test_what_came_in_of_a_plan_is_no_order_for_who_does_not_see_it(
    company: Company, field: str, name: str
) -> None:
    """Attack: learn what customers paid of their contracts by ordering and filtering the plans."""
    where = f'{field}: {{gt: "1"}}'
    for query in (
        f"{{ contractPayments(orderBy: [{{field: {field.upper()}}}]) {{ totalCount }} }}",
        f"{{ contractPayments(where: {{{where}}}) {{ totalCount }} }}",
        f"{{ contracts(where: {{payments: {{none: {{{where}}}}}}}) {{ totalCount }} }}",
    ):
        assert await company.ask(query, NO_ORDERS[name]) == "FORBIDDEN", query
        assert await company.ask(query, role("FINANCE")) != "FORBIDDEN", query


async def test_what_a_hidden_customer_owes(company: Company) -> None:
    """Attack: who may order and filter by it guesses what the customers of others owe."""
    owner = gid("usr", "users", rows_of.OWNERS[FOREIGN - 1])
    target = f'id: {{eq: "{gid("cus", "customers", FOREIGN)}"}}'
    for field in ("lifetimeValue", "outstanding"):
        wheres = [f'{{{target}, {field}: {{{operator}: "0"}}}}' for operator in ("lt", "gte", "gt")]
        await same(company, SELLER, [f"{{ customers(where: {where}) {{ totalCount }} }}" for where in wheres])
        some = [f'{{id: {{eq: "{owner}"}}, customers: {{some: {where}}}}}' for where in wheres]
        await same(company, SELLER, [f"{{ users(where: {where}) {{ totalCount }} }}" for where in some])


async def test_sums_over_hidden_money(company: Company) -> None:
    """Attack: have the hidden figures summed, and narrow the sum down to one record."""
    query = "{ salaries { sums { amount { amount currency } } } products { sums { cost { amount } } } orderLines { sums { unitCost { amount } } } }"
    data = await company.data(query, SELLER)
    assert data["salaries"]["sums"]["amount"] == [{"amount": "10000.00", "currency": "USD"}]
    assert data["products"]["sums"]["cost"] == []
    assert data["orderLines"]["sums"]["unitCost"] == []
    other = gid("usr", "users", 6)
    one = await company.data(
        f'{{ salaries(where: {{user: {{id: {{eq: "{other}"}}}}}}) {{ sums {{ amount {{ amount }} }} }} }}', SELLER
    )
    assert one["salaries"]["sums"]["amount"] == []


async def test_counts_and_sums_are_of_what_one_sees(company: Company) -> None:
    """Attack: read the company's turnover off counts and sums."""
    query = (
        "{ orders { totalCount sums { total { amount currency } } } customers { totalCount } payments { totalCount } }"
    )
    data = await company.data(query, SELLER)
    seen = sight(company, SELLER)
    for kind, plural in (("Order", "orders"), ("Customer", "customers"), ("Payment", "payments")):
        assert data[plural]["totalCount"] == sum(seen.sees(kind, row) for row in company.rows[plural])
    everything = await company.data(query, role("FINANCE"))
    assert everything["orders"]["totalCount"] == len(company.rows["orders"])


async def test_marketing_learns_nothing_of_trade(company: Company) -> None:
    """Attack: a marketer sees every customer; read their orders by relation, aggregate, activity or filter."""
    query = """{ customers(first: 100) { nodes { orderCount lifetimeValue { amount } outstanding { amount } currencies
      orders { totalCount sums { total { amount } } nodes { id } } payments { totalCount } commissions { totalCount } } } }"""
    nodes = (await company.data(query, role("MARKETER")))["customers"]["nodes"]
    assert len(nodes) == len(company.rows["customers"])
    nothing = {"totalCount": 0, "sums": {"total": []}, "nodes": []}
    for node in nodes:
        assert [node[name] for name in ("orderCount", "lifetimeValue", "outstanding", "currencies")] == [None] * 4
        assert node["orders"] == nothing
        assert node["payments"]["totalCount"] == node["commissions"]["totalCount"] == 0
    some = "{ customers(where: {orders: {some: {}}}) { totalCount } }"
    assert (await company.data(some, role("MARKETER")))["customers"]["totalCount"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "{ orders { totalCount } }",
        "{ orders { __typename } }",
        "{ customers { nodes { orders { __typename } } } }",
        "{ customers(first: 0) { nodes { orders { totalCount } } } }",
        "{ customers(where: {orders: {some: {}}}) { totalCount } }",
        "{ customers(where: {not: {orders: {none: {}}}}) { totalCount } }",
        '{ node(id: "ord_00000000000000000000000000000001") { __typename } }',
        '{ nodes(ids: ["cus_00000000000000000000000000000001", "ord_00000000000000000000000000000001"]) { id } }',
        "{ customers { nodes { ...F } } } fragment F on Customer { x: orders { pageInfo { hasNextPage } } }",
        "{ customers { nodes { owner { id } } } }",
        "{ me { id } }",
    ],
)
async def test_a_key_reaches_only_its_scopes(company: Company, query: str) -> None:
    """Attack: a key for customers reaches for orders and users, empty-handed or not; a write scope does not read."""
    key = person(1, frozenset({"customers:read", "orders:write", "users:write"}))
    assert await company.ask(query, key) == "FORBIDDEN"


async def test_a_keys_computed_values_keep_to_its_scopes(company: Company) -> None:
    """Attack: a key for customers reads orders, payments and tickets off values computed over them."""
    key = person(1, frozenset({"customers:read"}))
    query = "{ customers(first: 100) { nodes { orderCount lifetimeValue { amount } outstanding { amount } currencies lastActivityAt } } }"
    for node in (await company.data(query, key))["customers"]["nodes"]:
        assert set(node.values()) == {None}
    orders = person(1, frozenset({"orders:read"}))
    for node in (await company.data("{ orders { nodes { paid { amount } outstanding { amount } } } }", orders))[
        "orders"
    ]["nodes"]:
        assert node == {"paid": None, "outstanding": None}


async def test_nobody_sees_nothing(company: Company) -> None:
    """Attack: have an account whose roles were taken away."""
    plurals = [table if "_" not in table else None for table in TABLE_OF.values()]
    fields = " ".join(f"{plural} {{ totalCount nodes {{ id }} }}" for plural in plurals if plural)
    data = await company.data(f"{{ me {{ id }} {fields} }}", person(16))
    assert data.pop("me") is None
    assert all(value == {"totalCount": 0, "nodes": []} for value in data.values())


def cursor(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


FORGED = [
    "",
    "x",
    "é",
    "=" * 8,
    "A" * 5000,
    cursor(),
    cursor("-createdAt,-id"),
    cursor("-createdAt,-id", "2026-01-01T00:00:00+00:00"),
    cursor("-createdAt,-id", "2026-01-01T00:00:00+00:00", "nonsense"),
    cursor("-createdAt,-id", "2026-W01-1", "00000000-0000-0000-0000-00000000000g"),
    cursor("-createdAt,-id", 5, 6),
    cursor("-createdAt,-id", {"a": 1}, ["b"]),
    cursor("-createdAt,-id", "9999-12-31T23:59:59-23:59", "00000000-0000-0000-0000-000000000000"),
    cursor("-createdAt,-id", "0001-01-01T00:00:00+23:59", "00000000-0000-0000-0000-000000000000"),
    cursor("-cost,-id", "5.00", "00000000-0000-0000-0000-000000000000"),
    cursor("-createdAt,-id\x00", "2026-01-01T00:00:00+00:00", "00000000-0000-0000-0000-000000000000"),
    base64.b64encode(b"[" * 900).decode(),
    base64.b64encode(b"\xff\xfe").decode(),
]


@pytest.mark.parametrize("forged", FORGED)
async def test_forged_cursors_are_refused(company: Company, forged: str) -> None:
    """Attack: send a cursor that no list made, to reach another order or to make the database fail."""
    query = "query ($c: String) { customers(after: $c) { nodes { id } } }"
    assert await company.ask(query, SELLER, {"c": forged}) == "BAD_USER_INPUT"


ODD_BUT_READABLE = [
    cursor("position,id", "99999999999999999999", "00000000-0000-0000-0000-000000000000"),
    cursor("position,id", "1_000", "00000000-0000-0000-0000-000000000000"),
    cursor("position,id", "１２", "00000000-0000-0000-0000-000000000000"),
    cursor("position,id", "1", "urn:uuid:00000000-0000-0000-0000-000000000000"),
    cursor("position,id", None, None),
    cursor("position,id", 1, "00000000-0000-0000-0000-000000000000"),
]


@pytest.mark.parametrize("forged", ODD_BUT_READABLE)
async def test_what_python_reads_and_postgresql_does_not(company: Company, forged: str) -> None:
    """Attack: numbers and ids that pass our check and then fail in the database, as an internal error."""
    query = "query ($c: String) { orders { nodes { lines(after: $c) { totalCount nodes { id } } } } }"
    answer = await company.ask(query, role("ADMIN"), {"c": forged})
    assert answer == "BAD_USER_INPUT" or answer.startswith("{")


async def test_a_hidden_rows_cursor_shows_no_row(company: Company) -> None:
    """Attack: know a hidden row's place and page around it."""
    row = hidden(company, SELLER, "Customer")[0]
    place = cursor("-createdAt,-id", row["created_at"].isoformat(), str(row["id"]))
    query = "query ($c: String) { customers(first: 100, after: $c) { nodes { id } } rest: customers(last: 100, before: $c) { nodes { id } } }"
    data = await company.data(query, SELLER, {"c": place})
    found = [node["id"] for part in ("rest", "customers") for node in data[part]["nodes"]]
    everything = await company.data("{ customers(first: 100) { nodes { id } } }", SELLER)
    assert found == [node["id"] for node in everything["customers"]["nodes"]]
