"""What people are paid besides commissions."""

from __future__ import annotations

from crmgql import models
from crmgql.engine.declare import column, money, node, one


@node(models.PayEntry, plural="payEntries", order="-effectiveOn")
class PayEntry:
    """What somebody is paid, or is taken from them, on a day, whatever they sell. Seen by that person and by payroll, by nobody else."""

    kind = column(enum=models.PayEntryKind)
    amount = money("amount", "Below zero: it is taken from the person.")
    effective_on = column(sort=True)
    reason = column()
    user = one()
    reverses = one("The entry that this one undoes.")


@node(models.Salary, plural="salaries", order="-startsOn")
class Salary:
    """What somebody is paid for a month or a year from a day on. Seen by that person and by payroll, by nobody else."""

    amount = money("amount")
    period = column(enum=models.SalaryPeriod, doc="What the amount is for.")
    starts_on = column(sort=True)
    ends_on = column(doc="The last day; null: there is none yet.")
    reason = column()
    cancelled_at = column(doc="When it was taken back: then it was never due.")
    user = one()
