"""Versions of plans: drafted whole, replaced whole while they are drafts, approved by somebody else, retired; and the warnings.

Always holds: what was approved never changes, but for the last day, once; a plan has one approved version on a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.compensation import contents, warnings
from crmgql.domain.compensation.contents import NewRule
from crmgql.errors import BadUserInput, MakerIsChecker, PlanApproved, VersionsOverlap
from crmgql.models import CompPlan, CompPlanVersion, CompRule, CompTier, Product
from crmgql.records import checks, money, records
from crmgql.records.columns import FROZEN, ORIGIN, takes
from crmgql.records.money import Money
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

FACTS = (
    "starts_on ends_on currency measure basis attains_measure attains_basis period tier_mode clawback_months text cap"
)
DEFAULTS: Row = {"ends_on": None, "period": "MONTH", "tier_mode": "MARGINAL", "clawback_months": None}
"""Of what a draft leaves out."""

MOVES = Moves(
    CompPlanVersion,
    approve=Move({"DRAFT"}, "APPROVED", "plan.approved", "approved_at"),
    retire=Move({"APPROVED"}, "RETIRED", "plan.retired"),
)
CONFLICTS = {
    "comp_plan_versions_days": ("endsOn", "It can't end before it starts."),
    "comp_plan_versions_clawback": ("clawbackMonths", "Is 0 to 120 months; leave it out for no limit."),
}
NEXT = "SELECT coalesce(max(n), 0) + 1 FROM comp_plan_versions WHERE plan_id = $1"
IDS = "SELECT uuidv7() AS id FROM generate_series(1, $1::int)"
DROP_TIERS = "DELETE FROM comp_tiers USING comp_rules r WHERE r.id = rule_id AND plan_version_id = $1"
DROP_RULES = "DELETE FROM comp_rules WHERE plan_version_id = $1"
SAME_DAYS = """
SELECT n, starts_on, ends_on FROM comp_plan_versions WHERE plan_id = $1 AND days && daterange($2, $3, '[]') ORDER BY n LIMIT 1"""
OTHERS = "SELECT n, starts_on, ends_on FROM comp_plan_versions WHERE plan_id = $1 AND id <> $2 AND status <> 'DRAFT' ORDER BY starts_on"
RULES = "SELECT * FROM comp_rules WHERE plan_version_id = $1 ORDER BY position"
TIERS = """
SELECT t.* FROM comp_tiers t JOIN comp_rules r ON r.id = rule_id WHERE plan_version_id = $1 ORDER BY rule_id, from_value"""
QUOTAS = """
WITH paid AS (
    SELECT u.id, u.name, a.days * daterange($2, $3, '[]') AS days FROM comp_assignments a JOIN users u ON u.id = a.user_id
    WHERE a.plan_id = $1 AND a.days && daterange($2, $3, '[]')
)
SELECT name, EXISTS (
    SELECT FROM quotas q WHERE q.user_id = paid.id AND q.measure = $4 AND q.basis = $5 AND q.days && paid.days) AS own,
    EXISTS (SELECT FROM teams WHERE manager_id = paid.id) AS manages, EXISTS (
    SELECT FROM teams t JOIN quotas q ON q.team_id = t.id
    WHERE t.manager_id = paid.id AND q.measure = $4 AND q.basis = $5 AND q.days && paid.days) AS team
FROM paid ORDER BY name, id, days"""
"""Those whom the plan pays: whether they have a quota themselves, whether they manage teams, and whether one of these has a quota."""


@takes(CompPlanVersion, FACTS, ORIGIN)
async def draft(act: Act, *, plan_id: UUID, rules: Sequence[NewRule], **values: Any) -> UUID:
    """Drafts a version with all that it says. Raises `BadUserInput`, `CurrencyMismatch`, `TiersNotContiguous`."""
    access.require_write(act.viewer, "CompPlanVersion")
    access.require_person(act.viewer, "Drafting a plan")
    await records.lock(act, CompPlan, plan_id, field="planId")  # versions are counted one after the other
    said, terms = await _said(act, values, rules)
    n = await act.tx.connection.fetchval(NEXT, plan_id)
    said |= {name: values[name] for name in FROZEN & values.keys()}
    said |= {"plan_id": plan_id, "n": n, "made_by_id": act.viewer.user_id}
    version = await records.create(
        act, CompPlanVersion, said, kind="plan.drafted", conflicts=CONFLICTS, payload={"plan_id": plan_id, "n": n}
    )
    await _insert(act, version["id"], terms)
    return version["id"]  # type: ignore[no-any-return]


@takes(CompPlanVersion, FACTS)
async def redraft(
    act: Act, *, id: UUID, rules: Sequence[NewRule], expected_version: int | None = None, **values: Any
) -> UUID:
    """Replaces all that a draft says; whoever does is its maker from then on. Raises `PlanApproved`, and as `draft` does."""
    access.require_write(act.viewer, "CompPlanVersion")
    access.require_person(act.viewer, "Drafting a plan")
    version = await records.lock(act, CompPlanVersion, id, expected_version=expected_version)
    if version["status"] != "DRAFT":
        raise PlanApproved(
            f"Version {version['n']} is {version['status']}, and what was approved never changes; draft another version.",
            field="id",
        )
    said, terms = await _said(act, values, rules)
    for drop in (DROP_TIERS, DROP_RULES):
        await act.tx.connection.execute(drop, id)
    said |= {"made_by_id": act.viewer.user_id}
    await records.change(
        act,
        CompPlanVersion,
        version,
        said,
        kind="plan.redrafted",
        conflicts=CONFLICTS,
        payload=_of_plan(version),
        touch=True,
    )
    await _insert(act, id, terms)
    return id


async def approve(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Approves a draft: it pays on its days. Not by whoever wrote it, nor by an API key.

    Raises `Forbidden`, `MakerIsChecker`, `VersionsOverlap`, `IllegalTransition`.
    """
    access.require(act.viewer, "plan.approve", "Approving a plan")
    access.require_person(act.viewer, "Approving a plan")
    version, move = await MOVES.lock(act, "approve", id, expected_version=expected_version)
    if version["made_by_id"] == act.viewer.user_id:
        raise MakerIsChecker("You wrote what this version says; somebody else approves it.", field="id")
    await records.serialize(act, f"comp_plan_versions.{version['plan_id']}")
    other = await act.tx.connection.fetchrow(SAME_DAYS, version["plan_id"], version["starts_on"], version["ends_on"])
    if other is not None:
        raise VersionsOverlap(
            f"Version {other['n']} of the plan pays {_days(other)}; compVersionRetire sets its last day, or draft other days.",
            field="id",
        )
    changes = move.changes(act.now) | {"approved_by_id": act.viewer.user_id}
    await records.change(act, CompPlanVersion, version, changes, kind=move.event, payload=_of_plan(version))
    return id


