"""Interactions: who, when, with whom, about what."""

from __future__ import annotations

from tests.schema.world import NOW, World, id_of


async def test_log_and_update(world: World) -> None:
    customer = await world.customer()
    given = {"customerId": customer, "kind": "MEETING", "subject": "Lunch", "body": "Soup"}
    show = "id kind author { id } occurredAt customer { lastActivityAt }"
    made = (await world.do("interactionLog", "SELLER", show, **given)).done
    assert made["author"] == {"id": id_of("User", world.people["SELLER"])}
    assert made["occurredAt"].startswith(NOW.isoformat()[:19])
    assert made["customer"]["lastActivityAt"] == made["occurredAt"]
    changed = await world.do("interactionUpdate", "SELLER", "kind body", id=made["id"], kind="NOTE", body=None)
    assert changed.done == {"kind": "NOTE", "body": None}
    assert await world.told(made["id"]) == ["interaction.logged", "interaction.updated"]


async def test_another_customers_contact_or_opportunity_is_refused(world: World) -> None:
    customer = await world.customer()
    mine = await world.interaction(customer)
    for name, other in (("contactId", await world.contact()), ("opportunityId", await world.opportunity())):
        for mutation, base in (
            ("interactionLog", {"customerId": customer, "kind": "CALL", "subject": "Hello"}),
            ("interactionUpdate", {"id": mine}),
        ):
            answer = await world.do(mutation, **base, **{name: other})
            assert (answer.code, answer.field) == ("BAD_USER_INPUT", name)
            assert "another customer" in answer.rejections[0]["message"]


async def test_an_opportunity_of_nobody_fits_everybody(world: World) -> None:
    opportunity = await world.opportunity(customer_id=None)
    given = {"customerId": await world.customer(), "kind": "CALL", "subject": "Hello", "opportunityId": opportunity}
    assert (await world.do("interactionLog", **given)).code is None


async def test_only_some_may_log_for_others(world: World) -> None:
    given = {"customerId": await world.customer(), "kind": "CALL", "subject": "Hello"}
    author = id_of("User", world.people["STRANGER"])
    assert (await world.do("interactionLog", "SELLER", **given, authorId=author)).code == "FORBIDDEN"
    made = await world.do("interactionLog", "INTEGRATION", "author { id }", **given, authorId=author)
    assert made.done == {"author": {"id": author}}


async def test_the_ends_of_time(world: World) -> None:
    given = {"customerId": await world.customer(), "kind": "CALL", "subject": "Hello"}
    for moment in ("1000-01-01T00:00:00Z", "2200-12-31T23:59:59.999999Z"):
        answer = await world.do("interactionLog", show="occurredAt", **given, occurredAt=moment)
        assert answer.done["occurredAt"][:19] == moment[:19]
    for moment in ("0001-01-01T00:00:00Z", "2201-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        assert (await world.do("interactionLog", **given, occurredAt=moment)).field == "occurredAt"
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01", "10000-01-01T00:00:00Z"):
        assert (await world.do("interactionLog", **given, occurredAt=moment)).code == "BAD_USER_INPUT"
