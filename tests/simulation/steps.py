"""What may happen in a company: each step is a mutation with arguments as the dice say, sensible or not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.simulation.company import Asked, Company, Step

STEPS: list[tuple[int, Step]] = []
"""How often each comes, beside the others."""


COMMITTED = ("CONFIRMED", "PROCESSING", "INVOICED", "UNAVAILABLE")
"""Of an order that is owed and not shipped."""


def often(weight: int) -> Callable[[Step], Step]:
    def declare(step: Step) -> Step:
        STEPS.append((weight, step))
        return step

    return declare


@often(6)
def order(company: Company) -> Asked:
    currency = company.currency()
    more: dict[str, Any] = {"tax": company.amount(currency, 500)} if company.chance(0.5) else {}
    more |= {"discount": company.amount(currency, 200)} if company.chance(0.2) else {}
    given = {"currency": currency, "lines": lines(company, currency), **more}
    return company.request("orderCreate", customerId=company.dice.choice(company.customers), **given)


def lines(company: Company, currency: str) -> list[dict[str, Any]]:
    made = []
    for _ in range(company.dice.randrange(1, 4)):
        line: dict[str, Any] = {"quantity": str(company.dice.randrange(1, 4)), "unitPrice": company.amount(currency)}
        line |= {"productId": company.one_of("Product")} if company.chance(0.4) else {"description": "Thing"}
        line |= {"shipping": company.amount(currency, 300)} if company.chance(0.2) else {}
        made.append(line)
    return made


@often(8)
def confirm(company: Company) -> Asked | None:
    id = company.one_of("Order", "DRAFT")
    return company.request("orderConfirm", id=id) if id else None


@often(1)
def cancel(company: Company) -> Asked | None:
    id = company.one_of("Order", *COMMITTED)
    return company.request("orderCancel", id=id) if id else None


@often(5)
def amend(company: Company) -> Asked | None:
    id = company.one_of("Order", *COMMITTED)
    if id is None:
        return None
    currency = company.currency_of(id)
    given: dict[str, Any] = {"lines": lines(company, currency)} if company.chance(0.6) else {}
    given |= {"tax": company.amount(currency, 500)} if company.chance(0.3) else {}
    given |= {"discount": company.amount(currency, 800)} if company.chance(0.4) else {}
    return company.request("orderAmend", id=id, reason="The customer wants it.", **given)


@often(1)
def move(company: Company) -> Asked | None:
    id = company.one_of("Order", *COMMITTED, "SHIPPED")
    verb = company.dice.choice(("orderHold", "orderProcess", "orderInvoice", "orderDeliver"))
    return company.request(verb, id=id) if id else None


@often(1)
def ship(company: Company) -> Asked | None:
    id = company.one_of("Order", *COMMITTED)
    return company.request("orderShip", id=id) if id else None


@often(8)
def pay(company: Company) -> Asked:
    order = company.one_of("Order", *COMMITTED) if company.chance(0.6) else None
    whose = {"orderId": order} if order else {"customerId": company.dice.choice(company.customers)}
    invoice = company.one_of("Invoice", "ISSUED")
    if invoice and company.chance(0.2):
        order, whose = invoice, {"invoiceId": invoice}
    amount = company.amount(company.currency_of(order))
    given: dict[str, Any] = {**whose, "amount": amount, "method": "CASH"}
    if company.chance(0.3):
        reference = company.dice.randrange(5)
        given |= {"provider": "stripe", "providerReference": f"{company.customers[0]} {reference}"}
    if company.chance(0.2):
        given |= {"pending": True}
    return company.request("paymentRecord", **given)


@often(3)
def end_pending(company: Company) -> Asked | None:
    id = company.one_of("Payment", "PENDING")
    verb = company.dice.choice(("paymentReceive", "paymentFail", "paymentCancel"))
    return company.request(verb, id=id) if id else None


@often(8)
def allocate(company: Company) -> Asked | None:
    id = company.one_of("Payment", "RECEIVED")
    if id is None:
        return None
    order, invoice = company.one_of("Order", *COMMITTED, like=id), company.one_of("Invoice", "ISSUED", like=id)
    given: dict[str, Any] = {"orderId": order} if order and company.chance(0.7) else {}
    given = {"invoiceId": invoice} if invoice and company.chance(0.2) else given
    given |= {"amount": company.amount(company.currency_of(id))} if company.chance(0.4) else {}
    given |= {"orderAmount": company.amount(company.currency_of(order))} if company.chance(0.1) else {}
    short = {"amount": company.amount(company.currency_of(order), 100), "reason": "Almost all of it."}
    given |= {"writeOff": short} if company.chance(0.1) else {}
    return company.request("paymentAllocate", id=id, **given)


@often(3)
def pay_for_another(company: Company) -> Asked | None:
    """Which the parent may for its subsidiary, and nobody else."""
    id, order = company.one_of("Payment", "RECEIVED"), company.one_of("Order", *COMMITTED)
    if id is None or order is None:
        return None
    given = {"amount": company.amount(company.currency_of(id))} if company.chance(0.4) else {}
    return company.request("paymentAllocate", id=id, orderId=order, **given)


@often(2)
def give_back(company: Company) -> Asked | None:
    id = company.one_of("Payment", "RECEIVED")
    given = {"amount": company.amount(company.currency_of(id))} if company.chance(0.4) else {}
    return company.request("paymentGiveBack", id=id, **given) if id else None


@often(4)
def undo(company: Company) -> Asked | None:
    id = company.one_of("Allocation", "MADE")
    return company.request("allocationUndo", id=id) if id else None


@often(1)
def move_rate(company: Company) -> Asked:
    rate = str(company.dice.randrange(50, 200) / 100)
    currency = company.dice.choice(("EUR", "JPY", "KWD"))
    return company.request("fxRateSet", currency=currency, effectiveOn=str(company.now.date()), rate=rate)


@often(1)
def close_days(company: Company) -> Asked:
    day = company.now.date() - timedelta(days=company.dice.randrange(1, 40))
    verb = company.dice.choice(("periodSoftClose", "periodClose"))
    return company.request(verb, lastOn=str(day))


@often(1)
def reopen_days(company: Company) -> Asked | None:
    id = company.one_of("AccountingPeriod")
    return company.request("periodReopen", id=id, reason="A bill was late.") if id else None


@often(1)
def revalue(company: Company) -> Asked | None:
    """On the last day of a period, if that is one."""
    day = company.now.date() - timedelta(days=company.dice.randrange(1, 3))
    return company.request("periodRevalue", on=str(day))


@often(1)
def limit_credit(company: Company) -> Asked:
    policy = company.dice.choice(("NONE", "WARN", "REFUSE"))
    given = {"creditLimit": company.amount("USD", 20_000), "creditPolicy": policy}
    return company.request("customerUpdate", id=company.dice.choice(company.customers), **given)


@often(1)
def approve_credit(company: Company) -> Asked | None:
    id = company.one_of("Order", "DRAFT")
    return company.request("creditApprove", id=id, reason="A good customer.") if id else None