async def retire(act: Act, *, id: UUID, ends_on: date, expected_version: int | None = None) -> UUID:
    """Sets the last day of an approved version, which may have passed. Raises `BadUserInput` for one before the first, or after the
    last one that it has, `IllegalTransition`."""
    access.require(act.viewer, "plan.approve", "Retiring a plan")
    access.require_person(act.viewer, "Retiring a plan")
    version, move = await MOVES.lock(act, "retire", id, expected_version=expected_version)
    if ends_on < version["starts_on"]:
        raise BadUserInput(f"It pays from {version['starts_on']} on; that is the earliest last day.", field="endsOn")
    if version["ends_on"] is not None and ends_on > version["ends_on"]:
        raise BadUserInput(f"It ends on {version['ends_on']}; the last day can only be earlier.", field="endsOn")
    payload = _of_plan(version) | {"ends_on": ends_on}
    changes = move.changes(act.now) | {"ends_on": ends_on}
    await records.change(act, CompPlanVersion, version, changes, kind=move.event, payload=payload)
    return id


async def found_warnings(act: Act, *, id: UUID, field: str = "id") -> list[Row]:
    """The warnings about a version, for those who write plans: they name people. As the API returns them."""
    access.require(act.viewer, "plan.write", "Seeing what may be wrong with a plan")
    version = await records.shown(act, CompPlanVersion, id, field=field)
    connection = act.tx.connection
    tiers: dict[UUID, list[Row]] = {}
    for row in await connection.fetch(TIERS, id):
        tiers.setdefault(row["rule_id"], []).append(dict(row))
    rules = [dict(row) | {"tiers": tiers.get(row["id"], [])} for row in await connection.fetch(RULES, id)]
    others = [(row["starts_on"], row["ends_on"]) for row in await connection.fetch(OTHERS, version["plan_id"], id)]
    days = (version["starts_on"], version["ends_on"])
    attains = (version["attains_measure"], version["attains_basis"])
    paid = await connection.fetch(QUOTAS, version["plan_id"], *days, *attains)
    found = warnings.warnings(
        version,
        rules,
        others=others,
        without_quota=[row["name"] for row in paid if not row["own"]],
        without_team_quota=[row["name"] for row in paid if row["manages"] and not row["team"]],
    )
    return warnings.as_json_list(found)


async def _said(act: Act, values: Row, rules: Sequence[NewRule]) -> tuple[Row, list[tuple[Row, list[Row]]]]:
    """The columns of a version, and the rows of its rules. Raises `NotFound` for a product that is not there."""
    said = DEFAULTS | {name: value for name, value in values.items() if value is not None and name not in FROZEN}
    for name in ("measure", "basis"):
        said.setdefault(f"attains_{name}", said[name])
    cap: Money | None = said.pop("cap", None)
    said["cap_amount"] = None if cap is None else money.amount(cap, said["currency"], field="cap", positive=True)
    checks.check_text(said["text"], "text", longest=checks.LONGEST_TEXT, required=True)
    checks.check(CompPlanVersion, {name: value for name, value in said.items() if value is not None})
    terms = contents.rule_rows(rules, currency=said["currency"], text=said["text"])
    named = {id for rule in rules for id in rule.product_ids or ()}
    seen = await records.visible_many(act, Product, named)
    for number, rule in enumerate(rules):
        for place, product in enumerate(rule.product_ids or ()):
            if product not in seen:
                raise records.not_found(Product, field=f"{contents.at(number)}productIds.{place}")
    return said, terms


async def _insert(act: Act, version_id: UUID, terms: Sequence[tuple[Row, list[Row]]]) -> None:
    """The rules and tiers of a version, by as many statements for one as for all."""
    ids = [row["id"] for row in await act.tx.connection.fetch(IDS, len(terms))]
    rules = [{"id": id, "plan_version_id": version_id} | rule for id, (rule, _) in zip(ids, terms, strict=True)]
    tiers = [{"rule_id": id} | tier for id, (_, listed) in zip(ids, terms, strict=True) for tier in listed]
    await records.insert_many(act, CompRule, rules, each=contents.at)
    await records.insert_many(act, CompTier, tiers, each=lambda number: f"tiers.{number}.")


def _of_plan(version: Row) -> Row:
    return {"plan_id": version["plan_id"], "n": version["n"]}


def _days(row: Row) -> str:
    return f"from {row['starts_on']} on" if row["ends_on"] is None else f"from {row['starts_on']} to {row['ends_on']}"
