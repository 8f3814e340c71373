"""Page arguments, and that paging neither skips nor repeats."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmgql.errors import BadUserInput, Forbidden
from crmgql.planner import arguments, codecs, metadata, paging
from crmgql.viewer import Viewer, Who
from tests.access.oracle import PLURAL, ROOT_ORDER
from tests.access.workshop import Company, person
from tests.planner.bench import Bench

ADMIN, SELLER = Who(frozenset({"ADMIN"})), Who(frozenset({"SELLER"}))
ORDER = (("name", False),)


def scalar(value: Any) -> arguments.Scalar:
    return arguments.Scalar(value, arguments.Constant(value, type(value).__name__))


def order(*fields: str) -> arguments.Objects:
    return arguments.Objects(tuple(arguments.Object({"field": scalar(field)}) for field in fields))


@pytest.mark.parametrize(
    ("given_arguments", "message"),
    [
        ({"first": scalar(1), "last": scalar(1)}, "Give either first or last"),
        ({"first": scalar(101)}, "first is 101"),
        ({"last": scalar(-1)}, "last is -1"),
        ({"orderBy": order("NAME", "EMAIL", "ID", "NAME", "ID")}, "5 entries"),
    ],
)
def test_pages_that_cannot_be(bench: Bench, given_arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadUserInput, match=message):
        paging.read_page(bench.metadata.nodes["Customer"], ORDER, given_arguments, ADMIN)


def test_what_is_not_given(bench: Bench) -> None:
    page = paging.read_page(bench.metadata.nodes["Customer"], ORDER, {"first": None, "after": None}, ADMIN)
    assert (page.size, page.backward, page.after, page.before) == (20, False, None, None)
    assert page.signature == "name,id"


def test_the_key_ends_every_order(bench: Bench) -> None:
    node = bench.metadata.nodes["Customer"]
    assert paging.read_page(node, ORDER, {"orderBy": order("EMAIL", "NAME")}, ADMIN).signature == "email,name,id"
    assert paging.read_page(node, ORDER, {"orderBy": order("EMAIL", "ID", "NAME")}, ADMIN).signature == "email,id"
    assert paging.read_page(node, ORDER, {"orderBy": order("EMAIL", "EMAIL")}, ADMIN).signature == "email,id"
    assert paging.read_page(node, (("name", True),), {}, ADMIN).signature == "-name,-id"


def test_a_hidden_field_is_no_order_even_where_the_schema_had_it() -> None:
    """Attack: order by cost, should it ever be declared sortable."""
    cost = metadata.Money("cost", "cost_amount", "currency", nullable=True, sortable=True)
    key = metadata.Leaf("id", "id", codecs.id_codec("prd"), nullable=False, sortable=True)
    node = metadata.Node(
        "Product", "prd", "products", "product", "products", {"cost": cost, "id": key}, (("id", True),)
    )
    given_arguments = {"orderBy": order("COST")}
    assert paging.read_page(node, ORDER, given_arguments, ADMIN).signature == "cost,id"
    with pytest.raises(Forbidden, match=r"order by Product\.cost"):
        paging.read_page(node, ORDER, given_arguments, SELLER)


@pytest.mark.parametrize(
    ("codec", "text", "bound"),
    [
        (codecs.INT, "7", "7"),
        (codecs.INT, "-7", "-7"),
        (codecs.INT, "1_000", "1000"),
        (codecs.INT, "１２", "12"),
        (codecs.INT, "2147483648", None),
        (codecs.INT, "x", None),
        (codecs.INT, 7, None),
        (codecs.LONG, "2147483648", "2147483648"),
        (codecs.LONG, "9" * 19, None),
        (codecs.DATE, "2026-W05-1", "2026-01-26"),
        (codecs.DATE, "2026-02-30", None),
        (codecs.DATETIME, "2026-01-05 09:30:00.25+00", "2026-01-05T09:30:00.250000+00:00"),
        (codecs.DATETIME, "2026-01-05T09:30:00-23:59", "2026-01-06T09:29:00+00:00"),
        (codecs.DATETIME, "9999-12-31T23:59:59-23:59", None),
        (codecs.DECIMAL, "1E+3", "1000"),
        (codecs.DECIMAL, "1E+999999", None),
        (codecs.DECIMAL, "NaN", None),
        (codecs.BOOLEAN, "true", "true"),
        (codecs.BOOLEAN, "yes", None),
        (codecs.STRING, "a" * 1001, None),
        (codecs.STRING, "a\x00", None),
        (codecs.id_codec("cus"), "{01930004-0000-7000-8000-00000000000A}", "01930004-0000-7000-8000-00000000000a"),
        (codecs.id_codec("cus"), "cus_1", None),
    ],
)
def test_a_cursors_values_are_bound_as_the_database_reads_them(
    codec: codecs.Codec, text: Any, bound: str | None
) -> None:
    """What Python reads and PostgreSQL does not is rewritten; what neither reads is refused before it gets there."""
    if bound is not None:
        assert codec.from_cursor(text) == bound
        return
    with pytest.raises((ValueError, TypeError, KeyError, ArithmeticError, BadUserInput)):
        codec.from_cursor(text)


async def all_of(company: Company, viewer: Viewer, plural: str, by: str) -> list[str]:
    """The ids of a root list, which may have more than a page's most."""
    found: list[str] = []
    page, place = {"hasNextPage": True}, ""
    while page["hasNextPage"]:
        fields = "nodes { id } totalCount pageInfo { hasNextPage endCursor }"
        all = (await company.data(f"{{ all: {plural}(first: 100{place}{by}) {{ {fields} }} }}", viewer))["all"]
        found += [node["id"] for node in all["nodes"]]
        page = all["pageInfo"]
        place = f", after: {json.dumps(page['endCursor'])}"
    assert len(set(found)) == len(found) == all["totalCount"]
    return found


