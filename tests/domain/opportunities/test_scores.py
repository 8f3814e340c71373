"""What a score is made of."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.opportunities import scores
from crmgql.domain.opportunities.scores import Rule
from crmgql.errors import BadUserInput

FACTS: dict[str, Any] = {
    "amount": (Decimal("500.00"), "EUR"),
    "probability": 50,
    "expectedCloseInDays": -3,
    "hasContact": True,
    "hasProduct": False,
    "contactTitle": "CTO",
    "customer.industry": None,
}


@pytest.mark.parametrize(
    ("field", "operator", "value", "fits"),
    [
        ("amount", "GTE", {"value": "500", "currency": "EUR"}, True),
        ("amount", "GTE", {"value": "500.01", "currency": "EUR"}, False),
        ("amount", "GTE", {"value": "1", "currency": "USD"}, False),
        ("amount", "LTE", {"value": "500", "currency": "EUR"}, True),
        ("amount", "IS_SET", {}, True),
        ("probability", "EQ", {"value": 50}, True),
        ("probability", "GTE", {"value": "50.5"}, False),
        ("expectedCloseInDays", "LTE", {"value": 0}, True),
        ("hasContact", "EQ", {"value": True}, True),
        ("hasProduct", "EQ", {"value": False}, True),
        ("hasProduct", "IS_SET", {}, False),
        ("contactTitle", "EQ", {"value": "cto"}, True),
        ("contactTitle", "IN", {"values": ["CEO", "CTO"]}, True),
        ("contactTitle", "IN", {"values": ["CEO"]}, False),
        ("customer.industry", "IS_SET", {}, False),
        ("customer.industry", "EQ", {"value": "None"}, False),
        ("leadSource", "EQ", {"value": "web"}, False),
    ],
)
def test_a_rule_fits_or_not(field: str, operator: str, value: dict[str, Any], fits: bool) -> None:
    scores.check(field, operator, value)
    points, factors = scores.score([Rule("R", field, operator, value, 10)], FACTS)
    assert points == (10 if fits else 0)
    assert [factor["rule"] for factor in factors] == (["R"] if fits else [])


@given(st.lists(st.integers(-100, 100), max_size=20))
def test_the_score_is_the_sum_between_0_and_100(points: list[int]) -> None:
    rules = [Rule(f"R{n}", "hasContact", "IS_SET", {}, each) for n, each in enumerate(points)]
    score, factors = scores.score(rules, FACTS)
    assert score == max(0, min(100, sum(points)))
    assert [factor["points"] for factor in factors] == points


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from(sorted(scores.FIELDS)),
    st.sampled_from(["EQ", "IN", "GTE", "LTE", "IS_SET"]),
    st.dictionaries(st.sampled_from(["value", "values", "currency", "x"]), json_values | st.just("EUR"), max_size=3),
)
def test_what_was_let_in_can_be_scored(field: str, operator: str, value: dict[str, Any]) -> None:
    try:
        scores.check(field, operator, value)
    except BadUserInput:
        return
    facts = {
        **FACTS,
        field: {"amount": (Decimal(1), "EUR"), "number": 1, "text": "x", "flag": True}[scores.FIELDS[field]],
    }
    assert scores.score([Rule("R", field, operator, value, 5)], facts)[0] in (0, 5)
