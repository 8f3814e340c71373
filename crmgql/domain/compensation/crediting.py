"""What documents of orders mean for who sold them: events become facts, and people are credited.

Enters: events that triggers made in the documents' transactions. Leaves: per event what it changed of the order's lines, who is
credited of it, and from which day on each of them has to be calculated. Always holds: an order's facts sum to its state, and each
event is worked out once, whoever is killed. Set-based: the same number of statements for one order and for a hundred.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.domain.compensation import facts, shares
from crmgql.domain.compensation.facts import Amounts, Document, State
from crmgql.domain.compensation.shares import Share, Split, Teams
from crmgql.events.canonical import as_json
from crmgql.models import CommissionSource, CompRole
from crmgql.records import aside, money
from crmgql.records.records import Act, Row

AT_ONCE = 100
WAITING = "EXISTS (SELECT FROM commission_pending)"
"""Whether there is anything to do, for the look of workers."""

# Parameters: how many, and which ones not. Orders with events that wait and that no other worker has taken.
TAKE = """
WITH waiting AS MATERIALIZED (
    SELECT DISTINCT order_id FROM (
        SELECT order_id FROM commission_pending WHERE order_id <> ALL ($2) ORDER BY event_id LIMIT 10 * $1
    ) AS first
)
SELECT order_id FROM waiting WHERE pg_try_advisory_xact_lock(hashtextextended('commission order ' || order_id, 0)) LIMIT $1"""
EVENTS = """
SELECT e.customer_id, e.order_id, e.id, e.source_type, e.source_id, e.effective_on, p.event_id IS NOT NULL AS waits
FROM commission_events e LEFT JOIN commission_pending p ON p.customer_id = e.customer_id AND p.event_id = e.id
WHERE (e.customer_id, e.order_id) IN (SELECT customer_id, order_id FROM commission_pending WHERE order_id = ANY ($1))
ORDER BY e.customer_id, e.order_id, e.id"""
ORDERS = """
SELECT o.id, o.customer_id, o.currency, o.seller_id, c.segment, NOT EXISTS (
    SELECT FROM orders b WHERE b.customer_id = o.customer_id AND b.committed
        AND (b.ordered_at, b.id) < (o.ordered_at, o.id)) AS is_new
FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = ANY ($1)"""
# Parameters: customers and orders, in pairs, for all of the following.
PAIRS = "(customer_id, order_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))"
REVISIONS = f"""
SELECT r.id, r.order_id, r.revision, r.subtotal_amount - r.discount_amount AS net, r.shipping_amount AS shipping, r.cost_amount AS cost,
    r.total_amount AS total
FROM revenue_records r WHERE {PAIRS}"""
REVISION_LINES = f"""
SELECT order_id, revision, line_id, line_amount AS net, shipping_amount AS shipping, quantity * coalesce(unit_cost_amount, 0) AS cost,
    l.product_id, p.category
FROM revenue_lines l LEFT JOIN products p ON p.id = l.product_id WHERE {PAIRS} ORDER BY order_id, revision, line_id"""
INVOICES = """
SELECT i.id, l.order_line_id, coalesce(sum(l.net_amount - l.shipping_amount), i.subtotal_amount - i.discount_amount) AS net,
    coalesce(sum(l.shipping_amount), i.shipping_amount) AS shipping
