"""Choices, ids, times and amounts that are the same on every run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any, TypeVar
from uuid import UUID

Item = TypeVar("Item")
Row = dict[str, Any]

TABLES = (
    "users",
    "teams",
    "api_keys",
    "products",
    "customers",
    "contacts",
    "opportunities",
    "orders",
    "order_lines",
    "payments",
    "commissions",
    "interactions",
    "tickets",
    "events",
    "audit_entries",
    "business_calendars",
    "pipelines",
    "stages",
    "key_actions",
    "opportunity_actions",
    "stage_transitions",
    "score_rules",
    "stale_alerts",
    "schedules",
    "jobs",
    "notifications",
    "tasks",
    "email_messages",
    "campaigns",
    "intake_sources",
    "follow_up_rules",
    "leads",
    "lead_transitions",
    "lead_duplicates",
    "assignment_decisions",
    "routing_rulesets",
    "routing_rules",
    "lead_queues",
    "seller_profiles",
    "absences",
    "pools",
    "pool_items",
    "pool_moves",
    "companies",
    "erasures",
    "event_subscriptions",
    "webhook_endpoints",
    "webhook_deliveries",
    "webhook_attempts",
    "exports",
    "fx_rates",
    "accounting_periods",
    "allocations",
    "write_offs",
    "suspense_receipts",
    "invoices",
    "invoice_lines",
    "instalments",
    "credit_notes",
    "credit_note_lines",
    "payment_accounts",
    "provider_events",
    "refunds",
    "disputes",
    "ledger_entries",
    "account_codes",
    "contracts",
    "contract_payments",
    "commission_splits",
    "reminders",
    "dunning_levels",
    "payouts",
    "reconciliation_runs",
    "reconciliation_exceptions",
    "bank_accounts",
    "bank_statements",
    "bank_lines",
    "bank_suggestions",
    "comp_plans",
    "comp_plan_versions",
    "comp_rules",
    "comp_tiers",
    "comp_assignments",
    "comp_signatures",
    "quotas",
    "commission_problems",
    "salaries",
    "pay_entries",
)
"""A table's place is part of its rows' ids: new ones come last."""

START = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
SCALES = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}
CURRENCIES = tuple(SCALES)


class Dice:
    """Choices that every version of Python makes alike."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def below(self, count: int) -> int:
        return int(self._random.random() * count)

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]

    def maybe(self, value: Item, per_cent: int = 50) -> Item | None:
        return value if self.below(100) < per_cent else None


def key(table: str, number: int | None) -> Any:
    """The id of the n-th row of a table, counted from 1."""
    if number is None:
        return None
    return UUID(f"{0x01930000 + TABLES.index(table):08x}-0000-7000-8000-{number:012x}")


def moment(number: int) -> datetime:
    """A time; several numbers share one, so that orders have ties."""
    return START + timedelta(hours=7 * (number // 2), milliseconds=250 * (number % 3 == 0))


def exact(value: Decimal, currency: str) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-SCALES[currency]), ROUND_HALF_UP)
