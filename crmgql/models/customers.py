"""Customers and their contacts."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import (
    AmountField,
    Editable,
    TrigramIndex,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    partial,
    unique,
)


class CustomerKind(StrEnum):
    COMPANY = "COMPANY"
    PERSON = "PERSON"


class CustomerStatus(StrEnum):
    PROSPECT = "PROSPECT"
    CUSTOMER = "CUSTOMER"
    DORMANT = "DORMANT"
    CHURNED = "CHURNED"
    MERGED = "MERGED"


class CreditPolicy(StrEnum):
    """What happens when an order would lead past the customer's credit limit."""

    NONE = "NONE"
    WARN = "WARN"
    REFUSE = "REFUSE"


class Language(StrEnum):
    EN = "EN"
    ZH = "ZH"


class Customer(Editable):
    """`merged_into`: another customer that turned out to be this one. What this one owes and has goes on to it; history stays here."""

    name = fields.CharField(max_length=200)
    kind = fields.CharField(max_length=20, db_default="COMPANY")
    status = fields.CharField(max_length=20, db_default="PROSPECT")
    email: Any = fields.CharField(max_length=254, null=True)
    phone: Any = fields.CharField(max_length=40, null=True)
    website: Any = fields.CharField(max_length=500, null=True)
    industry: Any = fields.CharField(max_length=100, null=True)
    segment: Any = fields.CharField(max_length=100, null=True)
    region: Any = fields.CharField(max_length=100, null=True)
    country: Any = fields.CharField(max_length=100, null=True)
    state: Any = fields.CharField(max_length=100, null=True)
    city: Any = fields.CharField(max_length=100, null=True)
    postal_code: Any = fields.CharField(max_length=20, null=True)
    currency = fields.CharField(max_length=3, db_default="USD")
    founded_year: Any = fields.IntField(null=True)
    employee_count: Any = fields.IntField(null=True)
    annual_revenue_amount: Any = AmountField(null=True)
    credit_limit_amount: Any = AmountField(null=True)
    credit_policy = fields.CharField(max_length=10, db_default="NONE")
    notes: Any = fields.TextField(null=True)
    billing_address: Any = fields.CharField(max_length=1000, null=True)
    tax_id: Any = fields.CharField(max_length=50, null=True)
    payment_terms: Any = fields.CharField(max_length=200, null=True)
    language: Any = fields.CharField(max_length=2, null=True)
    timezone: Any = fields.CharField(max_length=60, null=True)
    dunning_stop_reason: Any = fields.CharField(max_length=1000, null=True)
    owner: Any = fields.ForeignKeyField("crm.User", related_name="customers", null=True, on_delete=fields.RESTRICT)
    parent: Any = fields.ForeignKeyField(
        "crm.Customer", related_name="subsidiaries", null=True, on_delete=fields.RESTRICT
    )
    merged_into: Any = fields.ForeignKeyField(
        "crm.Customer", related_name="merged", null=True, on_delete=fields.RESTRICT
    )
    merge_reason: Any = fields.CharField(max_length=1000, null=True)
    pool: Any = fields.ForeignKeyField("crm.Pool", related_name="customers", null=True, on_delete=fields.RESTRICT)
    protected_until: Any = fields.DatetimeField(null=True)
    reclaim_warned_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "customers"
        constraints = [
            origin_unique("customers"),
            check("customers_kind", one_of("kind", CustomerKind)),
            check("customers_status", one_of("status", CustomerStatus)),
            check("customers_parent_other", "parent_id <> id"),
            check("customers_merged", "(status = 'MERGED') = (merged_into_id IS NOT NULL)"),
            check("customers_merged_other", "merged_into_id <> id"),
            check("customers_pooled", "pool_id IS NULL OR owner_id IS NULL"),
            check("customers_employee_count", "employee_count >= 0"),
            check("customers_founded_year", "founded_year BETWEEN 1000 AND 9999"),
            check("customers_notes_length", "length(notes) <= 20000"),
            check("customers_language", one_of("language", Language)),
            check("customers_credit_policy", one_of("credit_policy", CreditPolicy)),
            check("customers_credit_limit_positive", "credit_limit_amount >= 0"),
            check("customers_credit_limit_known", "credit_policy = 'NONE' OR credit_limit_amount IS NOT NULL"),
            *amounts("customers", "annual_revenue_amount", "credit_limit_amount"),
        ]
        indexes = [
            index("customers_owner", "owner_id", "id"),
            index("customers_owner_created", "owner_id", "created_at", "id"),
            index("customers_owner_name", "owner_id", "name", "id"),
            index("customers_created", "created_at", "id"),
            index("customers_name", "name", "id"),
            index("customers_parent", "parent_id", "id"),
            partial("customers_merged_into", "merged_into_id IS NOT NULL", "merged_into_id", "id"),
            index("customers_email", "email", "id"),
            index("customers_pool", "pool_id", "id"),
            index("customers_lower_email", "lower(email)"),
            index("customers_lower_name", "lower(name)"),
            index("customers_domain", "lower(split_part(email, '@', 2))"),
            TrigramIndex("customers_name_trigrams", "name"),
        ]


class Contact(Editable):
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="contacts", on_delete=fields.RESTRICT)
    name = fields.CharField(max_length=200)
    title: Any = fields.CharField(max_length=100, null=True)
    email: Any = fields.CharField(max_length=254, null=True)
    phone: Any = fields.CharField(max_length=40, null=True)
    primary = fields.BooleanField(db_default=False, source_field="is_primary")

    class Meta:
        table = "contacts"
        constraints = [
            origin_unique("contacts"),
            unique("contacts_customer_id", "customer_id", "id"),
            unique("contacts_one_primary", "customer_id", where="is_primary"),
        ]
        indexes = [
            index("contacts_name", "name", "id"),
            index("contacts_created", "created_at", "id"),
            index("contacts_lower_email", "lower(email)"),
        ]
