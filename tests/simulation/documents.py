"""Steps with refunds, disputes, invoices, credit notes, credit, write-offs and suspense, and with what a provider says."""

from __future__ import annotations

from typing import Any

from tests.simulation.company import Asked, Company
from tests.simulation.steps import COMMITTED, STEPS, often

__all__ = ["STEPS"]

INTENTS = 3
"""How many payments a provider knows of a company."""


@often(4)
def refund(company: Company) -> Asked | None:
    payment = company.one_of("Payment", "RECEIVED")
    more: dict[str, Any] = {}
    if company.chance(0.2):
        customer = company.dice.choice(company.customers)
        more = {"customerId": customer, "method": "CASH", "amount": company.amount(company.currency(), 1000)}
    elif payment is None:
        return None
    else:
        more = {"paymentId": payment}
        more |= {"amount": company.amount(company.currency_of(payment))} if company.chance(0.6) else {}
        allocation = company.one_of("Allocation", "MADE", like=payment)
        more |= {"allocationIds": [allocation]} if allocation and company.chance(0.2) else {}
    if company.chance(0.3):
        return company.request("refundRecord", **more, refundedAt=company.moment())
    return company.request("refundRequest", **more)


@often(5)
def end_refund(company: Company) -> Asked | None:
    id = company.one_of("Refund", "REQUESTED", "UNKNOWN")
    verb = company.dice.choice(("refundSucceed", "refundSucceed", "refundFail", "refundMarkUnknown", "refundCancel"))
    return company.request(verb, id=id) if id else None


@often(3)
def write_off(company: Company) -> Asked | None:
    """All that is open, or a part."""
    order, invoice = company.one_of("Order", *COMMITTED, "SHIPPED"), company.one_of("Invoice", "ISSUED")
    if order is None:
        return None
    given: dict[str, Any] = {"invoiceId": invoice} if invoice and company.chance(0.3) else {"orderId": order}
    given |= {"amount": company.amount(company.currency_of(order), 300)} if company.chance(0.7) else {}
    return company.request("writeOff", reason="It is not worth a letter.", **given)


@often(2)
def undo_write_off(company: Company) -> Asked | None:
    id = company.one_of("WriteOff", "MADE")
    return company.request("writeOffUndo", id=id) if id else None


@often(2)
def pay_without_a_word(company: Company) -> Asked:
    return company.request(
        "suspenseReceive", amount=company.amount(company.currency()), method="CASH", payer=company.name
    )


@often(3)
def end_suspense(company: Company) -> Asked | None:
    id = company.one_of("SuspenseReceipt", "OPEN")
    if id is None:
        return None
    if company.chance(0.2):
        return company.request("suspenseReturn", id=id, reason="Not ours.")
    order = company.one_of("Order", *COMMITTED) if company.chance(0.5) else None
    whose = {"orderId": order} if order else {"customerId": company.dice.choice(company.customers)}
    return company.request("suspenseAssign", id=id, **whose)


@often(2)
def dispute(company: Company) -> Asked | None:
    id = company.one_of("Payment", "RECEIVED")
    if id is None:
        return None
    given: dict[str, Any] = {"amount": company.amount(company.currency_of(id), 2000)} if company.chance(0.5) else {}
    given |= {"fee": company.amount(company.currency_of(id), 20)} if company.chance(0.2) else {}
    return company.request("disputeOpen", paymentId=id, openedAt=company.moment(), **given)


@often(3)
def end_dispute(company: Company) -> Asked | None:
    id = company.one_of("Dispute", "OPEN")
    return company.request(company.dice.choice(("disputeWin", "disputeLose", "disputeLose")), id=id) if id else None


@often(5)
def invoice(company: Company) -> Asked | None:
    id = company.one_of("Order", *COMMITTED, "SHIPPED")
    if id is None:
        return None
    given: dict[str, Any] = {"paymentTerms": "30% NET 0, 70% NET 30"} if company.chance(0.3) else {}
    given |= {"amount": company.amount(company.currency_of(id))} if company.chance(0.4) else {}
    return company.request("invoiceCreate", orderId=id, **given)


