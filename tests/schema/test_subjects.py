"""Events and audit rows lead to what they are about, in the same statement, under the subject's own rule."""

from __future__ import annotations

import pytest

from tests.schema.cases_messages import lead
from tests.schema.world import World, id_of

QUERY = """
query ($where: EventWhere) { events(where: $where) { nodes { kind subject {
    __typename id
    ... on Node { same: id }
    ... on Lead { name owner { name } tasks { totalCount nodes { subject } } }
    ...Dealt
} } } }
fragment Dealt on Order { number customer { name } }
"""


async def subjects(world: World, kind: str) -> list[dict[str, object] | None]:
    answer = await world.ask(QUERY, world.viewer(), where={"kind": {"eq": kind}})
    assert "errors" not in answer, answer
    return [node["subject"] for node in answer["data"]["events"]["nodes"]]


async def test_a_subject_is_a_node_with_all_that_hangs_on_it(world: World) -> None:
    made = (await world.do("leadCreate", name="Ann Lee")).done["id"]
    await world.do("taskCreate", subject="Call", leadId=made)
    (found,) = await subjects(world, "lead.created")
    assert found == {
        "__typename": "Lead",
        "id": made,
        "same": made,
        "name": "Ann Lee",
        "owner": None,
        "tasks": {"totalCount": 1, "nodes": [{"subject": "Call"}]},
    }
    order = await world.order()
    (found,) = await subjects(world, "order.created")
    assert found is not None
    assert (found["id"], found["customer"]) == (order, {"name": "Acme"})


async def test_a_subject_that_the_api_has_no_type_for_is_null(world: World) -> None:
    await world.database.execute("SELECT record_gap('Lead', 'led', NULL, NULL, 'why')")
    assert await subjects(world, "gap.recorded") == [None]


@pytest.mark.parametrize(("role", "sees"), [("ADMIN", True), ("FINANCE", False)])
async def test_the_trail_tells_no_more_of_a_subject_than_one_may_see(world: World, role: str, sees: bool) -> None:
    """The attack: finance sees no leads, but the audit trail, and from there the lead's name. It sees not even the entry."""
    hidden = id_of("Lead", await lead(world))
    assert (await world.do("leadUpdate", id=hidden, name="Secret")).code is None
    entries = 'auditEntries(first: 1, where: {action: {eq: "lead.updated"}})'
    answer = await world.ask(
        f"{{ {entries} {{ nodes {{ subject {{ __typename ... on Lead {{ id name }} }} }} }} }}", world.viewer(role)
    )
    seen = [{"subject": {"__typename": "Lead", "id": hidden, "name": "Secret"}}]
    assert answer["data"]["auditEntries"]["nodes"] == (seen if sees else [])


async def test_many_subjects_are_too_much(world: World) -> None:
    fields = " ".join(f"s{n}: subject {{ id }}" for n in range(4))
    answer = await world.ask(f"{{ events {{ nodes {{ {fields} }} }} }}", world.viewer())
    assert answer["errors"][0]["extensions"]["code"] == "QUERY_TOO_COMPLEX"
