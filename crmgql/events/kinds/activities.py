"""Interactions, tasks, tickets."""

from crmgql.events.declarations import ALWAYS, SOMETIMES, Changed, Kind, record_id


class HandedOver(Changed):
    """The deactivated user from whom it was handed over, if any."""

    handed_over_from: record_id("User") | None = None  # type: ignore[valid-type]


KINDS = (
    Kind("interaction.logged", "Interaction", "A call, meeting or message was logged.", customer=ALWAYS),
    Kind("interaction.updated", "Interaction", "An interaction's record changed.", customer=ALWAYS),
    Kind("task.created", "Task", "A task was made.", customer=SOMETIMES),
    Kind("task.updated", "Task", "A task changed, such as its assignee.", HandedOver, SOMETIMES),
    Kind("task.completed", "Task", "A task was completed.", customer=SOMETIMES),
    Kind("task.cancelled", "Task", "A task was cancelled.", customer=SOMETIMES),
    Kind("task.reopened", "Task", "A completed or cancelled task was reopened.", customer=SOMETIMES),
    Kind("ticket.opened", "Ticket", "A ticket was opened for a customer.", customer=ALWAYS),
    Kind("ticket.updated", "Ticket", "A ticket changed.", customer=ALWAYS),
    Kind("ticket.assigned", "Ticket", "A ticket got another assignee, or none.", HandedOver, ALWAYS),
    Kind("ticket.held", "Ticket", "A ticket was put on hold.", customer=ALWAYS),
    Kind("ticket.resolved", "Ticket", "A ticket was resolved.", customer=ALWAYS),
    Kind("ticket.reopened", "Ticket", "A ticket was reopened.", customer=ALWAYS),
    Kind("ticket.closed", "Ticket", "A ticket was closed.", customer=ALWAYS),
)
