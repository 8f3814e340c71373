"""Payments, allocations, exchange rates, periods and entries of the books, codes of accounts."""

from enum import StrEnum
from typing import Any

from crmgql import models
from crmgql.engine.declare import any_one, column, derived, many, money, node, one
from crmgql.planner import codecs
from crmgql.schema.money import postings
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
    allocations = many("Allocation", "payment", few=True)
    commissions = many("Commission", "payment", order="-earnedAt", few=True)


def _is_undone() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        same = [
            ast.eq(ast.Col("undoing", "customer_id"), ast.Col(t, "customer_id")),
            ast.eq(ast.Col("undoing", "undoes_id"), ast.Col(t, "id")),
        ]
        return (ast.Exists(ast.Select((), ast.Table("allocations", "undoing"), where=ast.all_of(same))),)

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
    undone = _is_undone()
    customer = one()
    order = one()
    payment = one()
    undoes = one("The allocation that this one undoes.")


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


LedgerPhase: Any = StrEnum("LedgerPhase", [(each.name, each.value) for each in models.Phase])  # type: ignore[misc]
AccountPurpose: Any = StrEnum("AccountPurpose", [(each.name, each.value) for each in models.Purpose])  # type: ignore[misc]


@node(models.AccountCode, order="code")
class AccountCode:
    """What the accountant's system calls an account of the books."""

    purpose = column(enum=AccountPurpose)
    code = column(sort=True)
    name = column()
    name_zh = column(doc="Its Chinese name.")


@node(models.LedgerEntry, plural="ledgerEntries", order="-id")
class LedgerEntry:
    """What one event posted to the books: amounts that moved from accounts to others, of one customer or of the company itself."""

    kind = column(doc="The event, such as order.confirmed.")
    phase = column(enum=LedgerPhase, doc="PENDING ones hold money; POSTED or VOIDED ones that `resolvesId` end them.")
    key = column(doc="Unique for its owner: what is posted once.")
    source_type = column()
    source = any_one("source_type", "source_id", "What it is about; null if you may not see it.")
    source_id = postings.source_id()
    effective_on = column(doc="The company's day that it counts on.")
    recorded_at = column()
    adjusting = column("is_adjusting", doc="Whether it was posted to a soft closed day.")
    base_currency = column()
    reverses_id = postings.other("reverses_id", "The entry whose reverse it is.")
    resolves_id = postings.other("resolves_id", "The pending entry that it ends.")
    customer = one("Null for what is no customer's.")
    actor = one()
    postings = postings.postings()
