"""Salaries: of those who are paid one, with those before, one that was taken back, one to come."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from tests.access.dice import Row, exact, key, moment

TABLES = ("salaries",)
UNVERSIONED: tuple[str, ...] = ()


def fill(made: dict[str, list[Row]], pay: dict[int, str]) -> None:
    """`pay`: by the number of a person, what they are paid now."""
    for number, text in pay.items():
        amount, _, currency = text.partition(" ")
        now = {"amount": Decimal(amount), "starts_on": date(2026, 3, 1)}
        if number % 4 == 1:
            _salary(made, number, currency, amount=exact(Decimal(amount) / 2, currency), ends_on=date(2026, 2, 28))
            _salary(made, number, currency, amount=Decimal(amount), cancelled_at=moment(number))
        if number % 4 == 2:
            _salary(made, number, currency, **now, ends_on=date(2100, 12, 31), reason="Until they leave")
            _salary(made, number, currency, amount=Decimal(amount), starts_on=date(2101, 1, 1))
        else:
            _salary(made, number, currency, **now)


def _salary(made: dict[str, list[Row]], number: int, currency: str, **values: Any) -> None:
    made["salaries"].append(
        {
            "user_id": key("users", number),
            "currency": currency,
            "period": ("MONTH", "YEAR")[number % 2],
            "starts_on": date(2026, 1, 1),
            "ends_on": None,
            "reason": None,
            "cancelled_at": None,
            **values,
        }
    )
