"""Rule sets and their rules: administrators and marketers draft them, try them out and activate them.

Only a draft can be changed, so that the rules behind a decision can always be read again. One rule set is active; activating
another retires it in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.routing import conditions, facts, matching, validation
from crmgql.errors import BadUserInput
from crmgql.models import LeadQueue, RoutingRule, RoutingRuleset, Team, User
from crmgql.records import records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

FACTS = "name currency rates account_owner_first accept_within_min max_reroutes fallback_queue_id"
RULE_FACTS = (
    "name target conditions target_user_id target_team_id target_queue_id seller_match distribution max_lead_age_h "
    "respect_capacity"
)
CONFLICTS = {
    "routing_rulesets_one_active": ("id", "Another rule set was made active at the same time; look at it first."),
    "routing_rulesets_accept": ("acceptWithinMin", "Must be more than 0."),
    "routing_rulesets_reroutes": ("maxReroutes", "Can't be negative."),
    "routing_rules_age": ("maxLeadAgeH", "Must be more than 0."),
}
MOVES = Moves(
    RoutingRuleset,
    activate=Move({"DRAFT"}, "ACTIVE", "routingRuleset.activated", "activated_at"),
    retire=Move({"ACTIVE"}, "RETIRED", "routingRuleset.retired"),
    change=Move({"DRAFT"}),
)
TAKEN_OVER = ("currency", "rates", "account_owner_first", "accept_within_min", "max_reroutes", "fallback_queue_id")
AIMS = {"USER": "target_user_id", "TEAM": "target_team_id", "QUEUE": "target_queue_id"}
AIMED: dict[str, tuple[Any, str]] = {
    "target_user_id": (User, "targetUserId"),
    "target_team_id": (Team, "targetTeamId"),
    "target_queue_id": (LeadQueue, "targetQueueId"),
}

NEXT_NUMBER = "SELECT coalesce(max(number), 0) + 1 FROM routing_rulesets"
COPY_RULES = """
INSERT INTO routing_rules (ruleset_id, position, name, conditions, target, target_user_id, target_team_id, target_queue_id,
    seller_match, distribution, max_lead_age_h, respect_capacity)
SELECT $2, position, name, conditions, target, target_user_id, target_team_id, target_queue_id, seller_match, distribution,
    max_lead_age_h, respect_capacity
FROM routing_rules WHERE ruleset_id = $1 ORDER BY position"""
RULE_IDS = "SELECT id FROM routing_rules WHERE ruleset_id = $1 ORDER BY position"
SET_ASIDE = """
UPDATE routing_rules SET position = -wanted.n FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (id, n)
WHERE routing_rules.id = wanted.id"""
SET_BACK = "UPDATE routing_rules SET position = -position WHERE ruleset_id = $1 AND position < 0"
REMOVE = "DELETE FROM routing_rules WHERE id = $1"


@takes(RoutingRuleset, FACTS, ORIGIN)
async def create(act: Act, *, copy_of_id: UUID | None = None, **values: Any) -> UUID:
    """Makes a draft; a copy has the other's rules, and its settings unless the call names them."""
    access.require_write(act.viewer, "RoutingRuleset")
    if copy_of_id is not None:
        copied = await records.visible(act, RoutingRuleset, copy_of_id, field="copyOfId")
        values = {**{column: copied[column] for column in TAKEN_OVER}, **values}
    await _check(act, values)
    await records.serialize(act, "routing_rulesets.number")
    values["number"] = await act.tx.connection.fetchval(NEXT_NUMBER)
    ruleset = await records.create(act, RoutingRuleset, values, kind="routingRuleset.created", conflicts=CONFLICTS)
    if copy_of_id is not None:
        await act.tx.connection.execute(COPY_RULES, copy_of_id, ruleset["id"])
    return ruleset["id"]  # type: ignore[no-any-return]


