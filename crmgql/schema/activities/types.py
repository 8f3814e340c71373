"""Interactions, tasks, tickets."""

from crmgql import models
from crmgql.engine.declare import column, node, one


@node(models.Interaction, order="-occurredAt")
class Interaction:
    """A call, an e-mail, a meeting, a chat or a note."""

    kind = column(enum=models.InteractionKind)
    subject = column()
    body = column(filter=False)
    occurred_at = column(sort=True)
    customer = one()
    contact = one()
    opportunity = one()
    author = one()


@node(models.Ticket)
class Ticket:
    """A customer's request for help."""

    subject = column()
    description = column(filter=False)
    status = column(enum=models.TicketStatus)
    priority = column(enum=models.TicketPriority)
    resolved_at = column()
    customer = one()
    contact = one()
    order = one()
    assignee = one()


@node(models.Task, order="dueAt")
class Task:
    """Something a person is to do by a time."""

    subject = column()
    description = column(filter=False)
    status = column(enum=models.TaskStatus)
    due_at = column(sort=True)
    done_at = column()
    assignee = one()
    customer = one()
    lead = one()
    opportunity = one()
