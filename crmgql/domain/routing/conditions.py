"""The language of a rule's conditions: parsed when a rule is saved and when it is used, evaluated per lead. Pure.

    {"all": [{"field": "region", "op": "in", "value": ["North", "South"]},
             {"not": {"field": "budget", "op": "lt", "value": {"amount": "50000", "currency": "EUR"}}}]}

Enters: JSON. Leaves: a tree, or `BadUserInput` with the path of the first mistake. Every lead meets an empty
object. A missing value meets no comparison but `ne`; text is compared without regard to case.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from crmgql.errors import BadUserInput
from crmgql.records import checks

TEXTS = frozenset({"region", "country", "city", "industry", "segment", "leadSource", "company", "title", "campaign"})
NUMBERS = frozenset({"employeeCount", "score"})
BUDGET = "budget"
ATTRIBUTES = "attributes."

ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "gte": operator.ge,
    "lte": operator.le,
    "gt": operator.gt,
    "lt": operator.lt,
}
LIKE = ("contains", "startsWith")
OPS = ("eq", "ne", "in", *ORDERED, *LIKE, "isSet")
DEEPEST = 20

Value: TypeAlias = Any
"""A lead's value: case-folded text, a Decimal, a boolean, a list of these, a pair of amount and currency, or None."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """`value` as compared: case-folded text, Decimal, boolean, a tuple of them (in), a pair (budget), a boolean (isSet)."""

    field: str
    op: str
    value: Any


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Condition


Condition: TypeAlias = Leaf | All | AnyOf | Not
ALWAYS = All(())


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one unit of each currency is worth in `currency`."""

    currency: str = "USD"
    rates: Mapping[str, Decimal] = field(default_factory=dict)

    def worth(self, budget: tuple[Decimal, str]) -> Decimal | None:
        """The amount in `currency`; None where no rate is known."""
        amount, currency = budget
        if currency == self.currency:
            return amount
        rate = self.rates.get(currency)
        return None if rate is None else amount * rate


def fold(value: Any) -> Any:
    """The value as compared: text case-folded, numbers as Decimals, lists of these, anything else unchanged."""
    if isinstance(value, str):
        return value.casefold()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float | Decimal):
        return value if isinstance(value, Decimal) else Decimal(str(value))
    return [fold(item) for item in value] if isinstance(value, list) else value


def parse_rates(raw: Any, *, path: str = "rates") -> dict[str, Decimal]:
    """Rates by currency. Raises `BadUserInput` for what is not a positive number."""
    if not isinstance(raw, dict):
        raise BadUserInput('Rates are an object, such as {"EUR": "1.08"}.', field=path)
    return {currency: _rate(currency, value, f"{path}.{currency}") for currency, value in raw.items()}


def _rate(currency: str, value: Any, path: str) -> Decimal:
    _check_currency(currency, path)
    rate = checks.number(value)
    if rate is None or rate <= 0:
        raise BadUserInput('A rate is a positive number, written as text, such as "1.08".', field=path)
    return rate


def parse(raw: Any, *, path: str = "conditions") -> Condition:
    """Raises `BadUserInput` with the path of what is wrong."""
    return _parse(raw, path, DEEPEST)


def _parse(raw: Any, path: str, levels: int) -> Condition:
    if not isinstance(raw, dict):
        raise BadUserInput('A condition is an object with "all", "any", "not", or "field" and "op".', field=path)
    if levels == 0:
        raise BadUserInput(f"Conditions may be nested {DEEPEST} deep.", field=path)
    if "field" in raw or "op" in raw:
        return _leaf(raw, path)
    if unknown := raw.keys() - {"all", "any", "not"}:
        raise BadUserInput(
            'Only "all", "any", "not", or "field" and "op" can stand here.', field=f"{path}.{min(unknown)}"
        )
    parts: list[Condition] = []
    if "all" in raw:
        parts.append(All(_list(raw["all"], f"{path}.all", levels)))
    if "any" in raw:
        parts.append(_any(raw["any"], f"{path}.any", levels))
    if "not" in raw:
        parts.append(Not(_parse(raw["not"], f"{path}.not", levels - 1)))
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _any(raw: Any, path: str, levels: int) -> AnyOf:
    if raw == []:
        raise BadUserInput("An empty list is met by no lead; leave it out, or say what may be met.", field=path)
    return AnyOf(_list(raw, path, levels))


def _list(raw: Any, path: str, levels: int) -> tuple[Condition, ...]:
    if not isinstance(raw, list):
        raise BadUserInput("Must be a list of conditions.", field=path)
    return tuple(_parse(item, f"{path}.{number}", levels - 1) for number, item in enumerate(raw))


def _leaf(raw: dict[str, Any], path: str) -> Leaf:
    if unknown := raw.keys() - {"field", "op", "value"}:
        raise BadUserInput('A comparison has "field", "op" and "value" only.', field=f"{path}.{min(unknown)}")
    name, op = raw.get("field"), raw.get("op")
    check_field(name, f"{path}.field")
    if not isinstance(op, str) or op not in OPS:
        raise BadUserInput(f"op is one of {', '.join(OPS)}.", field=f"{path}.op")
    assert isinstance(name, str)
    return Leaf(name, op, _operand(name, op, raw, path))


def check_field(name: Any, path: str, *, more: frozenset[str] = NUMBERS | {BUDGET}) -> None:
    """Raises `BadUserInput` unless it is a field of a lead."""
    known = TEXTS | more
    if not isinstance(name, str) or not (name in known or (name.startswith(ATTRIBUTES) and name != ATTRIBUTES)):
        raise BadUserInput(f"field is one of {', '.join(sorted(known))} or attributes.<name>.", field=path)


def _operand(name: str, op: str, raw: dict[str, Any], path: str) -> Any:
    path = f"{path}.value"
    value = raw.get("value", True) if op == "isSet" else raw.get("value")
    if op == "isSet":
        if not isinstance(value, bool):
            raise BadUserInput("isSet takes true or false.", field=path)
        return value
    allowed = _allowed(name)
    if op not in allowed:
        raise BadUserInput(f"{name} can be compared by {', '.join(allowed)}.", field=path.replace(".value", ".op"))
    if op == "in":
        if not isinstance(value, list) or not value:
            raise BadUserInput("in takes a list with at least one value.", field=path)
        return tuple(_single(name, op, item, f"{path}.{number}") for number, item in enumerate(value))
    return _single(name, op, value, path)


def _allowed(name: str) -> tuple[str, ...]:
    if name == "campaign":
        return ("eq", "ne", "in", "isSet")
    if name in TEXTS:
        return ("eq", "ne", "in", *LIKE, "isSet")
    if name == BUDGET:
        return ("eq", "ne", *ORDERED, "isSet")
    return ("eq", "ne", "in", *ORDERED, "isSet") if name in NUMBERS else OPS


def _single(name: str, op: str, value: Any, path: str) -> Any:
    if name == BUDGET:
        return _budget(value, path)
    if name == "campaign":
        return _campaign(value, path)
    if name in NUMBERS or op in ORDERED:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadUserInput("Must be a number.", field=path)
        return fold(value)
    if isinstance(value, str) and value:
        return fold(value)
    if name in TEXTS or op in LIKE or not isinstance(value, bool | int | float):
        raise BadUserInput("Must be a text that is not empty.", field=path)
    return fold(value)


def _campaign(value: Any, path: str) -> str:
    try:
        return UUID(str(value).removeprefix("cam_")).hex
    except ValueError:
        raise BadUserInput("Must be the id of a campaign.", field=path) from None


def _budget(value: Any, path: str) -> tuple[Decimal, str]:
    if not isinstance(value, dict) or value.keys() != {"amount", "currency"}:
        raise BadUserInput('Must be like {"amount": "50000", "currency": "EUR"}.', field=path)
    amount, currency = checks.number(value["amount"]), value["currency"]
    if amount is None:
        raise BadUserInput('Must be a number, written as text, such as "50000".', field=f"{path}.amount")
    _check_currency(currency, f"{path}.currency")
    return amount, currency


def _check_currency(code: Any, path: str) -> None:
    if not isinstance(code, str) or not (len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()):
        raise BadUserInput('Must be an ISO 4217 code, such as "EUR".', field=path)


def evaluate(condition: Condition, values: Mapping[str, Value], exchange: Exchange) -> tuple[bool, str]:
    """Whether a lead's values (see `decide.values_of`) meet the condition, and why or why not."""
    if isinstance(condition, Leaf):
        return _compare(condition, values.get(condition.field), exchange)
    if isinstance(condition, Not):
        met, because = evaluate(condition.part, values, exchange)
        return not met, f"not ({because})"
    wanted = isinstance(condition, AnyOf)
    because_of: list[str] = []
    for part in condition.parts:
        met, because = evaluate(part, values, exchange)
        if met is wanted:
            return wanted, because
        because_of.append(because)
    return not wanted, " and ".join(because_of) or "every lead"


