"""Salaries of those who are paid one, with those before, one that was taken back, one to come; and entries of pay, some of them reversed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from tests.access.dice import Row, exact, key, moment

TABLES = ("salaries", "pay_entries")
UNVERSIONED = ("pay_entries",)
KINDS = ("BONUS", "DRAW", "RECOVERY", "GUARANTEE", "MANUAL", "SALARY")


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
        _entries(made, number, currency)


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


def _entries(made: dict[str, list[Row]], number: int, currency: str) -> None:
    kind = KINDS[number % len(KINDS)]
    amount = exact(Decimal(number * (-10 if kind == "RECOVERY" else 10)), currency)
    entry = {
        "user_id": key("users", number),
        "kind": kind,
        "amount": amount,
        "currency": currency,
        "effective_on": date(2026, 1 + number % 4, 28),
        "reason": "As we agreed",
        "reverses_id": None,
    }
    made["pay_entries"].append(entry)
    if number % 3 == 0:
        undone = key("pay_entries", len(made["pay_entries"]))
        made["pay_entries"].append({**entry, "amount": -amount, "reason": "A mistake", "reverses_id": undone})
