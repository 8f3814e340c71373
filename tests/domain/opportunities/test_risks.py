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


def row(amount: int | None, currency: str = "EUR", closes: date | None = None, **more: Any) -> dict[str, Any]:
    value = None if amount is None else Decimal(amount)
    return {
        "amount": value,
        "currency": currency,
        "expected_close": closes,
        "highest_amount": None,
        "close_pushes": 0,
        **more,
    }


@pytest.mark.parametrize(
    ("before", "after", "remembered"),
    [
        (row(None), row(None), (None, 0)),
        (row(5), row(5), (5, 0)),
        (row(100), row(60), (100, 0)),
        (row(60), row(None, highest_amount=Decimal(100)), (100, 0)),
        (row(60), row(120, highest_amount=Decimal(100)), (120, 0)),
        (row(100), row(70, "USD", highest_amount=Decimal(100)), (70, 0)),
        (row(1, closes=TODAY), row(1, closes=date(2026, 12, 1), close_pushes=1), (1, 2)),
        (row(1, closes=TODAY), row(1, closes=date(2026, 10, 1), close_pushes=1), (1, 1)),
        (row(1), row(1, closes=TODAY), (1, 0)),
        (row(1, closes=TODAY), row(1), (1, 0)),
    ],
)
def test_what_it_remembers(before: dict[str, Any], after: dict[str, Any], remembered: tuple[int | None, int]) -> None:
    assert tuple(risks.remembered(before, after).values()) == remembered
