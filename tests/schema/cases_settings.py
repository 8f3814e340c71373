"""Cases of the company's settings."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.schema.cases import ADMIN, case
from tests.schema.world import World


@case("companyUpdate", ADMIN)
async def company_update(world: World, role: str) -> dict[str, Any]:
    """There is one company for all tests of a module, so its version is set back."""
    await world.database.execute("UPDATE companies SET version = 1")
    return {"name": f"Works {uuid4().hex[:12]}", "locale": "de-DE", "defaultCurrency": "EUR", "firstDayOfWeek": 7}
