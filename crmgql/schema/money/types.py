"""Payments, allocations, money in suspense, write-offs, exchange rates, periods of the books."""

from typing import Any

from crmgql import models
from crmgql.engine.declare import column, derived, many, money, node, one
from crmgql.planner import codecs
from crmgql.sql import ast
from crmgql.viewer import Who


@node(models.Payment, order="-createdAt")
class Payment:
    """A payment that was received or is expected; without an order it is a prepayment."""

    amount = money("amount")
    currency = column()
    method = column(enum=models.PaymentMethod)
    status = column(enum=models.PaymentStatus)
    installments = column()
    received_at = column(sort=True)
    reference = column()
    provider = column()
    provider_reference = column()
    customer = one()
    order = one()
    suspense = one("What it was before anybody knew whose it is.")
    allocations = many("Allocation", "payment", few=True)
    commissions = many("Commission", "payment", order="-earnedAt", few=True)


def _is_undone(table: str) -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        same = [
            ast.eq(ast.Col("undoing", "customer_id"), ast.Col(t, "customer_id")),
            ast.eq(ast.Col("undoing", "undoes_id"), ast.Col(t, "id")),
        ]
        return (ast.Exists(ast.Select((), ast.Table(table, "undoing"), where=ast.all_of(same))),)

    return derived(build, codecs.BOOLEAN, "Whether another one undoes it.", needs=("id", "customer_id"))


@node(models.Allocation)
class Allocation:
    """A part of a payment that settles a part of an order. Undoing one makes another with the same figures, which `undoes` it:
    what is settled is the sum of those that neither are undone nor undo another.
    """

    amount = money("amount", "What it settles of the order, in the order's currency.")
    currency = column()
    paid = money("paid_amount", "What the payment gives for it, in the payment's currency.", currency="paid_currency")
    allocated_on = column(doc="The day on which it counts in the books.")
    undone = _is_undone("allocations")
    customer = one()
    order = one()
    payment = one()
    undoes = one("The allocation that this one undoes.")


@node(models.SuspenseReceipt, order="-receivedAt")
class SuspenseReceipt:
    """Money that came in and of which nobody knows whose it is, until it becomes a customer's payment or goes back."""

    amount = money("amount")
    currency = column()
    method = column(enum=models.PaymentMethod)
    status = column(enum=models.SuspenseStatus)
    status_reason = column(doc="Why it went back.")
    received_at = column(sort=True)
    ended_at = column(doc="When it was assigned or returned.")
    payer = column(doc="Who paid, as the bank or provider says.")
    reference = column(doc="What whoever paid said.")
    provider = column()
    provider_reference = column()
    payments = many("Payment", "suspense", "The payment that it became.")


@node(models.WriteOff)
class WriteOff:
    """A part of an order that nobody asks for any more. Undoing one makes another with the same figures, which `undoes` it: what
    is written off is the sum of those that neither are undone nor undo another.
    """

    amount = money("amount")
    currency = column()
    account = column(enum=models.WriteOffAccount)
    reason = column(doc="It goes when the customer is erased.")
    written_off_on = column(doc="The day on which it counts in the books.")
    undone = _is_undone("write_offs")
    customer = one()
    order = one()
    allocation = one("The allocation that it completes: undoing that undoes it, too.")
    undoes = one("The write-off that this one undoes.")


@node(models.FxRate, order="-effectiveOn")
class FxRate:
    """What one unit of a currency is worth in the base currency of the books, from a day on, until a later day has a rate.

    Of several for the same day the newest counts: the one with the largest id.
    """

    currency = column()
    base_currency = column()
    effective_on = column(sort=True)
    rate = column()
    source = column(doc="Who says so, such as MANUAL, ECB, or the source of an import.")


@node(models.AccountingPeriod, order="-firstOn")
class AccountingPeriod:
    """Days of the books that are open, soft closed (adjusting entries only) or closed. Days without a period are open."""

    first_on = column(sort=True)
    last_on = column()
    status = column(enum=models.PeriodStatus)
    closed_at = column(doc="When it was closed or soft closed.")
