"""Leads and their duplicates."""

from pydantic import Field

from crmgql.events.declarations import SOMETIMES, Changed, Kind, Payload, record_id


class LeadMoved(Changed):
    """The status before and after."""

    from_: str = Field(alias="from")
    to: str


class LeadMerged(LeadMoved):
    """The lead that it was merged into, and how many tasks and e-mails moved there."""

    into: record_id("Lead")  # type: ignore[valid-type]
    tasks: int
    emails: int


class LeadAbsorbed(Changed):
    """The lead that was merged into it; its status before and after, if it changed."""

    merged: record_id("Lead")  # type: ignore[valid-type]
    from_: str | None = Field(None, alias="from")
    to: str | None = None


class LeadConverted(LeadMoved):
    """The customer, contact and opportunity that it became."""

    customer_id: record_id("Customer")  # type: ignore[valid-type]
    contact_id: record_id("Contact") | None = None  # type: ignore[valid-type]
    opportunity_id: record_id("Opportunity") | None = None  # type: ignore[valid-type]


class LeadAssigned(Changed):
    """Why, as a code; the deactivated user from whom it was handed over, if any."""

    reason: str
    handed_over_from: record_id("User") | None = None  # type: ignore[valid-type]


class LeadErased(Changed):
    """The erasure that it was part of."""

    erasure_id: record_id("Erasure")  # type: ignore[valid-type]


class Pair(Payload):
    """The two leads, the later one first."""

    lead_id: record_id("Lead")  # type: ignore[valid-type]
    other_id: record_id("Lead")  # type: ignore[valid-type]


class PairFound(Pair):
    """Their similarity in per cent."""

    similarity: int


KINDS = (
    Kind("lead.created", "Lead", "A lead came in.", customer=SOMETIMES),
    Kind("lead.updated", "Lead", "A lead's record changed.", customer=SOMETIMES),
    Kind("lead.accepted", "Lead", "A lead's owner accepted it.", customer=SOMETIMES),
    Kind("lead.assigned", "Lead", "A lead was assigned to somebody.", LeadAssigned, SOMETIMES),
    Kind(
        "lead.unassigned", "Lead", "A lead's owner was deactivated; the lead is routed again.", LeadAssigned, SOMETIMES
    ),
    Kind("lead.nurtured", "Lead", "A lead went into nurturing.", LeadMoved, SOMETIMES),
    Kind("lead.qualified", "Lead", "A lead was qualified.", LeadMoved, SOMETIMES),
    Kind("lead.lost", "Lead", "A lead was lost.", LeadMoved, SOMETIMES),
    Kind("lead.reopened", "Lead", "A lost lead was reopened.", LeadMoved, SOMETIMES),
    Kind("lead.converted", "Lead", "A lead became a customer.", LeadConverted, SOMETIMES),
    Kind("lead.merged", "Lead", "A lead was merged into another one.", LeadMerged, SOMETIMES),
    Kind("lead.absorbed", "Lead", "Another lead was merged into this one.", LeadAbsorbed, SOMETIMES),
    Kind("lead.pooled", "Lead", "A lead went into a pool and has no owner now.", customer=SOMETIMES),
    Kind("lead.erased", "Lead", "A lead's personal values were erased.", LeadErased, SOMETIMES),
    Kind("lead.duplicateFound", "LeadDuplicate", "Two leads may be duplicates.", PairFound),
    Kind("lead.duplicateDismissed", "LeadDuplicate", "Somebody decided that two leads are no duplicates.", Pair),
)