FROM invoices i LEFT JOIN invoice_lines l ON l.customer_id = i.customer_id AND l.invoice_id = i.id
WHERE i.status = 'ISSUED' AND (i.customer_id, i.order_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
GROUP BY i.id, l.order_line_id"""
NOTES = """
SELECT n.id, n.total_amount AS total, il.order_line_id, coalesce(sum(l.net_amount), n.net_amount) AS net
FROM invoices i JOIN credit_notes n ON n.customer_id = i.customer_id AND n.invoice_id = i.id
LEFT JOIN credit_note_lines l ON l.customer_id = n.customer_id AND l.credit_note_id = n.id
LEFT JOIN invoice_lines il ON il.customer_id = l.customer_id AND il.id = l.invoice_line_id
WHERE (i.customer_id, i.order_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
GROUP BY n.id, il.order_line_id"""
ALLOCATIONS = """
SELECT a.id, CASE WHEN a.undoes_id IS NULL THEN a.amount ELSE -a.amount END AS amount
FROM commission_events e JOIN allocations a ON a.customer_id = e.customer_id AND a.id = e.source_id
WHERE e.source_type = 'Allocation' AND (e.customer_id, e.order_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))"""
# What is known already: the attributes of lines as of their first fact, and the crediting of each order.
KNOWN = """
SELECT DISTINCT ON (e.order_id, f.line_id) e.order_id, f.line_id, f.product_id, f.category, f.segment, f.is_new,
    max(f.crediting) OVER (PARTITION BY e.order_id) AS crediting
FROM commission_events e JOIN commission_facts f ON f.customer_id = e.customer_id AND f.event_id = e.id
WHERE (e.customer_id, e.order_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[])) ORDER BY e.order_id, f.line_id, e.id"""
CREDITED = f"""
SELECT order_id, crediting, line_id, user_id, role, team_id, share_from, share_to FROM (
    SELECT *, max(crediting) OVER (PARTITION BY order_id) AS newest FROM commission_shares WHERE {PAIRS}
) s WHERE crediting = newest"""
SELLERS = f"SELECT order_id, id, seller_id FROM order_lines WHERE {PAIRS} ORDER BY order_id, position"
SPLITS = f"SELECT order_id, user_id, role, share FROM commission_splits WHERE {PAIRS}"
TEAMS = "SELECT id, manager_id, parent_id FROM teams"
MEMBERS = "SELECT id, team_id FROM users WHERE team_id IS NOT NULL AND id = ANY ($1)"
WRITE = """
WITH made AS (
    INSERT INTO commission_facts (customer_id, event_id, crediting, measure, line_id, product_id, category, segment, is_new, currency, net_amount,
        shipping_amount, cost_amount)
    SELECT f.* FROM jsonb_to_recordset($1::jsonb -> 'facts') AS f(customer_id uuid, event_id uuid, crediting integer, measure text, line_id uuid,
        product_id uuid, category text, segment text, is_new boolean, currency text, net_amount numeric, shipping_amount numeric, cost_amount numeric)
), shared AS (
    INSERT INTO commission_shares (customer_id, order_id, crediting, line_id, user_id, role, team_id, share_from, share_to)
    SELECT s.* FROM jsonb_to_recordset($1::jsonb -> 'shares') AS s(customer_id uuid, order_id uuid, crediting integer, line_id uuid, user_id uuid,
        role text, team_id uuid, share_from numeric, share_to numeric)
), credited AS (
    INSERT INTO commission_credits (customer_id, event_id, user_id, order_id, effective_on)
    SELECT c.* FROM jsonb_to_recordset($1::jsonb -> 'credits') AS c(customer_id uuid, event_id uuid, user_id uuid, order_id uuid, effective_on date)
), done AS (
    DELETE FROM commission_pending p USING jsonb_to_recordset($1::jsonb -> 'done') AS d(customer_id uuid, event_id uuid)
    WHERE p.customer_id = d.customer_id AND p.event_id = d.event_id
)
INSERT INTO commission_accounts AS a (user_id, dirty_on)
SELECT user_id, min(effective_on) FROM jsonb_to_recordset($1::jsonb -> 'credits') AS c(user_id uuid, effective_on date)
GROUP BY user_id ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET dirty_on = least(a.dirty_on, EXCLUDED.dirty_on)"""


@dataclass(frozen=True, slots=True)
class Attributes:
    """Of a line, as they were with its first fact."""

    product_id: UUID | None
    category: str | None
    segment: str | None
    is_new: bool


@dataclass(slots=True)
class Order:
    """An order with events that wait."""

    row: Row
    events: list[Row] = field(default_factory=list)
    documents: dict[UUID, Document] = field(default_factory=dict)
    attributes: dict[UUID, Attributes] = field(default_factory=dict)
    crediting: int = 0
    credited: list[Share] = field(default_factory=list)
    sold: list[Share] = field(default_factory=list)


@dataclass(slots=True)
class Outcome:
    """What is to be written, as rows."""

    facts: list[Row] = field(default_factory=list)
    shares: list[Row] = field(default_factory=list)
    credits: list[Row] = field(default_factory=list)
    done: list[Row] = field(default_factory=list)


async def take(act: Act, most: int = AT_ONCE, *, but: Collection[UUID] = ()) -> list[UUID]:
    """The next orders of which something waits, held until the transaction ends; none that another worker holds."""
    return [row["order_id"] for row in await act.tx.connection.fetch(TAKE, most, list(but))]


async def work_out(act: Act, order_ids: Sequence[UUID]) -> None:
    """Works out what waits of these orders, which were taken."""
    orders = await _read(act, order_ids)
    teams = await _teams(act, orders)
    outcome = Outcome()

    def follow() -> None:
        for order in orders:
            _follow(order, teams, outcome)

    await aside.done(follow, rows=sum(len(order.events) * (1 + len(order.attributes)) for order in orders))
    rows = {name: getattr(outcome, name) for name in ("facts", "shares", "credits", "done")}
    await act.tx.connection.execute(WRITE, as_json(rows))


def _follow(order: Order, teams: Teams, outcome: Outcome) -> None:
    """An order's events, one after the other. Who is credited changes with a split or a revision, and takes all with it."""
    customer, currency = order.row["customer_id"], order.row["currency"]
    known = [order.documents[each["id"]] for each in order.events if not each["waits"]]
    fresh = [each for each in order.events if each["waits"]]
    changed = facts.changes(currency, known, [order.documents[each["id"]] for each in fresh])
    state: State = facts.state(currency, known)
    for event, (change, after) in zip(fresh, changed, strict=True):
        outcome.done.append({"customer_id": customer, "event_id": event["id"]})
        may_change = event["source_type"] in (CommissionSource.SPLIT, CommissionSource.REVENUE_RECORD)
        parts = [(order.crediting, change)]
        people = {each.user_id for each in order.credited}
        if not order.crediting or (may_change and not shares.same(order.sold, order.credited)):
            taken = order.crediting and facts.difference(state, {})
            parts = [(order.crediting, taken)] if taken else []
            order.crediting += 1
            order.credited = shares.with_managers(order.sold, teams)
            people |= {each.user_id for each in order.credited}
            parts.append((order.crediting, after))
            outcome.shares += [_share(order, each) for each in order.credited]
        rows = [row for crediting, each in parts for row in _facts(order, event, crediting, each)]
        outcome.facts += rows
        if rows:
            key = {"customer_id": customer, "event_id": event["id"], "order_id": order.row["id"]}
            day = event["effective_on"]
            outcome.credits += [key | {"user_id": user, "effective_on": day} for user in sorted(people)]
        state = after


