"""Notifications and e-mails."""

from crmgql.events.declarations import Kind, Nothing, Payload


class Read(Payload):
    """How many were read at once."""

    count: int


class Received(Payload):
    """What it is about, such as `lead.assigned`."""

    about: str


KINDS = (
    Kind("notification.received", "Notification", "Somebody was notified.", Received),
    Kind("notification.read", "Notification", "Somebody read a notification.", Read),
    Kind("notification.allRead", "Notification", "Somebody read all notifications up to this one.", Read),
    Kind("email.written", "EmailMessage", "An e-mail is to be sent.", Nothing),
    Kind("email.sent", "EmailMessage", "The mail server accepted an e-mail.", Nothing),
    Kind("email.retried", "EmailMessage", "An e-mail that was not sent will be tried again.", Nothing),
    Kind("email.failed", "EmailMessage", "An e-mail can't be sent.", Nothing),
    Kind("email.skipped", "EmailMessage", "An e-mail will not be sent, such as to a lead that opted out.", Nothing),
)
