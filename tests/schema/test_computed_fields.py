"""Root fields that are worked out by verbs: selected, argued with and refused like the planner's, beside them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from crmgql.engine.budget import MAX_COMPUTED
from crmgql.engine.computed import COMPUTED, Ask
from crmgql.errors import Forbidden
from tests.schema.world import World, id_of

KIND = {
    "name": "x",
    "doc": "y",
    "queue": None,
    "arguments": {"at": datetime(2026, 1, 1, tzinfo=UTC), "of": Decimal("1.50"), "by": UUID(int=1)},
    "maxFailures": 3,
}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets computed fields answer something of the test's own; what they were asked is told."""
    asked: list[dict[str, Any]] = []

    def answering(name: str, value: Any) -> list[dict[str, Any]]:
        async def answer(ask: Ask, **values: Any) -> Any:
            asked.append(values)
            if isinstance(value, BaseException):
                raise value
            return value

        monkeypatch.setitem(COMPUTED, name, replace(COMPUTED[name], answer=answer))
        return asked

    return answering


async def ask(world: World, query: str, who: str = "ADMIN", **variables: Any) -> dict[str, Any]:
    return await world.ask(query, world.viewer(who), **variables)


async def data(world: World, query: str, **variables: Any) -> dict[str, Any]:
    answer = await ask(world, query, **variables)
    assert answer.keys() - {"extensions"} == {"data"}, answer
    return answer["data"]  # type: ignore[no-any-return]


async def test_aliases_fragments_and_type_names(world: World, answers: Any) -> None:
    answers("jobKinds", [KIND])
    query = """
        { kinds: jobKinds { n: name ...A ... on JobKind { is: __typename } name } more: jobKinds { doc } root: __typename }
        fragment A on JobKind { maxFailures ...B } fragment B on JobKind { doc maxFailures }"""
    assert await data(world, query) == {
        "kinds": [{"n": "x", "maxFailures": 3, "doc": "y", "is": "JobKind", "name": "x"}],
        "more": [{"doc": "y"}],
        "root": "Query",
    }


async def test_fields_come_in_the_order_in_which_they_are_asked_for(world: World) -> None:
    answer = await data(
        world, "{ customers { totalCount } b: jobKinds { name } __typename a: customers { totalCount } }"
    )
    assert list(answer) == ["customers", "b", "__typename", "a"]


async def test_a_field_that_is_spread_twice_is_asked_once(world: World, answers: Any) -> None:
    asked = answers("jobKinds", [KIND])
    query = "{ ...A ...B } fragment A on Query { jobKinds { name } } fragment B on Query { jobKinds { doc name } }"
    assert await data(world, query) == {"jobKinds": [{"name": "x", "doc": "y"}]}
    assert len(asked) == 1


@pytest.mark.parametrize("yes", [True, False])
async def test_conditions(world: World, answers: Any, yes: bool) -> None:
    asked = answers("jobKinds", [KIND])
    query = """query($yes: Boolean!) {
        jobKinds @include(if: $yes) { name @skip(if: $yes) doc }
        customers @skip(if: $yes) { totalCount }
        ... @include(if: $yes) { __type(name: "JobKind") { name } } }"""
    answer = await data(world, query, yes=yes)
    assert list(answer) == (["jobKinds", "__type"] if yes else ["customers"])
    assert len(asked) == int(yes)
    if yes:
        assert answer["jobKinds"] == [{"doc": "y"}]


async def test_beside_records_and_introspection(world: World) -> None:
    customer = await world.customer()
    query = """query($id: ID!, $type: String!) {
        customer(id: $id) { name } jobKinds { name } __type(name: $type) { name } jobs(first: 1) { nodes { id } } }"""
    answer = await data(world, query, id=customer, type="JobKind")
    assert list(answer) == ["customer", "jobKinds", "__type", "jobs"]
    assert answer["customer"] == {"name": "Acme"}
    assert "housekeeping" in {kind["name"] for kind in answer["jobKinds"]}
    assert answer["__type"] == {"name": "JobKind"}
    assert answer["jobs"] == {"nodes": []}


