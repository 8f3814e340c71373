"""Cases of periods of the books. There is one company for all tests of a module, so each case begins without any period."""

from __future__ import annotations

from datetime import date
from typing import Any

from tests.schema.cases import case
from tests.schema.world import NOW, World, id_of

FINANCE = "ADMIN FINANCE"


async def period(world: World, status: str = "OPEN") -> str:
    """The year 2025, by hand; all days before it are closed."""
    await world.database.execute("DELETE FROM accounting_periods")
    company = await world.database.fetchval("SELECT id FROM companies")
    for first, last, now in (("1000-01-01", "2024-12-31", "CLOSED"), ("2025-01-01", "2025-12-31", status)):
        values = {
            "company_id": company,
            "first_on": date.fromisoformat(first),
            "last_on": date.fromisoformat(last),
            "status": now,
            "closed_at": None if now == "OPEN" else NOW,
        }
        id = await world.insert("accounting_periods", **values)
    return id_of("AccountingPeriod", id)


@case("periodSoftClose", FINANCE)
async def period_soft_close(world: World, role: str) -> dict[str, Any]:
    return {"id": await period(world)}


@case("periodClose", FINANCE)
async def period_close(world: World, role: str) -> dict[str, Any]:
    return {"id": await period(world, "SOFT_CLOSED")}


@case("periodReopen", FINANCE)
async def period_reopen(world: World, role: str) -> dict[str, Any]:
    return {"id": await period(world, "SOFT_CLOSED"), "reason": "A bill came late."}


@case("yearClose", FINANCE)
async def year_close(world: World, role: str) -> dict[str, Any]:
    await period(world, "SOFT_CLOSED")
    return {"year": 2025}


@case("periodRevalue", FINANCE)
async def period_revalue(world: World, role: str) -> dict[str, Any]:
    await period(world, "SOFT_CLOSED")
    return {"on": "2025-12-31"}