def _facts(order: Order, event: Row, crediting: int, change: State) -> Iterator[Row]:
    currency = order.row["currency"]
    for (measure, line_id), amounts in change.items():
        found = order.attributes.setdefault(line_id, Attributes(None, None, order.row["segment"], order.row["is_new"]))
        yield {
            "customer_id": order.row["customer_id"],
            "event_id": event["id"],
            "crediting": crediting,
            "measure": measure,
            "line_id": line_id,
            "product_id": found.product_id,
            "category": found.category,
            "segment": found.segment,
            "is_new": found.is_new,
            "currency": currency,
            "net_amount": money.rounded(amounts.net, currency),
            "shipping_amount": money.rounded(amounts.shipping, currency),
            "cost_amount": money.rounded(amounts.cost, currency),
        }


def _share(order: Order, each: Share) -> Row:
    key = {"customer_id": order.row["customer_id"], "order_id": order.row["id"], "crediting": order.crediting}
    names = ("line_id", "user_id", "role", "team_id", "share_from", "share_to")
    return key | {name: getattr(each, name) for name in names}


async def _read(act: Act, ids: Sequence[UUID]) -> list[Order]:
    """The orders with their events, and the documents of these: events first, so that none is without its document."""
    fetch = act.tx.connection.fetch
    events = await fetch(EVENTS, ids)
    orders = {row["id"]: Order(dict(row)) for row in await fetch(ORDERS, ids)}
    for row in events:
        orders[row["order_id"]].events.append(dict(row))
    pairs = ([each.row["customer_id"] for each in orders.values()], list(orders))
    by_source = await _documents(act, orders, pairs)
    for order in orders.values():
        for event in order.events:
            order.documents[event["id"]] = by_source.get(event["source_id"], facts.Resplit())
    for row in await fetch(KNOWN, *pairs):
        order = orders[row["order_id"]]
        order.attributes[row["line_id"]] = Attributes(row["product_id"], row["category"], row["segment"], row["is_new"])
        order.crediting = row["crediting"]
    for row in await fetch(CREDITED, *pairs):
        order = orders[row["order_id"]]
        part = (row["share_from"], row["share_to"])
        if row["crediting"] >= order.crediting:
            order.credited.append(Share(row["user_id"], CompRole(row["role"]), row["line_id"], *part, row["team_id"]))
            order.crediting = row["crediting"]
    await _sellers(act, orders, pairs)
    return list(orders.values())


