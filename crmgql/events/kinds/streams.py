"""Subscriptions to events that have a name, and exports."""

from crmgql.events.declarations import Kind, Nothing, Payload


class ExportFinished(Payload):
    """How many records and bytes it has, and the cursor at which it is whole."""

    records: int
    bytes: int
    cursor: str


KINDS = (
    Kind("eventSubscription.created", "EventSubscription", "A subscription to events was made."),
    Kind("eventSubscription.updated", "EventSubscription", "A subscription to events changed."),
    Kind("eventSubscription.cursorMoved", "EventSubscription", "Somebody set where a subscription goes on."),
    Kind("eventSubscription.deleted", "EventSubscription", "A subscription to events was deleted."),
    Kind("export.created", "Export", "Somebody asked for an export.", Nothing),
    Kind("export.finished", "Export", "An export was written and can be fetched.", ExportFinished),
)
