"""Payment providers: our accounts there, what they post to us, and what became of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields
from tortoise.indexes import Index

from crmgql.models.base import (
    AmountField,
    CompositeKey,
    Editable,
    Record,
    TextArrayField,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    partial,
    unique,
)
from crmgql.models.money import PaymentMethod


class PaymentProvider(StrEnum):
    """The API's names; posts come to the same in small letters."""

    STRIPE = "STRIPE"
    ADYEN = "ADYEN"
    ALIPAY = "ALIPAY"
    WECHAT = "WECHAT"


class ProviderEventKind(StrEnum):
    """What happened, in the words that all providers share. NOTED is known and moves no money."""

    PAYMENT_EXPECTED = "PAYMENT_EXPECTED"
    PAYMENT_AUTHORISED = "PAYMENT_AUTHORISED"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    PAYMENT_SUCCEEDED = "PAYMENT_SUCCEEDED"
    REFUND_REQUESTED = "REFUND_REQUESTED"
    REFUND_FAILED = "REFUND_FAILED"
    REFUND_SUCCEEDED = "REFUND_SUCCEEDED"
    DISPUTE_OPENED = "DISPUTE_OPENED"
    DISPUTE_WON = "DISPUTE_WON"
    DISPUTE_LOST = "DISPUTE_LOST"
    FEE = "FEE"
    PAYOUT_EXPECTED = "PAYOUT_EXPECTED"
    PAYOUT_FAILED = "PAYOUT_FAILED"
    PAYOUT_PAID = "PAYOUT_PAID"
    NOTED = "NOTED"
    UNKNOWN = "UNKNOWN"


class ProviderEventStatus(StrEnum):
    """RECEIVED: nobody has looked at it yet. WAITING: something is missing; `reason` says what. DONE: our records say the same.
    OUTDATED: another event about the same counts more. NOTED: it moves no money of ours."""

    RECEIVED = "RECEIVED"
    WAITING = "WAITING"
    DONE = "DONE"
    OUTDATED = "OUTDATED"
    NOTED = "NOTED"


class PaymentAccount(Editable):
    """Who we are at a provider, and what its posts are verified with.

    `secrets_sealed` are the shared secrets, encrypted with the installation's key. Until `old_secret_until` older ones than the
    newest are taken as well. `order_source`: the source whose external ids the provider's references of orders are, besides numbers.
    """

    name = fields.CharField(max_length=100)
    provider = fields.CharField(max_length=10)
    identities = TextArrayField(db_default=[])
    public_keys: Any = fields.JSONField(db_default={})
    secrets_sealed: Any = fields.TextField(null=True)
    secret_set_at: Any = fields.DatetimeField(null=True)
    old_secret_until: Any = fields.DatetimeField(null=True)
    captured_at_once = fields.BooleanField(db_default=False)
    test_mode = fields.BooleanField(db_default=False)
    default_method = fields.CharField(max_length=20, db_default="OTHER")
    order_source: Any = fields.CharField(max_length=50, null=True)
    active = fields.BooleanField(db_default=True)

    class Meta:
        table = "payment_accounts"
        constraints = [
            origin_unique("payment_accounts"),
            unique("payment_accounts_name", "lower(name)"),
            check("payment_accounts_provider", one_of("provider", PaymentProvider)),
            check("payment_accounts_default_method", one_of("default_method", PaymentMethod)),
            check("payment_accounts_secret", "(secrets_sealed IS NULL) = (secret_set_at IS NULL)"),
        ]
        indexes = [
            index("payment_accounts_by_provider", "provider", "id"),
            index("payment_accounts_created", "created_at", "id"),
        ]


class ProviderPost(Record):
    """A post as it came, with the headers that it was verified by. It is kept for some time, to be read again."""

    account: Any = fields.ForeignKeyField("crm.PaymentAccount", related_name=False, on_delete=fields.RESTRICT)
    body = fields.BinaryField()
    headers: Any = fields.JSONField(db_default={})

    class Meta:
        table = "provider_posts"
        indexes = [
            index("provider_posts_by_account", "account_id", "id"),
            index("provider_posts_created", "created_at", "id"),
        ]


class NamesIndex(Index):
    """What rows are found by that have a name in common."""

    INDEX_TYPE = "GIN"


class ProviderEvent(Record):
    """One thing that a provider says happened. What it says never changes; what became of it does.

    `names` are the references of the payment and its part by which events belong together. `post_id` is the post that it came
    in, which goes after a time. `customer`, `order` and `payment`: whose it is, as it was found or said by hand. `retry_at`: when
    one that is waiting is tried again. `told_at`: when somebody was told that it waits.
    """

    account: Any = fields.ForeignKeyField("crm.PaymentAccount", related_name=False, on_delete=fields.RESTRICT)
    provider = fields.CharField(max_length=10)
    post_id = fields.UUIDField()
    event_id = fields.CharField(max_length=600)
    kind = fields.CharField(max_length=20)
    raw_kind = fields.CharField(max_length=255)
    rank = fields.SmallIntField()
    occurred_at = fields.DatetimeField()
    success = fields.BooleanField()
    live = fields.BooleanField()
    names = TextArrayField()
    reference: Any = fields.CharField(max_length=255, null=True)
    also = TextArrayField()
    part: Any = fields.CharField(max_length=255, null=True)
    key: Any = fields.CharField(max_length=255, null=True)
    order_reference: Any = fields.CharField(max_length=255, null=True)
    amount: Any = AmountField(null=True)
    currency: Any = fields.CharField(max_length=3, null=True)
    cumulative = fields.BooleanField()
    method: Any = fields.CharField(max_length=255, null=True)

    status = fields.CharField(max_length=10, db_default="RECEIVED")
    reason: Any = fields.CharField(max_length=500, null=True)
    retry_at: Any = fields.DatetimeField(null=True)
    told_at: Any = fields.DatetimeField(null=True)
    settled_at: Any = fields.DatetimeField(null=True)
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name=False, null=True, on_delete=fields.RESTRICT)
    order: Any = fields.ForeignKeyField("crm.Order", related_name=False, null=True, on_delete=fields.RESTRICT)
    payment: Any = fields.ForeignKeyField(
        "crm.Payment", related_name="provider_events", null=True, on_delete=fields.RESTRICT
    )

    class Meta:
        table = "provider_events"
        constraints = [
            unique("provider_events_once", "account_id", "event_id"),
            check("provider_events_kind", one_of("kind", ProviderEventKind)),
            check("provider_events_status", one_of("status", ProviderEventStatus)),
            check("provider_events_money", "(amount IS NULL) = (currency IS NULL)"),
            check("provider_events_waiting", "(status = 'WAITING') = (retry_at IS NOT NULL)"),
            check("provider_events_whose", "customer_id IS NOT NULL OR num_nonnulls(order_id, payment_id) = 0"),
            *amounts("provider_events", "amount"),
        ]
        composite_keys = (
            CompositeKey("provider_events_order", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
            CompositeKey("provider_events_payment", ("customer_id", "payment_id"), "payments", ("customer_id", "id")),
        )
        indexes = [
            NamesIndex(name="provider_events_names", fields=("names",)),
            index("provider_events_created", "created_at", "id"),
            index("provider_events_occurred", "occurred_at", "id"),
            index("provider_events_status", "status", "id"),
            partial("provider_events_due", "status = 'WAITING'", "retry_at", "id"),
            partial("provider_events_of_order", "customer_id IS NOT NULL", "customer_id", "order_id", "id"),
            partial("provider_events_of_payment", "customer_id IS NOT NULL", "customer_id", "payment_id", "id"),
        ]