@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_pages_yield_each_row_once_and_in_order(company: Company, data: st.DataObject) -> None:
    """Through any root list in any order, forward and backward, with pages of changing sizes."""
    plural, kind = data.draw(st.sampled_from(sorted(PLURAL.items())))
    fields = company.engine.schema.type_map[f"{kind}OrderField"].values  # type: ignore[attr-defined]
    directions = st.sampled_from(["ASC", "DESC"])
    item = st.builds(lambda f, d: f"{{field: {f}, direction: {d}}}", st.sampled_from(sorted(fields)), directions)
    chosen = data.draw(st.one_of(st.none(), st.lists(item, min_size=1, max_size=3)))
    by = f", orderBy: [{', '.join(chosen)}]" if chosen else ""
    viewer = person(data.draw(st.sampled_from([1, 3, 5])))
    whole = await all_of(company, viewer, plural, by)
    for size, cursor, end, more in (
        ("first", "after", "endCursor", "hasNextPage"),
        ("last", "before", "startCursor", "hasPreviousPage"),
    ):
        found: list[str] = []
        at: str | None = None
        while True:
            count = data.draw(st.integers(1, 40))
            place = f", {cursor}: {json.dumps(at)}" if at else ""
            query = f"{{ p: {plural}({size}: {count}{place}{by}) {{ nodes {{ id }} pageInfo {{ {end} {more} }} }} }}"
            page = (await company.data(query, viewer))["p"]
            ids = [node["id"] for node in page["nodes"]]
            found = found + ids if size == "first" else ids + found
            if not page["pageInfo"][more]:
                break
            assert len(ids) == count
            at = page["pageInfo"][end]
        assert found == whole, (plural, by, size)


@pytest.mark.parametrize(("parent", "child"), [("customers", "orders"), ("orders", "lines"), ("customers", "payments")])
async def test_nested_pages_too(company: Company, parent: str, child: str) -> None:
    """Under each parent: lateral pages, numbered pages, and an order with missing values in it."""
    viewer = person(1)
    query = "{ p: %s(first: 100) { nodes { id c: %s(first: 100) { nodes { id } edges { cursor } } } } }"
    data = await company.data(query % (parent, child), viewer)
    for node in data["p"]["nodes"]:
        ids = [each["id"] for each in node["c"]["nodes"]]
        for index, edge in enumerate(node["c"]["edges"][:3]):
            singular = parent.removesuffix("s")
            place = f'{{ p: {singular}(id: "{node["id"]}") {{ a: {child}(first: 100, after: "{edge["cursor"]}") {{ nodes {{ id }} }}'
            place += f' b: {child}(last: 100, before: "{edge["cursor"]}") {{ nodes {{ id }} }} }} }}'
            split = (await company.data(place, viewer))["p"]
            assert [each["id"] for each in split["a"]["nodes"]] == ids[index + 1 :]
            assert [each["id"] for each in split["b"]["nodes"]] == ids[:index]


def test_default_orders_are_what_the_types_say(bench: Bench) -> None:
    for kind, node in bench.metadata.nodes.items():
        ((name, descending),) = node.order
        assert ("-" if descending else "") + name == ROOT_ORDER[kind]
