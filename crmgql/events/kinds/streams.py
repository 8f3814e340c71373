"""Subscriptions to events that have a name."""

from crmgql.events.declarations import Kind

KINDS = (
    Kind("eventSubscription.created", "EventSubscription", "A subscription to events was made."),
    Kind("eventSubscription.updated", "EventSubscription", "A subscription to events changed."),
    Kind("eventSubscription.cursorMoved", "EventSubscription", "Somebody set where a subscription goes on."),
    Kind("eventSubscription.deleted", "EventSubscription", "A subscription to events was deleted."),
)
