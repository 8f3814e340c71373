"""Orders and their lines."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields
from tortoise.fields.db_defaults import Now, SqlDefault
from tortoise.models import Model

from crmgql.models.base import (
    AmountField,
    CompositeKey,
    Dependencies,
    Editable,
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


class OrderStatus(StrEnum):
    DRAFT = "DRAFT"
    CONFIRMED = "CONFIRMED"
    PROCESSING = "PROCESSING"
    INVOICED = "INVOICED"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    UNAVAILABLE = "UNAVAILABLE"
    CANCELLED = "CANCELLED"


FIGURES = ("currency", "subtotal_amount", "shipping_amount", "tax_amount", "discount_amount", "total_amount")
"""What an order and its revenue record agree on."""

COMMITTED = "status <> 'DRAFT' AND status <> 'CANCELLED'"


class Order(Editable):
    """The total is always subtotal + shipping + tax − discount, in one currency.

    One that is `committed` has its revenue record, of its `revenue_revision` and with the same figures, or no commit succeeds.
    """

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="orders", on_delete=fields.RESTRICT)
    seller: Any = fields.ForeignKeyField("crm.User", related_name="orders", null=True, on_delete=fields.RESTRICT)
    opportunity: Any = fields.ForeignKeyField(
        "crm.Opportunity", related_name="orders", null=True, on_delete=fields.RESTRICT
    )
    contract: Any = fields.ForeignKeyField("crm.Contract", related_name="orders", null=True, on_delete=fields.RESTRICT)
    number = fields.CharField(max_length=64, db_default=SqlDefault("'SO-' || nextval('order_numbers')"))
    status = fields.CharField(max_length=20, db_default="DRAFT")
    currency = fields.CharField(max_length=3)
    subtotal_amount = AmountField()
    shipping_amount = AmountField()
    tax_amount = AmountField()
    discount_amount = AmountField()
    total_amount = AmountField()
    invoiced_amount = AmountField(db_default=0)
    credit_approved_amount: Any = AmountField(null=True)
    ordered_at = fields.DatetimeField(db_default=Now())
    confirmed_at: Any = fields.DatetimeField(null=True)
    shipped_at: Any = fields.DatetimeField(null=True)
    delivered_at: Any = fields.DatetimeField(null=True)
    cancelled_at: Any = fields.DatetimeField(null=True)
    expected_delivery_at: Any = fields.DatetimeField(null=True)
    note: Any = fields.TextField(null=True)
    revenue_revision = fields.IntField(db_default=1)
    committed = fields.BooleanField(null=True)
    committed_id: Any = fields.UUIDField(null=True)

    class Meta:
        table = "orders"
        stored = {"committed": COMMITTED, "committed_id": f"CASE WHEN {COMMITTED} THEN id END"}
        constraints = [
            unique("orders_committed", "customer_id", "id", "committed"),
            origin_unique("orders"),
            unique("orders_number", "number"),
            unique("orders_customer_id", "customer_id", "id"),
            unique("orders_id_currency", "id", "currency"),
            check("orders_status", one_of("status", OrderStatus)),
            check("orders_total", "total_amount = subtotal_amount + shipping_amount + tax_amount - discount_amount"),
            check(
                "orders_amounts_positive",
                "subtotal_amount >= 0 AND shipping_amount >= 0 AND tax_amount >= 0"
                " AND discount_amount >= 0 AND total_amount >= 0",
            ),
            check("orders_invoiced", "invoiced_amount BETWEEN 0 AND total_amount"),
            check("orders_note_length", "length(note) <= 20000"),
            *amounts(
                "orders",
                "subtotal_amount",
                "shipping_amount",
                "tax_amount",
                "discount_amount",
                "total_amount",
                "credit_approved_amount",
            ),
        ]
        composite_keys = (
            CompositeKey(
                "orders_opportunity_customer",
                ("customer_id", "opportunity_id"),
                "opportunities",
                ("customer_id", "id"),
            ),
            CompositeKey(
                "orders_contract_customer", ("customer_id", "contract_id"), "contracts", ("customer_id", "id")
            ),
            CompositeKey(
                "orders_booked",
                ("customer_id", "committed_id", "revenue_revision", *FIGURES),
                "revenue_records",
                ("customer_id", "order_id", "revision", *FIGURES),
                deferred=True,
            ),
        )
        indexes = [
            index("orders_customer_ordered", "customer_id", "ordered_at", "id"),
            index("orders_seller", "seller_id", "ordered_at", "id"),
            index("orders_opportunity", "opportunity_id", "ordered_at", "id"),
            index("orders_contract", "customer_id", "contract_id", "ordered_at", "id"),
            index("orders_ordered", "ordered_at", "id"),
            index("orders_created", "created_at", "id"),
            partial("orders_held", "status = 'UNAVAILABLE'", "customer_id", "id"),
        ]


class OrderLine(Editable):
    """`line_amount` = round(quantity × unit price) − discount; shipping is kept beside it."""

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="order_lines", on_delete=fields.RESTRICT)
    order: Any = fields.ForeignKeyField("crm.Order", related_name="lines", on_delete=fields.RESTRICT)
    product: Any = fields.ForeignKeyField(
        "crm.Product", related_name="order_lines", null=True, on_delete=fields.RESTRICT
    )
    seller: Any = fields.ForeignKeyField("crm.User", related_name="order_lines", null=True, on_delete=fields.RESTRICT)
    position = fields.IntField()
    description = fields.CharField(max_length=300)
    quantity = fields.DecimalField(max_digits=14, decimal_places=3, db_default=1)
    currency = fields.CharField(max_length=3)
    unit_price_amount = AmountField()
    discount_amount = AmountField()
    shipping_amount = AmountField()
    line_amount = AmountField()
    unit_cost_amount: Any = AmountField(null=True)

    class Meta:
        table = "order_lines"
        constraints = [
            origin_unique("order_lines"),
            unique("order_lines_position", "customer_id", "order_id", "position"),
            check("order_lines_quantity_positive", "quantity > 0"),
            check(
                "order_lines_amount",
                "line_amount = round(quantity * unit_price_amount, currency_scale(currency)) - discount_amount",
            ),
            check(
                "order_lines_amounts_positive",
                "unit_price_amount >= 0 AND discount_amount >= 0 AND shipping_amount >= 0 AND line_amount >= 0"
                " AND (unit_cost_amount IS NULL OR unit_cost_amount >= 0)",
            ),
            *amounts(
                "order_lines",
                "unit_price_amount",
                "discount_amount",
                "shipping_amount",
                "line_amount",
                "unit_cost_amount",
            ),
        ]
        composite_keys = (
            CompositeKey("order_lines_order_customer", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
            CompositeKey("order_lines_order_currency", ("order_id", "currency"), "orders", ("id", "currency")),
        )
        statistics = (Dependencies("order_lines_keys", ("customer_id", "order_id")),)
        indexes = [
            index("order_lines_order", "customer_id", "order_id", "position", "id"),
            index("order_lines_product", "product_id", "id"),
            index("order_lines_seller", "seller_id", "id"),
            index("order_lines_created", "created_at", "id"),
        ]


class RevenueRecord(Record):
    """What is booked of an order: the figures of one revision. It is never changed; a change of the order makes the next one.

    `entry_id` posted the difference from the revision before; there is none where nothing had to be posted. `item_id` is the
    order's receivable; `rate` that of the first day, which the order keeps. A cancelled order's last revision is of zeros.
    """

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="revenue_records", on_delete=fields.RESTRICT)
    order: Any = fields.ForeignKeyField("crm.Order", related_name="revenue_records", on_delete=fields.RESTRICT)
    revision = fields.IntField()
    currency = fields.CharField(max_length=3)
    subtotal_amount = AmountField()
    shipping_amount = AmountField()
    tax_amount = AmountField()
    discount_amount = AmountField()
    total_amount = AmountField()
    cost_amount = AmountField()
    booked_on = fields.DateField()
    rate = AmountField(db_default=1)
    rate_id: Any = fields.UUIDField(null=True)
    entry_id: Any = fields.UUIDField(null=True)
    item_id: Any = fields.UUIDField(null=True)

    class Meta:
        table = "revenue_records"
        constraints = [
            unique("revenue_records_revision", "customer_id", "order_id", "revision"),
            unique("revenue_records_figures", "customer_id", "order_id", "revision", *FIGURES),
            check("revenue_records_revision_positive", "revision > 0"),
            check(
                "revenue_records_total",
                "total_amount = subtotal_amount + shipping_amount + tax_amount - discount_amount",
            ),
            *amounts("revenue_records", *FIGURES[1:], "cost_amount"),
        ]
        composite_keys = (
            CompositeKey("revenue_records_order", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
            CompositeKey("revenue_records_rate", ("rate_id",), "fx_rates", ("id",)),
            CompositeKey("revenue_records_entry", ("customer_id", "entry_id"), "ledger_entries", ("owner_id", "id")),
        )
        indexes = [index("revenue_records_created", "created_at", "id")]


class RevenueLine(Model, metaclass=Undescribed):
    """A line as it was booked: what is committed of an order line, and when it becomes revenue."""

    customer_id = fields.UUIDField()
    order_id = fields.UUIDField()
    revision = fields.IntField()
    line_id = fields.UUIDField(primary_key=True)
    product: Any = fields.ForeignKeyField(
        "crm.Product", related_name="revenue_lines", null=True, on_delete=fields.RESTRICT
    )
    quantity = fields.DecimalField(max_digits=14, decimal_places=3)
    currency = fields.CharField(max_length=3)
    unit_price_amount = AmountField()
    discount_amount = AmountField()
    shipping_amount = AmountField()
    line_amount = AmountField()
    unit_cost_amount: Any = AmountField(null=True)
    recognition = fields.CharField(max_length=20, db_default="AT_CONFIRMATION")
    recognition_months: Any = fields.IntField(null=True)

    class Meta:
        table = "revenue_lines"
        primary_key = ("customer_id", "order_id", "revision", "line_id")
        composite_keys = (
            CompositeKey(
                "revenue_lines_record",
                ("customer_id", "order_id", "revision"),
                "revenue_records",
                ("customer_id", "order_id", "revision"),
            ),
        )
        indexes = [index("revenue_lines_product", "product_id", "line_id")]


class RecognitionSchedule(Model, metaclass=Undescribed):
    """A part of a booked line that becomes revenue later: on a day, or without one as the order is shipped.

    `amount` is of the line's net, `base_amount` the same in base currency, `cost_amount` of its cost. `entry_id` posted it;
    until then it is deferred, but what credit notes took off it, which is no revenue ever. What is not posted is deleted as the
    order gets another revision.
    """

    customer_id = fields.UUIDField()
    order_id = fields.UUIDField()
    revision = fields.IntField()
    line_id = fields.UUIDField(primary_key=True)
    n = fields.SmallIntField()
    due_on: Any = fields.DateField(null=True)
    currency = fields.CharField(max_length=3)
    amount = AmountField()
    base_amount = AmountField()
    cost_amount = AmountField()
    entry_id: Any = fields.UUIDField(null=True)
    credited_amount = AmountField(db_default=0)
    credited_base_amount = AmountField(db_default=0)

    class Meta:
        table = "recognition_schedules"
        primary_key = ("customer_id", "order_id", "revision", "line_id", "n")
        constraints = [
            check("recognition_schedules_positive", "n > 0 AND amount >= 0 AND base_amount >= 0 AND cost_amount >= 0"),
            check(
                "recognition_schedules_credited",
                "credited_amount BETWEEN 0 AND amount AND credited_base_amount BETWEEN 0 AND base_amount"
                " AND (credited_amount < amount OR credited_base_amount = base_amount)",
            ),
            *amounts("recognition_schedules", "amount", "cost_amount"),
        ]
        composite_keys = (
            CompositeKey(
                "recognition_schedules_line",
                ("customer_id", "order_id", "revision", "line_id"),
                "revenue_lines",
                ("customer_id", "order_id", "revision", "line_id"),
            ),
            CompositeKey(
                "recognition_schedules_entry", ("customer_id", "entry_id"), "ledger_entries", ("owner_id", "id")
            ),
        )
        indexes = [
            partial(
                "recognition_schedules_due",
                "entry_id IS NULL AND (amount > credited_amount OR cost_amount > 0)",
                "due_on",
                "customer_id",
                "order_id",
            ),
            partial("recognition_schedules_deferred", "entry_id IS NULL", "customer_id", "order_id"),
            partial("recognition_schedules_posted", "entry_id IS NOT NULL", "customer_id", "entry_id"),
        ]