async def test_the_records_beside_them_are_planned_once_and_paid_for(world: World) -> None:
    query = "{ jobKinds { name } customers(first: 3) { nodes { name } } }"
    first = await ask(world, query)
    plans = len(world.engine.plans)
    again = await ask(world, query)
    assert first == again
    assert again["extensions"]["cost"]["requested"] == 3
    assert len(world.engine.plans) == plans


async def test_a_text_that_holds_the_character_of_the_holes_is_no_hole(world: World) -> None:
    customer = await world.customer(name="a\u0001b")
    query = "query($id: ID!) { customer(id: $id) { name } jobKinds { name } }"
    answer = await data(world, query, id=customer)
    assert answer["customer"] == {"name": "a\u0001b"}


@pytest.mark.parametrize(
    ("error", "code"), [(Forbidden("Not for you."), "FORBIDDEN"), (RuntimeError("secret"), "INTERNAL_SERVER_ERROR")]
)
async def test_the_error_of_one_leaves_the_others(world: World, answers: Any, error: Exception, code: str) -> None:
    answers("jobKinds", error)
    answers("funnel", {"pipeline": "p"})
    answer = await ask(world, "{ bad: jobKinds { name } funnel { pipeline } customers { pageInfo { hasNextPage } } }")
    assert answer["data"]["bad"] is None
    assert answer["data"]["funnel"] == {"pipeline": "p"}
    assert answer["data"]["customers"]["pageInfo"] == {"hasNextPage": False}
    [told] = answer["errors"]
    assert (told["path"], told["extensions"]["code"]) == (["bad"], code)
    assert "secret" not in str(answer)


async def test_nulls_and_plain_values(world: World, answers: Any) -> None:
    answers("jobKinds", [KIND, {"name": "z"}])
    answers("funnel", None)
    answer = await data(world, "{ jobKinds { name queue timeoutS arguments } funnel { stages { name } } }")
    at = answer["jobKinds"][0]["arguments"].pop("at")
    assert datetime.fromisoformat(at) == KIND["arguments"]["at"]  # type: ignore[index]
    assert answer == {
        "jobKinds": [
            {"name": "x", "queue": None, "timeoutS": None, "arguments": {"of": "1.50", "by": str(UUID(int=1))}},
            {"name": "z", "queue": None, "timeoutS": None, "arguments": None},
        ],
        "funnel": None,
    }


async def test_objects_within_objects(world: World, answers: Any) -> None:
    sums = [{"amount": Decimal("1.50"), "currency": "EUR"}]
    answers("funnel", {"stages": [{"name": "a", "won": 1}, {"name": "b"}], "wonAmounts": sums, "lostAmounts": []})
    query = "{ funnel { stages { n: name won __typename } wonAmounts { amount currency } lostAmounts { amount } } }"
    assert await data(world, query) == {
        "funnel": {
            "stages": [
                {"n": "a", "won": 1, "__typename": "FunnelStage"},
                {"n": "b", "won": None, "__typename": "FunnelStage"},
            ],
            "wonAmounts": [{"amount": "1.50", "currency": "EUR"}],
            "lostAmounts": [],
        }
    }


async def test_times_are_written_as_those_of_records_are(world: World, answers: Any) -> None:
    made = datetime(2026, 1, 1, 12, tzinfo=UTC)
    customer = await world.customer(created_at=made)
    answers("jobKinds", [{"arguments": {"at": made}}])
    answer = await data(
        world, "query($id: ID!) { customer(id: $id) { createdAt } jobKinds { arguments } }", id=customer
    )
    assert answer["jobKinds"][0]["arguments"]["at"] == answer["customer"]["createdAt"]


# Arguments


