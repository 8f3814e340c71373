"""The registry: every kind of event, declared once, by chapter."""

from __future__ import annotations

from itertools import chain

from crmgql.events.declarations import Kind, NotDeclared
from crmgql.events.kinds import (
    activities,
    bank,
    catalog,
    compensation,
    customers,
    events,
    imports,
    jobs,
    leads,
    marketing,
    messages,
    money,
    opportunities,
    payroll,
    people,
    pools,
    providers,
    routing,
    sales,
    settings,
    streams,
    webhooks,
)

CHAPTERS: dict[str, tuple[Kind, ...]] = {
    "sales": sales.KINDS,
    "money": money.KINDS,
    "providers": providers.KINDS,
    "bank": bank.KINDS,
    "compensation": compensation.KINDS,
    "payroll": payroll.KINDS,
    "customers": customers.KINDS,
    "activities": activities.KINDS,
    "catalog": catalog.KINDS,
    "leads": leads.KINDS,
    "routing": routing.KINDS,
    "pools": pools.KINDS,
    "opportunities": opportunities.KINDS,
    "marketing": marketing.KINDS,
    "messages": messages.KINDS,
    "people": people.KINDS,
    "settings": settings.KINDS,
    "jobs": jobs.KINDS,
    "imports": imports.KINDS,
    "events": events.KINDS,
    "streams": streams.KINDS,
    "webhooks": webhooks.KINDS,
}
"""In the order of the reference."""

KINDS: dict[str, Kind] = {kind.name: kind for kind in chain.from_iterable(CHAPTERS.values())}
if len(KINDS) != sum(map(len, CHAPTERS.values())):
    raise NotDeclared("A kind of event is declared twice.")

FOLLOWED = frozenset(
    (
        *("Absence", "BusinessCalendar", "Campaign", "Commission", "Company", "Contact", "Customer"),
        *("FollowUpRule", "IntakeSource", "Interaction", "KeyAction", "Lead", "LeadQueue", "Opportunity"),
        *("Order", "Payment", "Pipeline", "Pool", "Product", "ScoreRule", "SellerProfile"),
        *("Stage", "Task", "Team", "Ticket", "User"),
    )
)
"""Types of which nothing changes without an event (or a gap, or a tombstone), and nothing is deleted: a copy can be kept of them."""


def find(name: str) -> Kind:
    """Raises `NotDeclared`."""
    try:
        return KINDS[name]
    except KeyError:
        raise NotDeclared(f"No kind of event is called {name!r}; declare it in crmgql/events/kinds.") from None
