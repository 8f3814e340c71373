"""What may be wrong with a version of a plan, though it can be approved. Pure; sound, but not complete.

Enters: a version, its rules with their tiers, the days of the plan's other versions, the names of those whom the plan pays and
who, or whose teams, have no quota in what the version attains. Leaves: warnings, about the version first and then rule by rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby, pairwise
from typing import Any

from crmgql.models import CompRole, names
from crmgql.records.records import Row

CODES = ("GAP", "NO_QUOTA", "PAYS_MORE_THAN_ITS_BASIS", "UNREACHABLE_TIER", "SHADOWED", "CAP_BELOW_AMOUNT")
Days = tuple[date, date | None]
"""The first, and the last if there is one."""

DAY = timedelta(days=1)
NAMED = 5
"""How many people a message names."""


@dataclass(frozen=True, slots=True)
class Warning:
    """`code` is one of `CODES`, for programs."""

    code: str
    message: str
    rule: Row | None = None


def warnings(
    version: Row,
    rules: Sequence[Row],
    *,
    others: Sequence[Days] = (),
    without_quota: Sequence[str] = (),
    without_team_quota: Sequence[str] = (),
) -> list[Warning]:
    """All warnings. `rules`: rows, each with its `tiers` from the lowest to the highest. `without_team_quota`: who manages teams of
    which none has a quota; as managers people attain what their teams do."""
    return [
        *_gaps((version["starts_on"], version["ends_on"]), others),
        *_quotas([rule for rule in rules if rule["role"] != CompRole.MANAGER], without_quota),
        *_quotas([rule for rule in rules if rule["role"] == CompRole.MANAGER], without_team_quota, "the teams of "),
        *_rates(rules),
        *(each for place, rule in enumerate(rules) for each in _of_rule(version, rule, rules[:place])),
    ]


def _of_rule(version: Row, rule: Row, earlier: Sequence[Row]) -> Iterator[Warning]:
    shadow = next((other for other in earlier if _takes_all_of(other, rule)), None)
    if shadow is not None:
        yield Warning("SHADOWED", f"Rule “{shadow['name']}” takes every line that it would take.", rule)
    cap = version["cap_amount"]
    if cap is None:
        return
    if rule["amount"] is not None and rule["amount"] > cap:
        yield Warning("CAP_BELOW_AMOUNT", f"It pays {rule['amount']:f}; a period pays at most {cap:f}.", rule)
    if _earns_what_it_attains(version, rule):
        tier = _after_cap(version["tier_mode"], rule["tiers"], cap)
        if tier is not None:
            told = f"The tier from {_shown(tier['from_value'])} pays nothing more: the cap of {cap:f} is reached before it."
            yield Warning("UNREACHABLE_TIER", told, rule)


def _gaps(days: Days, others: Sequence[Days]) -> Iterator[Warning]:
    """Days right before or after the version's on which the plan pays nothing, though it does so on others beyond them."""
    first, last = days
    before = [end for _, end in others if end is not None and end < first]
    if before and max(before) + DAY < first:
        yield Warning("GAP", f"From {max(before) + DAY} to {first - DAY} the plan has no version.")
    after = [start for start, _ in others if last is not None and start > last]
    if last is not None and after and min(after) - DAY > last:
        yield Warning("GAP", f"From {last + DAY} to {min(after) - DAY} the plan has no version.")


def _quotas(rules: Sequence[Row], without: Sequence[str], whose: str = "") -> Iterator[Warning]:
    """Of the first rule whose tiers are shares of a quota."""
    by_quota = next((rule for rule in rules if rule["tier_unit"] == "QUOTA"), None)
    if by_quota is None or not without:
        return
    named = list(dict.fromkeys(without))
    more = f" and {len(named) - NAMED} others" if len(named) > NAMED else ""
    told = f"Its tiers are shares of a quota, and there is none for {whose}{', '.join(named[:NAMED])}{more}: they can't be calculated."
    yield Warning("NO_QUOTA", told, by_quota)


def _rates(rules: Sequence[Row]) -> Iterator[Warning]:
    """Rates of a role that can add up to more than everything: of each group the highest."""
    for role, listed in groupby(sorted(rules, key=lambda rule: str(rule["role"])), key=lambda rule: rule["role"]):
        highest: dict[str, tuple[Decimal, Row]] = {}
        for rule in listed:
            for tier in rule["tiers"]:
                if rule["group_name"] not in highest or tier["rate"] > highest[rule["group_name"]][0]:
                    highest[rule["group_name"]] = tier["rate"], rule
        total = sum((rate for rate, _ in highest.values()), Decimal(0))
        if total > 1:
            rule = max(highest.values(), key=lambda each: each[0])[1]
            told = f"The highest rates of the groups of {role} add up to {_shown(total * 100)} %, more than there is."
            yield Warning("PAYS_MORE_THAN_ITS_BASIS", told, rule)


def _takes_all_of(wider: Row, rule: Row) -> bool:
    """Whether the one, which is tried first, takes every line that the other one would take."""
    if (wider["group_name"], wider["role"]) != (rule["group_name"], rule["role"]):
        return False
    customers = wider["customers"] in ("ANY", rule["customers"])
    least = wider["least_deal_amount"] is None or (
        rule["least_deal_amount"] is not None and wider["least_deal_amount"] <= rule["least_deal_amount"]
    )
    return (
        customers
        and least
        and all(_contains(wider[name], rule[name]) for name in ("product_ids", "categories", "segments"))
    )


def _contains(wider: Sequence[Any] | None, values: Sequence[Any] | None) -> bool:
    return wider is None or (values is not None and set(values) <= set(wider))


def _earns_what_it_attains(version: Row, rule: Row) -> bool:
    """Whether all that its tiers count is also what it pays for."""
    plain = all(rule[name] is None for name in ("product_ids", "categories", "segments", "least_deal_amount"))
    same = (version["measure"], version["basis"]) == (version["attains_measure"], version["attains_basis"])
    return plain and same and rule["customers"] == "ANY" and rule["tier_unit"] == "AMOUNT"


def _after_cap(mode: str, tiers: Sequence[Row], cap: Decimal) -> Row | None:
    """The first tier that begins where the cap is reached already."""
    paid = Decimal(0)
    for tier, following in pairwise(tiers):
        if mode == "MARGINAL":
            paid += (following["from_value"] - tier["from_value"]) * tier["rate"]
        else:
            paid = tier["from_value"] * tier["rate"]
        if paid >= cap:
            return following
    return None


def _shown(value: Decimal) -> str:
    return f"{value.normalize():f}"


def as_json_list(listed: Iterable[Warning]) -> list[Row]:
    """As the API returns them."""
    return [
        {
            "code": each.code,
            "message": each.message,
            "ruleId": each.rule and names.api_id("CompRule", each.rule["id"]),
            "ruleName": each.rule and each.rule["name"],
        }
        for each in listed
    ]