def _compare(leaf: Leaf, value: Value, exchange: Exchange) -> tuple[bool, str]:
    name, op = leaf.field, leaf.op
    if op == "isSet":
        return (value is not None) is leaf.value, f"{name} is {'not ' if value is None else ''}set"
    if value is None:
        return op == "ne", f"{name} is not set"
    if name == BUDGET:
        return _compare_budget(leaf, value, exchange)
    return _holds(op, value, leaf.value), f"{name} is {_shown(value)}"


def _holds(op: str, value: Value, wanted: Any) -> bool:
    if op in ORDERED:
        number = value if isinstance(value, Decimal) else checks.number(value)
        return number is not None and ORDERED[op](number, wanted)
    if op == "eq":
        return _same(value, wanted)
    if op == "ne":
        return not _same(value, wanted)
    if op == "in":
        return any(_same(value, each) for each in wanted)
    if op == "contains":
        return wanted in value if isinstance(value, str | list) else False
    return value.startswith(wanted) if isinstance(value, str) else False


def _same(value: Value, wanted: Any) -> bool:
    """Python treats true and 1 as equal, people do not."""
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _compare_budget(leaf: Leaf, value: tuple[Decimal, str], exchange: Exchange) -> tuple[bool, str]:
    text = f"budget is {value[0]:f} {value[1]}"
    if value[1] == leaf.value[1]:
        ours, wanted = value[0], leaf.value[0]
    else:
        mine, its = exchange.worth(value), exchange.worth(leaf.value)
        if mine is None or its is None:
            unknown = value[1] if mine is None else leaf.value[1]
            return False, f"{text}, but the rule set has no rate for {unknown}"
        ours, wanted = mine, its
    compare = ORDERED.get(leaf.op) or (operator.eq if leaf.op == "eq" else operator.ne)
    return compare(ours, wanted), text


def _shown(value: Value) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)[:80]
