"""Customers and their contacts."""

from pydantic import Field

from crmgql.events.declarations import ALWAYS, Changed, Kind, record_id


class StatusChanged(Changed):
    """The status before and after."""

    from_: str = Field(alias="from")
    to: str


class Assigned(Changed):
    """The deactivated user from whom it was handed over, if any."""

    handed_over_from: record_id("User") | None = None  # type: ignore[valid-type]


class Merged(Changed):
    """The customer that it was merged into."""

    into_id: record_id("Customer")  # type: ignore[valid-type]


class Absorbed(Changed):
    """The customer that was merged into it."""

    merged_id: record_id("Customer")  # type: ignore[valid-type]


class Erased(Changed):
    """The erasure that it was part of."""

    erasure_id: record_id("Erasure")  # type: ignore[valid-type]


KINDS = (
    Kind("customer.created", "Customer", "A customer was made.", customer=ALWAYS),
    Kind("customer.updated", "Customer", "A customer's record changed.", customer=ALWAYS),
    Kind("customer.statusChanged", "Customer", "A customer's status changed.", StatusChanged, ALWAYS),
    Kind("customer.assigned", "Customer", "A customer got another owner, or none.", Assigned, ALWAYS),
    Kind("customer.erased", "Customer", "A customer's personal values were erased.", Erased, ALWAYS),
    Kind("customer.merged", "Customer", "A customer was merged into another one.", Merged, ALWAYS),
    Kind("customer.absorbed", "Customer", "Another customer was merged into this one.", Absorbed, ALWAYS),
    Kind("customer.pooled", "Customer", "A customer went into a pool and has no owner now.", customer=ALWAYS),
    Kind("contact.created", "Contact", "A contact was made.", customer=ALWAYS),
    Kind("contact.updated", "Contact", "A contact's record changed.", customer=ALWAYS),
    Kind("contact.erased", "Contact", "A contact's personal values were erased.", Erased, ALWAYS),
    Kind("contact.madePrimary", "Contact", "A contact became its customer's primary contact.", customer=ALWAYS),
)
