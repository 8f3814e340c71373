"""Interactions: who, when, with whom, about what."""

from __future__ import annotations

from .world import NOW, World, id_of


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
