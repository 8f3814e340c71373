"""A lead becomes a customer with a contact and an opportunity, at once and once."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from crmgql import db
from crmgql.domain.leads import conversion, leads
from crmgql.errors import BadUserInput, Conflict, CrmError, Forbidden, IllegalTransition, NotFound
from crmgql.records.records import Act
from crmgql.viewer import Viewer, system
from tests.conftest import NOW, viewer

Database = asyncpg.Connection
EUR = (Decimal("500.00"), "EUR")
ANN = {
    "name": "Ann Lee", "company": "Acme", "title": "CTO", "email": "Ann@acme.com", "phone": "+49 30 12345678",
    "industry": "Steel", "country": "Germany", "city": "Berlin", "employee_count": 9, "budget": EUR,
}  # fmt: skip


async def make(crm: db.Database, **values: Any) -> UUID:
    async with crm.transaction() as tx:
        return await leads.create(Act(tx, system(lambda: NOW)), **{"name": "Ann Lee", **values})


async def convert(crm: db.Database, id: UUID, who: Viewer | None = None, **more: Any) -> None:
    async with crm.transaction() as tx:
        await conversion.convert(Act(tx, who or system(lambda: NOW)), id=id, **more)


async def row(database: Database, id: UUID, table: str = "leads") -> dict[str, Any]:
    return dict(await database.fetchrow(f"SELECT * FROM {table} WHERE id = $1", id))


async def count(database: Database, table: str) -> int:
    return int(await database.fetchval(f"SELECT count(*) FROM {table}"))


async def insert(database: Database, table: str, **values: Any) -> UUID:
    columns, places = ", ".join(values), ", ".join(f"${n}" for n in range(1, len(values) + 1))
    return await database.fetchval(f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING id", *values.values())  # type: ignore[no-any-return]


async def seller(database: Database, **values: Any) -> UUID:
    return await insert(database, "users", name="Sue", roles=["SELLER"], **values)


def some(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names}


async def test_everything_is_made(crm: db.Database, database: Database) -> None:
    sue = await seller(database)
    campaign = await insert(database, "campaigns", name="Spring", channel="EMAIL")
    id = await make(crm, **ANN, owner_id=sue, campaign_id=campaign)
    await convert(crm, id, viewer(sue, "SELLER"), expected_close=date(2026, 12, 1))
    lead = await row(database, id)
    assert (lead["status"], lead["converted_at"], lead["campaign_id"], lead["version"]) == (
        "CONVERTED",
        NOW,
        campaign,
        2,
    )
    customer = await row(database, lead["customer_id"], "customers")
    assert some(customer, "name", "kind", "status", "email", "city", "employee_count", "currency", "owner_id") == {
        "name": "Acme", "kind": "COMPANY", "status": "PROSPECT", "email": "Ann@acme.com", "city": "Berlin",
        "employee_count": 9, "currency": "EUR", "owner_id": sue,
    }  # fmt: skip
    contact = await row(database, lead["contact_id"], "contacts")
    assert some(contact, "customer_id", "name", "title", "email", "is_primary") == {
        "customer_id": customer["id"], "name": "Ann Lee", "title": "CTO", "email": "Ann@acme.com", "is_primary": True,
    }  # fmt: skip
    opportunity = await row(database, lead["opportunity_id"], "opportunities")
    assert some(opportunity, "name", "amount", "currency", "owner_id", "contact_id", "expected_close", "status") == {
        "name": "Acme", "amount": EUR[0], "currency": "EUR", "owner_id": sue, "contact_id": contact["id"],
        "expected_close": date(2026, 12, 1), "status": "OPEN",
    }  # fmt: skip
    told = await database.fetch("SELECT kind FROM events WHERE kind <> 'notification.received' ORDER BY id")
    made = ["customer.created", "contact.created", "opportunity.created", "lead.converted"]
    assert [each["kind"] for each in told] == ["lead.created", *made]


async def test_the_score_counts_where_the_lead_came_from(crm: db.Database, database: Database) -> None:
    rule = {"field": "leadSource", "operator": "EQ", "value": '{"value": "event"}', "points": 40}
    await insert(database, "score_rules", name="Met", **rule)
    id = await make(crm, **ANN, lead_source="event")
    await convert(crm, id)
    opportunity = await row(database, (await row(database, id))["opportunity_id"], "opportunities")
    assert opportunity["score"] == 40


async def test_a_person_without_a_company(crm: db.Database, database: Database) -> None:
    id = await make(crm, name="Ann Lee", email="ann@gmail.com")
    await convert(crm, id, with_opportunity=False)
    lead = await row(database, id)
    customer = await row(database, lead["customer_id"], "customers")
    assert (customer["name"], customer["kind"], customer["owner_id"]) == ("Ann Lee", "PERSON", None)
    assert (lead["opportunity_id"], await count(database, "opportunities")) == (None, 0)


async def test_what_the_input_says_goes_first(crm: db.Database, database: Database) -> None:
    customer = await insert(database, "customers", name="Globex", currency="USD")
    id = await make(crm, **ANN)
    await convert(crm, id, customer_id=customer, opportunity_name="Anvils", amount=(Decimal("7"), "JPY"))
    lead = await row(database, id)
    opportunity = await row(database, lead["opportunity_id"], "opportunities")
    assert lead["customer_id"] == opportunity["customer_id"] == customer
    assert (opportunity["name"], opportunity["amount"], opportunity["currency"]) == ("Anvils", 7, "JPY")
    assert await count(database, "customers") == 1


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ({"email": "ANN@ACME.com"}, True),
        ({"email": "sales@Acme.com"}, True),
        ({"email": "ann@acme.de"}, False),
        ({"contact": "ann@ACME.com"}, True),
        ({"name": "Acme"}, False),
    ],
)
async def test_which_customer_is_found(
    crm: db.Database, database: Database, there: dict[str, str], found: bool
) -> None:
    customer = await insert(database, "customers", name=there.get("name", "Other"), email=there.get("email"))
    if "contact" in there:
        await insert(database, "contacts", name="Ann", customer_id=customer, email=there["contact"])
    id = await make(crm, **ANN)
    await convert(crm, id)
    assert ((await row(database, id))["customer_id"] == customer) is found
    assert await count(database, "contacts") == 1


async def test_an_e_mail_at_a_free_provider_finds_no_neighbours(crm: db.Database, database: Database) -> None:
    await insert(database, "customers", name="Bob", email="bob@gmail.com")
    await convert(crm, await make(crm, name="Ann", email="ann@gmail.com"))
    assert await count(database, "customers") == 2


async def test_when_several_fit_somebody_must_say_which(crm: db.Database, database: Database) -> None:
    fits = [await insert(database, "customers", name=name, email=f"{name}@acme.com") for name in ("a", "b")]
    id = await make(crm, **ANN)
    with pytest.raises(Conflict, match="Several customers have this domain") as asked:
        await convert(crm, id)
    assert asked.value.field == "customerId"
    assert all(each.hex in asked.value.message for each in fits)
    assert (await row(database, id))["status"] == "NEW"
    with pytest.raises(BadUserInput):
        await convert(crm, id, customer_id=fits[0], new_customer=True)
    await convert(crm, id, new_customer=True)
    assert (await row(database, id))["customer_id"] not in fits
    again = await make(crm, **ANN)
    await convert(crm, again)  # the e-mail address says more than the domain, and only the new one has it
    assert (await row(database, again))["customer_id"] == (await row(database, id))["customer_id"]
    assert (await row(database, again))["contact_id"] == (await row(database, id))["contact_id"]


async def test_customers_of_others_are_not_there(crm: db.Database, database: Database) -> None:
    sue = await seller(database)
    hidden = await insert(database, "customers", name="Acme", email="ann@acme.com")
    id = await make(crm, **ANN, owner_id=sue)
    with pytest.raises(NotFound):
        await convert(crm, id, viewer(sue, "SELLER"), customer_id=hidden)
    await convert(crm, id, viewer(sue, "SELLER"))
    assert (await row(database, id))["customer_id"] != hidden


async def test_a_second_time_says_what_became_of_it(crm: db.Database, database: Database) -> None:
    id = await make(crm, **ANN)
    await convert(crm, id)
    customer = (await row(database, id))["customer_id"]
    with pytest.raises(IllegalTransition, match=f"cus_{customer.hex}"):
        await convert(crm, id)
    assert await count(database, "customers") == 1


async def test_one_lead_converted_at_once_is_converted_once(crm: db.Database, database: Database) -> None:
    id = await make(crm, **ANN)
    results = await asyncio.gather(*(convert(crm, id) for _ in range(4)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in results) == ["IllegalTransition"] * 3 + ["NoneType"]
    tables = ("customers", "contacts", "opportunities", "lead_transitions")
    assert [await count(database, table) for table in tables] == [1, 1, 1, 2]


async def test_two_leads_of_one_company_at_once_make_one_customer(crm: db.Database, database: Database) -> None:
    for number in range(6):
        ids = [await make(crm, name=name, company="A", email=f"{name}@{number}.com") for name in ("ann", "bob")]
        await asyncio.gather(*(convert(crm, id) for id in ids))
        customers = {(await row(database, id))["customer_id"] for id in ids}
        assert len(customers) == 1
    assert await count(database, "customers") == 6
    assert await count(database, "contacts") == 12
    assert await database.fetchval("SELECT count(*) FROM contacts WHERE is_primary") == 6


@pytest.mark.parametrize(
    ("more", "error", "field"),
    [
        ({"customer_id": uuid4()}, NotFound, "customerId"),
        ({"stage_id": uuid4()}, NotFound, "stageId"),
        ({"amount": (Decimal("-1"), "EUR")}, BadUserInput, "amount"),
        ({"amount": (Decimal("1.005"), "EUR")}, BadUserInput, "amount"),
        ({"opportunity_name": " "}, BadUserInput, "opportunityName"),
        ({"opportunity_name": "x" * 201}, BadUserInput, "opportunityName"),
    ],
)
async def test_a_refusal_leaves_nothing_behind(
    crm: db.Database, database: Database, more: Any, error: type[CrmError], field: str
) -> None:
    id = await make(crm, **ANN)
    before = await row(database, id)
    with pytest.raises(error) as refused:
        await convert(crm, id, **more)
    assert refused.value.field == field
    assert await row(database, id) == before
    assert [await count(database, table) for table in ("customers", "contacts", "opportunities")] == [0, 0, 0]


async def test_who_converts(crm: db.Database, database: Database) -> None:
    sue, left = await seller(database), await seller(database, active=False)
    marketer = await insert(database, "users", name="Mia", roles=["MARKETER"])
    id = await make(crm, **ANN)
    with pytest.raises(Forbidden):
        await convert(crm, id, viewer(marketer, "MARKETER"), with_opportunity=False)
    await database.execute("UPDATE leads SET owner_id = $2 WHERE id = $1", id, left)
    with pytest.raises(Conflict, match="not active"):
        await convert(crm, id)
    queue = await insert(database, "lead_queues", name="Q", owner_id=sue)
    await database.execute("UPDATE leads SET owner_id = NULL, queue_id = $2 WHERE id = $1", id, queue)
    await convert(crm, id, viewer(sue, "SELLER"))
    lead = await row(database, id)
    assert (lead["owner_id"], lead["queue_id"]) == (sue, None)
    assert (await row(database, lead["customer_id"], "customers"))["owner_id"] == sue
