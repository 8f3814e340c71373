"""Leads: their life, their duplicates."""

from pydantic import Field

from crmgql.events.declarations import SOMETIMES, Changed, Kind, Payload, record_id


class LeadMoved(Changed):
    """The status before and after."""

    from_: str = Field(alias="from")
    to: str


class LeadMerged(LeadMoved):
    """The lead that it lives on in, and how much went there."""

    into: record_id("Lead")  # type: ignore[valid-type]
    tasks: int
    emails: int


class LeadAbsorbed(Changed):
    """The lead that went up in it; a status before and after, if it changed."""

    merged: record_id("Lead")  # type: ignore[valid-type]
    from_: str | None = Field(None, alias="from")
    to: str | None = None


class LeadConverted(LeadMoved):
    """What came of it."""

    customer_id: record_id("Customer")  # type: ignore[valid-type]
    contact_id: record_id("Contact") | None = None  # type: ignore[valid-type]
    opportunity_id: record_id("Opportunity") | None = None  # type: ignore[valid-type]


class LeadAssigned(Changed):
    """Why, as a code; from whom it was handed over, if that person left."""

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
    """How alike they are, in per cent."""

    similarity: int


KINDS = (
    Kind("lead.created", "Lead", "A lead came in.", customer=SOMETIMES),
    Kind("lead.updated", "Lead", "A lead's record changed.", customer=SOMETIMES),
    Kind("lead.accepted", "Lead", "A lead's owner took it on.", customer=SOMETIMES),
    Kind("lead.assigned", "Lead", "A lead was given to somebody.", LeadAssigned, SOMETIMES),
    Kind("lead.unassigned", "Lead", "A lead's owner left; it is routed anew.", LeadAssigned, SOMETIMES),
    Kind("lead.nurtured", "Lead", "A lead is kept warm.", LeadMoved, SOMETIMES),
    Kind("lead.qualified", "Lead", "A lead is worth selling to.", LeadMoved, SOMETIMES),
    Kind("lead.lost", "Lead", "A lead was given up.", LeadMoved, SOMETIMES),
    Kind("lead.reopened", "Lead", "A lost lead is open again.", LeadMoved, SOMETIMES),
    Kind("lead.converted", "Lead", "A lead became a customer.", LeadConverted, SOMETIMES),
    Kind("lead.merged", "Lead", "A lead went up in another one.", LeadMerged, SOMETIMES),
    Kind("lead.absorbed", "Lead", "A lead took another one in.", LeadAbsorbed, SOMETIMES),
    Kind("lead.pooled", "Lead", "A lead lost its owner to a pool.", customer=SOMETIMES),
    Kind("lead.erased", "Lead", "A lead's personal values were erased.", LeadErased, SOMETIMES),
    Kind("lead.duplicateFound", "LeadDuplicate", "Two leads look like one.", PairFound),
    Kind("lead.duplicateDismissed", "LeadDuplicate", "Two leads that look like one are two.", Pair),
)
