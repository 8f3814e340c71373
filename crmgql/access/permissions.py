"""Every permission, with what it allows: what a verb or a field asks for, and what a role is made of.

Some are granted for all records, for those of the teams below, or only for one's own: `order.read`, `order.read.team` and
`order.read.own` are three grants of one permission, of which the widest counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum


class Reach(IntEnum):
    """How far a permission goes, the widest last."""

    NONE = 0
    OWN = 1
    TEAM = 2
    ALL = 3


SUFFIXES = {Reach.ALL: "", Reach.TEAM: ".team", Reach.OWN: ".own"}
WHOLE = (Reach.ALL,)
BY_OWNER = (Reach.ALL, Reach.TEAM, Reach.OWN)
OWN_OR_ALL = (Reach.ALL, Reach.OWN)


@dataclass(frozen=True, slots=True)
class Permission:
    """`doc` completes "Allows …". `reaches` are how far it can be granted."""

    name: str
    doc: str
    reaches: tuple[Reach, ...] = WHOLE

    def grant(self, reach: Reach) -> str:
        """What a role holds that has it so far."""
        return f"{self.name}{SUFFIXES[reach]}"

    def grants(self) -> Iterator[str]:
        return (self.grant(reach) for reach in self.reaches)


CHAPTERS: dict[str, tuple[Permission, ...]] = {
    "people": (
        Permission(
            "company.administer", "getting the notifications that are for nobody else; one active user always has it"
        ),
        Permission("owner.assign", "putting somebody in charge of a record; with all, anybody and nobody", BY_OWNER),
        Permission("user.read", "seeing users, without their salaries but one's own"),
        Permission("user.write", "making, changing, deactivating users"),
        Permission("salary.read", "seeing everybody's salary"),
        Permission("salary.write", "setting salaries, with `user.write`"),
        Permission("team.read", "seeing teams"),
        Permission("team.write", "making and changing teams"),
        Permission("apiKey.read", "seeing API keys, without the keys themselves"),
        Permission("apiKey.write", "making and revoking API keys"),
    ),
    "customers": (
        Permission("customer.read", "seeing customers, by their owner", BY_OWNER),
        Permission("customer.write", "making and changing customers"),
        Permission("customer.own", "having the customers, leads and opportunities that one makes as one's own"),
        Permission("contact.read", "seeing contacts of the customers that one sees, by the customer's owner", BY_OWNER),
        Permission("contact.write", "making, changing contacts"),
    ),
    "activities": (
        Permission("interaction.read", "seeing interactions, by the customer's owner", BY_OWNER),
        Permission("interaction.write", "logging and changing interactions"),
        Permission("ticket.read", "seeing tickets, by the customer's owner", BY_OWNER),
        Permission("ticket.write", "opening tickets and working on them"),
        Permission("ticket.assign", "giving tickets to somebody; with all, to anybody and nobody", BY_OWNER),
        Permission("task.read", "seeing tasks, by who is to do them", BY_OWNER),
        Permission("task.write", "making and changing tasks"),
    ),
    "catalog": (
        Permission("product.read", "seeing products, without their costs"),
        Permission("product.write", "making and changing products"),
        Permission("cost.read", "seeing costs and margins of products, orders and lines"),
        Permission("cost.write", "setting a product's cost, with `product.write`"),
    ),
    "marketing": (
        Permission("campaign.read", "seeing campaigns, without what they cost"),
        Permission("campaign.write", "making and changing campaigns"),
        Permission("campaign.assign", "putting somebody in charge of a campaign", BY_OWNER),
        Permission("campaign.own", "having the campaigns that one makes as one's own"),
        Permission("spend.read", "seeing what campaigns may cost, did cost and brought"),
        Permission("intakeSource.read", "seeing sources of leads"),
        Permission("intakeSource.write", "making and changing sources of leads"),
        Permission("followUpRule.read", "seeing rules of following up"),
        Permission("followUpRule.write", "making and changing rules of following up"),
    ),
    "opportunities": (
        Permission("opportunity.read", "seeing opportunities, by their owner or the customer's", BY_OWNER),
        Permission("opportunity.write", "making and changing opportunities"),
        Permission("pipeline.read", "seeing pipelines, stages, key actions and rules of scoring"),
        Permission("pipeline.write", "making and changing pipelines, stages, key actions and rules of scoring"),
        Permission("company.read", "seeing the company's settings"),
        Permission("company.write", "changing the company's settings"),
        Permission("calendar.read", "seeing business calendars"),
        Permission("calendar.write", "making and changing business calendars"),
    ),
    "leads": (
        Permission("lead.read", "seeing leads, by their owner or that of the queue that they wait in", BY_OWNER),
        Permission("lead.figures", "counting all leads, also those that one does not see"),
        Permission("lead.write", "making and changing leads"),
        Permission("lead.route", "having leads routed by the rules"),
        Permission("lead.own", "getting leads by the rules"),
    ),
    "routing": (
        Permission("routing.read", "seeing rule sets, and whom they looked at"),
        Permission("routing.write", "making, changing and activating rule sets"),
        Permission("leadQueue.read", "seeing queues, by their owner", BY_OWNER),
        Permission("leadQueue.write", "making and changing queues"),
        Permission("leadQueue.assign", "putting somebody in charge of a queue", BY_OWNER),
        Permission("sellerProfile.read", "seeing what routing knows of sellers", BY_OWNER),
        Permission("sellerProfile.write", "setting what routing knows of sellers, oneself included", BY_OWNER),
        Permission("absence.read", "seeing when sellers are away", BY_OWNER),
        Permission("absence.write", "saying when sellers are away, oneself included", BY_OWNER),
    ),
    "pools": (
        Permission("pool.read", "seeing pools"),
        Permission("pool.write", "making and changing pools"),
        Permission("poolItem.read", "seeing what is in pools; what left them by who claimed it", BY_OWNER),
        Permission("poolItem.write", "claiming from pools and giving back"),
        Permission("poolMove.read", "seeing what happened in pools, by who did it", BY_OWNER),
    ),
    "sales": (
        Permission("order.read", "seeing orders and their lines, by the customer's owner", BY_OWNER),
        Permission("order.write", "making and changing orders"),
        Permission("customer.merge", "merging customers, with what they owe and have"),
        Permission("credit.approve", "setting customers' credit limits, and approving orders that lead past them"),
    ),
    "money": (
        Permission("payment.read", "seeing payments, by the customer's owner", BY_OWNER),
        Permission("payment.write", "recording payments, and that they failed or were refunded"),
        Permission(
            "writeOff.approve", "writing off more of an order than the company's tolerance, with `payment.write`"
        ),
        Permission("suspense.read", "seeing money of which nobody knows whose it is"),
        Permission("paymentAccount.read", "seeing our accounts at payment providers, without their secrets"),
        Permission("paymentAccount.write", "making, changing and disabling our accounts at payment providers"),
        Permission("providerEvent.read", "seeing what payment providers say, and what became of it"),
        Permission("providerEvent.write", "saying whose a payment is that nobody knew, having an event followed again"),
        Permission("bank.read", "seeing our accounts at banks, their statements, and what lines of these may be"),
        Permission(
            "bank.write",
            "making and changing accounts at banks, importing statements, and, with `payment.write`, saying what lines are",
        ),
        Permission(
            "ledger.read",
            "seeing entries of the books, by the customer's owner; with all, also the company's own and the trial balance",
            BY_OWNER,
        ),
        Permission("account.write", "saying what the accountant's system calls the accounts of the books"),
        Permission(
            "reconciliation.read",
            "seeing payouts of payment providers, what reconciliation finds, and how much money is explained",
        ),
        Permission(
            "reconciliation.write",
            "recording payouts, closing what reconciliation found; who has it is told of what it finds",
        ),
        Permission("rate.read", "seeing exchange rates"),
        Permission("rate.write", "setting exchange rates"),
        Permission("period.read", "seeing which days of the books are closed"),
        Permission("period.write", "closing days of the books, reopening soft closed ones"),
        Permission("period.reopen", "reopening closed days of the books, with `period.write`"),
        Permission("period.adjust", "posting to soft closed days; with `period.write`, closing a year and revaluing"),
    ),
    "compensation": (
        Permission("commission.read", "seeing commissions, by their seller", BY_OWNER),
        Permission("commission.write", "recording commissions"),
        Permission("split.write", "saying who is credited of orders"),
        Permission("plan.read", "seeing whom plans pay, and what was approved of these; with all, all plans", BY_OWNER),
        Permission("plan.write", "drafting versions of plans, saying whom plans pay"),
        Permission("plan.approve", "approving what somebody else drafted of plans, and retiring it, with `plan.write`"),
        Permission("plan.sign", "signing the plan that pays oneself"),
        Permission("quota.read", "seeing quotas of people, and those of teams by their manager", BY_OWNER),
        Permission("quota.write", "setting quotas"),
    ),
    "messages": (
        Permission("notification.read", "seeing one's own notifications"),
        Permission("notification.write", "marking one's own notifications as read"),
        Permission(
            "email.read",
            "seeing mail to leads that one sees, about invoices that one sees, and to oneself; with all, to everybody outside",
            OWN_OR_ALL,
        ),
        Permission("email.write", "starting jobs that send mail"),
    ),
    "webhooks": (
        Permission(
            "webhook.read", "seeing webhook endpoints and the log of their deliveries, by their owner", OWN_OR_ALL
        ),
        Permission(
            "webhook.write",
            "making and changing webhook endpoints that send what oneself may see; with all, what others may see",
            OWN_OR_ALL,
        ),
    ),
    "jobs": (
        Permission("job.read", "seeing jobs, by who asked for them", OWN_OR_ALL),
        Permission("job.write", "asking for jobs, cancelling, retrying and dropping them"),
        Permission("schedule.read", "seeing schedules"),
        Permission("schedule.write", "making and changing schedules"),
    ),
    "events": (
        Permission("erasure.read", "seeing who was erased when, and why"),
        Permission("erasure.write", "erasing a person for good"),
        Permission("event.read", "reading events about what one sees"),
        Permission("export.read", "seeing exports, by who asked for them; fetching only one's own", OWN_OR_ALL),
        Permission("export.write", "exporting what one sees"),
        Permission("audit.read", "reading the audit trail of what one sees"),
        Permission("subscription.read", "seeing event subscriptions, by their owner", OWN_OR_ALL),
        Permission(
            "subscription.write",
            "making, changing and following event subscriptions; with all, also those that read with somebody else's rights",
            OWN_OR_ALL,
        ),
    ),
}
PERMISSIONS = {permission.name: permission for chapter in CHAPTERS.values() for permission in chapter}
GRANTS = frozenset(grant for permission in PERMISSIONS.values() for grant in permission.grants())
"""All that a role can hold."""
