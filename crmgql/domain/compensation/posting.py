"""What is due to people for credits, posted as the difference to what was posted before.

Enters: people whose credits, plans or quotas changed, each from a day on. Leaves: commissions, with an event each, and what could not
be calculated. Always holds: what is posted to a person is what is due; a calculation that is done again posts nothing. Set-based:
the same number of statements for one person and for fifty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID

from crmgql.domain.compensation import terms_of
from crmgql.domain.compensation.calculation import calculate
from crmgql.domain.compensation.credited import Credit, Fact
from crmgql.domain.compensation.differences import Change, Posted, differences
from crmgql.domain.compensation.dues import Due, Key, Pool, Problem
from crmgql.domain.compensation.explaining import Line, explanation, posted_before
from crmgql.domain.compensation.terms import Version
from crmgql.domain.compensation.terms_of import Terms
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.ledger import rates
from crmgql.ledger.postings import EXACT, new_id
from crmgql.models import CompMeasure, CompRole
from crmgql.records import money
from crmgql.records.records import Act, Row

AT_ONCE = 50
WAITING = "EXISTS (SELECT FROM commission_accounts WHERE dirty_on IS NOT NULL)"
"""Whether there is anybody to calculate, for the look of workers."""

LONGEST_MESSAGE = 1000
RATE_DECIMALS = 6

TAKE = """
SELECT user_id, dirty_on FROM commission_accounts WHERE dirty_on IS NOT NULL AND user_id <> ALL ($2)
ORDER BY user_id LIMIT $1 FOR UPDATE SKIP LOCKED"""
# Parameters: people and days, in pairs. All that was ever credited to them of the orders of which something counts from that day on.
CREDITS = """
SELECT o.user_id, e.id AS event_id, e.effective_on, e.customer_id, e.order_id, f.currency, f.crediting, s.id AS share_id, s.role, s.share_from,
    s.share_to, f.measure, f.line_id, f.product_id, f.category, f.segment, f.is_new, f.net_amount, f.shipping_amount, f.cost_amount,
    CASE WHEN p.currency = f.currency THEN p.id END AS payment_id
FROM (
    SELECT DISTINCT c.user_id, c.customer_id, c.order_id FROM unnest($1::uuid[], $2::date[]) AS asked(user_id, since)
    JOIN commission_credits c ON c.user_id = asked.user_id AND c.effective_on >= asked.since
) AS o
JOIN commission_events e ON e.customer_id = o.customer_id AND e.order_id = o.order_id
JOIN commission_facts f ON f.customer_id = e.customer_id AND f.event_id = e.id
JOIN commission_shares s ON s.customer_id = e.customer_id AND s.order_id = e.order_id AND s.crediting = f.crediting AND s.user_id = o.user_id
    AND coalesce(s.line_id, f.line_id) = f.line_id
LEFT JOIN allocations a ON e.source_type = 'Allocation' AND a.customer_id = e.customer_id AND a.id = e.source_id
LEFT JOIN payments p ON p.customer_id = a.customer_id AND p.id = a.payment_id
ORDER BY o.user_id, e.id, f.crediting, s.id, f.line_id"""
# The same parameters. What was posted for days from then on.
POSTED = """
SELECT c.* FROM unnest($1::uuid[], $2::date[]) AS asked(user_id, since)
JOIN commissions c ON c.seller_id = asked.user_id AND c.earned_on >= asked.since AND c.kind <> 'IMPORTED'"""
# And what was posted before it, for orders of which something counts from then on.
POOLS = """
SELECT c.seller_id, c.order_id, c.rule_id, c.role, c.plan_version_id, sum(c.amount) AS amount, sum(c.whole_amount) AS whole_amount,
    max(c.earned_on) FILTER (WHERE c.amount > 0) AS earned_on
