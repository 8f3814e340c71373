"""What plans say of people, read from their rows: versions by day, quotas, ramps. The same number of statements for all people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from crmgql.domain.compensation.attaining import Quota, Ramp, Stints, quota_of
from crmgql.domain.compensation.exact import Exact, exact
from crmgql.domain.compensation.periods import Days, FiscalStart
from crmgql.domain.compensation.terms import Assigned, Rule, Tier, Version
from crmgql.models import (
    CompBasis,
    CompCustomers,
    CompMeasure,
    CompPeriod,
    CompRole,
    CompRuleKind,
    CompTierMode,
    CompTierUnit,
)
from crmgql.records.records import Act

ASSIGNED = """
SELECT a.user_id, greatest(a.starts_on, v.starts_on) AS first_on, least(a.ends_on, v.ends_on) AS last_on, v.id AS version_id,
    a.starts_on, a.ramp
FROM comp_assignments a JOIN comp_plan_versions v ON v.plan_id = a.plan_id AND v.days && a.days
WHERE a.user_id = ANY ($1) ORDER BY a.user_id, first_on"""
VERSIONS = "SELECT * FROM comp_plan_versions WHERE id = ANY ($1)"
RULES = "SELECT * FROM comp_rules WHERE plan_version_id = ANY ($1) ORDER BY plan_version_id, position"
TIERS = """
SELECT t.* FROM comp_rules r JOIN comp_tiers t ON t.rule_id = r.id WHERE r.plan_version_id = ANY ($1) ORDER BY t.rule_id, t.from_value"""
# Of the people themselves, and of the teams that they lead.
QUOTAS = """
SELECT q.user_id AS for_id, 'OWNER' AS role, q.starts_on, q.ends_on, q.measure, q.basis, q.currency, q.amount
FROM quotas q WHERE q.user_id = ANY ($1) AND q.cancelled_at IS NULL
UNION ALL
SELECT t.manager_id, 'MANAGER', q.starts_on, q.ends_on, q.measure, q.basis, q.currency, q.amount
FROM teams t JOIN quotas q ON q.team_id = t.id WHERE t.manager_id = ANY ($1) AND q.cancelled_at IS NULL"""
FISCAL = "SELECT fiscal_year_start_month, fiscal_year_start_day FROM companies"


@dataclass(slots=True)
class Terms:
    """Of one person. Quotas count where they are of what the version attains by, in its currency."""

    stints: Stints
    assigned: list[tuple[Assigned, Ramp | None]] = field(default_factory=list)
    quotas: Mapping[tuple[str, str, str, str], Sequence[Quota]] = field(default_factory=dict)

    def quota_of(self, version: Version, days: Days, role: CompRole) -> Exact | None:
        key = (role.value, version.attains_measure.value, version.attains_basis.value, version.currency)
        found = quota_of(self.quotas.get(key, ()), days, self._ramp(days.first_on) if role is CompRole.OWNER else None)
        return None if found is None else exact(found)

    def _ramp(self, day: date) -> Ramp | None:
        return next(
            (ramp for each, ramp in self.assigned if each.first_on <= day and (each.last_on or day) >= day), None
        )


async def of_people(act: Act, people: Collection[UUID]) -> dict[UUID, Terms]:
    """By person what plans say of them; of each, also of those whom none pays."""
    rows = await act.tx.connection.fetch(ASSIGNED, list(people))
    by_id = await versions(act, {row["version_id"] for row in rows})
    fiscal = FiscalStart(*(await act.tx.connection.fetchrow(FISCAL) or (1, 1)))
    assigned: dict[UUID, list[tuple[Assigned, Ramp | None]]] = defaultdict(list)
    for row in rows:
        ramp = None if row["ramp"] is None else Ramp(row["starts_on"], tuple(row["ramp"]))
        each = Assigned(row["first_on"], row["last_on"], by_id[row["version_id"]])
        assigned[row["user_id"]].append((each, ramp))
    quotas: dict[UUID, dict[tuple[str, str, str, str], list[Quota]]] = defaultdict(lambda: defaultdict(list))
    for row in await act.tx.connection.fetch(QUOTAS, list(people)):
        key = (row["role"], row["measure"], row["basis"], row["currency"])
        quotas[row["for_id"]][key].append(Quota(Days(row["starts_on"], row["ends_on"]), row["amount"]))
    return {id: Terms(Stints((each for each, _ in assigned[id]), fiscal), assigned[id], quotas[id]) for id in people}


async def versions(act: Act, ids: Collection[UUID]) -> dict[UUID, Version]:
    """Versions with their rules and tiers, by id."""
    wanted = sorted(ids)
    tiers: dict[UUID, list[Tier]] = defaultdict(list)
    for row in await act.tx.connection.fetch(TIERS, wanted) if wanted else ():
        tiers[row["rule_id"]].append(Tier(row["from_value"], row["to_value"], row["rate"]))
    rules: dict[UUID, list[Rule]] = defaultdict(list)
    for row in await act.tx.connection.fetch(RULES, wanted) if wanted else ():
        rules[row["plan_version_id"]].append(_rule(row, tiers[row["id"]]))
    found = await act.tx.connection.fetch(VERSIONS, wanted) if wanted else ()
    return {row["id"]: _version(row, rules[row["id"]]) for row in found}


def _rule(row: Any, tiers: Sequence[Tier]) -> Rule:
    def some(values: Any) -> Any:
        return None if values is None else frozenset(values)

    return Rule(
        id=row["id"],
        position=row["position"],
        name=row["name"],
        kind=CompRuleKind(row["kind"]),
        role=CompRole(row["role"]),
        group=row["group_name"],
        product_ids=some(row["product_ids"]),
        categories=some(row["categories"]),
        segments=some(row["segments"]),
        customers=CompCustomers(row["customers"]),
        least_deal_amount=row["least_deal_amount"],
        amount=row["amount"],
        tier_unit=CompTierUnit(row["tier_unit"] or CompTierUnit.AMOUNT),
        tiers=tuple(tiers),
    )


def _version(row: Any, rules: Sequence[Rule]) -> Version:
    return Version(
        id=row["id"],
        plan_id=row["plan_id"],
        starts_on=row["starts_on"],
        ends_on=row["ends_on"],
        currency=row["currency"],
        measure=CompMeasure(row["measure"]),
        basis=CompBasis(row["basis"]),
        attains_measure=CompMeasure(row["attains_measure"]),
        attains_basis=CompBasis(row["attains_basis"]),
        period=CompPeriod(row["period"]),
        tier_mode=CompTierMode(row["tier_mode"]),
        cap_amount=row["cap_amount"],
        clawback_months=row["clawback_months"],
        rules=tuple(rules),
    )
