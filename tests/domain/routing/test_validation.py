"""Warnings about rule sets: each when it is due, and silence when all is well."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmgql.domain.routing import conditions, matching, validation
from crmgql.domain.routing.conditions import Exchange
from crmgql.domain.routing.decide import Rule, Ruleset
from tests.domain.routing.company import QUEUE, rule, seller

EVERYBODY = [seller(1, values={"region": "north"})]


def codes(*rules: Rule, sellers: list[Any] | None = None, **values: Any) -> list[tuple[str, str | None]]:
    ruleset = Ruleset(UUID(int=500), rules, **{"fallback": QUEUE, **values})
    found = validation.warnings(ruleset, EVERYBODY if sellers is None else sellers)
    return [(each.code, each.rule and each.rule.name) for each in found]


def region(*names: str) -> dict[str, Any]:
    return {"field": "region", "op": "in", "value": list(names)}


def score(op: str, value: int) -> dict[str, Any]:
    return {"field": "score", "op": op, "value": value}


def budget(op: str, amount: str, currency: str = "USD") -> dict[str, Any]:
    return {"field": "budget", "op": op, "value": {"amount": amount, "currency": currency}}


def test_a_sound_rule_set_has_none() -> None:
    assert codes(rule(1, region("North")), rule(2, region("South")), rule(3)) == []


def test_the_rule_set_itself() -> None:
    assert codes(fallback=None) == [("EMPTY", None), ("NO_FALLBACK", None)]
    assert codes(rule(1), mistake="Rates.") == [("WRONG", None)]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, region("North"), "UNREACHABLE"),
        (region("North", "South"), region("north"), "UNREACHABLE"),
        (region("North"), region("North"), "UNREACHABLE"),
        (score("gte", 50), score("gt", 50), "UNREACHABLE"),
        (score("gte", 50), score("gte", 80), "UNREACHABLE"),
        (score("gt", 50), score("gte", 50), None),  # the narrower one first is how it is meant
        (score("lt", 50), score("gte", 50), None),
        (budget("gte", "100"), budget("gte", "200"), "UNREACHABLE"),
        (budget("gte", "100", "EUR"), budget("gte", "200"), "OVERLAPPING"),
        ({"field": "region", "op": "isSet"}, region("North"), "UNREACHABLE"),
        ({"field": "company", "op": "startsWith", "value": "Ac"}, {"field": "company", "op": "eq", "value": "ACME"}, "UNREACHABLE"),
        ({"field": "region", "op": "isSet", "value": False}, region("North"), None),
        (region("North", "South"), region("South", "East"), "OVERLAPPING"),
        (region("North"), region("North", "South"), None),
        (region("North"), {"field": "city", "op": "eq", "value": "Kiel"}, None),
        ({"any": [region("North"), score("gte", 5)]}, score("gte", 9), "UNREACHABLE"),
        (region("North"), {"any": [region("North"), score("gte", 9)]}, None),
        ({"not": region("North")}, region("South"), "UNREACHABLE"),
        ({"not": {"not": region("North")}}, region("North"), "UNREACHABLE"),
    ],
)  # fmt: skip
def test_two_rules(first: dict[str, Any], second: dict[str, Any], expected: str | None) -> None:
    found = codes(rule(1, first), rule(2, second), exchange=Exchange("USD", {"EUR": Decimal(1)}))
    assert found == ([(expected, "Rule 2")] if expected else [])


def test_nothing_is_out_of_reach_behind_a_rule_for_account_owners() -> None:
    assert codes(rule(1, target="ACCOUNT_OWNER"), rule(2)) == []


@pytest.mark.parametrize(
    "condition",
    [
        {"all": [region("A"), region("B")]},
        {"all": [region("A"), {"not": region("A")}]},
        {"all": [{"any": [region("A"), region("B")]}, {"any": [region("C"), region("D")]}]},
        {"all": [score("gte", 5), score("lt", 5)]},
        {"all": [score("gt", 5), score("lte", 5)]},
        {"all": [score("gt", 7), {"field": "score", "op": "in", "value": [5, 6]}]},
        {"all": [budget("gte", "5"), budget("lt", "4")]},
        {"all": [{"field": "region", "op": "isSet", "value": False}, region("A")]},
        {"all": [{"field": "region", "op": "startsWith", "value": "N"}, region("South")]},
        {"all": [{"field": "region", "op": "ne", "value": "A"}, region("A")]},
        {"not": {}},
    ],
)
def test_conditions_that_can_not_be_met(condition: dict[str, Any]) -> None:
    assert codes(rule(1, condition)) == [("CONTRADICTORY", "Rule 1")]


def test_nobody_who_fits() -> None:
    match = matching.parse({"match": [{"seller": "attributes.level", "op": "eq", "lead": "segment"}]})
    assert codes(rule(1, match=match)) == [("NOBODY_MATCHES", "Rule 1")]
    assert codes(rule(1), sellers=[seller(1, active=False), seller(2, opted_out=True)]) == [
        ("NOBODY_MATCHES", "Rule 1")
    ]
    assert codes(rule(1, target="TEAM", team_id=UUID(int=9))) == [("NOBODY_MATCHES", "Rule 1")]
    assert codes(rule(1, target="USER", user_id=UUID(int=1))) == []
    assert codes(rule(1, target="QUEUE", queue_id=QUEUE.id), sellers=[]) == []


def test_currencies_without_a_rate() -> None:
    inside = {"any": [{"not": budget("gte", "5", "JPY")}, budget("gte", "5", "EUR")]}
    found = codes(rule(1, inside), exchange=Exchange("USD", {"EUR": Decimal("1.1")}))
    assert found == [("UNKNOWN_RATE", "Rule 1")]


def test_too_many_alternatives_are_not_looked_at() -> None:
    many = {"all": [{"any": [score("gte", a), score("lt", a - 100)]} for a in range(12)]}
    assert codes(rule(1), rule(2, many)) == []


FIELD = st.sampled_from(["region", "score"])
LEAVES = st.one_of(
    st.builds(lambda op, value: score(op, value), st.sampled_from(["eq", "ne", "gte", "lte", "gt", "lt"]), st.integers(0, 4)),
    st.builds(lambda op, value: {"field": "region", "op": op, "value": value}, st.sampled_from(["eq", "ne", "contains", "startsWith"]), st.sampled_from(["a", "ab", "b"])),
    st.builds(lambda values: region(*values), st.lists(st.sampled_from(["a", "ab", "b"]), min_size=1, max_size=3)),
    st.builds(lambda field, value: {"field": field, "op": "isSet", "value": value}, FIELD, st.booleans()),
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=6,
)
LEADS = [
    {key: value for key, value in (("region", name), ("score", number)) if value is not None}
    for name in (None, "a", "ab", "b", "ba", "c")
    for number in (None, *map(Decimal, range(-1, 6)))
]


@settings(max_examples=400, deadline=None)
@given(TREES, TREES)
def test_what_it_says_is_true(first: Any, second: Any) -> None:
    before, behind = (conditions.parse(each) for each in (first, second))
    meet = [[conditions.evaluate(each, lead, Exchange())[0] for lead in LEADS] for each in (before, behind)]
    for code, name in codes(rule(1, first), rule(2, second)):
        if code == "CONTRADICTORY":
            assert not any(meet[0 if name == "Rule 1" else 1])
        if code == "UNREACHABLE":
            assert all(one for one, other in zip(*meet, strict=True) if other)
