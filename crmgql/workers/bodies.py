"""The declared bodies of jobs, one module per noun."""

from crmgql.workers import emails, follow_ups, housekeeping, leads, opportunities, pools, routing

__all__ = ["emails", "follow_ups", "housekeeping", "leads", "opportunities", "pools", "routing"]
