"""A person is erased: nothing of them is left anywhere in the database, and the books are as they were."""

from __future__ import annotations

import itertools
import json
from typing import Any

import asyncpg
import pytest

from crmgql.events import personal
from crmgql.ledger import trails
from crmgql.ledger.verify import HIGHEST, LOWEST, Found
from tests.schema.world import NOW, TABLES, World, id_of, money, uuid_of

WHO = "Zebedee"
MAIL = f"{WHO.lower()}@example.com"
NUMBERS = itertools.count()


async def everything(world: World) -> str:
    """Every row of every table, as text, in small letters."""
    parts = []
    for table in [*TABLES, "login_attempts"]:
        rows = await world.database.fetch(f"SELECT t::text FROM {table} t")
        parts += [f"{table}: {row[0]}".replace("\n", " ") for row in rows]
    return "\n".join(parts).lower()


def traces(text: str, of: str = WHO) -> list[str]:
    return [line[:200] for line in text.splitlines() if of.lower() in line]


async def lead(world: World, **values: Any) -> str:
    given = {"name": WHO, "email": MAIL, "phone": "+49 30 1234567", "message": f"I am {WHO}", "company": f"{WHO} GmbH"}
    given |= {"source": "form", "externalId": f"{values.get('name', WHO)} {next(NUMBERS)}"}
    return (await world.do("leadCreate", **{**given, **values})).done["id"]  # type: ignore[no-any-return]


async def company_of(world: World) -> dict[str, str]:
    """A person in everything that can hold one: who became a customer, bought, complained, was told of and written to."""
    other = await lead(world, name=f"{WHO} Twice")
    made = await lead(world)
    await world.do("leadUpdate", id=made, attributes={"nick": WHO})
    reasons = json.dumps({"reasons": [{"field": "email", "value": MAIL}]})
    pair = {"lead_id": uuid_of(made), "other_id": uuid_of(other), "similarity": 90, "reasons": reasons}
    await world.insert("lead_duplicates", **pair)
    await world.do("leadMerge", id=made, otherId=other)
    await world.do("taskCreate", subject=f"Call {WHO}", description=WHO, leadId=made)
    await world.do("leadLose", id=made, reason=f"{WHO} is away")
    await world.do("leadReopen", id=made)
    await world.do("leadConvert", id=made, newCustomer=True, opportunityName=f"{WHO} buys")
    row = await world.row("leads", made)
    customer, contact = id_of("Customer", row["customer_id"]), id_of("Contact", row["contact_id"])
    await world.database.execute("UPDATE customers SET kind = 'PERSON' WHERE id = $1", row["customer_id"])
    notes = {"notes": f"{WHO} likes tea", "email": MAIL, "name": WHO}
    assert (await world.do("customerUpdate", id=customer, **notes)).code is None
    await world.do("interactionLog", customerId=customer, contactId=contact, kind="CALL", subject=WHO, body=WHO)
    ticket = (await world.do("ticketOpen", customerId=customer, contactId=contact, subject=f"{WHO} is cross")).done[
        "id"
    ]
    await world.do("ticketUpdate", id=ticket, description=f"{WHO} shouts")
    line = {"quantity": "1", "description": "Thing", "unitPrice": money("12.50")}
    order = (await world.do("orderCreate", customerId=customer, lines=[line], note=f"For {WHO}", currency="EUR")).done[
        "id"
    ]
    await world.do("orderConfirm", id=order)
    payment = {"orderId": order, "amount": money("2.50"), "method": "CASH", "reference": f"{WHO} paid"}
    assert (await world.do("paymentRecord", **payment)).code is None
    assert (await world.do("writeOff", orderId=order, amount=money("1.00"), reason=f"{WHO} is poor")).code is None
    second = (await world.do("orderCreate", customerId=customer, lines=[line], currency="EUR")).done["id"]
    assert (await world.do("orderCancel", id=second, reason=f"{WHO} changed their mind")).code is None
    seller = world.people["SELLER"]
    news = {"title": f"A lead for you: {WHO}", "body": WHO, "occurred_at": NOW, "lead_id": uuid_of(made)}
    await world.insert("notifications", user_id=seller, kind="lead.assigned", **news)
    await world.insert("email_messages", to_address=MAIL, subject=f"Dear {WHO}", body=WHO, lead_id=uuid_of(made))
    digest = f"Hello,\n- {news['title']}"
    await world.insert("email_messages", to_address="s@example.com", subject="2 things", body=digest, user_id=seller)
    pool = (await world.do("poolCreate", name=f"Pool of {customer}", kind="CUSTOMER", shows=["name"])).done["id"]
    await world.do("poolRelease", customerId=customer, poolId=pool, reason=f"{WHO} is difficult")
    because = f"Rule “Large”: company is {WHO} GmbH."
    await world.insert(
        "assignment_decisions", lead_id=uuid_of(made), reason="NO_RULE", explanation=because, decided_at=NOW
    )
    return {"customer": customer, "contact": contact, "lead": made, "other": other, "order": order}


