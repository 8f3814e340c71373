"""The facts for routing, read in few statements for any number of leads.

Always holds: before a routing that writes reads anything here, it locks the active rule set's row. So there is one routing
at a time, and turns, loads and limits are exact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from crmgql import access
from crmgql.db import Connection
from crmgql.domain.routing import conditions, decide, hours
from crmgql.domain.routing.candidates import Load, Seller
from crmgql.domain.routing.decide import Board, Lead, Queue, Rule, Ruleset
from crmgql.domain.routing.distribution import TURN
from crmgql.errors import BadUserInput
from crmgql.models.leads import OPEN_LEAD
from crmgql.records import retries

LOCK_ACTIVE = "SELECT * FROM routing_rulesets WHERE status = 'ACTIVE' FOR NO KEY UPDATE"
RULES = "SELECT * FROM routing_rules WHERE ruleset_id = $1 ORDER BY position"
QUEUES = "SELECT id, name, deadline_min, owner_id FROM lead_queues"
TEAMS = "SELECT id, parent_id, name FROM teams"
SELLERS = """
SELECT u.id, u.name, u.active, u.roles && $2::text[] AS sells, u.team_id, u.region, p.attributes, p.max_open, p.max_per_day, p.weight, p.hours,
    p.opted_out
FROM users u LEFT JOIN seller_profiles p ON p.user_id = u.id
WHERE u.roles && $2 OR u.id = ANY ($1::uuid[])
ORDER BY u.id"""
ABSENCES = """
SELECT user_id, starts_at, ends_at FROM absences WHERE cancelled_at IS NULL AND starts_at <= $1 AND ends_at > $2"""
OPEN = f"""
SELECT seller.id, (SELECT count(*) FROM (
    SELECT FROM leads WHERE owner_id = seller.id AND {OPEN_LEAD} LIMIT seller.most) held)
FROM unnest($1::uuid[], $2::integer[]) AS seller (id, most)"""
TODAY = """
SELECT seller.id, (SELECT count(*) FROM (
    SELECT FROM assignment_decisions WHERE chosen_id = seller.id AND decided_at >= seller.since LIMIT seller.most) had)
FROM unnest($1::uuid[], $2::timestamptz[], $3::integer[]) AS seller (id, since, most)"""
SHARES = "SELECT rule_id, user_id, turns, last_at FROM routing_shares WHERE rule_id = ANY ($1::uuid[])"
CHAINS = """
SELECT d.lead_id, max(d.attempt) AS attempt, array_agg(d.previous_id) FILTER (WHERE d.previous_id IS NOT NULL) AS declined
FROM assignment_decisions d
WHERE d.lead_id = ANY ($1::uuid[]) AND d.reason <> 'MANUAL' AND NOT EXISTS (
    SELECT FROM assignment_decisions m WHERE m.lead_id = d.lead_id AND m.reason = 'MANUAL' AND m.id > d.id)
GROUP BY d.lead_id"""
"""Since the lead was last assigned by hand: how many decisions, and who did not accept."""

ACCOUNTS = """
SELECT lead.id, found.owner_id, found.how
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[])
    AS lead (id, customer_id, email, normal_email, domain, company)
