"""The language of conditions: what is met, what is refused, and with which path."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.routing import conditions, matching
from crmgql.domain.routing.conditions import Exchange, evaluate, parse
from crmgql.errors import BadUserInput

EUR = Exchange("EUR", {"USD": Decimal("0.9")})
CAMPAIGN = UUID(int=7)
LEAD = {
    "region": "north",
    "leadSource": "web",
    "company": "casino royale ltd",
    "employeeCount": Decimal(50),
    "score": Decimal(0),
    "campaign": CAMPAIGN.hex,
    "budget": (Decimal("50000.00"), "EUR"),
    "attributes.plan": "pro",
    "attributes.seats": Decimal("12.5"),
    "attributes.text": "12",
    "attributes.tags": ["vip", "de"],
    "attributes.trial": True,
}


def leaf(field: str, op: str, *value: Any) -> dict[str, Any]:
    return {"field": field, "op": op, **({"value": value[0]} if value else {})}


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ({}, True),
        ({"all": []}, True),
        (leaf("region", "eq", "NORTH"), True),
        (leaf("region", "ne", "North"), False),
        (leaf("region", "in", ["South", "North"]), True),
        (leaf("city", "eq", "Berlin"), False),
        (leaf("city", "ne", "Berlin"), True),
        (leaf("city", "contains", "B"), False),
        (leaf("city", "isSet"), False),
        (leaf("city", "isSet", False), True),
        (leaf("score", "isSet"), True),
        (leaf("company", "contains", "Casino"), True),
        (leaf("company", "startsWith", "royale"), False),
        (leaf("employeeCount", "gte", 50), True),
        (leaf("employeeCount", "gt", 50), False),
        (leaf("employeeCount", "in", [49, 50]), True),
        (leaf("campaign", "eq", f"cam_{CAMPAIGN.hex}"), True),
        (leaf("campaign", "in", [str(CAMPAIGN)]), True),
        (leaf("attributes.plan", "eq", "Pro"), True),
        (leaf("attributes.seats", "gte", 12.5), True),
        (leaf("attributes.text", "lt", 13), True),
        (leaf("attributes.plan", "lt", 13), False),
        (leaf("attributes.tags", "contains", "VIP"), True),
        (leaf("attributes.trial", "eq", True), True),
        (leaf("attributes.trial", "eq", 1), False),
        (leaf("attributes.none", "eq", 1), False),
        ({"not": leaf("region", "eq", "North")}, False),
        ({"any": [leaf("region", "eq", "South"), leaf("score", "lte", 0)]}, True),
        ({"all": [leaf("region", "eq", "North")], "any": [leaf("score", "gt", 0)]}, False),
    ],
)
def test_what_is_met(condition: dict[str, Any], met: bool) -> None:
    assert evaluate(parse(condition), LEAD, EUR)[0] is met


@pytest.mark.parametrize(
    ("op", "amount", "currency", "met"),
    [
        ("gte", "50000", "EUR", True),
        ("eq", "50000", "EUR", True),
        ("gt", "50000", "EUR", False),
        ("gt", "55555", "USD", True),  # 49,999.50 EUR
        ("gt", "55556", "USD", False),  # 50,000.40 EUR
        ("gte", "1", "JPY", False),
        ("ne", "1", "JPY", False),
    ],
)
def test_budgets_in_other_currencies(op: str, amount: str, currency: str, met: bool) -> None:
    got, because = evaluate(parse(leaf("budget", op, {"amount": amount, "currency": currency})), LEAD, EUR)
    assert got is met
    assert ("no rate for JPY" in because) is (currency == "JPY")


def test_two_currencies_without_rates_still_compare_with_themselves() -> None:
    lead = {"budget": (Decimal(5), "JPY")}
    assert evaluate(parse(leaf("budget", "gte", {"amount": "5", "currency": "JPY"})), lead, Exchange("EUR"))[0]


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ([], "conditions"),
        ({"colour": 1}, "conditions.colour"),
        (leaf("colour", "eq", "red"), "conditions.field"),
        (leaf("attributes.", "eq", "red"), "conditions.field"),
        ({"field": ["region"], "op": "eq", "value": "x"}, "conditions.field"),
        (leaf("region", "like", "x"), "conditions.op"),
        ({"field": "region", "op": {}, "value": "x"}, "conditions.op"),
        (leaf("region", "gte", "x"), "conditions.op"),
        (leaf("budget", "contains", "x"), "conditions.op"),
        (leaf("region", "eq", 5), "conditions.value"),
        (leaf("region", "eq"), "conditions.value"),
        (leaf("region", "eq", ""), "conditions.value"),
        (leaf("region", "in", "North"), "conditions.value"),
        (leaf("region", "in", ["North", None]), "conditions.value.1"),
        (leaf("score", "gte", "5"), "conditions.value"),
        (leaf("score", "gte", True), "conditions.value"),
        (leaf("region", "isSet", "yes"), "conditions.value"),
        (leaf("campaign", "eq", "nonsense"), "conditions.value"),
        (leaf("budget", "gte", 50000), "conditions.value"),
        (leaf("budget", "gte", {"amount": 5.5, "currency": "EUR"}), "conditions.value.amount"),
        (leaf("budget", "gte", {"amount": "NaN", "currency": "EUR"}), "conditions.value.amount"),
        (leaf("budget", "gte", {"amount": "1e99", "currency": "EUR"}), "conditions.value.amount"),
        (leaf("budget", "gte", {"amount": "5", "currency": "euro"}), "conditions.value.currency"),
        (leaf("attributes.x", "eq", None), "conditions.value"),
        (leaf("attributes.x", "eq", {}), "conditions.value"),
        ({"all": {}}, "conditions.all"),
        ({"any": []}, "conditions.any"),
        ({"all": [{}, {"not": 5}]}, "conditions.all.1.not"),
        ({"field": "region", "op": "eq", "value": "x", "or": 1}, "conditions.or"),
    ],
)
def test_what_is_refused(condition: Any, path: str) -> None:
    with pytest.raises(BadUserInput) as refused:
        parse(condition)
    assert refused.value.field == path


def test_conditions_nested_too_deeply_are_refused() -> None:
    condition: dict[str, Any] = {}
    for _ in range(500):
        condition = {"not": condition}
    with pytest.raises(BadUserInput, match="nested"):
        parse(condition)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
WORDS = st.sampled_from(["region", "score", "budget", "campaign", "attributes.tags", "attributes.seats", "city"])
LEAVES = st.fixed_dictionaries({"field": WORDS, "op": st.sampled_from(conditions.OPS), "value": JSON})
TREES = st.recursive(
    LEAVES | JSON,
    lambda inner: (
        st.dictionaries(st.sampled_from(["all", "any"]), st.lists(inner, max_size=3), max_size=2)
        | st.fixed_dictionaries({"not": inner})
    ),
)


@given(TREES)
def test_whatever_is_written_is_refused_or_decides(tree: Any) -> None:
    try:
        condition = parse(tree)
    except BadUserInput:
        return
    for lead in ({}, LEAD):
        met, because = evaluate(condition, lead, EUR)
        assert isinstance(met, bool)
        assert evaluate(conditions.Not(condition), lead, EUR)[0] is not met
        assert because


@pytest.mark.parametrize(
    ("rates", "path"),
    [
        ([], "rates"),
        ({"USD": 0.9}, "rates.USD"),
        ({"USD": "0"}, "rates.USD"),
        ({"USD": "-1"}, "rates.USD"),
        ({"USD": "Infinity"}, "rates.USD"),
        ({"USD": None}, "rates.USD"),
        ({"usd": "1"}, "rates.usd"),
    ],
)
def test_rates_that_are_refused(rates: Any, path: str) -> None:
    with pytest.raises(BadUserInput) as refused:
        conditions.parse_rates(rates)
    assert refused.value.field == path


SELLER = {"region": "north", "team": "west", "attributes.regions": ["north", "south"], "attributes.level": Decimal(3)}


@pytest.mark.parametrize(
    ("pair", "lead", "fits"),
    [
        (("attributes.regions", "contains", "region"), {"region": "south"}, True),
        (("attributes.regions", "contains", "region"), {"region": "east"}, False),
        (("attributes.regions", "contains", "region"), {}, False),
        (("attributes.regions", "eq", "region"), {"region": "south"}, False),
        (("region", "eq", "region"), {"region": "north"}, True),
        (("region", "contains", "region"), {"region": "north"}, True),
        (("team", "eq", "attributes.team"), {"attributes.team": "west"}, True),
        (("attributes.none", "eq", "region"), {"region": "north"}, False),
        (("attributes.regions", "contains", "attributes.also"), {"attributes.also": ["x", "south"]}, True),
        (("attributes.level", "eq", "attributes.level"), {"attributes.level": {"a": []}}, False),
    ],
)
def test_sellers_who_fit(pair: tuple[str, str, str], lead: dict[str, Any], fits: bool) -> None:
    match = matching.parse({"match": [dict(zip(("seller", "op", "lead"), pair, strict=True))]})
    key = matching.key(match, lead)
    hash(key)
    assert matching.fits(match, SELLER, key) is fits


@pytest.mark.parametrize(
    ("given_", "path"),
    [
        ([], "sellerMatch"),
        ({"pairs": []}, "sellerMatch"),
        ({"match": {}}, "sellerMatch.match"),
        ({"match": [{"seller": "region"}]}, "sellerMatch.match.0"),
        ({"match": [{"seller": "salary", "op": "eq", "lead": "region"}]}, "sellerMatch.match.0.seller"),
        ({"match": [{"seller": [], "op": "eq", "lead": "region"}]}, "sellerMatch.match.0.seller"),
        ({"match": [{"seller": "region", "op": "gte", "lead": "region"}]}, "sellerMatch.match.0.op"),
        ({"match": [{"seller": "region", "op": "eq", "lead": "budget"}]}, "sellerMatch.match.0.lead"),
    ],
)
def test_matches_that_are_refused(given_: Any, path: str) -> None:
    with pytest.raises(BadUserInput) as refused:
        matching.parse(given_)
    assert refused.value.field == path
