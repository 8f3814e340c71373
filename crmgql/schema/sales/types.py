"""Orders and their lines."""

from crmgql import models
from crmgql.engine.declare import column, many, money, node, one, through
from crmgql.planner.metadata import Through
from crmgql.schema.customers import aggregates
from crmgql.schema.sales import contracts
from crmgql.schema.sales.revenue import order_revenue


@node(models.Order, order="-orderedAt")
class Order:
    """A customer's order; the total is subtotal + shipping + tax − discount."""

    number = column()
    status = column(enum=models.OrderStatus)
    currency = column()
    subtotal = money()
    shipping = money()
    tax = money()
    discount = money()
    total = money()
    credit_approved = money(doc="Up to which total the order may lead past its customer's credit limit.")
    paid = aggregates.order_paid()
    outstanding = aggregates.order_outstanding()
    invoiced = aggregates.order_invoiced()
    cost = aggregates.order_cost()
    margin = aggregates.order_margin()
    revenue = order_revenue()
    ordered_at = column(sort=True)
    confirmed_at = column()
    shipped_at = column()
    delivered_at = column()
    cancelled_at = column()
    expected_delivery_at = column()
    note = column(filter=False)
    customer = one()
    seller = one()
    opportunity = one()
    contract = one()
    lines = many("OrderLine", "order", order="position", few=True)
    payments = through(
        "Payment",
        Through("order_payments", "order_id", "payment_id", "Allocation"),
        "Payments for this order, and others of which something settles it.",
        order="-receivedAt",
    )
    invoices = many("Invoice", "order", few=True)
    allocations = many("Allocation", "order", few=True)
    write_offs = many("WriteOff", "order", few=True)
    ledger_entries = through(
        "LedgerEntry",
        Through("order_entries", "order_id", "entry_id", "Allocation"),
        "What was posted for it, and what moved what is owed or credited of it.",
    )
    commissions = many("Commission", "order", order="-earnedAt", few=True)
    commission_splits = many("CommissionSplit", "order", few=True)
    tickets = many("Ticket", "order")


@node(models.OrderLine, plural="orderLines")
class OrderLine:
    """A line of an order; its amount is quantity × unit price − discount, rounded to the currency."""

    position = column()
    description = column()
    quantity = column()
    currency = column()
    unit_price = money()
    discount = money()
    shipping = money()
    amount = money("line_amount")
    unit_cost = money(doc="Seen by finance, managers and administrators.")
    customer = one()
    order = one()
    product = one()
    seller = one()


@node(models.Contract, order="-startsOn")
class Contract:
    """What was agreed with a customer, with a plan of what is to be paid by when. Orders may be placed under it."""

    number = column()
    title = column()
    parties = column(filter=False, doc="Who they are, in words.")
    status = column(enum=models.ContractStatus)
    starts_on = column(sort=True)
    ends_on = column()
    currency = column()
    value = money()
    activated_at = column()
    ended_at = column()
    customer = one()
    owner = one()
    orders = many("Order", "contract", order="-orderedAt")
    payments = many("ContractPayment", "contract", order="n", few=True)


@node(models.ContractPayment, order="dueOn")
class ContractPayment:
    """A part of a contract's value that is to be paid by a day."""

    n = column(sort=True)
    due_on = column(sort=True)
    currency = column()
    amount = money("amount")
    received = contracts.received()
    outstanding = contracts.outstanding()
    overdue = contracts.overdue()
    reminder_days = column(doc="How many days before it is due its owner is reminded; null: not before it is overdue.")
    reminded_at = column(doc="When somebody was told that it will be due.")
    alerted_at = column(doc="When somebody was told that it is overdue.")
    escalated_at = column(doc="When a manager was told that it is overdue for a week.")
    customer = one()
    contract = one()
    owner = one()
