"""Orders."""

from datetime import date

from crmgql.events.declarations import ALWAYS, Changed, FreeText, Kind, Money, Payload, record_id


class LinesSet(Changed):
    """How many lines it has now."""

    lines: int


class OrderMoved(Changed):
    """The reason, if there is one."""

    reason: FreeText | None = None


class CreditApproved(Changed):
    """The total that was approved, and why."""

    amount: Money
    reason: FreeText


class CreditLimitPassed(Payload):
    """What the customer owes with the order, and the limit."""

    outstanding: Money
    limit: Money


class OrderAmended(OrderMoved):
    """The order's total before and after, and the reason."""

    total_before: Money
    total: Money


class RevenueMoved(Payload):
    """How much of the order's deferred revenue, and the company's day on which it counts."""

    amount: Money
    effective_on: date


class Split(Changed):
    """Among how many people."""

    people: int


class PlanSet(Changed):
    """How many payments it has now."""

    payments: int


class PlannedPayment(Changed):
    """The payment, what of it is open, and its day."""

    payment_id: record_id("ContractPayment")  # type: ignore[valid-type]
    amount: Money
    due_on: date


class OverduePayment(PlannedPayment):
    """Who was to be told: OWNER, or MANAGER where it is overdue for a week."""

    threshold: str


KINDS = (
    Kind("contract.created", "Contract", "A contract was drafted.", customer=ALWAYS),
    Kind("contract.updated", "Contract", "A contract's title, parties, days, owner or value changed.", customer=ALWAYS),
    Kind("contract.activated", "Contract", "A contract became active.", OrderMoved, ALWAYS),
    Kind("contract.ended", "Contract", "A contract ended as agreed.", OrderMoved, ALWAYS),
    Kind("contract.terminated", "Contract", "A contract was terminated.", OrderMoved, ALWAYS),
    Kind("contract.planSet", "Contract", "A contract's plan of payments was replaced.", PlanSet, ALWAYS),
    Kind(
        "contract.paymentDue",
        "Contract",
        "A payment of a contract's plan will be due, and is open.",
        PlannedPayment,
        ALWAYS,
    ),
    Kind("contract.paymentOverdue", "Contract", "A payment of a contract's plan is overdue.", OverduePayment, ALWAYS),
    Kind("order.created", "Order", "An order was made, as a draft.", customer=ALWAYS),
    Kind("order.updated", "Order", "An order's note, seller, dates, tax or discount changed.", customer=ALWAYS),
    Kind("order.linesSet", "Order", "A draft's lines were replaced.", LinesSet, ALWAYS),
    Kind("order.confirmed", "Order", "A draft became an order; its amounts are fixed.", OrderMoved, ALWAYS),
    Kind(
        "order.creditApproved", "Order", "An order may lead past its customer's credit limit.", CreditApproved, ALWAYS
    ),
    Kind(
        "order.creditLimitPassed",
        "Order",
        "A confirmed order led past its customer's credit limit, whose policy is to warn.",
        CreditLimitPassed,
        ALWAYS,
    ),
    Kind("order.split", "Order", "Other people are credited of an order from now on.", Split, ALWAYS),
    Kind("order.amended", "Order", "A committed order's lines, tax or discount changed.", OrderAmended, ALWAYS),
    Kind("order.processing", "Order", "Work on an order began.", OrderMoved, ALWAYS),
    Kind("order.invoiced", "Order", "An order was invoiced.", OrderMoved, ALWAYS),
    Kind("order.shipped", "Order", "An order was shipped.", OrderMoved, ALWAYS),
    Kind("order.delivered", "Order", "An order was delivered.", OrderMoved, ALWAYS),
    Kind("order.held", "Order", "An order was put on hold.", OrderMoved, ALWAYS),
    Kind("order.cancelled", "Order", "An order was cancelled.", OrderMoved, ALWAYS),
    Kind("revenue.recognised", "Order", "Deferred revenue of an order was recognised.", RevenueMoved, ALWAYS),
    Kind(
        "revenue.reversed",
        "Order",
        "Recognised revenue was taken back, as its order changed or was cancelled.",
        RevenueMoved,
        ALWAYS,
    ),
)
