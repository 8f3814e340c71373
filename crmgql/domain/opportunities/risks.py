"""How likely an opportunity is to be lost by neglect. Pure. Enters: facts. Leaves: a level and its factors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

LOW, MEDIUM, HIGH = "LOW", "MEDIUM", "HIGH"
PUSHES = 2
CUT = Decimal("0.8")
MANY = 3
"""From this number of factors on, the risk is HIGH."""

FAR_OFF = date(2300, 1, 1)
"""Later dates are typing errors in imports; they are ignored."""


@dataclass(frozen=True, slots=True)
class Facts:
    """`highest` is the largest amount it ever had in its currency, `pushes` how often its close date was put off."""

    level: int
    stale_since: date | None
    manager_overdue: bool
    expected_close: date | None
    pushes: int
    amount: Decimal | None
    highest: Decimal | None
    has_contact: bool
    open_tasks: int
    today: date


def assess(facts: Facts) -> tuple[str, list[dict[str, str]]]:
    """The risk and its factors {factor, because}. HIGH: silent past the manager's threshold, or three factors."""
    factors = list(_factors(facts))
    names = {each["factor"] for each in factors}
    if "STAGNANT" in names or len(factors) >= MANY:
        return HIGH, factors
    warning = names - {"NO_CONTACT", "NOTHING_PLANNED"}
    return (MEDIUM if warning or len(factors) > 1 else LOW), factors


def _factors(facts: Facts) -> Iterable[dict[str, str]]:
    if facts.level >= 2 or facts.manager_overdue:
        yield _factor("STAGNANT", "Nothing has happened for so long that the manager was due.")
    elif facts.level == 1 and facts.stale_since is not None:
        yield _factor("STALE", f"Nothing has happened; it is stale since {facts.stale_since}.")
    if facts.expected_close is not None and facts.expected_close < facts.today:
        yield _factor("CLOSE_DATE_PASSED", f"It was expected to close on {facts.expected_close}.")
    if facts.pushes >= PUSHES:
        yield _factor("CLOSE_DATE_PUSHED", f"Its close date was put off {facts.pushes} times.")
    if facts.amount is not None and facts.highest is not None and facts.amount < facts.highest * CUT:
        yield _factor("AMOUNT_CUT", f"Its amount was {facts.highest:f} and is {facts.amount:f} now.")
    if not facts.has_contact:
        yield _factor("NO_CONTACT", "It names no contact.")
    if facts.open_tasks == 0:
        yield _factor("NOTHING_PLANNED", "No task is open for it.")


def changes_on(expected_close: date | None, today: date) -> date | None:
    """The day on which the risk changes without an event: the one after the close date. None if it has passed or never comes."""
    if expected_close is None or not today <= expected_close < FAR_OFF:
        return None
    return expected_close + timedelta(days=1)


def _factor(name: str, because: str) -> dict[str, str]:
    return {"factor": name, "because": because}


def remembered(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that keep the history for the risk, after a change: the highest amount in the current currency, and how often
    the close date was put off. `before` and `after` are the opportunity's rows; `after` has the columns' old values."""
    amounts = [after["amount"]]
    if before["currency"] == after["currency"]:
        amounts += [before["amount"], after["highest_amount"]]
    closes, closed = after["expected_close"], before["expected_close"]
    pushed = closes is not None and closed is not None and closes > closed
    return {
        "highest_amount": max((each for each in amounts if each is not None), default=None),
        "close_pushes": after["close_pushes"] + pushed,
    }