FROM (
    SELECT DISTINCT k.user_id, k.customer_id, k.order_id, asked.since FROM unnest($1::uuid[], $2::date[]) AS asked(user_id, since)
    JOIN commission_credits k ON k.user_id = asked.user_id AND k.effective_on >= asked.since
) AS o
JOIN commissions c ON c.customer_id = o.customer_id AND c.order_id = o.order_id AND c.seller_id = o.user_id AND c.earned_on < o.since
    AND c.kind <> 'IMPORTED'
GROUP BY 1, 2, 3, 4, 5"""
NUMBERS = """
SELECT o.id, o.number FROM unnest($1::uuid[], $2::uuid[]) AS asked(customer_id, id)
JOIN orders o ON o.customer_id = asked.customer_id AND o.id = asked.id"""
WRITE = """
INSERT INTO commissions (id, customer_id, order_id, payment_id, seller_id, base_amount, rate, amount, currency, status, earned_at, kind,
    earned_on, event_id, plan_version_id, rule_id, role, share, whole_amount, attained_before, attained_after, parts)
SELECT id, customer_id, order_id, payment_id, seller_id, base_amount, rate, amount, currency, 'EARNED', earned_at, kind, earned_on, event_id,
    plan_version_id, rule_id, role, share, whole_amount, attained_before, attained_after, parts
