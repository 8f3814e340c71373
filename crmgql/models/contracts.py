"""Contracts with customers, and what they are to pay when."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault

from crmgql.models.base import (
    AmountField,
    CompositeKey,
    Editable,
    Record,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    unique,
)


class ContractStatus(StrEnum):
    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    ENDED = "ENDED"
    TERMINATED = "TERMINATED"


class Contract(Editable):
    """What was agreed with a customer. `parties`: who they are, in words. Orders may be placed under it."""

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="contracts", on_delete=fields.RESTRICT)
    owner: Any = fields.ForeignKeyField("crm.User", related_name="contracts", null=True, on_delete=fields.RESTRICT)
    number = fields.CharField(max_length=64, db_default=SqlDefault("'CT-' || nextval('contract_numbers')"))
    title = fields.CharField(max_length=200)
    parties: Any = fields.TextField(null=True)
    status = fields.CharField(max_length=20, db_default="DRAFT")
    starts_on = fields.DateField()
    ends_on: Any = fields.DateField(null=True)
    currency = fields.CharField(max_length=3)
    value_amount = AmountField()
    activated_at: Any = fields.DatetimeField(null=True)
    ended_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "contracts"
        constraints = [
            origin_unique("contracts"),
            unique("contracts_number", "number"),
            unique("contracts_customer_id", "customer_id", "id"),
            unique("contracts_id_currency", "id", "currency"),
            check("contracts_status", one_of("status", ContractStatus)),
            check("contracts_days", "starts_on <= ends_on"),
            check("contracts_value_positive", "value_amount >= 0"),
            check("contracts_parties_length", "length(parties) <= 2000"),
            *amounts("contracts", "value_amount"),
        ]
        indexes = [
            index("contracts_customer", "customer_id", "starts_on", "id"),
            index("contracts_owner", "owner_id", "starts_on", "id"),
            index("contracts_starts", "starts_on", "id"),
            index("contracts_created", "created_at", "id"),
        ]


class ContractPayment(Record):
    """A part of a contract's value that is to be paid by a day. `owner`: who sees to it, from `reminder_days` before on.

    `reminded_at`, `alerted_at`, `escalated_at`: when somebody was told that it will be due, is overdue, is overdue for long.
    """

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="contract_payments", on_delete=fields.RESTRICT)
    contract: Any = fields.ForeignKeyField("crm.Contract", related_name="payments", on_delete=fields.RESTRICT)
    owner: Any = fields.ForeignKeyField(
        "crm.User", related_name="contract_payments", null=True, on_delete=fields.RESTRICT
    )
    n = fields.IntField()
    due_on = fields.DateField()
    currency = fields.CharField(max_length=3)
    amount = AmountField()
    reminder_days: Any = fields.IntField(null=True)
    reminded_at: Any = fields.DatetimeField(null=True)
    alerted_at: Any = fields.DatetimeField(null=True)
    escalated_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "contract_payments"
        constraints = [
            unique("contract_payments_n", "customer_id", "contract_id", "n"),
            check("contract_payments_amount_positive", "amount > 0"),
            check("contract_payments_reminder", "reminder_days BETWEEN 0 AND 365"),
            *amounts("contract_payments", "amount"),
        ]
        composite_keys = (
            CompositeKey(
                "contract_payments_contract_customer",
                ("customer_id", "contract_id"),
                "contracts",
                ("customer_id", "id"),
            ),
            CompositeKey(
                "contract_payments_contract_currency", ("contract_id", "currency"), "contracts", ("id", "currency")
            ),
        )
        indexes = [
            index("contract_payments_contract", "customer_id", "contract_id", "n", "id"),
            index("contract_payments_due", "due_on", "id"),
            index("contract_payments_owner", "owner_id", "due_on", "id"),
            index("contract_payments_created", "created_at", "id"),
        ]
