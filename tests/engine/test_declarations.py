"""Every field of the schema has a plan that runs; every mistake in a declaration names type, field and fix."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLInterfaceType, GraphQLObjectType, build_schema, get_named_type, is_leaf_type

from crmgql import models
from crmgql.engine import computed, declare, freeze
from crmgql.errors import DeclarationError
from tests.access.workshop import Company, role
from tests.planner.bench import Bench

SINCE = 'changesSince(types: ["Order", "Customer"], cursor: "evc_' + "0" * 56 + '")'

ANSWERED_WITH_THE_RECORD = ("Mutation", "Subscription", "HandedOver", "PulledEvent")


def subselection(made: Any) -> str:
    """The smallest selection on a field's type."""
    kind = get_named_type(made.type)
    return "" if is_leaf_type(kind) else "{ __typename }"


def way_to(kind: str, bench: Bench) -> str:
    """A query with a hole for fields of an object type of the read side."""
    for node in bench.metadata.nodes.values():
        if kind == node.name:
            return f"{{ {node.plural} {{ nodes {{ %s }} }} }}"
        for suffix, path in (("Connection", "%s"), ("Edge", "edges {{ %s }}"), ("Sums", "sums {{ %s }}")):
            if kind == node.name + suffix:
                return f"{{ {node.plural} {{ {path.replace('{{', '{').replace('}}', '}')} }} }}"
    return {
        "Query": "{ %s }",
        "Money": "{ orders { nodes { total { %s } } } }",
        "Changes": f"{{ {SINCE} {{ %s }} }}",
        "DeletedRecord": f"{{ {SINCE} {{ deleted {{ %s }} }} }}",
        "ChangedRange": f"{{ {SINCE} {{ ranges {{ %s }} }} }}",
        "StreamChecksum": '{ streamChecksum(types: "Order") { %s } }',
        "PageInfo": "{ orders { pageInfo { %s } } }",
        "EventChange": "{ events { nodes { changes { %s } } } }",
        "CustomerReceivables": "{ customers { nodes { receivables { %s } } } }",
        "AgeingAmount": "{ customers { nodes { receivables { ageing { %s } } } } }",
        "OrderRevenue": "{ orders { nodes { revenue { %s } } } }",
        "CommissionStanding": "{ users { nodes { commission { %s } } } }",
        "Attainment": "{ users { nodes { commission { attainment { %s } } } } }",
        "NextTier": "{ users { nodes { commission { nextTier { %s } } } } }",
        "CommissionLine": "{ commissions { nodes { explanation { %s } } } }",
        "LedgerPosting": "{ ledgerEntries { nodes { postings { %s } } } }",
    }[kind]


def read_types(company: Company, *, planned: bool = True) -> list[GraphQLObjectType]:
    """The object types that can be reached from the query root; `planned`: without what its computed fields answer."""
    schema = build_schema(company.engine.strawberry.as_str())
    found: dict[str, Any] = {}
    waiting: list[Any] = [schema.query_type]
    while waiting:
        kind = waiting.pop()
        if kind.name in found or is_leaf_type(kind):
            continue
        found[kind.name] = kind
        if isinstance(kind, GraphQLInterfaceType):
            waiting += schema.get_possible_types(kind)
        if planned and kind is schema.query_type:
            kind.fields = {name: made for name, made in kind.fields.items() if name not in computed.COMPUTED}
        waiting += [get_named_type(field.type) for field in kind.fields.values()]
    return [kind for kind in found.values() if isinstance(kind, GraphQLObjectType)]


async def test_every_field_of_every_type_has_a_plan_that_runs(company: Company, bench: Bench) -> None:
    some = {"id": '(id: "cus_00000000000000000000000000000001")', "ids": "(ids: [])", "types": '(types: "Order")'}
    fields = 0
    for kind in read_types(company):
        template = way_to(kind.name, bench)
        for name, made in kind.fields.items():
            required = next((some[argument] for argument in made.args if argument in some), "")
            if required and kind.name == "Query" and name in bench.metadata.by_singular:
                required = f'(id: "{bench.metadata.by_singular[name].prefix}_{"0" * 31}1")'
            query = template % f"{name}{required} {subselection(made)}"
            for viewer in (role("ADMIN"), role("SELLER")):
                answer = await company.ask(query, viewer)
                assert answer.startswith("{"), (query, answer)
            fields += 1
    assert fields > 300


async def test_every_type_is_reachable(company: Company) -> None:
    """All types but those of mutations, their payloads and subscriptions are read from the query root."""
    schema = build_schema(company.engine.strawberry.as_str())
    reached = {kind.name for kind in read_types(company, planned=False)}
    objects = {name for name, kind in schema.type_map.items() if isinstance(kind, GraphQLObjectType)}
    left = {name for name in objects - reached if not name.startswith("__")}
    assert all(name.endswith(("Payload", "Error", "Row", *ANSWERED_WITH_THE_RECORD)) for name in left), left


def frozen(fields: dict[str, Any], *, model: Any = models.Customer, name: str = "Customer", **options: Any) -> Any:
    """Freezes a declaration of one type beside User, Order and Product."""
    declared = {each: declare.DECLARED[each] for each in ("User", "Team", "Product", "Order") if each != name}
    given = {"prefix": "cus", "plural": "customers", "order": "-id", "doc": ""} | options
    declared = {name: declare.NodeDeclaration(name, model, fields=fields, **given), **declared}
    return freeze._node(declared[name], declared), freeze.freeze


