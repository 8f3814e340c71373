"""Warnings about a rule set, before it is activated. Pure. Sound but not complete: what can't be decided gives no warning.

Conditions are expanded into alternatives of comparisons that must all hold (disjunctive normal form); two alternatives are
compared field by field. This finds that "region is A and region is B" is impossible, and that a rule after a wider one is
unreachable.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations, product
from typing import Any, TypeAlias

from crmgql.domain.routing import conditions
from crmgql.domain.routing.candidates import Seller
from crmgql.domain.routing.conditions import All, AnyOf, Condition, Leaf, Not
from crmgql.domain.routing.decide import Rule, Ruleset
from crmgql.models import names

MOST = 64
"""The most alternatives of a condition; more are not checked."""

Conjunction: TypeAlias = frozenset[Leaf | Not]
OPPOSITE = {"eq": "ne", "ne": "eq"}
REVERSED = {"gte": "lt", "lt": "gte", "lte": "gt", "gt": "lte"}


@dataclass(frozen=True, slots=True)
class Warning:
    """`code` for programs: EMPTY, NO_FALLBACK, WRONG, CONTRADICTORY, UNREACHABLE, OVERLAPPING, NOBODY_MATCHES, UNKNOWN_RATE."""

    code: str
    message: str
    rule: Rule | None = None


def warnings(ruleset: Ruleset, sellers: Sequence[Seller]) -> list[Warning]:
    """All warnings: about the rule set first, then rule by rule."""
    return [
        *_of_ruleset(ruleset),
        *(each for number in range(len(ruleset.rules)) for each in _of_rule(ruleset, number, sellers)),
    ]


def _of_ruleset(ruleset: Ruleset) -> Iterator[Warning]:
    if ruleset.mistake is not None:
        yield Warning("WRONG", ruleset.mistake)
    if not ruleset.rules:
        yield Warning("EMPTY", "There are no rules, so every lead goes to the fallback queue.")
    if ruleset.fallback is None:
        yield Warning("NO_FALLBACK", "Without a fallback queue, what can't be routed stays without a place.")


def _of_rule(ruleset: Ruleset, number: int, sellers: Sequence[Seller]) -> Iterator[Warning]:
    rule = ruleset.rules[number]
    if rule.mistake is not None:
        yield Warning("WRONG", f"Every lead that comes to it ends with an error: {rule.mistake}", rule)
        return
    for currency in sorted(_unknown_rates(rule.condition, ruleset.exchange)):
        yield Warning(
            "UNKNOWN_RATE", f"There is no rate for {currency}: budgets in other currencies don't compare.", rule
        )
    ways = alternatives(rule.condition)
    if ways is not None and not ways:
        yield Warning("CONTRADICTORY", "No lead can meet all of its conditions.", rule)
        return
    if not _anybody(rule, sellers):
        yield Warning("NOBODY_MATCHES", "There is no active seller who could ever get its leads.", rule)
    yield from _behind(rule, ways, ruleset.rules[:number])


def _behind(rule: Rule, ways: Sequence[Conjunction] | None, earlier: Sequence[Rule]) -> Iterator[Warning]:
    for before in earlier:
        theirs = alternatives(before.condition)
        if ways is None or theirs is None or before.target == "ACCOUNT_OWNER" or before.mistake is not None:
            continue
        if all(any(_implies(way, their) for their in theirs) for way in ways):
            yield Warning("UNREACHABLE", f"Rule “{before.name}” takes every lead that would meet it.", rule)
            return
        narrower = all(any(_implies(their, way) for way in ways) for their in theirs)
        if not narrower and _fields(ways) == _fields(theirs) and _meet(ways, theirs):
            yield Warning("OVERLAPPING", f"Some leads meet rule “{before.name}” as well; that one gets them.", rule)


def alternatives(condition: Condition) -> list[Conjunction] | None:
    """The ways to meet a condition, without contradictory ones; None if there are too many."""
    try:
        return [way for way in _ways(condition) if not _contradictory(way)]
    except OverflowError:
        return None


def _ways(condition: Condition) -> list[Conjunction]:
    if isinstance(condition, Leaf):
        return [frozenset({condition})]
    if isinstance(condition, AnyOf):
        ways = [way for part in condition.parts for way in _ways(part)]
    elif isinstance(condition, All):
        ways = [frozenset()]
        for part in condition.parts:
            ways = _few([one | other for one, other in product(ways, _ways(part))])
    else:
        ways = _opposite(condition)
    return _few(ways)


def _few(ways: list[Conjunction]) -> list[Conjunction]:
    if len(ways) > MOST:
        raise OverflowError
    return ways


def _opposite(condition: Not) -> list[Conjunction]:
    part = condition.part
    if isinstance(part, Not):
        return _ways(part.part)
    if isinstance(part, All):
        return [way for each in part.parts for way in _ways(Not(each))]
    if isinstance(part, AnyOf):
        return _ways(All(tuple(Not(each) for each in part.parts)))
    if part.op == "isSet":
        return [frozenset({Leaf(part.field, "isSet", not part.value)})]
    if part.field == conditions.BUDGET:
        return [frozenset({condition})]
    if part.op in OPPOSITE:
        return [frozenset({Leaf(part.field, OPPOSITE[part.op], part.value)})]
    if part.op == "in":
        return [frozenset(Leaf(part.field, "ne", value) for value in part.value)]
    if part.op in REVERSED and part.field in conditions.NUMBERS:
        reverse = Leaf(part.field, REVERSED[part.op], part.value)
        return [frozenset({reverse}), frozenset({Leaf(part.field, "isSet", False)})]
    return [frozenset({condition})]


def _contradictory(way: Conjunction) -> bool:
    return any(_exclude(one, other) or _exclude(other, one) for one, other in combinations(way, 2))


def _meet(ours: Iterable[Conjunction], theirs: Iterable[Conjunction]) -> bool:
    return any(not _contradictory(one | other) for one, other in product(ours, theirs))


def _implies(ours: Conjunction, theirs: Conjunction) -> bool:
    """Whether every lead that meets ours meets theirs."""
    return all(any(_leads_to(mine, its) for mine in ours) for its in theirs)


def _leads_to(mine: Leaf | Not, its: Leaf | Not) -> bool:
    if mine == its:
        return True
    if isinstance(mine, Not) or isinstance(its, Not) or mine.field != its.field:
        return False
    if its.op == "isSet":
        return bool(its.value) and _needs_value(mine)
    if (values := _values(mine)) is not None:
        return all(_fits(value, its) is True for value in values)
    if mine.op in conditions.LIKE and its.op in conditions.LIKE and isinstance(mine.value, str):
        return (
            mine.value.startswith(its.value)
            if its.op == "startsWith" and mine.op == "startsWith"
            else (its.op == "contains" and not mine.field.startswith(conditions.ATTRIBUTES) and its.value in mine.value)
        )
    return _bounds_imply(mine, its)


def _bounds_imply(mine: Leaf, its: Leaf) -> bool:
    mine_at, its_at = _number(mine), _number(its)
    if mine_at is None or its_at is None or mine_at[1] != its_at[1]:
        return False
    over, under = ("gte", "gt"), ("lte", "lt")
    if mine.op in over and its.op in over:
        return mine_at[0] > its_at[0] or (mine_at[0] == its_at[0] and (mine.op == "gt" or its.op == "gte"))
    if mine.op in under and its.op in under:
        return mine_at[0] < its_at[0] or (mine_at[0] == its_at[0] and (mine.op == "lt" or its.op == "lte"))
    return False


def _exclude(one: Leaf | Not, other: Leaf | Not) -> bool:
    """Whether no lead can meet both."""
    if isinstance(one, Not):
        return one.part == other
    if isinstance(other, Not) or one.field != other.field:
        return False
    if one.op == "isSet" and not one.value:
        return _needs_value(other)
    if (values := _values(one)) is not None:
        return all(_fits(value, other) is False for value in values)
    low, high = _number(one), _number(other)
    if low is None or high is None or low[1] != high[1] or one.op not in ("gte", "gt") or other.op not in ("lte", "lt"):
        return False
    compare = operator.gt if (one.op, other.op) == ("gte", "lte") else operator.ge
    return bool(compare(low[0], high[0]))


def _needs_value(leaf: Leaf) -> bool:
    return leaf.op != "ne" and (leaf.op != "isSet" or bool(leaf.value))


def _values(leaf: Leaf) -> tuple[Any, ...] | None:
    """All values that meet it, if they can be listed."""
    if leaf.op == "eq":
        return (leaf.value,)
    return leaf.value if leaf.op == "in" else None


def _fits(value: Any, leaf: Leaf) -> bool | None:
    """Whether a value meets a comparison; None if that takes an exchange rate."""
    if leaf.field == conditions.BUDGET and leaf.op != "isSet" and value[1] != leaf.value[1]:
        return None
    return conditions.evaluate(leaf, {leaf.field: value}, conditions.Exchange())[0]


def _number(leaf: Leaf) -> tuple[Decimal, str] | None:
    if leaf.op not in conditions.ORDERED:
        return None
    return leaf.value if leaf.field == conditions.BUDGET else (leaf.value, "")


def _fields(ways: Iterable[Conjunction]) -> set[str]:
    return {leaf.field for way in ways for leaf in way if isinstance(leaf, Leaf)}


def _unknown_rates(condition: Condition, exchange: conditions.Exchange) -> set[str]:
    if isinstance(condition, Leaf):
        known = condition.field != conditions.BUDGET or condition.op == "isSet"
        return set() if known or exchange.worth(condition.value) is not None else {condition.value[1]}
    parts = (condition.part,) if isinstance(condition, Not) else condition.parts
    return {currency for part in parts for currency in _unknown_rates(part, exchange)}


def _anybody(rule: Rule, sellers: Sequence[Seller]) -> bool:
    if rule.target in ("QUEUE", "ACCOUNT_OWNER"):
        return True
    return any(
        seller.active and seller.sells and not seller.opted_out and _aimed_at(rule, seller)
        and all(seller.values.get(pair.seller) is not None for pair in rule.match)
        for seller in sellers
    )  # fmt: skip


def _aimed_at(rule: Rule, seller: Seller) -> bool:
    if rule.target == "USER":
        return seller.id == rule.user_id
    return rule.target != "TEAM" or rule.team_id in seller.teams


def as_json_list(listed: Iterable[Warning]) -> list[dict[str, Any]]:
    """As the API returns them."""
    return [
        {
            "code": each.code,
            "message": each.message,
            "ruleId": each.rule and names.api_id("RoutingRule", each.rule.id),
            "ruleName": each.rule and each.rule.name,
        }
        for each in listed
    ]
