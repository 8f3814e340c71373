"""Webhook endpoints, their deliveries and the log of attempts."""

from crmgql import models
from crmgql.engine.declare import column, many, node, one


@node(models.WebhookEndpoint, order="-createdAt")
class WebhookEndpoint:
    """A URL that gets events, as its owner may see them."""

    url = column()
    description = column()
    kinds = column(filter=False, doc="Kinds of events that it gets, such as order.confirmed and order.*; empty: all.")
    fields = column(filter=False, doc="Fields whose change counts, such as total; empty: all.")
    api_version = column(doc="The form of what it gets.")
    order_by = column(enum=models.WebhookOrder, doc="Which events wait for one another.")
    payload = column(enum=models.WebhookPayload)
    ed25519 = column(doc="Whether requests are also signed with Ed25519.")
    public_key = column(filter=False, doc="What anybody verifies Ed25519 signatures with.")
    old_public_key = column(filter=False)
    old_key_until = column(doc="Until then requests are signed with the old secret too.")
    status = column(enum=models.WebhookStatus)
    status_reason = column(doc="Why it is disabled, or did not answer its challenge.")
    challenged_at = column()
    verified_at = column()
    cursor = column(filter=False, doc="How far it is: each event up to here is delivered or is among its deliveries.")
    failures = column(doc="Attempts that failed since the last success.")
    failing_since = column()
    retry_at = column(doc="Nothing is sent before, as its server could not be reached or asked to wait.")
    delivered_at = column(doc="Its last success.")
    owner = one("Whose rules decide what it gets.")
    deliveries = many("WebhookDelivery", "endpoint")
    attempts = many("WebhookAttempt", "endpoint")


@node(models.WebhookDelivery, order="-id")
class WebhookDelivery:
    """An event that its endpoint did not accept at the first attempt, or that waits behind one such."""

    endpoint = one()
    message_id = column(doc="The event's id, as in the header webhook-id.")
    kind = column()
    status = column(enum=models.WebhookDeliveryStatus)
    attempts = column()
    next_attempt_at = column()
    finished_at = column()


@node(models.WebhookAttempt, order="-id")
class WebhookAttempt:
    """A request to an endpoint, and what came back. It is kept for `CRMGQL_WEBHOOK_LOG_DAYS`."""

    endpoint = one()
    message_id = column(doc="As in the header webhook-id: the event's id, or msg_… of a challenge or ping.")
    kind = column(doc="The event's kind, or webhook.challenge or webhook.ping.")
    number = column(doc="Which attempt at this event it was; the first is 1.")
    url = column(filter=False)
    request_headers = column(doc="Without the signature.")
    request_sha256 = column(filter=False, doc="SHA-256 of the body that was sent.")
    response_status = column()
    response_headers = column()
    response_body = column(filter=False, doc="Its beginning.")
    latency_ms = column()
    accepted = column()
    error_code = column(doc="Why there was no answer.")
    error_message = column(filter=False)
    attempted_at = column()
