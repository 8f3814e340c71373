"""Records without rules of their own: made, changed, put away like all others."""

from __future__ import annotations

from uuid import UUID

import pytest

from crmgql.errors import DeclarationError, Forbidden, NotFound, VersionConflict
from crmgql.models import Contact, Customer, Opportunity
from crmgql.records import plain
from crmgql.records.records import Act
from tests.schema.world import World, uuid_of

CREATE = plain.create(Contact, "customer_id name", kind="contact.created")
UPDATE = plain.update(Contact, "customer_id name", kind="contact.updated")


async def test_made_and_changed_with_events(world: World) -> None:
    customer = uuid_of(await world.customer())
    async with world.engine.database.transaction() as tx:
        id = await CREATE(Act(tx, world.viewer()), customer_id=customer, name="Ann", source="erp", external_id="1")
        await UPDATE(Act(tx, world.viewer()), id=id, name="Anna", expected_version=1)
        with pytest.raises(VersionConflict):
            await UPDATE(Act(tx, world.viewer()), id=id, name="Anne", expected_version=1)
    assert await world.told(f"con_{id.hex}") == ["contact.created", "contact.updated"]


async def test_rights_and_what_is_referred_to_are_checked(world: World) -> None:
    customer = uuid_of(await world.customer())
    async with world.engine.database.transaction() as tx:
        with pytest.raises(Forbidden):
            await CREATE(Act(tx, world.viewer("FINANCE")), customer_id=customer, name="Ann")
        for viewer, named in (("STRANGER", customer), ("ADMIN", UUID(int=7))):
            with pytest.raises(NotFound) as caught:
                await CREATE(Act(tx, world.viewer(viewer)), customer_id=named, name="Ann")
            assert caught.value.field == "customerId"
        id = await CREATE(Act(tx, world.viewer()), customer_id=customer, name="Ann")
        with pytest.raises(NotFound):
            await UPDATE(Act(tx, world.viewer()), id=id, customer_id=UUID(int=7))


async def test_an_amount_needs_a_verb_of_its_own() -> None:
    for model, name in ((Customer, "annual_revenue"), (Opportunity, "amount")):
        with pytest.raises(DeclarationError, match=f"{model.__name__}.{name} is an amount"):
            plain.update(model, f"name {name}", kind="customer.updated")
