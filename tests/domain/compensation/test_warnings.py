"""What may be wrong with a version of a plan, found without a database."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from crmgql.domain.compensation import warnings

VERSION = {
    "starts_on": date(2026, 1, 1),
    "ends_on": date(2026, 12, 31),
    "measure": "COLLECTED",
    "basis": "NET",
    "attains_measure": "COLLECTED",
    "attains_basis": "NET",
    "tier_mode": "MARGINAL",
    "cap_amount": None,
}
RULE: dict[str, Any] = {
    "name": "Share",
    "kind": "PERCENT",
    "role": "OWNER",
    "group_name": "main",
    "product_ids": None,
    "categories": None,
    "segments": None,
    "customers": "ANY",
    "least_deal_amount": None,
    "amount": None,
    "tier_unit": "AMOUNT",
}


def tiers(*rates: str, step: int = 1000) -> list[dict[str, Any]]:
    """Tiers of the same size with these rates."""
    last = len(rates) - 1
    return [
        {
            "from_value": Decimal(step * place),
            "to_value": None if place == last else Decimal(step * (place + 1)),
            "rate": Decimal(rate),
        }
        for place, rate in enumerate(rates)
    ]


def rule(*rates: str, **values: Any) -> dict[str, Any]:
    return {**RULE, "id": uuid4(), "tiers": tiers(*(rates or ("0.05",))), **values}


def fixed(amount: str, **values: Any) -> dict[str, Any]:
    return rule(kind="FIXED", amount=Decimal(amount), tier_unit=None, **{"tiers": [], **values})


def codes(*rules: dict[str, Any], **values: Any) -> list[str]:
    version = VERSION | {name: value for name, value in values.items() if name in VERSION}
    rest = {name: value for name, value in values.items() if name not in VERSION}
    found = warnings.warnings(version, rules, **rest)
    assert {each.code for each in found} <= set(warnings.CODES)
    return [each.code for each in found]


def test_a_plain_version_has_none() -> None:
    assert codes(rule("0.05", "0.08"), fixed("50.00", group_name="new")) == []


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ([(date(2025, 1, 1), date(2025, 12, 31))], []),
        ([(date(2025, 1, 1), date(2025, 12, 30))], ["GAP"]),
        ([(date(2027, 1, 1), None)], []),
        ([(date(2027, 1, 2), None)], ["GAP"]),
        ([(date(2024, 1, 1), date(2024, 5, 1)), (date(2027, 3, 1), date(2027, 3, 2))], ["GAP", "GAP"]),
        ([(date(2024, 1, 1), date(2024, 5, 1)), (date(2024, 5, 2), date(2025, 12, 31))], []),
        ([(date(2026, 6, 1), None)], []),
    ],
)
def test_days_without_a_version(others: list[Any], found: list[str]) -> None:
    assert codes(rule(), others=others) == found


def test_the_days_of_a_gap_are_named() -> None:
    (found,) = warnings.warnings(VERSION, [rule()], others=[(date(2025, 1, 1), date(2025, 11, 30))])
    assert found.message == "From 2025-12-01 to 2025-12-31 the plan has no version."


def test_an_open_version_has_no_gap_behind_it() -> None:
    assert codes(rule(), ends_on=None, others=[(date(2025, 1, 1), date(2025, 12, 31))]) == []


def test_tiers_by_quota_need_quotas() -> None:
    by_quota = rule("0.05", "0.1", tier_unit="QUOTA")
    assert codes(by_quota) == []
    assert codes(rule(), without_quota=["Ann"]) == []
    (found,) = warnings.warnings(
        VERSION, [rule(role="OVERLAY"), by_quota], without_quota=["Ann", "Bo", "Cy", "Di", "Ed", "Fay", "Gil"]
    )
    assert (found.code, found.rule) == ("NO_QUOTA", by_quota)
    assert "there is none for Ann, Bo, Cy, Di, Ed and 2 others:" in found.message


def test_as_managers_people_need_quotas_of_their_teams() -> None:
    by_quota = rule("0.05", "0.1", tier_unit="QUOTA", role="MANAGER")
    assert codes(by_quota, without_quota=["Ann"]) == []
    (found,) = warnings.warnings(VERSION, [by_quota], without_team_quota=["Ann", "Ann"])
    assert (found.code, found.rule) == ("NO_QUOTA", by_quota)
    assert "there is none for the teams of Ann:" in found.message


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ([rule("1")], []),
        ([rule("0.5", "1.01")], ["PAYS_MORE_THAN_ITS_BASIS"]),
        ([rule("0.6"), rule("0.4", group_name="extra")], []),
        ([rule("0.6"), rule("0.41", group_name="extra")], ["PAYS_MORE_THAN_ITS_BASIS"]),
        ([rule("0.6", categories=["tools"]), rule("0.41")], []),
        ([rule("0.6"), rule("0.6", role="OVERLAY"), rule("0.6", role="MANAGER")], []),
    ],
)
def test_rates_that_add_up_to_more_than_there_is(rules: list[Any], found: list[str]) -> None:
    assert codes(*rules) == found


@pytest.mark.parametrize(
    ("mode", "cap", "found"),
    [
        ("MARGINAL", "50.00", ["UNREACHABLE_TIER"]),
        ("MARGINAL", "50.01", ["UNREACHABLE_TIER"]),
        ("MARGINAL", "150.00", ["UNREACHABLE_TIER"]),
        ("MARGINAL", "150.01", []),
        ("SLAB", "100.00", ["UNREACHABLE_TIER"]),
        ("SLAB", "100.01", []),
    ],
)
def test_tiers_behind_the_cap(mode: str, cap: str, found: list[str]) -> None:
    """5 % of the first 1000 are 50, 10 % of the second ones 100 more; by slab, 10 % of 1000 are 100."""
    assert codes(rule("0.05", "0.1", "0.2"), tier_mode=mode, cap_amount=Decimal(cap)) == found


@pytest.mark.parametrize(
    "values",
    [{"attains_measure": "BOOKED"}, {"attains_basis": "GROSS"}],
)
def test_what_attains_something_else_may_reach_them(values: dict[str, str]) -> None:
    assert codes(rule("0.05", "0.1"), cap_amount=Decimal("1.00"), **values) == []
    assert codes(rule("0.05", "0.1", categories=["tools"]), cap_amount=Decimal("1.00")) == []
    assert codes(rule("0.05", "0.1", tier_unit="QUOTA"), cap_amount=Decimal("1.00")) == []


PRODUCTS = [uuid4(), uuid4()]


@pytest.mark.parametrize(
    ("first", "second", "is_shadowed"),
    [
        ({}, {}, True),
        ({}, {"categories": ["tools"]}, True),
        ({"categories": ["tools"]}, {}, False),
        ({"categories": ["tools", "toys"]}, {"categories": ["toys"]}, True),
        ({"product_ids": PRODUCTS[:1]}, {"product_ids": PRODUCTS}, False),
        ({"product_ids": PRODUCTS}, {"product_ids": PRODUCTS[:1], "segments": ["gold"]}, True),
        ({"customers": "NEW"}, {"customers": "NEW"}, True),
        ({"customers": "NEW"}, {"customers": "ANY"}, False),
        ({"customers": "NEW"}, {"customers": "REPEAT"}, False),
        ({"least_deal_amount": Decimal(100)}, {"least_deal_amount": Decimal(100)}, True),
        ({"least_deal_amount": Decimal(100)}, {"least_deal_amount": Decimal(99)}, False),
        ({"least_deal_amount": Decimal(100)}, {}, False),
        ({}, {"group_name": "extra"}, False),
        ({}, {"role": "MANAGER"}, False),
    ],
)
def test_rules_behind_a_wider_one(first: dict[str, Any], second: dict[str, Any], is_shadowed: bool) -> None:
    assert ("SHADOWED" in codes(rule(**first), rule(**second))) is is_shadowed


def test_a_cap_below_an_amount() -> None:
    assert codes(fixed("50.00"), cap_amount=Decimal("49.99")) == ["CAP_BELOW_AMOUNT"]
    assert codes(fixed("50.00"), cap_amount=Decimal("50.00")) == []


def test_they_are_told_with_their_rule() -> None:
    small = fixed("50.00")
    (told,) = warnings.as_json_list(warnings.warnings(VERSION | {"cap_amount": Decimal("1.00")}, [small]))
    assert told == {
        "code": "CAP_BELOW_AMOUNT",
        "message": "It pays 50.00; a period pays at most 1.00.",
        "ruleId": f"crl_{small['id'].hex}",
        "ruleName": "Share",
    }
