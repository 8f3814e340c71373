"""Users and teams."""

from crmgql import models
from crmgql.engine.declare import column, many, node, one
from crmgql.engine.scalars import EmailAddress
from crmgql.schema.people import pay
from crmgql.schema.people.standing import standing


@node(models.User, order="name")
class User:
    """A person who works with the CRM."""

    name = column(sort=True)
    email = column(input=EmailAddress)
    roles = column(enum=models.Role)
    region = column()
    city = column()
    state = column()
    postal_code = column()
    active = column()
    salary = pay.salary()
    commission = standing()
    team = one()
    managed_teams = many("Team", "manager")
    customers = many("Customer", "owner", "Customers this person owns.")
    opportunities = many("Opportunity", "owner")
    orders = many("Order", "seller", order="-orderedAt")
    commissions = many("Commission", "seller", order="-earnedAt")
    commission_problems = many(
        "CommissionProblem", "user", "What pays this person nothing yet, and why.", order="-startsOn"
    )
    comp_assignments = many("CompAssignment", "user", "The plans that pay this person.", order="-startsOn")
    quotas = many("Quota", "user", order="-startsOn")
    salaries = many("Salary", "user", "One after the other; seen by that person and by payroll.", order="-startsOn")
    pay_entries = many("PayEntry", "user", "Seen by that person and by payroll.", order="-effectiveOn")
    tickets = many("Ticket", "assignee")
    leads = many("Lead", "owner", order="-receivedAt")
    tasks = many("Task", "assignee")
    assignments = many("AssignmentDecision", "chosen", "Leads that were routed to this person.", order="-decidedAt")


@node(models.Team)
class Team:
    """A sales team; teams form a tree, and a manager is responsible for the whole tree below."""

    name = column()
    region = column()
    manager = one()
    parent = one()
    children = many("Team", "parent")
    members = many("User", "team")
    quotas = many("Quota", "team", "Those of the team itself, not those of its members.", order="-startsOn")


@node(models.ApiKey, plural="apiKeys")
class ApiKey:
    """An integrator's key. The key itself is shown once, when it is made."""

    name = column()
    hint = column(doc="The first characters of the key, to recognise it by.")
    scopes = column(enum=None, filter=False)
    expires_at = column()
    revoked_at = column()
    user = one()
