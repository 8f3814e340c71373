"""What a risk is made of."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from crmgql.domain.opportunities import risks

TODAY = date(2026, 11, 1)
FINE = risks.Facts(
    level=0,
    stale_since=None,
    manager_overdue=False,
    expected_close=TODAY,
    pushes=1,
    amount=Decimal(80),
    highest=Decimal(100),
    has_contact=True,
    open_tasks=1,
    today=TODAY,
)
STALE = {"level": 1, "stale_since": date(2026, 10, 1)}
LATE = {"expected_close": date(2026, 10, 31)}


@pytest.mark.parametrize(
    ("facts", "risk", "factors"),
    [
        ({}, "LOW", []),
        ({"has_contact": False}, "LOW", ["NO_CONTACT"]),
        ({"open_tasks": 0}, "LOW", ["NOTHING_PLANNED"]),
        ({"has_contact": False, "open_tasks": 0}, "MEDIUM", ["NO_CONTACT", "NOTHING_PLANNED"]),
        (STALE, "MEDIUM", ["STALE"]),
        (LATE, "MEDIUM", ["CLOSE_DATE_PASSED"]),
        ({"pushes": 2}, "MEDIUM", ["CLOSE_DATE_PUSHED"]),
        ({"amount": Decimal("79.99")}, "MEDIUM", ["AMOUNT_CUT"]),
        ({"amount": None}, "LOW", []),
        ({"level": 2}, "HIGH", ["STAGNANT"]),
        ({**STALE, "manager_overdue": True}, "HIGH", ["STAGNANT"]),
        ({**STALE, **LATE, "open_tasks": 0}, "HIGH", ["STALE", "CLOSE_DATE_PASSED", "NOTHING_PLANNED"]),
    ],
)
def test_each_factor(facts: dict[str, Any], risk: str, factors: list[str]) -> None:
    level, found = risks.assess(replace(FINE, **facts))
    assert (level, [each["factor"] for each in found]) == (risk, factors)
    assert all(each["because"] for each in found)


def test_history_counts_what_was_put_off_and_remembers_the_highest_amount() -> None:
    changes: list[dict[str, Any]] = [
        {"amount": [None, "100.00"], "expected_close": [None, "2026-10-01"]},
        {"expected_close": ["2026-10-01", "2026-11-01"]},
        {"expected_close": ["2026-11-01", "2026-10-15"]},
        {"amount": ["100.00", "60.00"], "expected_close": ["2026-10-15", "2026-12-01"]},
    ]
    assert risks.history(changes, Decimal(60)) == (2, Decimal(100))
    other = [*changes, {"currency": ["EUR", "USD"], "amount": ["60.00", "70.00"]}]
    assert risks.history(other, Decimal(70)) == (2, Decimal(70))
    assert risks.history([], None) == (0, None)