CROSS JOIN LATERAL (
    SELECT owner_id, how FROM (
        (SELECT 1 AS n, 'its customer' AS how, c.owner_id FROM customers c
         WHERE c.id = lead.customer_id AND c.owner_id IS NOT NULL)
        UNION ALL
        (SELECT 2, 'e-mail', c.owner_id FROM customers c
         WHERE lower(c.email) IN (lower(lead.email), lead.normal_email) AND c.owner_id IS NOT NULL ORDER BY c.id LIMIT 1)
        UNION ALL
        (SELECT 3, 'a contact''s e-mail', c.owner_id FROM contacts k JOIN customers c ON c.id = k.customer_id
         WHERE lower(k.email) IN (lower(lead.email), lead.normal_email) AND c.owner_id IS NOT NULL ORDER BY c.id LIMIT 1)
        UNION ALL
        (SELECT 4, 'domain', c.owner_id FROM customers c
         WHERE lower(split_part(c.email, '@', 2)) = lead.domain AND c.owner_id IS NOT NULL ORDER BY c.id LIMIT 1)
        UNION ALL
        (SELECT 5, 'company', c.owner_id FROM customers c
         WHERE lower(c.name) = lower(lead.company) AND c.owner_id IS NOT NULL ORDER BY c.id LIMIT 1)
    ) ways ORDER BY n LIMIT 1
) found"""

Row = Mapping[str, Any]


async def lock_active(connection: Connection) -> Row | None:
    """The active rule set, locked until the end of the transaction; None if there is none.

    While the statement waits for the lock, the rule set may be retired; the next try sees the one that replaced it.
    """
    row = await retries.look_again(lambda: connection.fetchrow(LOCK_ACTIVE))
    return None if row is None else dict(row)


async def read_ruleset(connection: Connection, row: Row, queues: Sequence[Queue]) -> Ruleset:
    """The rule set with its rules, as far as they can be read."""
    rows = await connection.fetch(RULES, row["id"])
    rules = [decide.read_rule(_json(rule, "conditions", "seller_match")) for rule in rows]
    fallback = next((queue for queue in queues if queue.id == row["fallback_queue_id"]), None)
    return decide.read_ruleset(_json(row, "rates"), rules, fallback)


async def read_queues(connection: Connection) -> list[Queue]:
    return [
        Queue(row["id"], row["name"], row["deadline_min"], row["owner_id"]) for row in await connection.fetch(QUEUES)
    ]


async def board(
    connection: Connection,
    ruleset_row: Row | None,
    leads: Sequence[Lead],
    now: datetime,
    *,
    zone: ZoneInfo,
    since: datetime | None = None,
    exact: bool = False,
) -> Board:
    """All facts for deciding about these leads; adds account owners and history to the leads.

    Without a rule set: one without rules. `zone` is the company's. `since`: absences from then on. `exact`: all open leads are
    counted, not only up to a seller's limit.
    """
    queues = await read_queues(connection)
    ruleset = Ruleset(UUID(int=0)) if ruleset_row is None else await read_ruleset(connection, ruleset_row, queues)
    await _read_past(connection, leads)
    if ruleset.account_owner_first or any(rule.target == "ACCOUNT_OWNER" for rule in ruleset.rules):
        await read_accounts(connection, leads)
    named = {rule.user_id for rule in ruleset.rules} | {queue.owner_id for queue in queues}
    named |= {lead.account[0] for lead in leads if lead.account}
    sellers = await read_sellers(connection, named, now, zone=zone, since=since)
    loads = await _read_loads(connection, ruleset, sellers, now, exact=exact)
    shares = await _read_shares(connection, ruleset.rules)
    return Board(ruleset, sellers, queues, loads, shares, now)


async def read_sellers(
    connection: Connection,
    named: set[UUID | None],
    now: datetime,
    *,
    zone: ZoneInfo,
    since: datetime | None = None,
) -> list[Seller]:
    """All users who sell, active or not, and the named ones; with their absences since `since`, or only current ones."""
    teams = {row["id"]: row for row in await connection.fetch(TEAMS)}
    absences: dict[UUID, list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in await connection.fetch(ABSENCES, now, since or now):
        absences[row["user_id"]].append((row["starts_at"], row["ends_at"]))
    rows = await connection.fetch(SELLERS, [id for id in named if id], access.roles_with("lead.own"))
    return [_seller(row, teams, tuple(absences[row["id"]]), zone) for row in rows]


def _seller(
    row: Row, teams: Mapping[UUID, Row], absences: tuple[tuple[datetime, datetime], ...], zone: ZoneInfo
) -> Seller:
    own = orjson.loads(row["attributes"] or "{}")
    listed = own.items() if isinstance(own, dict) else ()
    values = {f"{conditions.ATTRIBUTES}{name}": conditions.fold(value) for name, value in listed}
    values["region"] = conditions.fold(row["region"])
    values["team"] = conditions.fold(teams[row["team_id"]]["name"]) if row["team_id"] else None
    try:
        worked: hours.Hours | None = hours.parse(orjson.loads(row["hours"] or "{}"), zone=zone)
    except BadUserInput:
        worked = None
    return Seller(
        row["id"],
        row["name"],
        row["active"],
        row["sells"],
        _above(row["team_id"], teams),
        values,
        row["weight"] or 1,
        row["max_open"],
        row["max_per_day"],
        worked,
        bool(row["opted_out"]),
        absences,
    )


def _above(team_id: UUID | None, teams: Mapping[UUID, Row]) -> frozenset[UUID]:
    """The team and the teams above it."""
    found: set[UUID] = set()
    while team_id is not None and team_id not in found:
        found.add(team_id)
        team_id = teams[team_id]["parent_id"]
    return frozenset(found)


async def _read_loads(
    connection: Connection, ruleset: Ruleset, sellers: Sequence[Seller], now: datetime, *, exact: bool
) -> dict[UUID, Load]:
    """Open and today's leads of sellers with a limit, counted up to it; all open ones if a rule distributes by load."""
    by_load = any(rule.distribution == "LEAST_LOADED" for rule in ruleset.rules)
    active = [seller for seller in sellers if seller.active]
    counted = [seller for seller in active if by_load or seller.max_open is not None]
    limited = [seller for seller in active if seller.max_per_day is not None]
    loads = {seller.id: Load() for seller in sellers}
    if counted:
        most = [None if by_load or exact else seller.max_open for seller in counted]
        for id, count in await connection.fetch(OPEN, [seller.id for seller in counted], most):
            loads[id].open = count
    if limited:
        since = [(seller.hours or hours.ALWAYS).day_start(now) for seller in limited]
        most = [seller.max_per_day for seller in limited]
        for id, count in await connection.fetch(TODAY, [seller.id for seller in limited], since, most):
            loads[id].today = count
    return loads