async def _documents(act: Act, orders: dict[UUID, Order], pairs: Any) -> dict[UUID, Document]:
    """By the document's id what it says, of all of the orders."""
    fetch = act.tx.connection.fetch
    lines: dict[tuple[UUID, int], dict[UUID, tuple[Decimal, Decimal, Decimal]]] = defaultdict(dict)
    for row in await fetch(REVISION_LINES, *pairs):
        lines[row["order_id"], row["revision"]][row["line_id"]] = (row["net"], row["shipping"], row["cost"])
        order = orders[row["order_id"]]
        order.attributes[row["line_id"]] = Attributes(
            row["product_id"], row["category"], order.row["segment"], order.row["is_new"]
        )
    found: dict[UUID, Document] = {}
    for row in await fetch(REVISIONS, *pairs):
        id, currency = row["order_id"], orders[row["order_id"]].row["currency"]
        whole = Amounts(row["net"], row["shipping"], row["cost"])
        booked = facts.booked(lines[id, row["revision"]], whole, currency, otherwise=id) if whole else {}
        found[row["id"]] = facts.Revision(row["revision"], booked, row["total"])
    invoiced: dict[UUID, dict[UUID | None, Amounts]] = defaultdict(dict)
    for row in await fetch(INVOICES, *pairs):
        invoiced[row["id"]][row["order_line_id"]] = Amounts(row["net"], row["shipping"])
    credited: dict[tuple[UUID, Decimal], dict[UUID | None, Decimal]] = defaultdict(dict)
    for row in await fetch(NOTES, *pairs):
        credited[row["id"], row["total"]][row["order_line_id"]] = row["net"]
    found |= {id: facts.Invoiced(of_lines) for id, of_lines in invoiced.items()}
    found |= {id: facts.Credited(of_lines, total) for (id, total), of_lines in credited.items()}
    return found | {row["id"]: facts.Allocated(row["amount"]) for row in await fetch(ALLOCATIONS, *pairs)}


async def _sellers(act: Act, orders: dict[UUID, Order], pairs: Any) -> None:
    """Whom the orders credit, as they are now."""
    lines: dict[UUID, dict[UUID, UUID | None]] = defaultdict(dict)
    for row in await act.tx.connection.fetch(SELLERS, *pairs):
        lines[row["order_id"]][row["id"]] = row["seller_id"]
    splits = defaultdict(list)
    for row in await act.tx.connection.fetch(SPLITS, *pairs):
        splits[row["order_id"]].append(Split(row["user_id"], CompRole(row["role"]), row["share"]))
    for id, order in orders.items():
        order.sold = shares.sold(order.row["seller_id"], lines[id], splits[id])


async def _teams(act: Act, orders: Sequence[Order]) -> Teams:
    """The teams, and those of the orders' owners and of all who lead one."""
    rows = await act.tx.connection.fetch(TEAMS)
    managers = {row["id"]: row["manager_id"] for row in rows if row["manager_id"]}
    people = {each.user_id for order in orders for each in order.sold} | set(managers.values())
    members = await act.tx.connection.fetch(MEMBERS, sorted(people))
    parents = {row["id"]: row["parent_id"] for row in rows if row["parent_id"]}
    return Teams({row["id"]: row["team_id"] for row in members}, managers, parents)
