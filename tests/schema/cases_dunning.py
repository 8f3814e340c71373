"""Cases of sending invoices and of reminders."""

from __future__ import annotations

from typing import Any

from tests.schema.cases import BOOKS, case, move
from tests.schema.cases_invoices import issued
from tests.schema.world import World, uuid_of


async def overdue(world: World) -> str:
    """As if it had never been a draft: a case is about a record's first version."""
    invoice = await issued(world)
    await world.database.execute("UPDATE invoices SET version = 1 WHERE id = $1", uuid_of(invoice))
    return invoice


async def stopped(world: World) -> str:
    invoice = await overdue(world)
    await world.database.execute("UPDATE invoices SET dunning_stop_reason = 'Disputed' WHERE id = $1", uuid_of(invoice))
    return invoice


async def stopped_customer(world: World) -> str:
    customer: str = await world.customer()
    await world.database.execute(
        "UPDATE customers SET dunning_stop_reason = 'Quarrel' WHERE id = $1", uuid_of(customer)
    )
    return customer


async def level(world: World) -> str:
    """The next one: no two have the same number."""
    n = await world.database.fetchval("SELECT coalesce(max(level), 0) + 1 FROM dunning_levels")
    made = await world.do("dunningLevelCreate", level=n, afterDays=n, subject="Late", body="Please pay.")
    return made.done["id"]  # type: ignore[no-any-return]


@case("invoiceSend", BOOKS)
async def invoice_send(world: World, role: str) -> dict[str, Any]:
    return {"id": await issued(world), "to": "ann@example.com"}


@case("creditNoteSend", BOOKS)
async def credit_note_send(world: World, role: str) -> dict[str, Any]:
    note = await world.do("creditNoteIssue", invoiceId=await issued(world), reason="Broken")
    return {"id": note.done["id"], "to": "ann@example.com"}


@case("customerStatementSend", BOOKS)
async def customer_statement_send(world: World, role: str) -> dict[str, Any]:
    return {"id": await world.customer(), "since": "2026-01-01", "to": "ann@example.com"}


@case("dunningLevelCreate", BOOKS)
async def dunning_level_create(world: World, role: str) -> dict[str, Any]:
    n = await world.database.fetchval("SELECT coalesce(max(level), 0) + 1 FROM dunning_levels")
    texts = {"subject": "{{ invoice.number }} is late", "body": "Please pay {{ invoice.amount }}."}
    return {"level": n, "afterDays": n, **texts}


move("invoiceStopDunning", BOOKS, overdue, reason="Disputed")
move("invoiceResumeDunning", BOOKS, stopped)
move("dunningLevelUpdate", BOOKS, level, body="Please pay at once.")


@case("customerStopDunning", BOOKS)
async def customer_stop_dunning(world: World, role: str) -> dict[str, Any]:
    return {"id": await world.customer(), "reason": "Quarrel"}


move("customerResumeDunning", BOOKS, stopped_customer)
