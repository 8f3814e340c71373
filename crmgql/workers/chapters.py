"""The handlers of jobs, one module per chapter; importing them declares them."""

from crmgql.workers import (
    exports,
    housekeeping,
    leads,
    marketing,
    messages,
    money,
    opportunities,
    pools,
    routing,
    webhooks,
)

__all__ = [
    "exports",
    "housekeeping",
    "leads",
    "marketing",
    "messages",
    "money",
    "opportunities",
    "pools",
    "routing",
    "webhooks",
]
