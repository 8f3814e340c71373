"""Cases of invoices, credit notes, terms and credit."""

from __future__ import annotations

from typing import Any

from tests.schema.cases import BOOKS, case, move
from tests.schema.world import World, money


async def draft(world: World, order: str | None = None) -> str:
    order = order or await world.order("CONFIRMED")
    return (await world.do("invoiceCreate", orderId=order)).done["id"]  # type: ignore[no-any-return]


async def issued(world: World, order: str | None = None) -> str:
    return (await world.do("invoiceIssue", id=await draft(world, order))).done["id"]  # type: ignore[no-any-return]


@case("invoiceCreate", BOOKS)
async def invoice_create(world: World, role: str) -> dict[str, Any]:
    return {"orderId": await world.order("CONFIRMED"), "amount": money("5.00"), "paymentTerms": "NET 14"}


move("invoiceIssue", BOOKS, draft, events=2)
move("invoiceDiscard", BOOKS, draft)


@case("creditNoteIssue", BOOKS)
async def credit_note_issue(world: World, role: str) -> dict[str, Any]:
    return {"invoiceId": await issued(world), "reason": "Broken", "amount": money("5.00")}


@case("customerSetPaymentTerms", BOOKS)
async def customer_set_payment_terms(world: World, role: str) -> dict[str, Any]:
    return {"id": await world.customer(), "paymentTerms": "EOM 10"}


@case("creditApply", BOOKS)
async def credit_apply(world: World, role: str) -> dict[str, Any]:
    customer = await world.customer()
    paid = await world.order("CONFIRMED", customer)
    invoice = await issued(world, paid)
    assert (await world.do("paymentRecord", invoiceId=invoice, amount=money("12.50"), method="CASH")).done
    assert (await world.do("creditNoteIssue", invoiceId=invoice, reason="Late")).done
    return {"customerId": customer, "orderId": await world.order("CONFIRMED", customer), "amount": money("5.00")}