FROM jsonb_to_recordset($1::jsonb) AS c(id uuid, customer_id uuid, order_id uuid, payment_id uuid, seller_id uuid, base_amount numeric,
    rate numeric, amount numeric, currency text, earned_at timestamptz, kind text, earned_on date, event_id uuid, plan_version_id uuid,
    rule_id uuid, role text, share numeric, whole_amount numeric, attained_before numeric, attained_after numeric, parts jsonb)"""
# Parameters: people and days, in pairs; problems. It ends the calculation: nobody is left to calculate.
END = """
WITH calculated AS (SELECT * FROM unnest($1::uuid[], $2::date[]) AS c(user_id, since)), gone AS (
    DELETE FROM commission_problems p USING calculated c WHERE p.user_id = c.user_id AND p.ends_on >= c.since
), made AS (
    INSERT INTO commission_problems (user_id, code, starts_on, ends_on, message)
    SELECT * FROM jsonb_to_recordset($3::jsonb) AS p(user_id uuid, code text, starts_on date, ends_on date, message text)
)
UPDATE commission_accounts a SET dirty_on = NULL FROM calculated c WHERE a.user_id = c.user_id"""


@dataclass(frozen=True, slots=True)
class Event:
    """What a commission says of the event that it is for."""

    customer_id: UUID
    payment_id: UUID | None


@dataclass(slots=True)
class Person:
    """Whoever is calculated, and all that it takes."""

    id: UUID
    since: date
    terms: Terms
    credits: list[Credit] = field(default_factory=list)
    posted: list[Posted] = field(default_factory=list)
    pools: dict[Key, Pool] = field(default_factory=dict)

    def version(self, due: Due) -> Version:
        """By which this is due: that of a day, or of what was paid before the window."""
        pool = self.pools.get((due.order_id, due.rule_id, due.role))
        if pool is not None and pool.version.id == due.version_id:
            return pool.version
        return next(each.version for each, _ in self.terms.assigned if each.version.id == due.version_id)


async def take(act: Act, most: int = AT_ONCE, *, but: Collection[UUID] = ()) -> dict[UUID, date]:
    """The next people to calculate, each from a day on, locked; none that another worker calculates."""
    return {row["user_id"]: row["dirty_on"] for row in await act.tx.connection.fetch(TAKE, most, list(but))}


async def post(act: Act, taken: Mapping[UUID, date]) -> int:
    """Calculates these people, and posts what is due otherwise than was posted; how many commissions that made."""
    people, events = await read(act, taken)
    made: list[tuple[Person, Change]] = []
    problems: list[Row] = []
    for person in people.values():
        # Beside the event loop: somebody may have thousands of credits.
        changes, found = await asyncio.to_thread(_changes, person)
        made += [(person, change) for change in changes]
        problems += [_problem(person, each) for each in found]
    rows: list[Row] = []
    if made:
        numbers = await _numbers(act, {(events[each.event_id].customer_id, each.order_id) for _, each in made})
        rows = [_row(act, person, change, events[change.event_id], numbers[change.order_id]) for person, change in made]
        await act.tx.connection.execute(WRITE, as_json(rows))
        for start in range(0, len(rows), outbox.AT_ONCE):
            part = rows[start : start + outbox.AT_ONCE]
            await outbox.record_many(act.tx, act.viewer, [_event(row) for row in part])
    pairs = ([each.id for each in people.values()], [each.since for each in people.values()])
    await act.tx.connection.execute(END, *pairs, as_json(problems))
    return len(rows)


async def _numbers(act: Act, orders: Collection[tuple[UUID, UUID]]) -> dict[UUID, str]:
    """What people call these orders, each with its customer."""
    found = await act.tx.connection.fetch(NUMBERS, [of for of, _ in orders], [id for _, id in orders])
    return {row["id"]: row["number"] for row in found}


def _changes(person: Person) -> tuple[list[Change], Sequence[Problem]]:
    terms = person.terms
    calculated = calculate(person.credits, terms.stints, terms.quota_of, person.pools, since=person.since)
    return differences(calculated.dues, person.posted), calculated.problems


async def read(act: Act, taken: Mapping[UUID, date]) -> tuple[dict[UUID, Person], dict[UUID, Event]]:
    """The people with all that it takes to calculate them from these days on, and the events, by id."""
    terms = await terms_of.of_people(act, taken)
    people = {id: Person(id, terms[id].stints.begin(day), terms[id]) for id, day in taken.items()}
    return people, await _read(act, people)


async def _read(act: Act, people: Mapping[UUID, Person]) -> dict[UUID, Event]:
    """Reads what is credited and posted to the people; the events, by id."""
    pairs = (list(people), [each.since for each in people.values()])
    rows = await act.tx.connection.fetch(CREDITS, *pairs)
    rate_of = await _rates(act, people, rows)
    credits: dict[tuple[Any, ...], tuple[Any, list[Fact]]] = {}
    events = {}
    for row in rows:
        events[row["event_id"]] = Event(row["customer_id"], row["payment_id"])
        key = (row["user_id"], row["event_id"], row["crediting"], row["share_id"])
        credits.setdefault(key, (row, []))[1].append(_fact(row))
    for row, of_lines in credits.values():
        person = people[row["user_id"]]
        person.credits.append(_credit(row, of_lines, rate_of(person, row)))
    for row in await act.tx.connection.fetch(POSTED, *pairs):
        events.setdefault(row["event_id"], Event(row["customer_id"], row["payment_id"]))
        people[row["seller_id"]].posted.append(_posted(row))
    found = await act.tx.connection.fetch(POOLS, *pairs)
    versions = await terms_of.versions(act, {row["plan_version_id"] for row in found})
    for row in found:
        if row["earned_on"] is not None:
            pool = Pool(versions[row["plan_version_id"]], row["amount"], row["whole_amount"], row["earned_on"])
            people[row["seller_id"]].pools[row["order_id"], row["rule_id"], CompRole(row["role"])] = pool
    return events


async def _rates(act: Act, people: Mapping[UUID, Person], rows: Sequence[Any]) -> Any:
    """How to find what a unit of a credit's currency is in that of the version of its day; None where it is not known."""
    wanted = set()
    for row in rows:
        stint = people[row["user_id"]].terms.stints.of(row["effective_on"])
        if stint is not None and stint.version.currency != row["currency"]:
            wanted |= {(row["currency"], row["effective_on"]), (stint.version.currency, row["effective_on"])}
    known = await rates.known(act, wanted) if wanted else {}

    def rate_of(person: Person, row: Any) -> Decimal | None:
        stint = person.terms.stints.of(row["effective_on"])
        if stint is None or stint.version.currency == row["currency"]:
            return Decimal(1)
        one, other = (known.get((each, row["effective_on"])) for each in (row["currency"], stint.version.currency))
        if one is None or other is None:
            return None
        with localcontext(EXACT):
            return one.rate / other.rate

    return rate_of


