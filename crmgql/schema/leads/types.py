"""Leads, and pairs of them that may be duplicates."""

from crmgql import models
from crmgql.engine.declare import column, many, money, node, one
from crmgql.engine.scalars import EmailAddress, Url


@node(models.Lead, order="-receivedAt")
class Lead:
    """Somebody who might buy."""

    name = column(sort=True)
    company = column()
    title = column()
    email = column(input=EmailAddress)
    phone = column()
    website = column(input=Url)
    industry = column()
    region = column()
    country = column()
    city = column()
    segment = column()
    employee_count = column()
    budget = money()
    currency = column()
    message = column(filter=False)
    attributes = column()
    lead_source = column(doc="Where it came from, such as web, event or organic_search.")
    score = column(sort=True)
    email_opt_out = column()
    status = column(enum=models.LeadStatus)
    status_since = column()
    lost_reason = column()
    received_at = column(sort=True)
    last_activity_at = column()
    assigned_at = column()
    accepted_at = column()
    accept_by = column(doc="Until when the owner must accept; after that it is routed to somebody else.")
    queue_deadline = column()
    protected_until = column()
    converted_at = column()
    campaign = one()
    intake_source = one()
    owner = one()
    routing = one("The latest routing decision.")
    queue = one()
    pool = one()
    customer = one()
    contact = one()
    opportunity = one()
    merged_into = one()
    decisions = many("AssignmentDecision", "lead", order="-decidedAt")
    transitions = many("LeadTransition", "lead", order="-occurredAt")
    duplicates = many("LeadDuplicate", "lead")
    duplicate_of = many("LeadDuplicate", "other")
    merged = many("Lead", "merged_into")
    tasks = many("Task", "lead")
    emails = many("EmailMessage", "lead")
    pool_moves = many("PoolMove", "lead", order="-occurredAt")


@node(models.LeadTransition, order="-occurredAt")
class LeadTransition:
    """A change of a lead's status."""

    from_status = column(enum=models.LeadStatus)
    to_status = column(enum=models.LeadStatus)
    reason = column()
    seconds_in_status = column()
    occurred_at = column(sort=True)
    lead = one()
    actor = one()


@node(models.LeadDuplicate, order="-id")
class LeadDuplicate:
    """Two leads that may be duplicates."""

    reasons = column()
    similarity = column(doc="Per cent.")
    status = column(enum=models.DuplicateStatus)
    settled_at = column()
    lead = one()
    other = one()
