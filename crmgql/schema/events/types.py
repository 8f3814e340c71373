"""Events and the audit trail."""

from crmgql import models
from crmgql.engine.declare import column, node, one


@node(models.Event, order="-id")
class Event:
    """Something that happened, such as `order.confirmed`."""

    kind = column()
    subject_type = column()
    payload = column()
    occurred_at = column()
    customer = one()
    actor = one()


@node(models.AuditEntry, plural="auditEntries", order="-id")
class AuditEntry:
    """Who changed what: the changed fields, before and after."""

    action = column()
    subject_type = column()
    changes = column()
    occurred_at = column()
    customer = one()
    actor = one()
