"""The declared mutations, one module per noun."""

from crmgql.schema.mutations import orders, payments

__all__ = ["orders", "payments"]