@takes(RoutingRuleset, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named, of a draft."""
    access.require_write(act.viewer, "RoutingRuleset")
    ruleset = await _draft(act, id, field="id", expected_version=expected_version)
    await _check(act, changes)
    await records.change(act, RoutingRuleset, ruleset, changes, kind="routingRuleset.updated", conflicts=CONFLICTS)
    return id


async def activate(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Activates a draft: leads are routed by it. Raises `BadUserInput` for a rule that can't be read."""
    access.require_write(act.viewer, "RoutingRuleset")
    before = await facts.lock_active(act.tx.connection)
    draft = await _draft(act, id, "activate", field="id", expected_version=expected_version)
    read = await facts.read_ruleset(act.tx.connection, draft, [])
    for mistake in (read.mistake, *(rule.mistake and f"Rule “{rule.name}”: {rule.mistake}" for rule in read.rules)):
        if mistake is not None:
            raise BadUserInput(mistake, field="id")
    if before is not None:
        await _move(act, await records.lock(act, RoutingRuleset, before["id"]), "retire")
    await _move(act, draft, "activate")
    return id


async def warnings(act: Act, *, id: UUID, field: str = "id") -> list[dict[str, Any]]:
    """The warnings about a rule set."""
    row = await records.shown(act, RoutingRuleset, id, field=field)
    connection = act.tx.connection
    ruleset = await facts.read_ruleset(connection, row, await facts.read_queues(connection))
    named = {rule.user_id for rule in ruleset.rules}
    sellers = await facts.read_sellers(connection, named, act.now, zone=act.tx.zone)
    return validation.as_json_list(validation.warnings(ruleset, sellers))


@takes(RoutingRule, RULE_FACTS, ORIGIN)
async def add_rule(act: Act, *, ruleset_id: UUID, position: int | None = None, **values: Any) -> UUID:
    """Adds a rule to a draft: the last one, unless a position, counted from 1, is named."""
    access.require_write(act.viewer, "RoutingRule")
    await _draft(act, ruleset_id, field="rulesetId")
    _check_aim(values)
    await _check_rule(act, values)
    others = await _rule_ids(act, ruleset_id)
    values |= {"ruleset_id": ruleset_id, "position": len(others) + 1}
    place = _place(position, len(others) + 1)
    rule = await records.create(act, RoutingRule, values, kind="routingRule.created", conflicts=CONFLICTS)
    if place <= len(others):
        await _order(act, ruleset_id, [*others[: place - 1], rule["id"], *others[place - 1 :]])
    return rule["id"]  # type: ignore[no-any-return]


@takes(RoutingRule, RULE_FACTS, "position")
async def update_rule(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named, of a draft's rule; a new position moves it among the others."""
    access.require_write(act.viewer, "RoutingRule")
    rule = await _rule(act, id, field="id", expected_version=expected_version)
    if "target" in changes:
        changes = {**dict.fromkeys(AIMED, None), **changes}
    _check_aim({**rule, **changes})
    await _check_rule(act, changes)
    if "position" in changes:
        others = [other for other in await _rule_ids(act, rule["ruleset_id"]) if other != id]
        changes["position"] = place = _place(changes["position"], len(others) + 1)
        await _order(act, rule["ruleset_id"], [*others[: place - 1], id, *others[place - 1 :]])
    await records.change(act, RoutingRule, rule, changes, kind="routingRule.updated", conflicts=CONFLICTS)
    return id


async def remove_rule(act: Act, *, rule_id: UUID, expected_version: int | None = None) -> UUID:
    """Removes a rule from a draft; returns the rule set's id."""
    access.require_write(act.viewer, "RoutingRule")
    rule = await _rule(act, rule_id, field="ruleId", expected_version=expected_version)
    ruleset = await _draft(act, rule["ruleset_id"], field="ruleId")
    await act.tx.connection.execute(REMOVE, rule_id)
    await _order(act, ruleset["id"], await _rule_ids(act, ruleset["id"]))
    payload = {"rule": rule["name"], "position": rule["position"]}
    kind = "routingRuleset.ruleRemoved"
    await records.change(act, RoutingRuleset, ruleset, {}, kind=kind, payload=payload, touch=True)
    return ruleset["id"]  # type: ignore[no-any-return]


async def _draft(act: Act, id: UUID, verb: str = "change", *, field: str, expected_version: int | None = None) -> Row:
    await records.visible(act, RoutingRuleset, id, field=field)
    ruleset = await records.lock(act, RoutingRuleset, id, expected_version=expected_version)
    MOVES.check(verb, ruleset, hint="Make a draft that is a copy of it.", field=field)
    return ruleset


async def _move(act: Act, ruleset: Row, verb: str) -> None:
    move = MOVES[verb]
    await records.change(act, RoutingRuleset, ruleset, move.changes(act.now), kind=move.event, conflicts=CONFLICTS)


async def _rule(act: Act, id: UUID, *, field: str, expected_version: int | None) -> Row:
    """A draft's rule, locked after its rule set, as everywhere."""
    ruleset_id = (await records.visible(act, RoutingRule, id, field=field))["ruleset_id"]
    await _draft(act, ruleset_id, field=field)
    return await records.lock(act, RoutingRule, id, expected_version=expected_version)


async def _check(act: Act, values: Row) -> None:
    if values.get("rates") is not None:
        conditions.parse_rates(values["rates"])
    if values.get("fallback_queue_id") is not None:
        await records.visible(act, LeadQueue, values["fallback_queue_id"], field="fallbackQueueId")


def _check_aim(values: Row) -> None:
    """Raises `BadUserInput` unless the rule names exactly the id that its target needs."""
    wanted = AIMS.get(values["target"])
    for column, (_, field) in AIMED.items():
        if column == wanted and values.get(column) is None:
            raise BadUserInput(f"A rule with the target {values['target']} needs {field}.", field=field)
        if column != wanted and values.get(column) is not None:
            raise BadUserInput(f"A rule with the target {values['target']} has no {field}.", field=field)


async def _check_rule(act: Act, values: Row) -> None:
    if values.get("conditions") is not None:
        conditions.parse(values["conditions"])
    if values.get("seller_match") is not None:
        matching.parse(values["seller_match"])
    for column, (model, field) in AIMED.items():
        if values.get(column) is not None:
            await records.visible(act, model, values[column], field=field)


def _place(position: int | None, last: int) -> int:
    if position is not None and position < 1:
        raise BadUserInput("Positions are counted from 1.", field="position")
    return min(position or last, last)


async def _rule_ids(act: Act, ruleset_id: UUID) -> list[UUID]:
    return [row["id"] for row in await act.tx.connection.fetch(RULE_IDS, ruleset_id)]


async def _order(act: Act, ruleset_id: UUID, ids: Sequence[UUID]) -> None:
    await act.tx.connection.execute(SET_ASIDE, ids)
    await act.tx.connection.execute(SET_BACK, ruleset_id)
