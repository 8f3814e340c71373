"""What months may bring: booked orders beside open opportunities by how likely they are."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql import db
from crmgql.engine.operations import Engine, Request
from crmgql.viewer import Viewer, Who
from tests.conftest import NOW, viewer
from tests.domain import work
from tests.domain.money.test_revenue_reports import ADMIN, Shop

QUERY = """query($since: Date, $until: Date, $currency: CurrencyCode) { forecast(since: $since, until: $until, currency: $currency) {
    month currency opportunities booked { amount currency } amount { amount } weighted { amount } expected { amount } } }"""
Months = dict[tuple[str | None, str], tuple[Any, ...]]


@pytest.fixture
async def shop(crm: db.Database, database: asyncpg.Connection, engine: Engine) -> Shop:
    return await Shop(crm, database, engine).open()


async def ask(engine: Engine, who: Viewer = ADMIN, **variables: Any) -> Any:
    return json.loads(await engine.answer(Request(QUERY, None, variables, clock=lambda: NOW), who))


async def months(engine: Engine, who: Viewer = ADMIN, **variables: Any) -> Months:
    """Booked, how many, their amounts, weighted, expected."""
    answer = await ask(engine, who, **variables)
    found: Months = {}
    for each in answer["data"]["forecast"]:
        assert each["booked"]["currency"] == each["currency"]
        amounts = [each[name]["amount"] for name in ("booked", "amount", "weighted", "expected")]
        found[each["month"], each["currency"]] = (amounts[0], each["opportunities"], *amounts[1:])
    return found


async def deal(shop: Shop, amount: str | None, close: date | None, stage: str = "Proposal", **values: Any) -> UUID:
    stages = {row["name"]: row["id"] for row in await shop.database.fetch("SELECT id, name FROM stages")}
    given = {"customer_id": shop.customers[0], "currency": "USD", "probability": 40, **values}
    money = None if amount is None else Decimal(amount)
    return await work.insert(
        shop.database, "opportunities", name="Deal", stage_id=stages[stage], amount=money, expected_close=close, **given
    )


async def test_booked_and_weighted(shop: Shop, engine: Engine) -> None:
    await shop.sell(shop.line("10.00", 0))
    await shop.sell(shop.line("7.00", None, "EUR"), currency="EUR")
    await deal(shop, "100.01", date(2026, 11, 30), probability=50)
    await deal(shop, "20.00", date(2026, 11, 1))
    await deal(shop, None, date(2026, 12, 1))
    await deal(shop, "5.00", None)
    await deal(shop, "1000.00", date(2026, 11, 5), "Won", closed_on=date(2026, 11, 5))
    await deal(shop, "1000.00", date(2027, 11, 1))
    assert await months(engine) == {
        ("2026-11", "EUR"): ("7.00", 0, "0.00", "0.00", "7.00"),
        ("2026-11", "USD"): ("10.00", 2, "120.01", "58.01", "68.01"),
        ("2026-12", "USD"): ("0.00", 1, "0.00", "0.00", "0.00"),
        (None, "USD"): ("0.00", 1, "5.00", "2.00", "2.00"),
    }
    assert await months(engine, currency="EUR") == {("2026-11", "EUR"): ("7.00", 0, "0.00", "0.00", "7.00")}
    assert list(await months(engine, since="2027-11-01", until="2027-11-30")) == [("2027-11", "USD"), (None, "USD")]
    (error,) = (await ask(engine, since="2026-02-02", until="2026-02-01"))["errors"]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("BAD_USER_INPUT", "until")


async def test_without_a_probability_of_its_own_a_deal_has_its_stages(shop: Shop, engine: Engine) -> None:
    await deal(shop, "100.00", date(2026, 11, 30), probability=None)
    for probability, weighted in ((25, "25.00"), (None, "0.00")):
        await shop.database.execute("UPDATE stages SET probability = $1 WHERE name = 'Proposal'", probability)
        assert (await months(engine))["2026-11", "USD"][3] == weighted


async def test_only_what_one_sees_counts(shop: Shop, engine: Engine) -> None:
    for customer, owner in enumerate((shop.ann, shop.bob)):
        await shop.sell(shop.line("10.00"), customer=customer)
        await deal(shop, "100.00", date(2026, 11, 30), customer_id=shop.customers[customer], owner_id=owner)
    assert (await months(engine))["2026-11", "USD"] == ("20.00", 2, "200.00", "80.00", "100.00")
    assert (await months(engine, viewer(shop.ann, "SELLER")))["2026-11", "USD"] == (
        "10.00",
        1,
        "100.00",
        "40.00",
        "50.00",
    )
    assert await months(engine, viewer(UUID(int=9), "SELLER")) == {}
    key = Viewer(UUID(int=0), Who(frozenset(["ADMIN"]), frozenset(["orders:read"])), UUID(int=1), clock=lambda: NOW)
    assert (await ask(engine, key))["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_the_month_is_the_companys(shop: Shop, engine: Engine) -> None:
    """In Auckland it is the first of November while it is still October elsewhere."""
    await shop.database.execute("UPDATE companies SET timezone = 'Pacific/Auckland'")
    await deal(shop, "100.00", date(2027, 10, 31))
    moment = datetime(2026, 10, 31, 12, tzinfo=NOW.tzinfo)
    late = Viewer(UUID(int=0), Who(frozenset(["ADMIN"])), clock=lambda: moment)
    body = json.loads(await engine.answer(Request(QUERY, None, {}, clock=lambda: moment), late))
    assert [each["month"] for each in body["data"]["forecast"]] == ["2027-10"]
