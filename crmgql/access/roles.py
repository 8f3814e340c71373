"""Roles as data: each a name and the permissions that it grants. What a viewer may is the union over their roles.

The built-in ones are written here. A company's own are further rows: `declare` adds one, and everything that asks for a
permission knows it from then on, plans included.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from crmgql.access.permissions import GRANTS, PERMISSIONS, Reach
from crmgql.viewer import SYSTEM, Who


@dataclass(frozen=True, slots=True)
class Role:
    """`permissions` are grants, such as `order.write` and `order.read.own`."""

    name: str
    permissions: frozenset[str]


ROLES: dict[str, Role] = {}


def declare(name: str, grants: str) -> Role:
    """A role that grants these, separated by white space. Raises `ValueError` for what is no grant."""
    permissions = frozenset(grants.split())
    if unknown := permissions - GRANTS:
        raise ValueError(f"{name} grants {', '.join(sorted(unknown))}, which no permission allows; see `permissions`.")
    role = ROLES[name] = Role(name, permissions)
    _granted.cache_clear()
    return role


def permissions_of(who: Who) -> frozenset[str]:
    """All that a viewer's roles grant. A role that is not known grants nothing."""
    return _granted(who.roles)


@lru_cache(maxsize=1024)
def _granted(roles: frozenset[str]) -> frozenset[str]:
    return frozenset().union(*(ROLES[name].permissions for name in roles if name in ROLES))


def roles_with(permission: str) -> list[str]:
    """The names of the roles that grant a permission, however far: what SQL compares `users.roles` with."""
    grants = set(PERMISSIONS[permission].grants())
    return sorted(role.name for role in ROLES.values() if role.permissions & grants and role.name != SYSTEM)


COMMON = """
    user.read team.read product.read campaign.read pipeline.read calendar.read company.read rate.read
    period.read task.write interaction.write customer.write notification.read notification.write
    event.read subscription.read.own subscription.write.own export.read.own export.write
"""
"""What everybody may who has a role at all."""

EVERY_CUSTOMER = "customer.read contact.read interaction.read ticket.read opportunity.read"
CUSTOMERS = {
    Reach.ALL: EVERY_CUSTOMER,
    Reach.TEAM: " ".join(f"{each}.team" for each in EVERY_CUSTOMER.split()),
    Reach.OWN: " ".join(f"{each}.own" for each in EVERY_CUSTOMER.split()),
}
"""Customers and what everybody sees with them."""

PAID = "plan.read.own plan.sign quota.read.own"
"""What everybody may whom a plan may pay."""

NOT_ADMINISTRATIVE = {"customer.own", "lead.own", "campaign.own"}
"""Administrators may do everything, but what they make is not theirs, and no leads are routed to them."""

ADMIN = declare("ADMIN", " ".join(PERMISSIONS.keys() - NOT_ADMINISTRATIVE))
declare(
    "FINANCE",
    f"""{COMMON} {CUSTOMERS[Reach.ALL]}
    owner.assign ticket.assign leadQueue.assign
    salary.read salary.write cost.read cost.write product.write spend.read lead.figures
    order.read order.write credit.approve customer.merge payment.read payment.write rate.write period.write period.adjust
    suspense.read writeOff.approve ledger.read account.write paymentAccount.read providerEvent.read providerEvent.write
     bank.read bank.write reconciliation.read reconciliation.write commission.read split.write
    plan.read plan.write plan.approve plan.sign quota.read quota.write
    task.read.own job.read.own email.read.own audit.read
    """,
)
declare(
    "MANAGER",
    f"""{COMMON} {CUSTOMERS[Reach.TEAM]}
    owner.assign.team ticket.assign.team leadQueue.assign.team campaign.assign.team
    customer.own contact.write ticket.write opportunity.write
    cost.read cost.write spend.read followUpRule.read
    lead.read.team lead.write lead.route lead.own
    routing.read leadQueue.read sellerProfile.read.team sellerProfile.write.team absence.read.team absence.write.team
    pool.read poolItem.read.team poolItem.write poolMove.read.team
    order.read.team order.write payment.read.team commission.read.team split.write plan.read.team plan.sign quota.read.team
    task.read.team job.read.own email.read.own
    """,
)
declare(
    "SELLER",
    f"""{COMMON} {CUSTOMERS[Reach.OWN]}
    owner.assign.own ticket.assign.own leadQueue.assign.own campaign.assign.own
    customer.own contact.write ticket.write opportunity.write
    lead.read.own lead.write lead.own
    leadQueue.read.own sellerProfile.read.own absence.read.own absence.write.own
    pool.read poolItem.read.own poolItem.write poolMove.read.own
    order.read.own order.write payment.read.own commission.read.own
    task.read.own job.read.own email.read.own
    {PAID}
    """,
)
declare(
    "SUPPORT",
    f"""{COMMON} {CUSTOMERS[Reach.ALL]}
    ticket.assign contact.write ticket.write
    order.read payment.read
    task.read.own job.read.own email.read.own
    {PAID}
    """,
)
declare(
    "MARKETER",
    f"""{COMMON} {CUSTOMERS[Reach.ALL]}
    leadQueue.assign campaign.assign contact.write
    campaign.write campaign.own spend.read intakeSource.read intakeSource.write followUpRule.read followUpRule.write
    lead.read lead.figures lead.write lead.route
    routing.read routing.write leadQueue.read leadQueue.write sellerProfile.read absence.read
    pool.read pool.write poolItem.read poolMove.read
    task.read.own job.read.own email.read
    {PAID}
    """,
)
declare(
    "INTEGRATION",
    f"""{COMMON} {CUSTOMERS[Reach.ALL]}
    owner.assign ticket.assign leadQueue.assign
    contact.write ticket.write product.write opportunity.write lead.read lead.write
    order.read order.write payment.read payment.write suspense.read
    task.read job.read.own email.read.own
    webhook.read.own webhook.write.own
    """,
)
declare(SYSTEM, " ".join(ADMIN.permissions))