async def _read_shares(
    connection: Connection, rules: Sequence[Rule]
) -> dict[tuple[UUID, UUID], tuple[int, datetime | None]]:
    rows = await connection.fetch(SHARES, [rule.id for rule in rules])
    return {(row["rule_id"], row["user_id"]): (int(row["turns"] * Decimal(TURN)), row["last_at"]) for row in rows}


async def _read_past(connection: Connection, leads: Sequence[Lead]) -> None:
    for lead in leads:
        lead.attempt, lead.reroutes, lead.declined = 1, 0, frozenset()
    known = {lead.id: lead for lead in leads if lead.row["routing_id"] is not None}
    if known:
        for row in await connection.fetch(CHAINS, list(known)):
            lead = known[row["lead_id"]]
            lead.attempt = row["attempt"] + 1
            lead.reroutes = len(row["declined"] or ())
            lead.declined = frozenset(row["declined"] or ())


async def read_accounts(connection: Connection, leads: Sequence[Lead]) -> None:
    """Finds the owners of the leads' customers: by customer, e-mail, domain or company."""
    columns = ("id", "customer_id", "email", "normal_email", "domain", "company")
    arrays = [[lead.row[column] for lead in leads] for column in columns]
    found = {row["id"]: (row["owner_id"], row["how"]) for row in await connection.fetch(ACCOUNTS, *arrays)}
    for lead in leads:
        lead.account = found.get(lead.id)


def lead_of(row: Row) -> Lead:
    """A lead as routing sees it; `attributes` may be JSON text."""
    attributes = row["attributes"]
    if isinstance(attributes, str):
        attributes = orjson.loads(attributes) if attributes != "{}" else {}
    values = decide.values_of(row, attributes if isinstance(attributes, dict) else {})
    return Lead(row["id"], row["name"], row["received_at"], values, row=row)


def _json(row: Row, *columns: str) -> dict[str, Any]:
    """The row with these columns parsed from JSON."""
    return {**row, **{column: orjson.loads(row[column]) for column in columns if isinstance(row[column], str)}}
