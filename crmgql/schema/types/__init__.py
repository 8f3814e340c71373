"""The declared types, one module per noun."""

from crmgql.schema.types import catalog, commissions, customers, events, opportunities, orders, payments, people

__all__ = ["catalog", "commissions", "customers", "events", "opportunities", "orders", "payments", "people"]