async def figures(world: World, customer: str) -> list[Any]:
    rows = await world.database.fetch(
        "SELECT status, total_amount, currency FROM orders WHERE customer_id = $1 ORDER BY id", uuid_of(customer)
    )
    paid = await world.database.fetchval("SELECT sum(amount) FROM payments WHERE customer_id = $1", uuid_of(customer))
    return [*map(tuple, rows), paid]


@pytest.mark.parametrize("named", ["customer", "lead", "contact", "other"])
async def test_nothing_is_left_of_a_person(world: World, named: str) -> None:
    ids = await company_of(world)
    before, books = traces(await everything(world)), await figures(world, ids["customer"])
    assert {line.partition(":")[0] for line in before} >= {
        *("customers", "contacts", "leads", "interactions", "tickets", "tasks", "orders", "payments", "opportunities"),
        *("events", "audit_entries", "notifications", "email_messages", "pool_items", "pool_moves", "lead_transitions"),
        "assignment_decisions",
        "lead_duplicates",
        "write_offs",
    }
    commitments = await world.database.fetch("SELECT id, personal, salt, commitment FROM audit_entries ORDER BY id")
    noun = "lead" if named == "other" else named
    answer = await world.do("personErase", reason="By letter", **{f"{noun}Id": ids[named]})
    assert answer.code is None
    assert traces(await everything(world)) == []
    assert await figures(world, ids["customer"]) == books
    for row in commitments:
        after = await world.database.fetchrow("SELECT personal, commitment FROM audit_entries WHERE id = $1", row["id"])
        assert after["commitment"] == row["commitment"]
        if row["personal"] is not None:
            assert personal.commit(row["personal"], row["salt"]) == after["commitment"]
    found = Found()
    async with world.database.transaction():  # the chains of the audit trail are of commitments
        await trails.check(world.database, LOWEST, HIGHEST, found)
    assert (found.broken, found.audited) == ([], await world.database.fetchval("SELECT count(*) FROM audit_entries"))
    kinds = {ids["lead"]: "lead.erased", ids["customer"]: "customer.erased", ids["contact"]: "contact.erased"}
    for id, kind in kinds.items():
        assert (await world.told(id))[-1] == kind
    event = await world.database.fetchrow("SELECT * FROM events WHERE kind = 'person.erased' ORDER BY id DESC LIMIT 1")
    assert event["actor_id"] == world.people["ADMIN"]
    assert json.loads(event["payload"])["records"] == await world.database.fetchval(
        "SELECT count(*) FROM tombstones WHERE erasure_id = $1", uuid_of(answer.done["id"])
    )


async def test_others_are_left_alone(world: World) -> None:
    other = await lead(
        world, name="Florence", email="florence@example.com", message="Florence", company="Florence GmbH"
    )
    ids = await company_of(world)
    before = traces(await everything(world), "Florence")
    await world.do("personErase", leadId=ids["lead"])
    assert traces(await everything(world), "Florence") == before
    assert (await world.row("leads", other))["name"] == "Florence"


