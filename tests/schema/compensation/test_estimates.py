"""What closing a deal would bring: as much as it brings when it closes, and nothing is written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql import db
from tests.domain import work
from tests.domain.compensation.paying import assign, plan, posted
from tests.domain.sales.test_revenue import confirmed
from tests.schema.compensation.paid import Asked
from tests.schema.world import id_of

ASK = """query($deal: ID, $amount: Decimal, $currency: CurrencyCode, $on: Date, $whom: ID) {
  commissionWhatIf(opportunityId: $deal, dealAmount: $amount, currency: $currency, closeOn: $on, userId: $whom) {
    closeOn hasPlan brings { amount currency } lines { why order amount words } adjusts { amount currency } problems } }"""
TIERS = ("0", "1000", "0.10"), ("1000", None, "0.20")
COUNTS = (
    "SELECT (SELECT count(*) FROM commissions), (SELECT count(*) FROM commission_events), (SELECT count(*) FROM events)"
)


async def what_if(asked: Asked, user: UUID, role: str = "SELLER", **variables: Any) -> Any:
    return (await asked.data(ASK, user, role, **variables))["commissionWhatIf"]


async def refused(asked: Asked, user: UUID, **variables: Any) -> tuple[str, str]:
    (error,) = (await asked.answer(ASK, user, **variables))["errors"]
    return error["extensions"]["code"], error["extensions"]["field"]


async def deal(database: asyncpg.Connection, owner: UUID | None, **values: Any) -> str:
    stage = await database.fetchval(
        "SELECT s.id FROM stages s JOIN pipelines p ON p.id = pipeline_id WHERE is_default AND s.status = 'OPEN' LIMIT 1"
    )
    given = {"name": "Big one", "stage_id": stage, "owner_id": owner, "amount": Decimal("600.00"), "currency": "USD"}
    return id_of("Opportunity", await work.insert(database, "opportunities", **(given | values)))


@pytest.mark.parametrize("mode", ["MARGINAL", "SLAB"])
async def test_it_is_what_the_deal_brings_when_it_closes(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, ann: UUID, asked: Asked, mode: str
) -> None:
    await assign(database, await plan(database, *TIERS, measure="BOOKED", tier_mode=mode), ann)
    await confirmed(crm, customer, "800.00")
    await posted(crm)
    before = await database.fetchrow(COUNTS)
    found = await what_if(asked, ann, amount="600.00", currency="USD")
    assert await database.fetchrow(COUNTS) == before
    paid = await database.fetchval("SELECT sum(amount) FROM commissions")
    await confirmed(crm, customer, "600.00")
    await posted(crm)
    more = await database.fetchval("SELECT sum(amount) FROM commissions") - paid
    assert Decimal(found["brings"]["amount"]) + sum(Decimal(each["amount"]) for each in found["adjusts"]) == more
    amounts = [each["amount"] for each in found["lines"]]
    if mode == "MARGINAL":
        assert (amounts, found["adjusts"]) == (["20.00", "80.00"], [])
    else:
        assert (amounts, found["adjusts"]) == (["120.00"], [{"amount": "80.00", "currency": "USD"}])
    assert found["lines"][0]["words"].startswith("The deal, Main: ")


async def test_an_opportunity_pays_its_owner(
    crm: db.Database, database: asyncpg.Connection, ann: UUID, asked: Asked
) -> None:
    await assign(database, await plan(database), ann)
    mine = await deal(database, ann)
    found = await what_if(asked, ann, deal=mine)
    assert (found["brings"], found["lines"][0]["order"]) == ({"amount": "24.00", "currency": "USD"}, "Big one")
    assert (await what_if(asked, ann, deal=mine, amount="1000.00", on="2027-02-01"))["brings"]["amount"] == "40.00"
    bob = await work.user(database, "Bob")
    assert (await what_if(asked, bob, "FINANCE", deal=mine))["brings"]["amount"] == "24.00"
    assert await refused(asked, bob, deal=mine) == ("NOT_FOUND", "opportunityId")
    assert await refused(asked, bob, whom=id_of("User", ann), amount="1.00", currency="USD") == ("NOT_FOUND", "userId")


async def test_nothing_without_a_plan_a_quota_or_a_rate(
    crm: db.Database, database: asyncpg.Connection, ann: UUID, asked: Asked
) -> None:
    found = await what_if(asked, ann, amount="600.00", currency="USD")
    assert (found["hasPlan"], found["brings"]["amount"], found["lines"]) == (False, "0.00", [])
    await assign(database, await plan(database, tier_unit="QUOTA"), ann)
    found = await what_if(asked, ann, amount="600.00", currency="USD")
    assert (found["hasPlan"], found["brings"]["amount"]) == (True, "0.00")
    assert found["problems"][0].endswith("set one.")
    found = await what_if(asked, ann, amount="600", currency="JPY")
    assert (found["brings"]["amount"], len(found["problems"])) == ("0", 1)


async def test_what_can_not_be_asked(database: asyncpg.Connection, ann: UUID, asked: Asked) -> None:
    mine, nobodys = await deal(database, ann), await deal(database, None)
    assert await refused(asked, ann) == ("BAD_USER_INPUT", "dealAmount")
    assert await refused(asked, ann, amount="1.00") == ("BAD_USER_INPUT", "dealAmount")
    assert await refused(asked, ann, amount="1.001", currency="USD") == ("BAD_USER_INPUT", "dealAmount")
    assert await refused(asked, ann, deal=mine, currency="EUR") == ("CURRENCY_MISMATCH", "currency")
    assert await refused(asked, ann, deal=mine, whom=id_of("User", ann)) == ("BAD_USER_INPUT", "userId")
    assert await refused(asked, ann, deal=nobodys) == ("NOT_FOUND", "opportunityId")
    assert await refused(asked, ann, amount="1.00", currency="USD", on="9999-01-01") == ("BAD_USER_INPUT", "closeOn")
