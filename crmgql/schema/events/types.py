"""Events and the audit trail."""

from crmgql import models
from crmgql.engine.declare import any_one, column, node, one
from crmgql.schema.events import details


@node(models.Event, order="-id")
class Event:
    """Something that happened, such as `order.confirmed`."""

    kind = column()
    kind_version = column(doc="The version of the payload's form.")
    subject_type = column()
    subject = any_one("subject_type", "subject_id", "What it is about; null if you may not see it.")
    subject_id = details.subject_id()
    sight = details.sight()
    payload = column()
    occurred_at = column()
    customer = one()
    actor = one()
    changed = column(doc="The fields of the subject that it changed.")
    changes = details.changes()
    cursor = details.cursor()
    is_last = details.is_last()
    transaction_id = details.transaction_id()


@node(models.Erasure, order="-id")
class Erasure:
    """A person was erased. The event `person.erased` says how many records were blanked."""

    reason = column(doc="Why; it should not name the person.")
    erased_at = column()
    actor = one()


@node(models.AuditEntry, plural="auditEntries", order="-id")
class AuditEntry:
    """Who changed what: the changed fields, before and after."""

    action = column()
    subject_type = column()
    subject = any_one("subject_type", "subject_id", "What it is about; null if you may not see it.")
    changes = column()
    occurred_at = column()
    customer = one()
    actor = one()
