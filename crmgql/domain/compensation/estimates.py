"""What a deal would bring its seller, by the plan of the day on which it would close: nothing is written.

The deal is credited whole to one person as OWNER and counts as booked, invoiced and collected on that day, without shipping and cost.
What else the person is credited stays as it is, so a slab that it reaches shows what that changes of earlier commissions.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.db import Database, Transaction
from crmgql.domain.compensation import posting, rankings
from crmgql.domain.compensation.calculation import Calculated, calculate
from crmgql.domain.compensation.credited import Credit, Fact
from crmgql.domain.compensation.dues import Due
from crmgql.domain.compensation.explaining import explanation
from crmgql.domain.compensation.posting import Person
from crmgql.domain.compensation.terms import Version
from crmgql.errors import BadUserInput, CurrencyMismatch, NotFound
from crmgql.ledger import rates
from crmgql.ledger.postings import EXACT, new_id
from crmgql.models import CompMeasure, CompRole
from crmgql.models.names import api_id
from crmgql.records import checks, days, money
from crmgql.records.records import Act
from crmgql.viewer import Viewer

LAST = UUID(int=2**128 - 1)
"""The event's id, which comes after all others of its day."""

DEAL = """
SELECT o.name, o.owner_id, o.amount, o.currency, o.expected_close, o.product_id, p.category, c.segment,
    NOT EXISTS (SELECT FROM orders r WHERE r.customer_id = o.customer_id AND r.committed) AS is_new
FROM ({deals}) o LEFT JOIN products p ON p.id = o.product_id LEFT JOIN customers c ON c.id = o.customer_id WHERE o.id = {id}"""
PERSON = "SELECT p.id FROM ({people}) p WHERE p.id = {id}"
SOME_DEAL: dict[str, Any] = {"name": "The deal", "product_id": None, "category": None, "segment": None, "is_new": False}


@dataclass(frozen=True, slots=True)
class Deal:
    """What would close, when, and whose it is."""

    name: str
    seller_id: UUID
    amount: Decimal
    currency: str
    day: date
    product_id: UUID | None
    category: str | None
    segment: str | None
    is_new: bool


async def what_if(
    database: Database,
    viewer: Viewer,
    *,
    opportunity_id: UUID | None = None,
    deal_amount: Decimal | None = None,
    currency: str | None = None,
    close_on: date | None = None,
    user_id: UUID | None = None,
) -> dict[str, Any]:
    """What an opportunity would bring its owner, or a deal of an amount a person, the viewer without `user_id`.

    `deal_amount` and `close_on` take the place of what the opportunity says; without either it closes today. Raises `Forbidden`,
    `NotFound` for an opportunity or a person whose commissions are not seen, `BadUserInput`.
    """
    access.require_read(viewer.who, "Commission")
    zone = await database.zone()
    async with database.snapshot() as connection:
        act = Act(Transaction(connection, zone), viewer)
        given = await _opportunity(act, opportunity_id)
        deal = _deal(act, given, deal_amount, currency, close_on, user_id)
        await _check_seen(act, deal.seller_id, "userId" if opportunity_id is None else "opportunityId")
        people, _ = await posting.read(act, {deal.seller_id: deal.day})
        person = people[deal.seller_id]
        stint = person.terms.stints.of(deal.day)
        credit = None if stint is None else _credit(deal, await _rate(act, deal, stint.version))
    before, after = await asyncio.to_thread(_calculated, person, credit)
    return _answer(deal, person, before, after)


async def _opportunity(act: Act, id: UUID | None) -> dict[str, Any]:
    if id is None:
        return {}
    access.require_read(act.viewer.who, "Opportunity")
    deals = access.visible("Opportunity", act.viewer.who)
    sql, values = access.statement(DEAL, act.viewer, selects={"deals": deals}, id=id)
    row = await act.tx.connection.fetchrow(sql, *values)
    if row is None:
        raise NotFound("There is no such opportunity.", field="opportunityId")
    return dict(row)


