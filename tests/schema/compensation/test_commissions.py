"""What the API says of commissions of plans: what they are, why, and what could not be paid."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest

from crmgql import db
from crmgql.domain.money import refunds
from tests.domain import work
from tests.domain.compensation.paying import assign, plan, posted
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import acting
from tests.schema.compensation.paid import Asked

SHOWN = """{ commissions(orderBy: [{field: CREATED_AT}, {field: ID}]) { nodes { kind role share earnedOn amount { amount }
    attainedBefore { amount currency } attainedAfter { amount currency } rule { name } planVersion { n text }
    explanation { why order measure basis share base tierFrom tierTo tierUnit rate amount words } } } }"""
WORDS = "{ commissions { nodes { kind amount { amount } explanation { why amount words } } } }"
PROBLEMS = "{ commissionProblems { nodes { code startsOn endsOn message user { name } } } }"
OF_USERS = "{ users { nodes { name commissionProblems { totalCount nodes { code } } } } }"
STANDING = """{ startsOn endsOn earned { amount currency } attainment { amount { amount } quota { amount } share }
    nextTier { rule rate missing { amount } } }"""
TIERS = ("0", "1000", "0.10"), ("1000", None, "0.20")


async def number_of(database: asyncpg.Connection, order: UUID) -> str:
    return str(await database.fetchval("SELECT number FROM orders WHERE id = $1", order))


async def test_a_seller_reads_why_each_amount_is_what_it_is(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID, asked: Asked
) -> None:
    await assign(database, await plan(database, *TIERS, measure="BOOKED"), ann)
    order = await confirmed(crm, customer, "1500.00")
    assert await posted(crm) == 1
    (found,) = (await asked.data(SHOWN, ann))["commissions"]["nodes"]
    number = await number_of(database, order)
    same = {"order": number, "measure": "BOOKED", "basis": "NET", "share": "1", "tierUnit": "AMOUNT", "why": "TIER"}
    assert found.pop("explanation") == [
        {
            **same,
            "base": "1000.00",
            "tierFrom": "0",
            "tierTo": "1000",
            "rate": "0.10",
            "amount": "100.00",
            "words": f"{number}, Main: 1,000.00 USD of net booked, attainment from 0 USD to 1,000 USD, at 10 %: 100.00 USD.",
        },
        {
            **same,
            "base": "500.00",
            "tierFrom": "1000",
            "tierTo": None,
            "rate": "0.20",
            "amount": "100.00",
            "words": f"{number}, Main: 500.00 USD of net booked, attainment from 1,000 USD on, at 20 %: 100.00 USD.",
        },
    ]
    assert found == {
        "kind": "EARN",
        "role": "OWNER",
        "share": "1",
        "earnedOn": "2026-11-01",
        "amount": {"amount": "200.00"},
        "attainedBefore": {"amount": "0.00", "currency": "USD"},
        "attainedAfter": {"amount": "1500.00", "currency": "USD"},
        "rule": {"name": "Main"},
        "planVersion": {"n": 1, "text": "4 % of it."},
    }


async def test_the_explanation_is_there_where_the_plan_is_hidden(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID, asked: Asked
) -> None:
    await assign(database, await plan(database), ann)
    await pay(crm, "100.00", order_id=await confirmed(crm, customer, "100.00"))
    await posted(crm)
    await database.execute("UPDATE comp_assignments SET cancelled_at = now()")
    (found,) = (await asked.data(SHOWN, ann))["commissions"]["nodes"]
    assert (found["rule"], found["planVersion"]) == (None, None)
    assert found["explanation"][0]["words"].endswith("at 4 %: 4.00 USD.")
    stranger = await work.user(database, "Bob")
    assert (await asked.data(SHOWN, stranger))["commissions"]["nodes"] == []


async def test_an_adjustment_says_what_is_due_and_what_had_been_posted(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID, asked: Asked
) -> None:
    tiers = ("0", "1500", "0.04"), ("1500", None, "0.06")
    await assign(database, await plan(database, *tiers, measure="BOOKED", tier_mode="SLAB"), ann)
    await confirmed(crm, customer, "1000.00")
    await posted(crm)
    await confirmed(crm, customer, "1000.00")
    await posted(crm)
    nodes = (await asked.data(WORDS, ann))["commissions"]["nodes"]
    (adjusted,) = (each for each in nodes if each["kind"] == "ADJUST")
    assert [(each["why"], each["amount"]) for each in adjusted["explanation"]] == [
        ("TIER", "60.00"),
        ("POSTED_BEFORE", "-40.00"),
    ]
    await database.execute("UPDATE comp_assignments SET cancelled_at = now()")
    await posted(crm)
    nodes = (await asked.data(WORDS, ann))["commissions"]["nodes"]
    for each in nodes:
        assert sum(Decimal(line["amount"]) for line in each["explanation"]) == Decimal(each["amount"]["amount"])
    assert sum(Decimal(each["amount"]["amount"]) for each in nodes) == 0


async def test_what_is_taken_back_says_of_what(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID, asked: Asked
) -> None:
    await assign(database, await plan(database), ann)
    payment = await pay(crm, "1000.00", order_id=await confirmed(crm, customer, "1000.00"))
    await posted(crm)
    async with acting(crm) as act:
        refund = await refunds.request(act, payment_id=payment, amount=(Decimal("500.00"), "USD"), reason="Late")
        await refunds.succeed(act, id=refund)
    await posted(crm)
    nodes = (await asked.data(WORDS, ann))["commissions"]["nodes"]
    ((line,),) = (each["explanation"] for each in nodes if each["kind"] == "CLAWBACK")
    assert (line["why"], line["amount"]) == ("TAKEN_BACK", "-40.00")
    assert line["words"].endswith(
        "1,000.00 USD of net collected less: 100 % of what was paid for it is taken back: -40.00 USD."
    )


async def test_what_could_not_be_paid_is_said_to_whom_it_concerns(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID, asked: Asked
) -> None:
    tiers = ("0", "1", "0.04"), ("1", None, "0.08")
    await assign(database, await plan(database, *tiers, measure="BOOKED", tier_unit="QUOTA"), ann)
    await confirmed(crm, customer, "1000.00")
    assert await posted(crm) == 0
    stranger = await work.user(database, "Bob")
    (problem,) = (await asked.data(PROBLEMS, ann))["commissionProblems"]["nodes"]
    assert (problem["code"], problem["user"]) == ("QUOTA_MISSING", {"name": "Ann"})
    assert (problem["startsOn"], problem["endsOn"]) == ("2026-11-01", "2026-11-30")
    assert problem["message"].endswith("set one.")
    assert (await asked.data(PROBLEMS, stranger))["commissionProblems"]["nodes"] == []
    assert len((await asked.data(PROBLEMS, stranger, "FINANCE"))["commissionProblems"]["nodes"]) == 1
    counts = {
        each["name"]: each["commissionProblems"]["totalCount"]
        for each in (await asked.data(OF_USERS, stranger))["users"]["nodes"]
    }
    assert counts["Ann"] == counts["Bob"] == 0
    boss = await work.user(database, "Mia", roles=["MANAGER"])
    team = await work.insert(database, "teams", name="North", manager_id=boss)
    await database.execute("UPDATE users SET team_id = $1 WHERE id = $2", team, ann)
    assert len((await asked.data(PROBLEMS, boss, "MANAGER"))["commissionProblems"]["nodes"]) == 1


async def test_people_see_how_they_stand_and_others_do_not(
    crm: db.Database,
    database: asyncpg.Connection,
    customer: UUID,
    ann: UUID,
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Today is the database's."""
    monkeypatch.setattr("tests.ledger.conftest.NOW", datetime.now(UTC))
    await assign(database, await plan(database, *TIERS, measure="BOOKED", period="YEAR"), ann)
    year = (await database.fetchval("SELECT company_today()")).year
    quota = {"user_id": ann, "measure": "BOOKED", "basis": "NET", "currency": "USD", "amount": Decimal("2000.00")}
    await work.insert(database, "quotas", **quota, starts_on=date(year, 1, 1), ends_on=date(year, 12, 31))
    await confirmed(crm, customer, "400.00")
    await posted(crm)
    assert (await asked.data(f"{{ me {{ commission {STANDING} }} }}", ann))["me"]["commission"] == {
        "startsOn": f"{year}-01-01",
        "endsOn": f"{year}-12-31",
        "earned": {"amount": "40.00", "currency": "USD"},
        "attainment": {"amount": {"amount": "400.00"}, "quota": {"amount": "2000.00"}, "share": "0.2000"},
        "nextTier": {"rule": "Main", "rate": "0.20", "missing": {"amount": "600.00"}},
    }
    bob = await work.user(database, "Bob")
    query = f"{{ users {{ nodes {{ name commission {STANDING} }} }} }}"
    for viewer, role, sees in ((bob, "SELLER", False), (bob, "SUPPORT", False), (bob, "FINANCE", True)):
        nodes = (await asked.data(query, viewer, role))["users"]["nodes"]
        found = {each["name"]: each["commission"] for each in nodes}
        assert (found["Ann"] is not None) == sees
        assert found["Bob"] is None
