"""Cases of periods of the books. There is one company for all tests of a module, so each case begins without any period."""

from __future__ import annotations

from datetime import date
from typing import Any

from tests.schema.cases import case
from tests.schema.world import NOW, World, id_of

FINANCE = "ADMIN FINANCE"


async def period(world: World, status: str = "OPEN", first: str = "2025-01-01", last: str = "2025-12-31") -> str:
    """A period of these days, by hand, as the only one."""
    await world.database.execute("DELETE FROM accounting_periods")
    values = {
        "company_id": await world.database.fetchval("SELECT id FROM companies"),
        "first_on": date.fromisoformat(first),
        "last_on": date.fromisoformat(last),
        "closed_at": None if status == "OPEN" else NOW,
    }
    return id_of("AccountingPeriod", await world.insert("accounting_periods", status=status, **values))


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