def _fact(row: Any) -> Fact:
    return Fact(
        CompMeasure(row["measure"]),
        row["line_id"],
        row["product_id"],
        row["category"],
        row["segment"],
        row["is_new"],
        row["net_amount"],
        row["shipping_amount"],
        row["cost_amount"],
    )


def _credit(row: Any, of_lines: Sequence[Fact], rate: Decimal | None) -> Credit:
    return Credit(
        row["event_id"],
        row["effective_on"],
        row["order_id"],
        row["currency"],
        rate,
        CompRole(row["role"]),
        row["share_from"],
        row["share_to"],
        tuple(of_lines),
    )


def _posted(row: Any) -> Posted:
    return Posted(
        row["event_id"],
        row["order_id"],
        row["plan_version_id"],
        row["rule_id"],
        CompRole(row["role"]),
        row["earned_on"],
        row["currency"],
        row["base_amount"],
        row["amount"],
        row["whole_amount"],
    )


def _row(act: Act, person: Person, change: Change, event: Event, number: str) -> Row:
    due = change.due
    zero = Decimal(0)
    return {
        "id": new_id(),
        "customer_id": event.customer_id,
        "order_id": change.order_id,
        "payment_id": event.payment_id,
        "seller_id": person.id,
        "base_amount": money.rounded(change.base, change.currency),
        "rate": round(abs(due.rate), RATE_DECIMALS) if due else zero,
        "amount": money.rounded(change.amount, change.currency),
        "currency": change.currency,
        "earned_at": datetime.combine(change.day, time(), act.tx.zone),
        "kind": change.kind,
        "earned_on": change.day,
        "event_id": change.event_id,
        "plan_version_id": change.version_id,
        "rule_id": change.rule_id,
        "role": change.role,
        "share": due.share if due else zero,
        "whole_amount": money.rounded(change.whole_amount, change.currency),
        "attained_before": due.attained_before if due else zero,
        "attained_after": due.attained_after if due else zero,
        "parts": [shown(each) for each in _lines(person, change, number)],
    }


def _lines(person: Person, change: Change, number: str) -> Iterator[Line]:
    """Why a change has its amount: what is due, less what was posted before."""
    due, base, amount = change.due, change.base, change.amount
    if due is not None:
        yield from explanation(due, person.version(due), order=number)
        base, amount = base - due.base, amount - due.amount
    if base or amount:
        yield posted_before(base, amount, change.currency, order=number)


def shown(line: Line) -> Row:
    """As the API shows it: exact numbers are texts."""
    tier = line.tier
    return {
        "why": line.why,
        "order": line.order,
        "measure": line.measure,
        "basis": line.basis,
        "share": _text(line.share),
        "base": _text(money.rounded(line.base, line.currency)),
        "tierFrom": tier and _text(tier.from_value),
        "tierTo": tier and _text(tier.to_value),
        "tierUnit": line.tier_unit,
        "rate": _text(line.rate),
        "amount": _text(money.rounded(line.amount, line.currency)),
        "words": line.words,
    }


def _text(number: Decimal | None) -> str | None:
    return None if number is None else format(number, "f")


def _problem(person: Person, problem: Problem) -> Row:
    days = {"starts_on": problem.days.first_on, "ends_on": problem.days.last_on}
    return {"user_id": person.id, "code": problem.code, "message": problem.message[:LONGEST_MESSAGE], **days}


def _event(row: Row) -> outbox.Entry:
    changes: outbox.Changes = {name: (None, value) for name, value in row.items() if name not in ("id", "parts")}
    return outbox.Entry("commission.recorded", ("Commission", row["id"]), row["customer_id"], changes, {"version": 1})
