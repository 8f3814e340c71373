"""Mutations of leads and of pairs that look like one."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.leads import conversion, duplicates, leads, merging
from crmgql.engine.mutations import Given, input, mutation
from crmgql.engine.scalars import CurrencyCode, DateText, DateTimeText, EmailAddress, JsonValue, Url
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET, MoneyInput, MoveInput


@input
class LeadCreateInput:
    """Without an owner it is yours if you sell or manage, else routed. `route`: it is routed though you sell."""

    name: str
    company: str | None = UNSET
    title: str | None = UNSET
    email: EmailAddress | None = UNSET
    phone: str | None = UNSET
    website: Url | None = UNSET
    industry: str | None = UNSET
    region: str | None = UNSET
    country: str | None = UNSET
    city: str | None = UNSET
    segment: str | None = UNSET
    employee_count: int | None = UNSET
    budget: MoneyInput | None = UNSET
    currency: CurrencyCode | None = UNSET
    message: str | None = UNSET
    attributes: JsonValue | None = UNSET
    lead_source: str | None = UNSET
    campaign_id: strawberry.ID | None = UNSET
    score: int | None = UNSET
    email_opt_out: bool | None = UNSET
    received_at: DateTimeText | None = UNSET
    owner_id: strawberry.ID | None = UNSET
    route: bool | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class LeadUpdateInput:
    """Of a closed lead only emailOptOut, campaignId and leadSource can be changed. `attributes` are replaced as a whole."""

    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    company: str | None = UNSET
    title: str | None = UNSET
    email: EmailAddress | None = UNSET
    phone: str | None = UNSET
    website: Url | None = UNSET
    industry: str | None = UNSET
    region: str | None = UNSET
    country: str | None = UNSET
    city: str | None = UNSET
    segment: str | None = UNSET
    employee_count: int | None = UNSET
    budget: MoneyInput | None = UNSET
    currency: CurrencyCode | None = UNSET
    message: str | None = UNSET
    attributes: JsonValue | None = UNSET
    lead_source: str | None = UNSET
    campaign_id: strawberry.ID | None = UNSET
    score: int | None = UNSET
    email_opt_out: bool | None = UNSET


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

    `newCustomer`: a new one in any case. Unless `withOpportunity` is false, an opportunity is made: over the lead's budget
    and named after its company, unless the input says otherwise.
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


@mutation("Lead", LeadCreateInput)
async def lead_create(act: Act, given: Given) -> UUID:
    """Takes in a lead; routing and the search for duplicates follow."""
    return await leads.create(act, **given)


@mutation("Lead", LeadUpdateInput)
async def lead_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await leads.update(act, **given)


@mutation("Lead", MoveInput)
async def lead_accept(act: Act, given: Given) -> UUID:
    """The owner takes the lead on, so that it is not routed to somebody else."""
    return await leads.accept(act, **given)


@mutation("Lead", LeadAssignInput)
async def lead_assign(act: Act, given: Given) -> UUID:
    """Gives the lead to somebody by hand; managers to their teams, sellers to themselves."""
    return await leads.assign(act, **given)


@mutation("Lead", MoveInput)
async def lead_nurture(act: Act, given: Given) -> UUID:
    """Not ready to buy yet: NEW or QUALIFIED becomes NURTURING."""
    return await leads.nurture(act, **given)


@mutation("Lead", MoveInput)
async def lead_qualify(act: Act, given: Given) -> UUID:
    """Worth a seller's time: NEW or NURTURING becomes QUALIFIED."""
    return await leads.qualify(act, **given)


@mutation("Lead", LeadLoseInput)
async def lead_lose(act: Act, given: Given) -> UUID:
    """Closes an open lead as lost, and says why."""
    return await leads.lose(act, **given)


@mutation("Lead", MoveInput)
async def lead_reopen(act: Act, given: Given) -> UUID:
    """Makes a lost lead NEW again; without an owner it is routed."""
    return await leads.reopen(act, **given)


@mutation("Lead", LeadConvertInput, asks=("opportunity.write",))
async def lead_convert(act: Act, given: Given) -> UUID:
    """Makes an open lead a customer with a contact and an opportunity."""
    return await conversion.convert(act, **given)


@mutation("Lead", LeadMergeInput)
async def lead_merge(act: Act, given: Given) -> UUID:
    """Makes two leads one; nothing that either says is lost."""
    return await merging.merge(act, **given)


@mutation("LeadDuplicate", LeadDuplicateDismissInput)
async def lead_duplicate_dismiss(act: Act, given: Given) -> UUID:
    """The two are not one: the pair is not found again."""
    return await duplicates.dismiss(act, **given)
