"""The declared types, one module per noun."""

from crmgql.schema.types import (
    catalog,
    commissions,
    customers,
    events,
    jobs,
    leads,
    notifications,
    opportunities,
    orders,
    payments,
    people,
    pools,
    routing,
)

__all__ = [
    "catalog",
    "commissions",
    "customers",
    "events",
    "jobs",
    "leads",
    "notifications",
    "opportunities",
    "orders",
    "payments",
    "people",
    "pools",
    "routing",
]
