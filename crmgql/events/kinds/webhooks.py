"""Webhook endpoints."""

from crmgql.events.declarations import Kind

KINDS = (
    Kind(
        "webhookEndpoint.created",
        "WebhookEndpoint",
        "A webhook endpoint was made; it gets nothing before it has answered a challenge.",
    ),
    Kind("webhookEndpoint.updated", "WebhookEndpoint", "A webhook endpoint changed."),
    Kind(
        "webhookEndpoint.challenged", "WebhookEndpoint", "Somebody asked for a pending endpoint to be challenged again."
    ),
    Kind("webhookEndpoint.challengeFailed", "WebhookEndpoint", "A webhook endpoint did not answer its challenge."),
    Kind("webhookEndpoint.verified", "WebhookEndpoint", "A webhook endpoint answered its challenge: it gets events."),
    Kind("webhookEndpoint.secretRotated", "WebhookEndpoint", "A webhook endpoint got a new secret."),
    Kind("webhookEndpoint.replayed", "WebhookEndpoint", "Events are sent to a webhook endpoint again."),
    Kind("webhookEndpoint.pinged", "WebhookEndpoint", "Somebody had a webhook endpoint pinged."),
    Kind("webhookEndpoint.paused", "WebhookEndpoint", "A webhook endpoint was paused."),
    Kind("webhookEndpoint.resumed", "WebhookEndpoint", "A paused or disabled webhook endpoint goes on."),
    Kind("webhookEndpoint.disabled", "WebhookEndpoint", "The system stopped sending to a webhook endpoint."),
    Kind("webhookEndpoint.deleted", "WebhookEndpoint", "A webhook endpoint was deleted."),
)