async def test_arguments_from_the_document_and_from_variables(world: World, answers: Any) -> None:
    asked = answers("funnel", {})
    seller = world.people["SELLER"]
    since = datetime(2026, 1, 1, tzinfo=UTC)
    query = "query($o: ID, $s: DateTime, $none: ID) { funnel(ownerId: $o, since: $s, pipelineId: $none) { won } }"
    await data(world, query, o=id_of("User", seller), s="2026-01-01T00:00:00Z")
    await data(world, f'{{ funnel(ownerId: "{id_of("User", seller)}", since: "2026-01-01T01:00:00+01:00") {{ won }} }}')
    await data(world, query, o=None, none=None)
    await data(world, "{ funnel { won } }")
    assert asked == [
        {"owner_id": seller, "since": since},
        {"owner_id": seller, "since": since},
        {"owner_id": None, "pipeline_id": None},
        {},
    ]


async def test_defaults_of_arguments_and_variables(world: World, answers: Any) -> None:
    asked = answers("routingDryRun", None)
    ruleset = UUID(int=7)
    query = "query($id: ID!, $n: Int = 5) { a: routingDryRun(rulesetId: $id) { total } routingDryRun(rulesetId: $id, lastN: $n) { total } }"
    await data(world, query, id=id_of("RoutingRuleset", ruleset))
    assert asked == [{"ruleset_id": ruleset, "last_n": 100}, {"ruleset_id": ruleset, "last_n": 5}]


@pytest.mark.parametrize(
    ("given", "field"),
    [({"o": "nonsense"}, "ownerId"), ({"o": "cus_" + "0" * 32}, "ownerId"), ({"p": "usr_" + "0" * 32}, "pipelineId")],
)
async def test_an_id_of_another_type_is_refused(world: World, answers: Any, given: dict[str, str], field: str) -> None:
    asked = answers("funnel", {})
    query = "query($o: ID, $p: ID) { funnel(ownerId: $o, pipelineId: $p) { won } jobKinds { name } }"
    answer = await ask(world, query, **given)
    assert (answer["data"]["funnel"], bool(answer["data"]["jobKinds"]), asked) == (None, True, [])
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert answer["errors"][0]["extensions"]["field"] == field


@pytest.mark.parametrize(
    "query",
    [
        '{ funnel(since: "soon") { won } }',
        "{ funnel(ownerId: 1.5) { won } }",
        '{ funnel(who: "x") { won } }',
        "{ routingDryRun { total } }",
        "{ funnel }",
        "{ funnel { nothing } }",
    ],
)
async def test_what_does_not_fit_the_schema_never_arrives(world: World, answers: Any, query: str) -> None:
    asked = answers("funnel", {})
    answer = await ask(world, query)
    assert answer["data"] is None
    assert asked == []


# Who and how many


@pytest.mark.parametrize(
    "query",
    [
        "{ jobKinds { name } }",
        "{ __typename jobKinds @skip(if: true) { name } }",
        "{ ...A } fragment A on Query { x: jobKinds { name } }",
        "{ __schema { queryType { name } } jobKinds { name } }",
    ],
)
async def test_nobody_is_refused(world: World, answers: Any, query: str) -> None:
    asked = answers("jobKinds", [KIND])
    answer = await world.ask(query, None)
    assert (answer["data"], answer["errors"][0]["extensions"]["code"]) == (None, "UNAUTHENTICATED")
    assert asked == []


async def test_only_so_many_fit_into_a_query(world: World, answers: Any) -> None:
    asked = answers("jobKinds", [])
    fields = [f"k{n}: jobKinds {{ name }}" for n in range(MAX_COMPUTED + 1)]
    assert len(await data(world, f"{{ {' '.join(fields[1:])} }}")) == MAX_COMPUTED
    answer = await ask(world, f"{{ {' '.join(fields)} customers {{ totalCount }} }}")
    assert (answer["data"], answer["errors"][0]["extensions"]["code"]) == (None, "QUERY_TOO_COMPLEX")
    assert len(asked) == MAX_COMPUTED
    skipped = f"{{ {' '.join(fields[1:])} k0: jobKinds @skip(if: true) {{ name }} }}"
    assert len(await data(world, skipped)) == MAX_COMPUTED
