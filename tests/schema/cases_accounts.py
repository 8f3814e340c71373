"""Cases of codes of accounts. There is one company for all tests of a module, so each case begins with one code."""

from __future__ import annotations

from typing import Any

from tests.schema.cases import case
from tests.schema.world import World


@case("accountCodeSet", "ADMIN FINANCE")
async def account_code_set(world: World, role: str) -> dict[str, Any]:
    company = await world.database.fetchval("SELECT id FROM companies")
    await world.database.execute("DELETE FROM account_codes")
    await world.insert("account_codes", company_id=company, purpose="BANK", code="1000", name="Bank")
    return {"purpose": "BANK", "code": "1800", "name": "Bank"}
