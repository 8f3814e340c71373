"""Plans in every state, whom they pay or paid, who signed; quotas of people and teams; what plans paid of orders, and why not."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from uuid import UUID

from tests.access.dice import CURRENCIES, Row, exact, key, moment

TABLES = (
    "comp_plans",
    "comp_plan_versions",
    "comp_rules",
    "comp_tiers",
    "comp_assignments",
    "comp_signatures",
    "quotas",
    "commissions",
    "commission_problems",
)
UNVERSIONED = ("comp_rules", "comp_tiers", "comp_signatures", "commission_problems")
STATES = (
    ("RETIRED", date(2026, 1, 1), date(2026, 3, 31)),
    ("APPROVED", date(2026, 4, 1), None),
    ("DRAFT", date(2027, 1, 1), None),
)
MEASURES = ("BOOKED", "INVOICED", "COLLECTED")
BASES = ("GROSS", "NET", "MARGIN")
IMPORTED: Row = {
    "kind": "IMPORTED",
    **dict.fromkeys(("earned_on", "event_id", "plan_version_id", "rule_id", "role", "share", "whole_amount")),
    **dict.fromkeys(("attained_before", "attained_after", "parts")),
}
PAID: tuple[tuple[int, int, str], ...] = (
    (5, 1, "open"),
    (6, 1, "ended"),
    (6, 2, "later"),
    (7, 2, "open"),
    (9, 2, "cancelled"),
    (9, 3, "open"),
    (4, 3, "open"),
    (11, 4, "open"),
    (12, 4, "cancelled"),
    (14, 1, "ended"),
    (16, 5, "open"),
    (13, 5, "ended"),
    (8, 5, "open"),
)
"""Who is paid by which plan, and how long."""


def fill(made: dict[str, list[Row]]) -> None:
    for number, name in enumerate(("Sellers", "accelerated", "100% Pure", "Support", "Zeta"), 1):
        made["comp_plans"].append({"name": name, "description": "How we pay" if number % 2 else None})
        for n, (status, starts_on, ends_on) in enumerate(STATES, 1):
            _version(made, number, n, status, starts_on, ends_on)
    for number, (user, plan, state) in enumerate(PAID, 1):
        made["comp_assignments"].append(
            {
                "user_id": key("users", user),
                "plan_id": key("comp_plans", plan),
                "starts_on": date(2026, 7, 1) if state == "later" else date(2026, 1, 1 + number % 3),
                "ends_on": date(2026, 6, 30) if state == "ended" else None,
                "ramp": [25, 50, 100] if number % 3 == 0 else None,
                "cancelled_at": moment(number) if state == "cancelled" else None,
            }
        )
    for number, (user, plan, _) in enumerate(PAID[:6], 1):
        made["comp_signatures"].append(
            {
                "plan_version_id": key("comp_plan_versions", 3 * plan - 1),
                "user_id": key("users", user),
                "signed_at": moment(number),
                "text_hash": f"{number:064x}",
            }
        )
    _quotas(made)
    for number, row in enumerate(made["commissions"], 1):
        row |= _by_plan(made, row, number) if row["order_id"] and number % 3 else IMPORTED
    for number, user in enumerate((5, 6, 7, 9, 10, 4, 16), 1):
        made["commission_problems"].append(
            {
                "user_id": key("users", user),
                "code": ("QUOTA_MISSING", "RATE_MISSING")[number % 2],
                "starts_on": date(2026, 1 + number % 3, 1),
                "ends_on": date(2026, 3, 31),
                "message": "There is no quota; set one.",
            }
        )


def _by_plan(made: dict[str, list[Row]], row: Row, number: int) -> Row:
    """What a plan makes of a commission: with two lines, or one."""
    line = {
        "why": "TIER",
        "order": f"SO-{number}",
        "measure": MEASURES[number % 3],
        "basis": "NET",
        "share": "1",
        "base": format(row["base_amount"], "f"),
        "tierFrom": "0",
        "tierTo": None,
        "tierUnit": "AMOUNT",
        "rate": format(row["rate"], "f"),
        "amount": format(row["amount"], "f"),
        "words": f'SO-{number}, "Main": so much of it.',
    }
    before = {
        "why": "POSTED_BEFORE",
        "measure": None,
        "basis": None,
        "tierFrom": None,
        "tierUnit": None,
        "words": "Less.",
    }
    version = 1 + number % 15
    currency = made["comp_plan_versions"][version - 1]["currency"]
    return {
        "kind": ("EARN", "CLAWBACK", "ADJUST")[number % 3],
        "earned_on": row["earned_at"].date(),
        "event_id": UUID(int=number),
        "plan_version_id": key("comp_plan_versions", version),
        "rule_id": key("comp_rules", 2 * version),
        "role": ("OWNER", "OVERLAY", "MANAGER")[number % 3],
        "share": Decimal("0.5") if number % 2 else Decimal(1),
        "whole_amount": row["amount"],
        "attained_before": exact(Decimal(number), currency),
        "attained_after": exact(Decimal(2 * number), currency),
        "parts": json.dumps([line, line | before] if number % 2 else [line]),
    }


def _version(made: dict[str, list[Row]], plan: int, n: int, status: str, starts_on: date, ends_on: date | None) -> None:
    number, currency = len(made["comp_plan_versions"]) + 1, CURRENCIES[plan % 4]
    drafted = status == "DRAFT"
    made["comp_plan_versions"].append(
        {
            "plan_id": key("comp_plans", plan),
            "n": n,
            "status": status,
            "starts_on": starts_on,
            "ends_on": ends_on,
            "currency": currency,
            "measure": MEASURES[number % 3],
            "basis": BASES[plan % 3],
            "attains_measure": MEASURES[plan % 3],
            "attains_basis": BASES[number % 3],
            "period": ("MONTH", "QUARTER", "YEAR")[number % 3],
            "tier_mode": ("MARGINAL", "SLAB")[number % 2],
            "cap_amount": exact(Decimal(1000 * number), currency) if number % 2 else None,
            "clawback_months": 6 if number % 3 == 0 else None,
            "text": "We pay a share of what is sold.",
            "made_by_id": key("users", 2),
            "approved_by_id": None if drafted else key("users", 1),
            "approved_at": None if drafted else moment(number),
        }
    )
    for position in (1, 2):
        _rule(made, number, position, currency)


def _rule(made: dict[str, list[Row]], version: int, position: int, currency: str) -> None:
    is_fixed = (version + position) % 4 == 0
    made["comp_rules"].append(
        {
            "plan_version_id": key("comp_plan_versions", version),
            "position": position,
            "name": f"Rule {9 - position}",
            "kind": "FIXED" if is_fixed else "PERCENT",
            "role": ("OWNER", "OVERLAY", "MANAGER")[version % 3],
            "group_name": ("main", "extra")[position % 2],
            "product_ids": [key("products", 3), key("products", 1)] if position == 2 else None,
            "categories": ["tools", "back\\slash"] if version % 4 == 0 else None,
            "segments": ["gold"] if version % 5 == 0 else None,
            "customers": ("ANY", "NEW", "REPEAT")[version % 3],
            "currency": currency,
            "least_deal_amount": exact(Decimal(10 * version), currency) if version % 2 else None,
            "amount": exact(Decimal(7 * version), currency) if is_fixed else None,
            "tier_unit": None if is_fixed else ("AMOUNT", "QUOTA")[version % 2],
            "sentence": "a share" if position == 1 else None,
        }
    )
    if not is_fixed:
        rule, middle = key("comp_rules", len(made["comp_rules"])), Decimal(version) / 2
        for first, last, rate in ((Decimal(0), middle, "0.05"), (middle, None, "0.0825")):
            made["comp_tiers"].append({"rule_id": rule, "from_value": first, "to_value": last, "rate": Decimal(rate)})


def _quotas(made: dict[str, list[Row]]) -> None:
    owners = [("user_id", "users", user) for user in (5, 6, 7, 9, 10, 4, 11, 13, 16)]
    owners += [("team_id", "teams", team) for team in range(1, 7)]
    for number, (column, table, owner) in enumerate(owners, 1):
        currency = CURRENCIES[number % 4]
        made["quotas"].append(
            {
                "user_id": None,
                "team_id": None,
                column: key(table, owner),
                "starts_on": date(2026, 1 + number % 3, 1),
                "ends_on": date(2026, 12, 31),
                "measure": MEASURES[number % 3],
                "basis": BASES[number % 2],
                "currency": currency,
                "amount": exact(Decimal(1000 + number), currency),
                "cancelled_at": moment(number) if number % 5 == 0 else None,
            }
        )
