"""Interactions, tasks, tickets."""

from crmgql.events.declarations import ALWAYS, SOMETIMES, Changed, Kind, record_id


class HandedOver(Changed):
    """From whom it was handed over, if that person left."""

    handed_over_from: record_id("User") | None = None  # type: ignore[valid-type]


KINDS = (
    Kind("interaction.logged", "Interaction", "A call, meeting or message was noted.", customer=ALWAYS),
    Kind("interaction.updated", "Interaction", "What was noted of an interaction changed.", customer=ALWAYS),
    Kind("task.created", "Task", "A task was made.", customer=SOMETIMES),
    Kind("task.updated", "Task", "A task changed, such as its assignee.", HandedOver, SOMETIMES),
    Kind("task.completed", "Task", "A task was done.", customer=SOMETIMES),
    Kind("task.cancelled", "Task", "A task was called off.", customer=SOMETIMES),
    Kind("task.reopened", "Task", "A task is to be done after all.", customer=SOMETIMES),
    Kind("ticket.opened", "Ticket", "A customer's trouble was noted.", customer=ALWAYS),
    Kind("ticket.updated", "Ticket", "A ticket changed.", customer=ALWAYS),
    Kind("ticket.assigned", "Ticket", "A ticket got another assignee, or none.", HandedOver, ALWAYS),
    Kind("ticket.held", "Ticket", "A ticket waits for somebody else.", customer=ALWAYS),
    Kind("ticket.resolved", "Ticket", "A ticket's trouble is over.", customer=ALWAYS),
    Kind("ticket.reopened", "Ticket", "A ticket's trouble is back.", customer=ALWAYS),
    Kind("ticket.closed", "Ticket", "A ticket was closed.", customer=ALWAYS),
)
