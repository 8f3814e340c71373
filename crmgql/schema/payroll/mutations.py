"""Mutations of salaries, and of entries of pay."""

from __future__ import annotations

import strawberry

from crmgql.domain.payroll import entries, salaries
from crmgql.engine import mutations
from crmgql.engine.inputs import UNSET, MoneyInput, input, part
from crmgql.engine.mutations import Row
from crmgql.engine.scalars import DateText
from crmgql.engine.strawberries import lazy


@part(salaries.NewSalary)
class SalaryInput:
    """What somebody is paid for a month or a year, from a day on until further notice."""

    user_id: strawberry.ID
    starts_on: DateText
    amount: MoneyInput
    period: str = strawberry.field(graphql_type=lazy("SalaryPeriod"))
    reason: str | None = UNSET


@input
class SalarySetInput:
    """At most 1000."""

    salaries: list[SalaryInput]


@input
class SalaryEndInput:
    """`endsOn`: the last day."""

    id: strawberry.ID
    ends_on: DateText
    expected_version: int | None = UNSET


@part(entries.NewPayEntry)
class PayEntryInput:
    """What somebody is paid on a day; a RECOVERY is below zero, MANUAL is either."""

    user_id: strawberry.ID
    kind: str = strawberry.field(graphql_type=lazy("PayEntryKind"))
    amount: MoneyInput
    effective_on: DateText
    reason: str


@input
class PayEntryAddInput:
    """At most 1000."""

    entries: list[PayEntryInput]


@input
class PayEntryReverseInput:
    id: strawberry.ID
    reason: str


mutations.table(
    "PayEntry",
    Row(
        "payEntryAdd",
        "Adds entries of pay, which never change. All of them, or none.",
        entries.add_many,
        input=PayEntryAddInput,
    ),
    Row(
        "payEntryReverse",
        "Undoes an entry, once, by another one of the same day, which it answers with.",
        entries.reverse,
        input=PayEntryReverseInput,
    ),
)
mutations.table(
    "Salary",
    Row(
        "salarySet",
        "Sets salaries; what somebody had before ends the day before, one from the same day is replaced. All of them, or none.",
        salaries.set_many,
        input=SalarySetInput,
    ),
    Row("salaryEnd", "Sets a salary's last day, as when somebody leaves.", salaries.end, input=SalaryEndInput),
    Row(
        "salaryCancel",
        "Takes back a salary that was a mistake: it was never due, and the one that it ended goes on.",
        salaries.cancel,
    ),
)
