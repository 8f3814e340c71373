"""Why an amount is what it is, as a seller reads it: this order, this fact, this share, this tier, this rate, this amount. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from crmgql.domain.compensation.dues import Due, Part, Why
from crmgql.domain.compensation.terms import Rule, Tier, Version
from crmgql.models import CompBasis, CompMeasure, CompTierUnit

FACTS = {CompMeasure.BOOKED: "booked", CompMeasure.INVOICED: "invoiced", CompMeasure.COLLECTED: "collected"}
BASES = {CompBasis.GROSS: "net and shipping", CompBasis.NET: "net", CompBasis.MARGIN: "margin"}


@dataclass(frozen=True, slots=True)
class Line:
    """A part of an amount. `order` is its number, `share` that of the order, `tier` and its unit belong to TIER; amounts are in
    `currency`, and those of all lines sum to what is posted. Of what was posted before only the amount is known."""

    why: Why
    order: str
    measure: CompMeasure | None
    basis: CompBasis | None
    share: Decimal
    currency: str
    base: Decimal
    tier: Tier | None
    tier_unit: CompTierUnit | None
    rate: Decimal
    amount: Decimal
    words: str


def explanation(due: Due, version: Version, *, order: str) -> list[Line]:
    """The lines of what is due by a version, which may be an earlier one than that of the day. `order` is how people call it."""
    rule = next(each for each in version.rules if each.id == due.rule_id)
    return [_line(due, version, rule, part, order) for part in due.parts]


def posted_before(base: Decimal, amount: Decimal, currency: str, *, order: str) -> Line:
    """What was posted for the same event, and is not posted again. `base` and `amount` are what that changes."""
    words = f"{order}: less {-amount:,} {currency}, which had been posted for it before."
    nothing = Decimal(0)
    return Line(Why.POSTED_BEFORE, order, None, None, nothing, currency, base, None, None, nothing, amount, words)


def _line(due: Due, version: Version, rule: Rule, part: Part, order: str) -> Line:
    return Line(
        part.why,
        order,
        version.measure,
        version.basis,
        due.share,
        due.currency,
        part.base,
        part.tier,
        rule.tier_unit if part.tier else None,
        part.rate,
        part.amount,
        "".join(_words(due, version, rule, part, order)),
    )


def _words(due: Due, version: Version, rule: Rule, part: Part, order: str) -> Iterator[str]:
    def money(amount: Decimal) -> str:
        return f"{amount:,} {due.currency}"

    yield f"{order}, {rule.name}: "
    if part.why is Why.CAPPED:
        cap = f"{version.cap_amount:,} {version.currency}"
        yield f"{money(-part.amount)} are above the cap of {cap} a {version.period.lower()} and are not paid."
        return
    fact = f"{BASES[version.basis]} {FACTS[version.measure]}"
    yield f"{money(abs(part.base))} of {fact}"
    yield f" ({percent(abs(due.share))} of the order)" if abs(due.share) != 1 else ""
    if part.why is Why.TIER:
        assert part.tier is not None
        yield f", {_tier(part.tier, rule.tier_unit, version.currency)}, at {percent(part.rate)}: {money(part.amount)}."
    elif part.why is Why.FIXED:
        yield f", once an order: {money(part.amount)}."
    elif part.why is Why.TAKEN_BACK:
        yield f" less: {percent(part.rate)} of what was paid for it is taken back: {money(part.amount)}."
    else:
        months = "1 month" if version.clawback_months == 1 else f"{version.clawback_months} months"
        yield f" less, more than {months} after it was paid: {money(part.kept)} stay paid."


def _tier(tier: Tier, unit: CompTierUnit, currency: str) -> str:
    def value(number: Decimal) -> str:
        return f"{percent(number)} of the quota" if unit == CompTierUnit.QUOTA else f"{number:,} {currency}"

    if tier.to_value is None:
        return f"attainment from {value(tier.from_value)} on"
    return f"attainment from {value(tier.from_value)} to {value(tier.to_value)}"


def percent(share: Decimal) -> str:
    """0.0375 as 3.75 %, with four decimals at most."""
    shown = f"{share * 100:.4f}".rstrip("0").rstrip(".")
    return f"{shown} %"
