"""Contacts: at most one primary, whoever asks at once."""

from __future__ import annotations

import asyncio

from tests.schema.world import World, uuid_of


async def primaries(world: World, customer: str) -> list[str]:
    sql = "SELECT id FROM contacts WHERE customer_id = $1 AND is_primary"
    return [f"con_{row['id'].hex}" for row in await world.database.fetch(sql, uuid_of(customer))]


async def test_create_and_update(world: World) -> None:
    customer = await world.customer()
    given = {"customerId": customer, "name": "Ann", "email": "ann@example.com", "title": "CTO", "primary": True}
    made = (await world.do("contactCreate", "SELLER", "id primary customer { id }", **given)).done
    assert made == {"id": made["id"], "primary": True, "customer": {"id": customer}}
    changed = await world.do("contactUpdate", "SELLER", "title email", id=made["id"], title=None, name="Ann")
    assert changed.done == {"title": None, "email": "ann@example.com"}
    assert await world.told(made["id"]) == ["contact.created", "contact.updated"]


async def test_a_new_primary_contact_takes_the_place(world: World) -> None:
    customer = await world.customer()
    first = await world.contact(customer, is_primary=True)
    second = (await world.do("contactCreate", customerId=customer, name="Bob", primary=True)).done["id"]
    assert await primaries(world, customer) == [second]
    assert await world.told(first) == ["contact.updated"]
    assert await world.changes(first) == {"is_primary": [True, False]}


async def test_make_primary_switches(world: World) -> None:
    customer = await world.customer()
    first, second = await world.contact(customer, is_primary=True), await world.contact(customer)
    assert (await world.do("contactMakePrimary", show="primary", id=second)).done == {"primary": True}
    assert await primaries(world, customer) == [second]
    assert await world.told(second) == ["contact.madePrimary"]
    before = await world.counts()
    assert (await world.do("contactMakePrimary", id=second)).code is None
    assert await world.counts() == before
    assert (await world.do("contactMakePrimary", id=first, expectedVersion=1)).code == "VERSION_CONFLICT"
    assert await primaries(world, customer) == [second]


async def test_many_switches_at_once_leave_one(world: World) -> None:
    customer = await world.customer()
    contacts = [await world.contact(customer) for _ in range(6)]
    answers = await asyncio.gather(
        *(world.do("contactMakePrimary", id=contact) for contact in contacts),
        *(world.do("contactCreate", customerId=customer, name="New", primary=True) for _ in range(2)),
    )
    assert [answer.code for answer in answers] == [None] * 8
    assert len(await primaries(world, customer)) == 1
