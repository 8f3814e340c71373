"""What may happen in a company: each step is a mutation with arguments as the dice say, sensible or not."""

from __future__ import annotations

from datetime import timedelta

from tests.simulation.company import Asked, Company, Step

STEPS: list[tuple[int, Step]] = []
"""How often each comes, beside the others."""


def often(weight: int) -> object:
    def declare(step: Step) -> Step:
        STEPS.append((weight, step))
        return step

    return declare


@often(6)
def order(company: Company) -> Asked:
    currency = company.currency()
    lines = [
        {"quantity": str(company.dice.randrange(1, 4)), "description": "Thing", "unitPrice": company.amount(currency)}
        for _ in range(company.dice.randrange(1, 4))
    ]
    more = {"tax": company.amount(currency, 500)} if company.chance(0.5) else {}
    return company.request(
        "orderCreate", customerId=company.dice.choice(company.customers), currency=currency, lines=lines, **more
    )


@often(8)
def confirm(company: Company) -> Asked | None:
    id = company.one_of("Order")
    return company.request("orderConfirm", id=id) if id else None


@often(2)
def cancel(company: Company) -> Asked | None:
    id = company.one_of("Order")
    return company.request("orderCancel", id=id) if id else None


@often(1)
def ship(company: Company) -> Asked | None:
    id = company.one_of("Order")
    return company.request("orderShip", id=id) if id else None


@often(8)
def pay(company: Company) -> Asked:
    order = company.one_of("Order") if company.chance(0.6) else None
    whose = {"orderId": order} if order else {"customerId": company.dice.choice(company.customers)}
    given = whose | {"amount": company.amount(company.currency()), "method": "CASH"}
    if company.chance(0.3):
        reference = company.dice.randrange(5)
        given |= {"provider": "stripe", "providerReference": f"{company.customers[0]} {reference}"}
    if company.chance(0.2):
        given |= {"pending": True}
    return company.request("paymentRecord", **given)


@often(3)
def end_pending(company: Company) -> Asked | None:
    id = company.one_of("Payment")
    verb = company.dice.choice(("paymentReceive", "paymentFail", "paymentCancel"))
    return company.request(verb, id=id) if id else None


@often(8)
def allocate(company: Company) -> Asked | None:
    id, order = company.one_of("Payment"), company.one_of("Order")
    if id is None:
        return None
    given = {"orderId": order} if order and company.chance(0.6) else {}
    given |= {"amount": company.amount(company.currency())} if company.chance(0.5) else {}
    return company.request("paymentAllocate", id=id, **given)


@often(4)
def undo(company: Company) -> Asked | None:
    id = company.one_of("Allocation")
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
