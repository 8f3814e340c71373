"""What a currency is worth on a day: the newest rate on or before it; what there is none for is refused by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql import db
from crmgql.errors import BadUserInput, RateMissing
from crmgql.ledger import rates
from crmgql.ledger.rates import OWN, Rate, converted
from crmgql.postgres.connection import ROLE
from crmgql.records import money
from tests.domain import work
from tests.ledger.conftest import acting

JANUARY, FEBRUARY, MARCH = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)


async def give(database: asyncpg.Connection, currency: str, day: date, rate: str, **values: Any) -> UUID:
    row = {"base_currency": "USD", "source": "MANUAL", "currency": currency, "effective_on": day, "rate": Decimal(rate)}
    return await work.insert(database, "fx_rates", **row | values)


class Counting:
    """A connection that counts what it is asked."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.statements = 0

    async def fetch(self, *args: object) -> list[asyncpg.Record]:
        self.statements += 1
        return await self.connection.fetch(*args)  # type: ignore[no-any-return]


async def test_a_rate_holds_from_its_day_until_the_next_one(crm: db.Database, database: asyncpg.Connection) -> None:
    january = await give(database, "NOK", JANUARY, "1.25")
    march = await give(database, "NOK", MARCH, "1.5")
    await give(database, "NOK", FEBRUARY, "9", base_currency="EUR")  # of books in another currency
    wanted = [("NOK", JANUARY), ("NOK", FEBRUARY), ("NOK", MARCH), ("USD", JANUARY), ("NOK", JANUARY)]
    async with acting(crm) as act:
        counting = Counting(act.tx.connection)
        found = await rates.on_days(replace(act, tx=replace(act.tx, connection=counting)), wanted)
    assert found == {
        ("NOK", JANUARY): Rate(january, Decimal("1.25")),
        ("NOK", FEBRUARY): Rate(january, Decimal("1.25")),
        ("NOK", MARCH): Rate(march, Decimal("1.5")),
        ("USD", JANUARY): OWN,
    }
    assert counting.statements == 1


async def test_a_newer_row_for_the_same_day_replaces_the_one_before(
    crm: db.Database, database: asyncpg.Connection
) -> None:
    await give(database, "NOK", JANUARY, "1.25")
    newer = await give(database, "NOK", JANUARY, "1.3")
    async with acting(crm) as act:
        assert await rates.on_day(act, "NOK", JANUARY) == Rate(newer, Decimal("1.3"))


async def test_the_base_currency_asks_nobody(crm: db.Database) -> None:
    async with acting(crm) as act:
        counting = Counting(act.tx.connection)
        assert await rates.on_day(replace(act, tx=replace(act.tx, connection=counting)), "USD", JANUARY) == OWN
        assert await rates.on_days(act, []) == {}
    assert counting.statements == 0


async def test_a_missing_rate_names_what_is_missing_and_what_to_do(
    crm: db.Database, database: asyncpg.Connection
) -> None:
    await give(database, "NOK", FEBRUARY, "1.25")
    async with acting(crm) as act:
        with pytest.raises(RateMissing) as refused:
            await rates.on_days(act, [("SEK", MARCH), ("NOK", FEBRUARY), ("NOK", JANUARY), ("SEK", FEBRUARY)])
    assert refused.value.code == "RATE_MISSING"
    assert refused.value.final
    assert refused.value.message == (
        "There is no exchange rate from NOK to USD on or before 2026-01-01, nor from SEK to USD on or before 2026-02-01;"
        " give one with fxRateSet, an import of fx_rates, or “crmgql rates set NOK 2026-01-01 …”."
    )


@pytest.mark.parametrize(
    ("amount", "rate", "base", "expected"),
    [
        ("110.00", "531", "JPY", "58410"),
        ("45.500", "3.25", "USD", "147.88"),  # 147.875
        ("0.01", "0.5", "USD", "0.01"),
        ("0.01", "0.4", "USD", "0.00"),
        ("1.00", "0.0005", "KWD", "0.001"),
        ("999999999999999.99", "0.999999999999", "USD", "999999999998999.99"),
        ("500000000000000.50", "1.000000000009", "USD", "500000000004500.50"),  # 500000000004500.5000045
    ],
)
def test_an_amount_is_rounded_half_up_to_the_base_currencys_decimals(
    amount: str, rate: str, base: str, expected: str
) -> None:
    assert str(converted(Decimal(amount), Decimal(rate), base)) == expected


@given(
    st.decimals(min_value=0, max_value="99999999999.99", places=2),
    st.decimals(min_value="0.000000000001", max_value=9999, places=12),
    st.sampled_from(["JPY", "USD", "KWD"]),
)
def test_an_amount_is_rounded_once(amount: Decimal, rate: Decimal, base: str) -> None:
    exact = int(amount.scaleb(2)) * int(rate.scaleb(12))  # in units of 10 ** -14
    unit = 10 ** (14 - money.scale(base))
    assert converted(amount, rate, base).scaleb(money.scale(base)) == Decimal((2 * exact + unit) // (2 * unit))


@pytest.mark.parametrize(("amount", "rate"), [("999999999999999", "2"), ("999999999999999.99", "1.000000000001")])
def test_what_is_too_large_for_the_books_is_refused(amount: str, rate: str) -> None:
    with pytest.raises(BadUserInput, match="too large"):
        converted(Decimal(amount), Decimal(rate), "USD")


@pytest.mark.parametrize("rate", ["0", "-1", "NaN", "Infinity", "1000000000000", "0.0000000000001"])
async def test_a_rate_is_a_positive_number(database: asyncpg.Connection, rate: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="fx_rates_rate"):
        await give(database, "NOK", JANUARY, rate)


@pytest.mark.parametrize("pair", [("USD", "USD"), ("nok", "USD"), ("NOK", "usd")])
async def test_a_pair_is_two_known_currencies(database: asyncpg.Connection, pair: tuple[str, str]) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await give(database, pair[0], JANUARY, "1", base_currency=pair[1])


async def test_the_application_may_only_add_rates(database: asyncpg.Connection) -> None:
    await database.execute(f"SET ROLE {ROLE}")
    await give(database, "NOK", JANUARY, "1.25")
    for statement in ("UPDATE fx_rates SET rate = 2", "DELETE FROM fx_rates", "TRUNCATE fx_rates"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute(statement)