def _deal(
    act: Act,
    given: dict[str, Any],
    amount: Decimal | None,
    currency: str | None,
    close_on: date | None,
    user_id: UUID | None,
) -> Deal:
    if given and user_id is not None:
        raise BadUserInput("The opportunity's owner is meant; leave it out.", field="userId")
    amount = given.get("amount") if amount is None else amount
    currency = currency or given.get("currency")
    if amount is None or currency is None:
        raise BadUserInput("Say the amount and its currency, or name an opportunity that has one.", field="dealAmount")
    if given and currency != given["currency"]:
        raise CurrencyMismatch(f"The opportunity is in {given['currency']}, not {currency}.", field="currency")
    seller = given["owner_id"] if given else user_id or act.viewer.user_id
    if seller is None:
        raise BadUserInput("Nobody owns the opportunity, so nobody would be paid.", field="opportunityId")
    day = close_on or given.get("expected_close") or days.day_of(act.viewer.clock(), act.tx.zone)
    checks.check_year(day, "closeOn")
    said = {name: (given or SOME_DEAL)[name] for name in SOME_DEAL}
    exact = money.amount((amount, currency), field="dealAmount")
    return Deal(seller_id=seller, amount=exact, currency=currency, day=day, **said)


async def _check_seen(act: Act, user_id: UUID, field: str) -> None:
    people = rankings.people(act.viewer.who)
    sql, values = access.statement(PERSON, act.viewer, selects={"people": people}, id=user_id)
    if await act.tx.connection.fetchrow(sql, *values) is None:
        raise NotFound("There is nobody whose commissions you see by this.", field=field)


async def _rate(act: Act, deal: Deal, version: Version) -> Decimal | None:
    """What a unit of the deal's currency is in the plan's; None where that is not known."""
    if deal.currency == version.currency:
        return Decimal(1)
    wanted = [(deal.currency, deal.day), (version.currency, deal.day)]
    known = await rates.known(act, wanted)
    one, other = (known.get(pair) for pair in wanted)
    if one is None or other is None:
        return None
    with localcontext(EXACT):
        return one.rate / other.rate


def _credit(deal: Deal, rate: Decimal | None) -> Credit:
    nothing, line = Decimal(0), new_id()
    facts = tuple(
        Fact(each, line, deal.product_id, deal.category, deal.segment, deal.is_new, deal.amount, nothing, nothing)
        for each in CompMeasure
    )
    whole = (Decimal(0), Decimal(1))
    return Credit(LAST, deal.day, new_id(), deal.currency, rate, CompRole.OWNER, *whole, facts)


def _calculated(person: Person, credit: Credit | None) -> tuple[Calculated, Calculated]:
    def of(credits: list[Credit]) -> Calculated:
        terms = person.terms
        return calculate(credits, terms.stints, terms.quota_of, person.pools, since=person.since)

    return of(person.credits), of([*person.credits, *([credit] if credit else [])])


def _answer(deal: Deal, person: Person, before: Calculated, after: Calculated) -> dict[str, Any]:
    own = [due for due in after.dues if due.event_id == LAST]
    changed: dict[str, Decimal] = defaultdict(Decimal)
    for sign, calculated in ((1, after), (-1, before)):
        for due in calculated.dues:
            if due.event_id != LAST:
                changed[due.currency] += sign * due.amount
    problems = [each.message for each in after.problems if each not in before.problems]
    stint = person.terms.stints.of(deal.day)
    return {
        "userId": api_id("User", deal.seller_id),
        "closeOn": deal.day,
        "amount": {"amount": deal.amount, "currency": deal.currency},
        "hasPlan": stint is not None,
        "brings": {
            "amount": sum((due.amount for due in own), money.rounded(Decimal(0), deal.currency)),
            "currency": deal.currency,
        },
        "lines": [line for due in own for line in _lines(deal, person, due)],
        "adjusts": [{"amount": each, "currency": of} for of, each in sorted(changed.items()) if each],
        "problems": problems,
    }


def _lines(deal: Deal, person: Person, due: Due) -> list[dict[str, Any]]:
    return [posting.shown(each) for each in explanation(due, person.version(due), order=deal.name)]
