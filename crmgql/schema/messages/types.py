"""Notifications and e-mails."""

from crmgql import models
from crmgql.engine.declare import column, node, one


@node(models.Notification, order="-id")
class Notification:
    """A notification of one user; everybody sees their own."""

    kind = column()
    title = column()
    body = column(filter=False)
    occurred_at = column()
    read_at = column()
    emailed_at = column()
    user = one()
    customer = one()
    lead = one()
    opportunity = one()


@node(models.EmailMessage, order="-id")
class EmailMessage:
    """An e-mail that was sent or is to be sent."""

    to_address = column()
    subject = column()
    body = column(filter=False)
    status = column(enum=models.EmailStatus)
    error = column()
    sent_at = column()
    lead = one()
    user = one()
    customer = one()
    invoice = one("The invoice that goes with it as a PDF.")
    credit_note = one("The credit note that goes with it as a PDF.")
    statement_since = column(doc="The first day of the customer's statement of account that goes with it as a PDF.")
    statement_until = column(doc="The last day of the statement.")
    statement_currency = column(doc="The currency of the statement.")
