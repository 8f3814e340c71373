"""The declared root fields that are no records, one module per noun."""

from crmgql.schema.computed_fields import funnels, jobs, marketing, routing

__all__ = ["funnels", "jobs", "marketing", "routing"]
