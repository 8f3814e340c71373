"""Cases of payouts, and of what reconciliation finds."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.schema.cases import case, move
from tests.schema.world import NOW, World, id_of, money, uuid_of

FINANCE = "ADMIN FINANCE"


async def payout(world: World) -> str:
    given = {"provider": "stripe", "reference": f"po_{uuid4().hex}", "net": money("5.00"), "pending": True}
    return (await world.do("payoutRecord", **given)).done["id"]  # type: ignore[no-any-return]


async def exception(world: World) -> str:
    """An order of which too little was paid."""
    run = await world.insert("reconciliation_runs", reconciled_on=NOW.date())
    order = uuid_of(await world.order("CONFIRMED"))
    customer = await world.database.fetchval("SELECT customer_id FROM orders WHERE id = $1", order)
    given = {
        "run_id": run,
        "kind": "ORDER_PAYMENT_MISMATCH",
        "owner_id": customer,
        "customer_id": customer,
        "subject_type": "Order",
        "subject_id": order,
        "currency": "EUR",
        "finding": "Of 2.00 EUR, 0.01 is not paid.",
        "found_at": NOW,
    }
    return id_of("ReconciliationException", await world.insert("reconciliation_exceptions", **given))


@case("payoutRecord", FINANCE)
async def payout_record(world: World, role: str) -> dict[str, Any]:
    return {"provider": "stripe", "reference": f"po_{uuid4().hex}", "net": money("5.00")}


move("payoutReceive", FINANCE, payout)
move("payoutFail", FINANCE, payout, reason="The account is closed.")
move("reconciliationExceptionClose", FINANCE, exception, reason="They want it that way.")
