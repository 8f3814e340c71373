"""The case of erasing a person."""

from __future__ import annotations

from typing import Any

from tests.schema.cases import ADMIN, case
from tests.schema.cases_messages import lead
from tests.schema.world import World, id_of


@case("personErase", ADMIN, events=2)
async def person_erase(world: World, role: str) -> dict[str, Any]:
    return {"leadId": id_of("Lead", await lead(world)), "reason": "By letter"}
