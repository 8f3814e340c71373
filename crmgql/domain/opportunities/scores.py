"""The score of an opportunity by rules. Pure. Enters: rules and facts. Leaves: 0 to 100 points with their factors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from crmgql.errors import BadUserInput
from crmgql.records import checks

NUMBER, TEXT, FLAG, AMOUNT = "number", "text", "flag", "amount"
FIELDS = {
    "amount": AMOUNT,
    "probability": NUMBER,
    "expectedCloseInDays": NUMBER,
    "daysInStage": NUMBER,
    "stagePosition": NUMBER,
    "interactionsLast30Days": NUMBER,
    "customer.employeeCount": NUMBER,
    "hasContact": FLAG,
    "hasProduct": FLAG,
    "hasCustomer": FLAG,
    "contactTitle": TEXT,
    "customer.industry": TEXT,
    "customer.region": TEXT,
    "customer.country": TEXT,
    "customer.status": TEXT,
    "leadSource": TEXT,
}
"""The fields that a rule may compare, with their types."""

OPERATORS = {
    NUMBER: ("EQ", "GTE", "LTE", "IS_SET"),
    TEXT: ("EQ", "IN", "IS_SET"),
    FLAG: ("EQ", "IS_SET"),
    AMOUNT: ("GTE", "LTE", "IS_SET"),
}
LOWEST, HIGHEST = 0, 100
MOST = 100
"""Values of an IN."""

Factor = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """`value` as it is stored: {"value": …}, {"values": […]} for IN, with "currency" for an amount."""

    name: str
    field: str
    operator: str
    value: dict[str, Any]
    points: int


def check(field: str, operator: str, value: dict[str, Any]) -> None:
    """Raises `BadUserInput` for an unknown field, an operator that the field does not have, a value that does not fit."""
    checks.check_text(field, "field", longest=60)
    if field not in FIELDS:
        raise BadUserInput(f"{field!r} is no field to score; there are {', '.join(sorted(FIELDS))}.", field="field")
    kind = FIELDS[field]
    if operator not in OPERATORS[kind]:
        allowed = ", ".join(OPERATORS[kind])
        raise BadUserInput(f"{field} is a {kind}; it can be compared by {allowed}.", field="operator")
    checks.check_json(value, "value")
    if problem := _problem(kind, operator, value):
        raise BadUserInput(problem, field="value")


def _problem(kind: str, operator: str, value: dict[str, Any]) -> str | None:
    one_value = {"value", "currency"} if kind == AMOUNT else {"value"}
    names: set[str] = {"IS_SET": set[str](), "IN": {"values"}}.get(operator, one_value)
    if set(value) != names:
        return f"Must be an object with {' and '.join(sorted(names)) or 'nothing in it'}."
    if operator == "IS_SET":
        return None
    if operator == "IN":
        texts = value["values"]
        fits = isinstance(texts, list) and 0 < len(texts) <= MOST and all(isinstance(each, str) for each in texts)
        return None if fits else f"values must be a list of 1 to {MOST} texts."
    one = value["value"]
    if kind == TEXT and not isinstance(one, str):
        return "value must be a text."
    if kind == FLAG and not isinstance(one, bool):
        return "value must be true or false."
    if kind in (NUMBER, AMOUNT) and checks.number(one) is None:
        return 'value must be a number such as 30 or "12.50".'
    if kind == AMOUNT and not (isinstance(value["currency"], str) and len(value["currency"]) == 3):
        return 'currency must be a code such as "EUR": amounts of different currencies are not compared.'
    return None


def score(rules: Iterable[Rule], facts: dict[str, Any]) -> tuple[int, list[Factor]]:
    """The points, 0 to 100, and the rules that gave them: {rule, points, because}.

    `facts` are by the names in `FIELDS`; an amount is (amount, currency). A missing fact fits no rule.
    """
    factors: list[Factor] = [
        {"rule": rule.name, "points": rule.points, "because": f"{rule.field} is {_shown(facts[rule.field])}"}
        for rule in rules
        if rule.field in facts and _fits(rule, facts[rule.field])
    ]
    return max(LOWEST, min(HIGHEST, sum(factor["points"] for factor in factors))), factors


def _fits(rule: Rule, fact: Any) -> bool:
    if fact is None or rule.field not in FIELDS:
        return False
    if rule.operator == "IS_SET":
        return fact is not False
    if FIELDS[rule.field] == AMOUNT:
        amount, currency = fact
        return currency == rule.value.get("currency") and _compares(rule.operator, amount, rule.value.get("value"))
    if FIELDS[rule.field] == NUMBER:
        return _compares(rule.operator, Decimal(fact), rule.value.get("value"))
    if FIELDS[rule.field] == FLAG:
        return bool(fact is rule.value.get("value"))
    wanted = rule.value.get("values", [rule.value.get("value")])
    return str(fact).casefold() in {str(each).casefold() for each in wanted}


def _compares(operator: str, fact: Decimal, value: Any) -> bool:
    bound = checks.number(value)
    if bound is None:
        return False
    return fact >= bound if operator == "GTE" else fact <= bound if operator == "LTE" else fact == bound


def _shown(fact: Any) -> str:
    if isinstance(fact, tuple):
        return f"{fact[0]:f} {fact[1]}"
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    return f"{fact:f}" if isinstance(fact, Decimal) else str(fact)
