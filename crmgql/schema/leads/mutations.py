"""Mutations of leads and of pairs that may be duplicates."""

from __future__ import annotations

import strawberry

from crmgql.domain.leads import conversion, duplicates, leads, merging
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, MoneyInput, input
from crmgql.engine.mutations import Row
from crmgql.engine.scalars import DateText


@input
class LeadAssignInput:
    id: strawberry.ID
    owner_id: strawberry.ID
    expected_version: int | None = UNSET


@input
class LeadLoseInput:
    id: strawberry.ID
    reason: str
    expected_version: int | None = UNSET


@input
class LeadMergeInput:
    """`id` survives, `otherId` is merged into it."""

    id: strawberry.ID
    other_id: strawberry.ID
    expected_version: int | None = UNSET


@input
class LeadConvertInput:
    """The customer is the one named, else the one with the lead's e-mail address or domain, else a new one.

    `newCustomer`: a new one in any case. Unless `withOpportunity` is false, an opportunity is made, by default over the lead's
    budget and named after its company.
    """

    id: strawberry.ID
    customer_id: strawberry.ID | None = UNSET
    new_customer: bool | None = UNSET
    with_opportunity: bool | None = UNSET
    opportunity_name: str | None = UNSET
    amount: MoneyInput | None = UNSET
    stage_id: strawberry.ID | None = UNSET
    expected_close: DateText | None = UNSET
    expected_version: int | None = UNSET


@input
class LeadDuplicateDismissInput:
    id: strawberry.ID


mutations.table(
    "Lead",
    Row(
        "leadCreate",
        "Makes a lead; routing and the search for duplicates follow.",
        leads.create,
        input=inputs.create(
            leads.FACTS,
            "received_at owner_id",
            also={"route": bool | None},
            optional="received_at",
            doc="Without an owner it is yours if you sell or manage, else routed. `route`: it is routed even if you sell.",
        ),
    ),
    Row(
        "leadUpdate",
        "Changes what the input names.",
        leads.update,
        input=inputs.update(
            leads.FACTS,
            doc="Of a closed lead only emailOptOut, campaignId and leadSource can be changed. `attributes` are replaced as a whole.",
        ),
    ),
    Row("leadAccept", "Accepts the lead as its owner, so that it is not routed to somebody else.", leads.accept),
    Row(
        "leadAssign",
        "Assigns the lead by hand; managers within their teams, sellers to themselves.",
        leads.assign,
        input=LeadAssignInput,
    ),
    Row(
        "leadNurture",
        "Marks a lead that is not ready to buy: NEW or QUALIFIED becomes NURTURING.",
        leads.move,
        "nurture",
    ),
    Row(
        "leadQualify",
        "Marks a lead that is worth a seller's time: NEW or NURTURING becomes QUALIFIED.",
        leads.move,
        "qualify",
    ),
    Row("leadLose", "Closes an open lead as lost, with a reason.", leads.lose, input=LeadLoseInput),
    Row("leadReopen", "Makes a lost lead NEW again; without an owner it is routed.", leads.reopen),
    Row(
        "leadConvert",
        "Converts an open lead to a customer with a contact and an opportunity.",
        conversion.convert,
        input=LeadConvertInput,
        asks=("opportunity.write",),
    ),
    Row("leadMerge", "Merges two leads; no value of either is lost.", merging.merge, input=LeadMergeInput),
)

mutations.table(
    "LeadDuplicate",
    Row(
        "leadDuplicateDismiss",
        "Marks a pair as two different leads: it is not found again.",
        duplicates.dismiss,
        input=LeadDuplicateDismissInput,
    ),
)
