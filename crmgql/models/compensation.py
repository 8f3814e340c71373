"""Commissions, and what they are of: what documents of orders mean for who sold them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields
from tortoise.models import Model

from crmgql.models.base import (
    UUIDV7,
    AmountField,
    CompositeKey,
    Dependencies,
    Editable,
    NumberField,
    Record,
    Undescribed,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    partial,
    unique,
)
from crmgql.models.plans import CompMeasure, CompRole


class CommissionStatus(StrEnum):
    PENDING = "PENDING"
    EARNED = "EARNED"
    PAID = "PAID"
    CANCELLED = "CANCELLED"


class CommissionKind(StrEnum):
    """EARN: the first for an event and a rule. CLAWBACK: the first, which takes back what was paid. ADJUST: a later one, by which
    what was posted becomes what is due. IMPORTED: from elsewhere, by no plan."""

    EARN = "EARN"
    CLAWBACK = "CLAWBACK"
    ADJUST = "ADJUST"
    IMPORTED = "IMPORTED"


OF_PLAN = "event_id, plan_version_id, rule_id, role, share, whole_amount, attained_before, attained_after"


class Commission(Editable):
    """What a rule of a plan pays somebody for an event of an order, or below 0 takes back. It never changes: what is due otherwise later on is
    another one. `parts`: how it came about. `whole_amount`: what it is for all shares; attainment is in the plan's currency.
    """

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="commissions", on_delete=fields.RESTRICT)
    order: Any = fields.ForeignKeyField("crm.Order", related_name="commissions", null=True, on_delete=fields.RESTRICT)
    payment: Any = fields.ForeignKeyField(
        "crm.Payment", related_name="commissions", null=True, on_delete=fields.RESTRICT
    )
    seller: Any = fields.ForeignKeyField("crm.User", related_name="commissions", on_delete=fields.RESTRICT)
    base_amount = AmountField()
    rate = fields.DecimalField(max_digits=9, decimal_places=6)
    amount = AmountField()
    currency = fields.CharField(max_length=3)
    status = fields.CharField(max_length=20, db_default="PENDING")
    earned_at = fields.DatetimeField()
    kind = fields.CharField(max_length=10, db_default="IMPORTED")
    earned_on: Any = fields.DateField(null=True)
    event_id: Any = fields.UUIDField(null=True)
    plan_version: Any = fields.ForeignKeyField(
        "crm.CompPlanVersion", related_name="commissions", null=True, on_delete=fields.RESTRICT
    )
    rule: Any = fields.ForeignKeyField("crm.CompRule", related_name="commissions", null=True, on_delete=fields.RESTRICT)
    role: Any = fields.CharField(max_length=10, null=True)
    share: Any = NumberField(null=True)
    whole_amount: Any = AmountField(null=True)
    attained_before: Any = AmountField(null=True)
    attained_after: Any = AmountField(null=True)
    parts: Any = fields.JSONField(null=True)

    class Meta:
        table = "commissions"
        constraints = [
            origin_unique("commissions"),
            check("commissions_status", one_of("status", CommissionStatus)),
            check("commissions_rate", "rate BETWEEN 0 AND 10"),
            check("commissions_kind", one_of("kind", CommissionKind)),
            check("commissions_role", one_of("role", CompRole)),
            check("commissions_by_plan", f"kind = 'IMPORTED' OR num_nulls({OF_PLAN}, earned_on, parts, order_id) = 0"),
            check("commissions_imported", f"kind <> 'IMPORTED' OR num_nonnulls({OF_PLAN}, earned_on, parts) = 0"),
            *amounts("commissions", "base_amount", "amount", "whole_amount"),
        ]
        composite_keys = (
            CompositeKey("commissions_order_customer", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
            CompositeKey(
                "commissions_payment_customer", ("customer_id", "payment_id"), "payments", ("customer_id", "id")
            ),
            CompositeKey("commissions_payment_currency", ("payment_id", "currency"), "payments", ("id", "currency")),
            CompositeKey("commissions_order_currency", ("order_id", "currency"), "orders", ("id", "currency")),
            CompositeKey("commissions_event", ("customer_id", "event_id"), "commission_events", ("customer_id", "id")),
        )
        statistics = (
            Dependencies("commissions_payment_keys", ("customer_id", "payment_id")),
            Dependencies("commissions_order_keys", ("customer_id", "order_id")),
        )
        indexes = [
            index("commissions_customer_earned", "customer_id", "earned_at", "id"),
            index("commissions_order", "customer_id", "order_id", "earned_at", "id"),
            index("commissions_payment", "customer_id", "payment_id", "earned_at", "id"),
            index("commissions_seller", "seller_id", "earned_at", "id"),
            index("commissions_by_event", "customer_id", "event_id", "id"),
            index("commissions_version", "plan_version_id", "id"),
            index("commissions_rule", "rule_id", "id"),
            partial("commissions_by_plan_of", "kind <> 'IMPORTED'", "seller_id", "earned_on", "id"),
            index("commissions_earned", "earned_at", "id"),
            index("commissions_created", "created_at", "id"),
        ]


class CommissionSource(StrEnum):
    """What an event is of. SPLIT: other people are credited from now on."""

    REVENUE_RECORD = "RevenueRecord"
    INVOICE = "Invoice"
    CREDIT_NOTE = "CreditNote"
    ALLOCATION = "Allocation"
    SPLIT = "Split"


class CommissionSplit(Editable):
    """A person's share of an order, where it is not all its sellers'. Those of the owners sum to 1, or no commit succeeds."""

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="commission_splits", on_delete=fields.RESTRICT)
    order: Any = fields.ForeignKeyField("crm.Order", related_name="commission_splits", on_delete=fields.RESTRICT)
    user: Any = fields.ForeignKeyField("crm.User", related_name="commission_splits", on_delete=fields.RESTRICT)
    role = fields.CharField(max_length=10, db_default="OWNER")
    share = NumberField()

    class Meta:
        table = "commission_splits"
        constraints = [
            unique("commission_splits_person", "customer_id", "order_id", "user_id", "role"),
            check("commission_splits_role", "role IN ('OWNER', 'OVERLAY')"),
            check("commission_splits_share", "share > 0 AND share <= 1 AND scale(share) <= 8"),
        ]
        composite_keys = (
            CompositeKey("commission_splits_order", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
        )
        indexes = [
            index("commission_splits_by_order", "customer_id", "order_id", "id"),
            index("commission_splits_user", "user_id", "id"),
            index("commission_splits_created", "created_at", "id"),
        ]


class CommissionEvent(Model, metaclass=Undescribed):
    """A document changed what of an order is booked, invoiced or collected. Triggers make it in the document's transaction."""

    customer_id = fields.UUIDField()
    id = fields.UUIDField(primary_key=True, db_default=UUIDV7)
    order_id = fields.UUIDField()
    source_type = fields.CharField(max_length=20)
    source_id = fields.UUIDField()
    effective_on = fields.DateField()

    class Meta:
        table = "commission_events"
        primary_key = ("customer_id", "id")
        constraints = [
            unique("commission_events_source", "customer_id", "source_type", "source_id"),
            check("commission_events_source_type", one_of("source_type", CommissionSource)),
        ]
        composite_keys = (
            CompositeKey("commission_events_order", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
        )
        indexes = [index("commission_events_by_order", "customer_id", "order_id", "id")]


class CommissionPending(Model, metaclass=Undescribed):
    """An event whose facts are not worked out yet: whoever writes them deletes the row in the same transaction."""

    customer_id = fields.UUIDField()
    event_id = fields.UUIDField(primary_key=True)
    order_id = fields.UUIDField()

    class Meta:
        table = "commission_pending"
        primary_key = ("customer_id", "event_id")
        indexes = [
            index("commission_pending_order", "order_id"),
            index("commission_pending_event", "event_id", "order_id"),
        ]


class CommissionShare(Record):
    """A person's part of an order, or with `line_id` of one of its lines, under the order's crediting of this number: each
    change of who is credited makes the next one. `share_from` and `share_to`: where the part lies in the whole, so that parts sum
    to it to the cent."""

    customer_id = fields.UUIDField()
    order_id = fields.UUIDField()
    crediting = fields.IntField()
    line_id: Any = fields.UUIDField(null=True)
    user: Any = fields.ForeignKeyField("crm.User", related_name="commission_shares", on_delete=fields.RESTRICT)
    role = fields.CharField(max_length=10)
    team: Any = fields.ForeignKeyField(
        "crm.Team", related_name="commission_shares", null=True, on_delete=fields.RESTRICT
    )
    share_from = NumberField()
    share_to = NumberField()

    class Meta:
        table = "commission_shares"
        constraints = [
            check("commission_shares_crediting", "crediting > 0"),
            check("commission_shares_role", one_of("role", CompRole)),
            check("commission_shares_part", "share_from >= 0 AND share_from < share_to"),
        ]
        composite_keys = (
            CompositeKey("commission_shares_order", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
        )
        indexes = [
            index("commission_shares_by_order", "customer_id", "order_id", "crediting"),
            index("commission_shares_user", "user_id", "id"),
            index("commission_shares_team", "team_id", "id"),
        ]


class CommissionFact(Model, metaclass=Undescribed):
    """What an event changed of a line in a measure, without tax: net of discounts, shipping, cost. It is credited as the order's
    crediting of this number says. `category`, `segment` of the customer, `is_new` (the customer's first order): as they were with the line's first fact."""

    customer_id = fields.UUIDField()
    event_id = fields.UUIDField(primary_key=True)
    crediting = fields.IntField()
    measure = fields.CharField(max_length=10)
    line_id = fields.UUIDField()
    product: Any = fields.ForeignKeyField(
        "crm.Product", related_name="commission_facts", null=True, on_delete=fields.RESTRICT
    )
    category: Any = fields.CharField(max_length=100, null=True)
    segment: Any = fields.CharField(max_length=100, null=True)
    is_new = fields.BooleanField()
    currency = fields.CharField(max_length=3)
    net_amount = AmountField()
    shipping_amount = AmountField()
    cost_amount = AmountField()

    class Meta:
        table = "commission_facts"
        primary_key = ("customer_id", "event_id", "crediting", "measure", "line_id")
        constraints = [
            check("commission_facts_crediting", "crediting > 0"),
            check("commission_facts_measure", one_of("measure", CompMeasure)),
            *amounts("commission_facts", "net_amount", "shipping_amount", "cost_amount"),
        ]
        composite_keys = (
            CompositeKey(
                "commission_facts_event", ("customer_id", "event_id"), "commission_events", ("customer_id", "id")
            ),
        )
        indexes = [index("commission_facts_product", "product_id", "event_id")]


class CommissionCredit(Model, metaclass=Undescribed):
    """An event of which a person is credited: what is looked up to calculate a person's commissions from a day on."""

    customer_id = fields.UUIDField()
    event_id = fields.UUIDField(primary_key=True)
    user: Any = fields.ForeignKeyField("crm.User", related_name="commission_credits", on_delete=fields.RESTRICT)
    order_id = fields.UUIDField()
    effective_on = fields.DateField()

    class Meta:
        table = "commission_credits"
        primary_key = ("customer_id", "event_id", "user_id")
        composite_keys = (
            CompositeKey(
                "commission_credits_event", ("customer_id", "event_id"), "commission_events", ("customer_id", "id")
            ),
        )
        indexes = [index("commission_credits_user", "user_id", "effective_on", "event_id")]


class CommissionAccount(Model, metaclass=Undescribed):
    """Of a person who was ever credited: from which day on commissions have to be calculated anew, if at all."""

    user_id = fields.UUIDField(primary_key=True)
    dirty_on: Any = fields.DateField(null=True)

    class Meta:
        table = "commission_accounts"
        composite_keys = (CompositeKey("commission_accounts_user", ("user_id",), "users", ("id",)),)
        indexes = [partial("commission_accounts_dirty", "dirty_on IS NOT NULL", "user_id")]


class CommissionTrouble(StrEnum):
    QUOTA_MISSING = "QUOTA_MISSING"
    RATE_MISSING = "RATE_MISSING"


class CommissionProblem(Record):
    """Why a person's credits could not be paid on these days. Each calculation replaces those from its first day on."""

    user: Any = fields.ForeignKeyField("crm.User", related_name="commission_problems", on_delete=fields.RESTRICT)
    code = fields.CharField(max_length=20)
    starts_on = fields.DateField()
    ends_on = fields.DateField()
    message = fields.CharField(max_length=1000)

    class Meta:
        table = "commission_problems"
        constraints = [check("commission_problems_code", one_of("code", CommissionTrouble))]
        indexes = [
            index("commission_problems_user", "user_id", "starts_on", "id"),
            index("commission_problems_created", "created_at", "id"),
        ]
