"""The declared mutations, one module per noun."""

from crmgql.schema.mutations import (
    auth,
    catalog,
    contacts,
    customers,
    interactions,
    opportunities,
    orders,
    payments,
    people,
    tickets,
)

__all__ = [
    "auth",
    "catalog",
    "contacts",
    "customers",
    "interactions",
    "opportunities",
    "orders",
    "payments",
    "people",
    "tickets",
]