CONTACT = {"name": "Contact", "model": models.Contact, "prefix": "con"}
MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "an unknown column": ({"nmae": declare.column()}, {}, ["Customer.nmae", "no column 'nmae'", "use one of", "name"]),
    "an amount as a plain column": (
        {"revenue": declare.column("annual_revenue_amount")},
        {},
        ["Customer.revenue", "AmountField", "money()"],
    ),
    "a plain column as money": ({"name": declare.money("name")}, {}, ["Customer.name", "not an amount", "column()"]),
    "money without its currency": (
        {"annualRevenue": declare.money(currency="curency")},
        {},
        ["Customer.annualRevenue", "no column 'curency'"],
    ),
    "a relation without a key": ({"boss": declare.one()}, {}, ["Customer.boss", "no foreign key 'boss'"]),
    "a relation to what is not declared": (
        {"lines": declare.many("Nope", "customer")},
        {},
        ["Customer.lines", "'Nope' is not declared", "@node"],
    ),
    "a relation over a wrong key": (
        {"orders": declare.many("Order", "seller")},
        {},
        ["Customer.orders", "Order has no foreign key 'seller' to Customer"],
    ),
    "few without an index": (
        {"orders": declare.many("Order", "customer", few=True)},
        {},
        ["Customer.orders", "few=True", "index on (customer_id, customer_id", "drop few=True"],
    ),
    "an order by no field": ({}, {**CONTACT, "order": "-nope"}, ["Contact", "'-nope'", "name a column"]),
    "an order by a relation": (
        {"customer": declare.one(target="Order")},
        {**CONTACT, "order": "customer"},
        ["Contact", "'customer'", "name a column"],
    ),
    "a list's order by a computed value": (
        {"orders": declare.many("Order", "customer", order="-margin")},
        {},
        ["Order", "'-margin'", "computed", "name a column"],
    ),
    "a list's order by no field": (
        {"orders": declare.many("Order", "customer", order="nope")},
        {},
        ["Order", "'nope'"],
    ),
    "a value that needs no column": (
        {"x": declare.derived(lambda who, t, c: (), None, needs=("nope",))},
        {},
        ["Customer.x", "no column 'nope'"],
    ),
    "a rule on a field that is not nullable": (
        {"orderCount": declare.column("version")},
        {},
        ["Customer.orderCount", "access/types.py", "nullable"],
    ),
    "a rule on a field that is not there": ({}, {}, ["Customer.", "access/types.py", "not declared"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_names_type_field_and_fix(bench: Bench, mistake: str) -> None:
    fields, options, words = MISTAKES[mistake]
    with pytest.raises(DeclarationError) as caught:
        frozen(fields, **options)
    for word in words:
        assert word in caught.value.message


def test_mistakes_between_types(bench: Bench) -> None:
    twin = declare.NodeDeclaration("Team", models.Team, "usr", "teams", "-id", "", {})
    with pytest.raises(DeclarationError, match="share the id prefix 'usr'; change one"):
        freeze.freeze({**declare.DECLARED, "Team": twin})
    bare = declare.NodeDeclaration("Team", models.Team, "", "teams", "-id", "", {})
    with pytest.raises(
        DeclarationError, match=r"Team has no id prefix; add one to PREFIXES in crmgql/models/names\.py"
    ):
        freeze.freeze({"Team": bare})
    stray = declare.NodeDeclaration("Session", models.Session, "ses", "sessions", "-id", "", {})
    with pytest.raises(DeclarationError, match=r"Session has no row rule; add its entry to crmgql/access/types\.py"):
        freeze.freeze({"Session": stray})
    moved = declare.NodeDeclaration("Team", models.Session, "tea", "teams", "-id", "", {})
    with pytest.raises(DeclarationError, match=r"Team is in sessions, its entry in crmgql/access/types\.py says"):
        freeze.freeze({"Team": moved})


def test_a_key_that_may_lack_its_customer_vouches_for_nothing(bench: Bench) -> None:
    """The database compares customers only where both are there: an opportunity's may be missing."""
    assert not bench.metadata.nodes["Contact"].fields["opportunities"].trusted  # type: ignore[union-attr]
    assert bench.metadata.nodes["Contact"].fields["tickets"].trusted  # type: ignore[union-attr]
    assert bench.metadata.nodes["Customer"].fields["opportunities"].trusted  # type: ignore[union-attr]
    assert not bench.metadata.nodes["Customer"].fields["parent"].trusted  # type: ignore[union-attr]
    assert not bench.metadata.nodes["Opportunity"].fields["orders"].trusted  # type: ignore[union-attr]
    assert not bench.metadata.nodes["Commission"].fields["order"].trusted  # type: ignore[union-attr]


def test_names() -> None:
    for snake, camel in (("name", "name"), ("order_count", "orderCount"), ("a_b_c", "aBC")):
        assert declare.camel(snake) == camel
    for name in ("orderCount", "postalCode", "name"):
        assert declare.camel(declare.snake(name)) == name
    assert [declare._plural(name) for name in ("Order", "AuditEntry", "OrderLine")] == [
        "orders",
        "auditEntries",
        "orderLines",
    ]
