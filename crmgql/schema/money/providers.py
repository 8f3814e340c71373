"""Our accounts at payment providers, what these say, and the mutations of both."""

from __future__ import annotations

import strawberry

from crmgql import models
from crmgql.domain.money.hooks import accounts, events
from crmgql.engine import inputs, mutations
from crmgql.engine.declare import column, money, node, one
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Row


@node(models.PaymentAccount, order="name")
class PaymentAccount:
    """Who we are at a payment provider. It posts to `/hooks/payments/` and its name in small letters, to which `/` and this id may
    be added; its secrets are never shown."""

    name = column(sort=True)
    provider = column(enum=models.PaymentProvider)
    identities = column(
        filter=False,
        doc="Who we are there: Stripe's connected accounts, Adyen's merchant accounts, Alipay's app_ids, WeChat Pay's mchids; empty: all.",
    )
    public_keys = column(doc="The provider's public keys or certificates, by the ids that its posts name.")
    captured_at_once = column(doc="Whether the provider takes authorised money by itself, without telling of it again.")
    test_mode = column(doc="Whether events of the provider's test mode count, and those of its live mode don't.")
    default_method = column(enum=models.PaymentMethod, doc="Of payments whose method is not known here.")
    order_source = column(doc="The source whose external ids the provider's references of orders may be.")
    active = column()
    secret_set_at = column(doc="When its newest secret was set.")
    old_secret_until = column(doc="Until then older secrets are taken, too.")


@node(models.ProviderEvent, order="-id")
class ProviderEvent:
    """One thing that a payment provider says happened, and what became of it."""

    account = one()
    provider = column(enum=models.PaymentProvider)
    event_id = column(doc="The same whenever the provider sends it again.")
    kind = column(enum=models.ProviderEventKind)
    raw_kind = column(doc="The provider's own word.")
    occurred_at = column(sort=True, doc="By the provider's clock.")
    success = column(doc="False: it did not happen, whatever the kind.")
    live = column(doc="False: of the provider's test mode.")
    reference = column(doc="The payment's, or a payout's own.")
    part = column(doc="That of the refund, dispute, capture or fee that it is about.")
    order_reference = column(doc="What the merchant called the order.")
    amount = money("amount")
    status = column(enum=models.ProviderEventStatus)
    reason = column(filter=False, doc="Why it waits, or why nothing was to be done.")
    retry_at = column(doc="When it is tried again.")
    settled_at = column(doc="When it was booked, or found to be nothing to book.")
    customer = one()
    order = one()
    payment = one("The payment of ours.")


@input
class PaymentAccountRotateSecretInput:
    """`overlapH`: so many hours the secrets before it are taken, too; 24 by default, 0 to 168."""

    id: strawberry.ID
    secret: str
    overlap_h: int | None = UNSET
    expected_version: int | None = UNSET


@input
class ProviderEventAssignInput:
    """The order that was paid, or the customer whose prepayment it is."""

    id: strawberry.ID
    order_id: strawberry.ID | None = UNSET
    customer_id: strawberry.ID | None = UNSET


@input
class ProviderEventReplayInput:
    id: strawberry.ID


mutations.table(
    "PaymentAccount",
    Row(
        "paymentAccountCreate",
        "Sets up an account at a payment provider: from now on what it posts is accepted.",
        accounts.create,
        input=inputs.create(
            accounts.FACTS,
            "provider",
            also={"secrets": list[str] | None},
            doc="`secrets`: Stripe's signing secrets, Adyen's HMAC keys, WeChat Pay's APIv3 keys; Alipay has public keys only.",
        ),
    ),
    Row(
        "paymentAccountUpdate",
        "Changes what the input names.",
        accounts.update,
        input=inputs.update(accounts.FACTS, "active"),
    ),
    Row(
        "paymentAccountRotateSecret",
        "Takes a new secret of the provider's; the ones before it are taken for a while, too.",
        accounts.rotate_secret,
        input=PaymentAccountRotateSecretInput,
    ),
    Row("paymentAccountDisable", "Disables an account: what is posted to it is refused.", accounts.disable),
)

mutations.table(
    "ProviderEvent",
    Row(
        "providerEventAssign",
        "Says whose a payment is that waits, and books it.",
        events.assign,
        input=ProviderEventAssignInput,
    ),
    Row(
        "providerEventReplay",
        "Has an event followed again; nothing is booked twice.",
        events.replay,
        input=ProviderEventReplayInput,
    ),
)
