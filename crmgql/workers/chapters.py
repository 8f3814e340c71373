"""The declared bodies of jobs, one module per chapter; importing them is what declares."""

from crmgql.workers import housekeeping, leads, marketing, messages, opportunities, pools, routing

__all__ = ["housekeeping", "leads", "marketing", "messages", "opportunities", "pools", "routing"]
