"""Cases of what people are paid besides commissions."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from tests.schema.cases import case, move
from tests.schema.world import World, id_of, money

PAYROLL = "PAYROLL"


async def salary(world: World, user: UUID | None = None, **values: Any) -> str:
    """From the first of January on."""
    given = {"user_id": user or await world.user("SELLER"), "amount": Decimal("4000.00"), "currency": "EUR"}
    row = {**given, "period": "MONTH", "starts_on": date(2026, 1, 1), **values}
    return id_of("Salary", await world.insert("salaries", **row))


def salaries_of(*users: str, **values: Any) -> list[dict[str, Any]]:
    said = {"startsOn": "2026-07-01", "period": "MONTH", "amount": money("5000.00"), **values}
    return [{"userId": user, **said} for user in users]


@case("salarySet", PAYROLL, events=3)
async def salary_set(world: World, role: str) -> dict[str, Any]:
    """One for somebody who has none, one that ends another."""
    first, second = await world.user("SELLER"), await world.user("SELLER")
    await salary(world, second)
    return {"salaries": salaries_of(id_of("User", first), id_of("User", second))}


move("salaryEnd", PAYROLL, salary, endsOn="2026-12-31")
move("salaryCancel", PAYROLL, salary)


async def entry(world: World, user: UUID | None = None, **values: Any) -> str:
    given = {"user_id": user or await world.user("SELLER"), "kind": "BONUS", "amount": Decimal("500.00")}
    row = {**given, "currency": "EUR", "effective_on": date(2026, 6, 30), "reason": "A good year", **values}
    return id_of("PayEntry", await world.insert("pay_entries", **row))


def entries_of(*users: str, **values: Any) -> list[dict[str, Any]]:
    said = {"kind": "BONUS", "amount": money("500.00"), "effectiveOn": "2026-06-30", "reason": "A good year", **values}
    return [{"userId": user, **said} for user in users]


@case("payEntryAdd", PAYROLL, events=2)
async def pay_entry_add(world: World, role: str) -> dict[str, Any]:
    return {"entries": entries_of(*[id_of("User", await world.user("SELLER")) for _ in range(2)])}


move("payEntryReverse", PAYROLL, entry, reason="A mistake")
