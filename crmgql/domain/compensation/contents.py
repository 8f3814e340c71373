"""What a draft says, checked: rules and tiers as clients write them become rows. Pure.

Enters: the rules of a version, its currency and its text. Leaves: a row for each rule with the rows of its tiers; or the
rejection that names the rule and the tier by their places in the input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

from crmgql.errors import BadUserInput, TiersNotContiguous
from crmgql.models import CompCustomers, CompRole, CompRule, CompRuleKind, CompTier, CompTierUnit
from crmgql.models.names import api_name
from crmgql.records import checks, money
from crmgql.records.money import Money
from crmgql.records.records import Row

MOST_RULES = 100
MOST_TIERS = 50
MOST_VALUES = 500
"""Of a filter."""

HIGHEST_RATE = Decimal(10)
FILTERS = ("product_ids", "categories", "segments")
MAIN = "main"
"""The group of rules that name none."""


@dataclass(frozen=True, slots=True)
class NewTier:
    """A rate from one value up to another one; without `to_value` it has no end."""

    from_value: Decimal
    rate: Decimal
    to_value: Decimal | None = None


@dataclass(frozen=True, slots=True)
class NewRule:
    """A rule of a draft. Without a filter it takes everything; a filter of several values takes what has one of them."""

    name: str
    kind: str
    role: str | None = None
    group: str | None = None
    product_ids: Sequence[UUID] | None = None
    categories: Sequence[str] | None = None
    segments: Sequence[str] | None = None
    customers: str | None = None
    least_deal: Money | None = None
    amount: Money | None = None
    tier_unit: str | None = None
    tiers: Sequence[NewTier] | None = None
    sentence: str | None = None


def rule_rows(rules: Sequence[NewRule], *, currency: str, text: str) -> list[tuple[Row, list[Row]]]:
    """The rows of the rules, each with those of its tiers, in the order in which they are tried.

    Raises `BadUserInput`, `CurrencyMismatch`, `TiersNotContiguous`.
    """
    if not 0 < len(rules) <= MOST_RULES:
        raise BadUserInput(f"A version has 1 to {MOST_RULES} rules, not {len(rules)}.", field="rules")
    return [(_rule(rule, number, currency, text), _tiers(rule, number, currency)) for number, rule in enumerate(rules)]


def at(number: int) -> str:
    """What a field of the rule at this place begins with."""
    return f"rules.{number}."


def _rule(rule: NewRule, number: int, currency: str, text: str) -> Row:
    row: Row = {
        "position": number + 1,
        "name": rule.name,
        "kind": rule.kind,
        "role": rule.role or CompRole.OWNER,
        "group_name": MAIN if rule.group is None else rule.group,
        **{name: _filter(rule, name, number) for name in FILTERS},
        "customers": rule.customers or CompCustomers.ANY,
        "currency": currency,
        "least_deal_amount": _amount(rule.least_deal, currency, f"{at(number)}leastDeal"),
        "amount": _amount(rule.amount, currency, f"{at(number)}amount"),
        "tier_unit": rule.tier_unit,
        "sentence": rule.sentence,
    }
    if rule.kind == CompRuleKind.PERCENT:
        row["tier_unit"] = rule.tier_unit or CompTierUnit.AMOUNT
    _check_kind(rule, number)
    checks.check_text(row["group_name"], f"{at(number)}group", longest=50, required=True)
    checks.check(CompRule, row, prefix=at(number))
    _check_sentence(rule.sentence, number, text)
    return row


def _check_kind(rule: NewRule, number: int) -> None:
    """Raises `BadUserInput` for what rules of the other kind have."""
    if rule.kind == CompRuleKind.FIXED:
        if rule.amount is None:
            raise BadUserInput("A FIXED rule pays an amount; name it.", field=f"{at(number)}amount")
        for name in ("tiers", "tier_unit"):
            if getattr(rule, name):
                raise BadUserInput(
                    "A FIXED rule has no tiers; leave them out, or make it PERCENT.",
                    field=at(number) + api_name(name),
                )
    elif rule.amount is not None:
        raise BadUserInput(
            "A PERCENT rule has tiers and no amount; leave it out, or make the rule FIXED.", field=f"{at(number)}amount"
        )


def _check_sentence(sentence: str | None, number: int, text: str) -> None:
    if sentence is None:
        return
    if checks.is_blank(sentence) or sentence not in text:
        raise BadUserInput(
            "A rule's sentence is a part of the version's text, word for word; this one is not in it.",
            field=f"{at(number)}sentence",
        )


def _filter(rule: NewRule, name: str, number: int) -> list[Any] | None:
    """The values of a filter in one order, each once."""
    values: Sequence[Any] | None = getattr(rule, name)
    if values is None:
        return None
    place = at(number) + api_name(name)
    if not 0 < len(values) <= MOST_VALUES:
        raise BadUserInput(
            f"A filter has 1 to {MOST_VALUES} values, not {len(values)}; leave it out to take everything.", field=place
        )
    for value in values:
        if isinstance(value, str):
            checks.check_text(value, place, longest=100, required=True)
    return sorted(set(values))


def _amount(sent: Money | None, currency: str, place: str) -> Decimal | None:
    return None if sent is None else money.amount(sent, currency, field=place, positive=True)


def _tiers(rule: NewRule, number: int, currency: str) -> list[Row]:
    """The tiers in their order. Raises `TiersNotContiguous` unless they lead from 0 on without a gap, overlap or end."""
    if rule.kind != CompRuleKind.PERCENT:
        return []
    tiers = sorted(rule.tiers or (), key=lambda tier: tier.from_value)
    place = f"{at(number)}tiers"
    if not tiers:
        raise TiersNotContiguous(
            "A PERCENT rule has tiers; one from 0 on, without an end, pays one rate for everything.", field=place
        )
    if len(tiers) > MOST_TIERS:
        raise BadUserInput(f"A rule has at most {MOST_TIERS} tiers, not {len(tiers)}.", field=place)
    for mistake in _mistakes(tiers):
        raise TiersNotContiguous(f"{mistake} Tiers lead from 0 on, each begins where another ends.", field=place)
    for tier in tiers:
        where = f"{place}.{list(rule.tiers or ()).index(tier)}."
        _check_tier(tier, where, currency if rule.tier_unit != CompTierUnit.QUOTA else None)
    return [{"from_value": tier.from_value, "to_value": tier.to_value, "rate": tier.rate} for tier in tiers]


def _mistakes(tiers: Sequence[NewTier]) -> Iterator[str]:
    """What is wrong with tiers that are sorted by where they begin, in words."""
    if tiers[0].from_value != 0:
        yield f"The first tier begins at {_shown(tiers[0].from_value)}, not at 0."
    for tier, following in pairwise(tiers):
        end = "has no end" if tier.to_value is None else f"ends at {_shown(tier.to_value)}"
        if tier.to_value != following.from_value:
            yield f"The tier from {_shown(tier.from_value)} {end}, the next one begins at {_shown(following.from_value)}."
        elif tier.to_value <= tier.from_value:
            yield f"The tier from {_shown(tier.from_value)} {end}."
    if tiers[-1].to_value is not None:
        yield f"The last tier ends at {_shown(tiers[-1].to_value)}; leave its toValue out, as attainment has no end."


def _check_tier(tier: NewTier, where: str, currency: str | None) -> None:
    if not 0 <= tier.rate <= HIGHEST_RATE:
        raise BadUserInput(
            f'A rate is a share from 0 to {HIGHEST_RATE}, such as "0.05" for 5 %; this is {_shown(tier.rate)}.',
            field=f"{where}rate",
        )
    for name, value in (("from_value", tier.from_value), ("to_value", tier.to_value)):
        if value is not None and currency is not None:
            money.amount((value, currency), currency, field=where + api_name(name))
    values = {"from_value": tier.from_value, "to_value": tier.to_value, "rate": tier.rate}
    checks.check(CompTier, values, prefix=where)


def _shown(value: Decimal) -> str:
    return f"{value.normalize():f}"