@often(6)
def end_invoice(company: Company) -> Asked | None:
    id = company.one_of("Invoice", "DRAFT")
    if id is None:
        return None
    if company.chance(0.15):
        return company.request("invoiceDiscard", id=id)
    return company.request("invoiceIssue", id=id, series=series(company))


def series(company: Company) -> str:
    """The company's own: numbers of a series are in the order of days, and each seed begins again."""
    return company.name[-10:].upper()


@often(4)
def credit_note(company: Company) -> Asked | None:
    id, line = company.one_of("Invoice", "ISSUED"), company.one_of("InvoiceLine")
    if id is None:
        return None
    given: dict[str, Any] = {"amount": company.amount(company.currency_of(id))} if company.chance(0.5) else {}
    if line is not None and company.chance(0.3):
        more = {"net": company.amount(company.currency_of(id), 1500)} if company.chance(0.5) else {}
        given = {"lines": [{"invoiceLineId": line, **more}]}
    return company.request("creditNoteIssue", invoiceId=id, reason="Broken.", series=series(company), **given)


@often(4)
def use_credit(company: Company) -> Asked | None:
    order, invoice = company.one_of("Order", *COMMITTED), company.one_of("Invoice", "ISSUED")
    if order is None:
        return None
    given: dict[str, Any] = {"invoiceId": invoice} if invoice and company.chance(0.4) else {"orderId": order}
    given |= {"amount": company.amount(company.currency_of(order), 1500)} if company.chance(0.4) else {}
    customer = company.known(order).owner if company.chance(0.9) else company.dice.choice(company.customers)
    return company.request("creditApply", customerId=customer, **given)


@often(6)
def provider_says(company: Company) -> Asked:
    """Something of one of a few payments, in any order; each again and again."""
    number = company.dice.randrange(INTENTS)
    intent, charge = f"pi_{number}_{company.name}", f"ch_{number}_{company.name}"
    amount = 1000 * (number + 1)
    about = {"payment_intent": intent, "charge": charge, "currency": "usd"}
    order = company.one_of("Order", *COMMITTED)
    says: list[tuple[int, str, dict[str, Any]]] = [
        (6, "payment_intent.succeeded", {"id": intent, "amount_received": amount, "latest_charge": charge}),
        (2, "payment_intent.processing", {"id": intent, "latest_charge": charge}),
        (2, "charge.refunded", {"id": charge, "amount_refunded": company.dice.randrange(1, amount), "captured": True}),
        (2, "refund.updated", {"id": f"re_{number}_{company.name}", "amount": 250, "status": "succeeded"}),
        (1, "refund.updated", {"id": f"re_{number}_{company.name}", "amount": 250, "status": "failed"}),
        (2, "charge.dispute.created", {"id": f"dp_{number}_{company.name}", "status": "needs_response"}),
        (1, "charge.dispute.closed", {"id": f"dp_{number}_{company.name}", "status": "won"}),
        (1, "charge.dispute.closed", {"id": f"dp_{number}_{company.name}", "status": "lost"}),
    ]
    ((_, kind, about_it),) = company.dice.choices(says, [weight for weight, *_ in says])
    object = kind.split(".")[1] if kind.startswith("charge.dispute") else kind.split(".")[0]
    reference = order if order and number % 2 else company.customers[0]
    thing = {"object": object, "amount": amount, **about, "metadata": {"order_id": reference}, **about_it}
    again = company.dice.randrange(3)
    event = f"evt_{kind}_{thing.get('status')}_{number}_{again}_{company.name}"
    return company.request("(post)", kind=kind, thing=thing, event=event, at=company.dice.choice((-60, 0, 60)))


@often(8)
def follow(company: Company) -> Asked | None:
    id = company.one_of("ProviderEvent", "RECEIVED", "WAITING")
    return company.request("(follow)", id=id) if id else None


@often(3)
def job(company: Company) -> Asked:
    return company.request(company.dice.choice(("(recognise)", "(recognise)", "(anchor)", "(due)")))