async def test_a_contact_of_a_company_leaves_the_company(world: World) -> None:
    customer = await world.customer(name="Acme")
    origin = {"source": "mails", "externalId": MAIL}
    contact = (await world.do("contactCreate", customerId=customer, name=WHO, email=MAIL, **origin)).done["id"]
    await world.do("interactionLog", customerId=customer, contactId=contact, kind="CALL", subject=WHO)
    assert (await world.do("personErase", contactId=contact)).code is None
    assert traces(await everything(world)) == []
    assert (await world.row("customers", customer))["name"] == "Acme"
    assert await world.told(customer) == []


async def test_scores_do_not_quote_the_title_any_more(world: World) -> None:
    customer = await world.customer()
    contact = (await world.do("contactCreate", customerId=customer, name=WHO, title="Duchess")).done["id"]
    await world.do(
        "scoreRuleCreate", name="T", field="contactTitle", operator="EQ", value={"value": "Duchess"}, points=9
    )
    deal = (await world.do("opportunityCreate", name="D", customerId=customer, contactId=contact)).done["id"]
    scored = "SELECT score_factors::text FROM opportunities WHERE id = $1"
    assert "Duchess" in await world.database.fetchval(scored, uuid_of(deal))
    await world.do("personErase", contactId=contact)
    assert "Duchess" not in await world.database.fetchval(scored, uuid_of(deal))


async def test_what_came_since_is_erased_by_doing_it_again(world: World) -> None:
    made = await lead(world)
    await world.do("personErase", leadId=made)
    await world.do("leadUpdate", id=made, name=WHO)
    assert traces(await everything(world))
    assert (await world.do("personErase", leadId=made)).code is None
    assert traces(await everything(world)) == []


@pytest.mark.parametrize("given", [{}, {"leadId": "a", "contactId": "b"}])
async def test_one_of_them_is_named(world: World, given: dict[str, str]) -> None:
    ids = {"leadId": await lead(world), "contactId": await world.contact()}
    answer = await world.do("personErase", **{name: ids[name] for name in given})
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "customerId")
    assert (await world.do("personErase", leadId=ids["leadId"])).code is None  # other tests look for traces


async def test_a_company_is_nobody(world: World) -> None:
    answer = await world.do("personErase", customerId=await world.customer(kind="COMPANY"))
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "customerId")


@pytest.mark.parametrize("table", ["lead_transitions", "pool_moves"])
@pytest.mark.parametrize(
    "change", ["reason = NULL, occurred_at = now() + interval '1 s'", "reason = 'x'", "id = uuidv7()"]
)
async def test_histories_let_nothing_but_a_reason_go(world: World, table: str, change: str) -> None:
    """The attack: to rewrite a history under the cover of an erasure."""
    ids = await company_of(world)
    with pytest.raises(asyncpg.RestrictViolationError):
        await world.database.execute(f"UPDATE {table} SET reason = NULL")
    await world.do("personErase", leadId=ids["lead"])
    with pytest.raises(asyncpg.RestrictViolationError):
        await world.database.execute(f"UPDATE {table} SET {change}")
    with pytest.raises(asyncpg.RestrictViolationError):
        await world.database.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize(
    "change",
    ["explanation = 'Erased', reason = 'MATCHED'", "explanation = 'x'", "explanation = 'Erased', id = uuidv7()"],
)
async def test_decisions_let_nothing_but_an_explanation_go(world: World, change: str) -> None:
    """The attack: to rewrite why a lead went to somebody under the cover of an erasure."""
    ids = await company_of(world)
    with pytest.raises(asyncpg.RestrictViolationError):
        await world.database.execute("UPDATE assignment_decisions SET explanation = 'Erased'")
    await world.do("personErase", leadId=ids["lead"])
    with pytest.raises(asyncpg.RestrictViolationError):
        await world.database.execute(f"UPDATE assignment_decisions SET {change}")
    with pytest.raises(asyncpg.RestrictViolationError):
        await world.database.execute("DELETE FROM assignment_decisions")
