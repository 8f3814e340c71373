"""Forced revenue: what a committed order has in the books, posted in the transaction that commits, changes or cancels it.

Enters: orders as they have just been written. Leaves: their entries and revenue records. Always holds: the newest record of a
committed order has the order's figures and lines, and the books have the record's; else the database refuses the commit.
Set-based: the same number of statements for one order and for five thousand.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.domain.sales import deferrals
from crmgql.domain.sales.deferrals import Deferral
from crmgql.errors import Conflict
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.ledger import book, items, periods, rates
from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, Item, Posting, share
from crmgql.ledger.rates import Rate
from crmgql.models import Purpose
from crmgql.records import aside, money
from crmgql.records.days import day_of
from crmgql.records.records import Act, Row

STATE = """
SELECT o.id, o.customer_id, o.committed, o.currency, o.subtotal_amount, o.shipping_amount, o.tax_amount, o.discount_amount,
    coalesce(o.confirmed_at, o.ordered_at) AS confirmed_at, costs.cost_amount, r.revision, r.item_id, r.rate, r.rate_id,
    r.subtotal_amount AS was_subtotal_amount, r.shipping_amount AS was_shipping_amount, r.tax_amount AS was_tax_amount,
    r.discount_amount AS was_discount_amount, r.cost_amount AS was_cost_amount, r.currency AS was_currency,
    waits.amount AS was_deferred_amount, waits.cost_amount AS was_deferred_cost_amount, waits.base_amount AS was_deferred_base_amount,
    CASE WHEN o.committed AND r.revision IS NOT NULL THEN lines_as_booked(o.customer_id, o.id, r.revision) END AS has_same_lines
FROM orders o
LEFT JOIN LATERAL (
    SELECT * FROM revenue_records WHERE customer_id = o.customer_id AND order_id = o.id ORDER BY revision DESC LIMIT 1
) r ON true
CROSS JOIN LATERAL (
    SELECT sum(amount) AS amount, sum(cost_amount) AS cost_amount, sum(base_amount - credited_base_amount) AS base_amount
    FROM recognition_schedules
    WHERE customer_id = o.customer_id AND order_id = o.id AND revision = r.revision
) AS waits
CROSS JOIN LATERAL (
    SELECT round(coalesce(sum(quantity * unit_cost_amount), 0), currency_scale(o.currency)) AS cost_amount
    FROM order_lines WHERE customer_id = o.customer_id AND order_id = o.id
) costs
WHERE o.id = ANY ($1) ORDER BY o.customer_id, o.id"""
ENTRIES = """
SELECT r.order_id, r.entry_id FROM revenue_records r JOIN unnest($1::uuid[], $2::uuid[]) AS o(customer_id, id)
    ON r.customer_id = o.customer_id AND r.order_id = o.id
WHERE r.entry_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM ledger_entries e WHERE e.owner_id = r.customer_id AND e.reverses_id = r.entry_id)"""
RECORD = """
WITH given AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS g(customer_id uuid, order_id uuid, revision integer, entry_id uuid, item_id uuid,
        booked_on date, rate numeric, rate_id uuid, cost_amount numeric, is_committed boolean, rules jsonb)
), made AS (
    INSERT INTO revenue_records (customer_id, order_id, revision, currency, subtotal_amount, shipping_amount, tax_amount,
        discount_amount, total_amount, cost_amount, booked_on, rate, rate_id, entry_id, item_id)
    SELECT g.customer_id, g.order_id, g.revision, o.currency,
        CASE WHEN is_committed THEN o.subtotal_amount ELSE nothing END, CASE WHEN is_committed THEN o.shipping_amount ELSE nothing END,
        CASE WHEN is_committed THEN o.tax_amount ELSE nothing END, CASE WHEN is_committed THEN o.discount_amount ELSE nothing END,
        CASE WHEN is_committed THEN o.total_amount ELSE nothing END, g.cost_amount, g.booked_on, g.rate, g.rate_id, g.entry_id, g.item_id
    FROM given g
    CROSS JOIN LATERAL (SELECT * FROM orders WHERE customer_id = g.customer_id AND id = g.order_id OFFSET 0) AS o
    CROSS JOIN LATERAL round(0::numeric, currency_scale(o.currency)) AS nothing
), lines AS (
    INSERT INTO revenue_lines (customer_id, order_id, revision, line_id, product_id, quantity, currency, unit_price_amount,
        discount_amount, shipping_amount, line_amount, unit_cost_amount, recognition, recognition_months)
    SELECT l.customer_id, l.order_id, g.revision, l.id, l.product_id, l.quantity, l.currency, l.unit_price_amount, l.discount_amount,
        l.shipping_amount, l.line_amount, l.unit_cost_amount, coalesce(g.rules -> l.id::text ->> 0, 'AT_CONFIRMATION'),
        (g.rules -> l.id::text ->> 1)::integer
    FROM given g
    CROSS JOIN LATERAL (SELECT * FROM order_lines WHERE customer_id = g.customer_id AND order_id = g.order_id OFFSET 0) AS l
    WHERE g.is_committed
)
UPDATE orders o SET revenue_revision = g.revision FROM given g
WHERE o.customer_id = g.customer_id AND o.id = g.order_id AND g.revision > 1"""
"""OFFSET 0: each is looked up by its key, also where PostgreSQL takes a few for a hundred."""
AMOUNTS = ("subtotal_amount", "shipping_amount", "tax_amount", "discount_amount", "cost_amount")
DEFERRED = ("deferred_amount", "deferred_cost_amount")


@dataclass(frozen=True, slots=True)
class Figures:
    """What of an order lies in the books, by what it is. `net`: of the lines, less discounts; `deferred` of it is no revenue
    yet, as `deferred_cost` is no expense."""

    net: Decimal
    shipping: Decimal
    tax: Decimal
    cost: Decimal
    deferred: Decimal = Decimal(0)
    deferred_cost: Decimal = Decimal(0)

    @classmethod
    def of(cls, row: Row, prefix: str = "") -> Figures:
        values = {name: row[f"{prefix}{name}"] or Decimal(0) for name in (*AMOUNTS, *DEFERRED)}
        net = values["subtotal_amount"] - values["discount_amount"]
        later = (values[name] for name in DEFERRED)
        return cls(net, values["shipping_amount"], values["tax_amount"], values["cost_amount"], *later)

    @property
    def owed(self) -> Iterator[tuple[Purpose, Decimal]]:
        yield Purpose.REVENUE, self.net - self.deferred
        yield Purpose.DEFERRED, self.deferred
        yield Purpose.SHIPPING, self.shipping
        yield Purpose.TAX, self.tax


NOTHING = Figures(Decimal(0), Decimal(0), Decimal(0), Decimal(0))


@dataclass(slots=True)
class _Booking:
    """What becomes of one order: its next revision, and what it posts."""

    order: Row
    day: date
    rate: Rate
    item_id: UUID | None
    opens: Item | None
    postings: list[Posting]
    deferral: Deferral
    schedule: list[Row]

    @property
    def is_more(self) -> bool:
        """Whether more is owed for the order than before."""
        owed = sum((amount for _, amount in Figures.of(self.order).owed), Decimal(0))
        was = sum((amount for _, amount in Figures.of(self.order, "was_").owed), Decimal(0))
        return bool(self.order["committed"]) and owed > was

    @property
    def revision(self) -> int:
        return (self.order["revision"] or 0) + 1


WhenOwed = Callable[[Act, Mapping[UUID, date]], Awaitable[Sequence[outbox.Entry]]]
"""What follows when more is owed for orders than before, by order the day since when; its events."""

_followers: list[WhenOwed] = []


def when_owed(follower: WhenOwed) -> WhenOwed:
    """Registers what follows in the same transaction: money, which is above sales, settles the orders with what was paid ahead."""
    _followers.append(follower)
    return follower


async def follow(act: Act, order_ids: Collection[UUID], *, on: date | None = None) -> list[outbox.Entry]:
    """Books what the orders have become: committed, changed or cancelled; whatever is as booked already stays.

    `on`: the day it counts on, else each order's own, as for history. The events of what follows, such as allocations, are the
    caller's to record. Raises `PeriodClosed`, `RateMissing`, and `Conflict` where more would be taken back than is still owed.
    """
    rows = [dict(row) for row in await act.tx.connection.fetch(STATE, sorted(set(order_ids)))]
    changed = [row for row in rows if _differs(row)]
    bookings, events = await _book(act, changed, on) if changed else ([], [])
    later = {each.order["id"] for each in bookings if each.deferral.parts}
    deferring = [row for row in rows if row["was_deferred_amount"] is not None or row["id"] in later]
    events += await deferrals.recognise(act, deferring)
    more = {each.order["id"]: each.day for each in bookings if each.is_more}
    return events + [event for follower in _followers if more for event in await follower(act, more)]


async def _book(act: Act, changed: Sequence[Row], on: date | None) -> tuple[list[_Booking], list[outbox.Entry]]:
    """The next revision of each order. What was recognised of it is taken back first: it is scheduled anew."""
    _refuse_currency(changed)
    own = await book.company_of(act)
    day = {row["id"]: on or day_of(row["confirmed_at"], own.zone) for row in changed}
    fresh = {(row["currency"], day[row["id"]]) for row in changed if row["rate"] is None}
    on_days = await rates.on_days(act, fresh) if fresh else {}
    later = await deferrals.of(act, [row for row in changed if row["committed"]], day)
    deferring = [row for row in changed if row["was_deferred_amount"] is not None]
    recognised = await deferrals.posted(act, deferring)
    credits = await deferrals.credited(act, deferring)
    rests = await items.lock(act, {row["item_id"] for row in changed if row["item_id"] is not None})

    def booked(row: Row) -> _Booking:
        rate = on_days[row["currency"], day[row["id"]]] if row["rate"] is None else Rate(row["rate_id"], row["rate"])
        deferral = later.get(row["id"], deferrals.NONE)
        row |= {"deferred_amount": deferral.amount, "deferred_cost_amount": deferral.cost}
        rest, credit = rests.get(row["item_id"]), credits.get(row["id"], {})
        return _booking(row, day[row["id"]], rate, rest, own.currency, deferral, credit)

    parts = sum(len(each.parts) for each in later.values())
    bookings = await aside.done(lambda: [booked(row) for row in changed], rows=parts)
    back = {row["entry_id"]: max(day[row["order_id"]], row["effective_on"]) for row in recognised}
    posted = await _post(act, bookings, back)
    await act.tx.connection.execute(RECORD, as_json([_record(each, posted.get(each.order["id"])) for each in bookings]))
    await deferrals.schedule(act, deferring, [row for each in bookings for row in each.schedule])
    customers = {row["id"]: row["customer_id"] for row in changed}
    return bookings, deferrals.taken_back(recognised, customers, back)


def _differs(row: Row) -> bool:
    if not row["committed"]:
        return Figures.of(row, "was_") != NOTHING
    return not row["has_same_lines"] or any(row[name] != row[f"was_{name}"] for name in ("currency", *AMOUNTS))


def _refuse_currency(rows: Sequence[Row]) -> None:
    for row in rows:
        if row["was_currency"] not in (None, row["currency"]):
            raise Conflict(
                f"The order is in the books in {row['was_currency']}, so it can't be in {row['currency']};"
                " cancel it and make another.",
                field="currency",
            )


def _booking(
    row: Row,
    day: date,
    rate: Rate,
    rest: Rest | None,
    base_currency: str,
    deferral: Deferral,
    credits: Mapping[UUID | None, Decimal],
) -> _Booking:
    before = Figures.of(row, "was_")
    after = Figures.of(row) if row["committed"] else NOTHING
    opens = None
    if rest is None and any(amount for _, amount in after.owed):
        opens = Item(Purpose.RECEIVABLE, row["currency"], order_id=row["id"])
        nothing = Decimal(0)
        rest = Rest(opens.account, row["currency"], nothing, nothing, nothing)
    postings = list(differences(before, after, rest, rate, row["currency"], base_currency))
    base = rates.converted(deferral.amount, rate.rate, base_currency)
    revision = (row["revision"] or 0) + 1
    schedule = list(deferrals.rows_of(row, revision, deferral, base, base_currency, credits))
    if row["committed"]:
        credited_base = sum((each["credited_base_amount"] for each in schedule), Decimal(0))
        postings += _mended(row, postings, base - credited_base)
    return _Booking(row, day, rate, rest.account.item_id if rest else None, opens, postings, deferral, schedule)


def _mended(row: Row, postings: Sequence[Posting], base: Decimal) -> Iterator[Posting]:
    """Has what is deferred be worth `base`: what was taken off the receivable took a share of that one's base amount."""
    was = row["was_deferred_base_amount"] or Decimal(0)
    added = sum((each.base for each in postings if each.source.purpose is Purpose.DEFERRED), was)
    surplus = added - sum((each.base for each in postings if each.target.purpose is Purpose.DEFERRED), base)
    if surplus:
        nothing = money.rounded(Decimal(0), row["currency"])
        moved = Posting(Account(Purpose.REVENUE), Account(Purpose.DEFERRED), row["currency"], nothing, abs(surplus))
        yield moved if surplus > 0 else moved.back


def differences(
    before: Figures, after: Figures, rest: Rest | None, rate: Rate, currency: str, base_currency: str
) -> Iterator[Posting]:
    """The postings that lead from what is booked to what there is. Pure; `rest` is that of the order's receivable.

    What is added comes first, so that what is taken off finds it. What is taken off takes its share of the item's base amount.
    """
    if rest is not None:
        moves = [(purpose, new - old) for (purpose, new), (_, old) in zip(after.owed, before.owed, strict=True)]
        open_, base = rest.open, rest.base
        for purpose, more in moves:
            money.check_size(more, field="id")
            if more > 0:
                added = rates.converted(more, rate.rate, base_currency)
                open_, base = open_ + more, base + added
                yield Posting(Account(purpose), rest.account, currency, more, added)
        for purpose, more in moves:
            if more < 0:
                less = min(-more, open_)
                taken = share(less, open_, base, base_currency) if open_ else money.rounded(Decimal(0), base_currency)
                open_, base = open_ - less, base - taken
                yield Posting(rest.account, Account(purpose), currency, -more, taken)
    cost = (after.cost - after.deferred_cost) - (before.cost - before.deferred_cost)
    money.check_size(cost, field="id")
    if cost:
        inventory, expense = Account(Purpose.INVENTORY), Account(Purpose.COST)
        sides = (inventory, expense) if cost > 0 else (expense, inventory)
        yield Posting(*sides, currency, abs(cost), rates.converted(abs(cost), rate.rate, base_currency))


async def _post(act: Act, bookings: Sequence[_Booking], back: Mapping[UUID, date]) -> dict[UUID, UUID]:
    """The entries by order. What is cancelled is reversed, entry by entry; it has none of its own. `back`: what else is."""
    changes = [each for each in bookings if each.order["committed"] and each.postings]
    gone = [each for each in bookings if not each.order["committed"]]
    entries = [_entry(each) for each in changes]
    if gone:
        keys = [[each.order["customer_id"] for each in gone], [each.order["id"] for each in gone]]
        day = {each.order["id"]: each.day for each in gone}
        days = {row["entry_id"]: day[row["order_id"]] for row in await act.tx.connection.fetch(ENTRIES, *keys)}
        entries += await book.reversals(act, days, kind="order.cancelled")
    if back:
        entries += await book.reversals(act, back, kind="revenue.reversed")
    adjusts = periods.adjusts(act)
    entries = [replace(each, is_adjusting=adjusts) for each in entries]
    posted = await book.post(act, entries, refusals={"open_items_not_over": _too_much})
    return {each.order["id"]: made.id for each, made in zip(changes, posted, strict=False)}


def _too_much() -> Conflict:
    return Conflict(
        "More would be taken back than is still owed for the order; refund what was paid first.", field="id"
    )


def _entry(booking: _Booking) -> Entry:
    order = booking.order
    return Entry(
        kind="order.confirmed" if order["revision"] is None else "order.changed",
        key=f"revenue {order['id']} {booking.revision}",
        source=("Order", order["id"]),
        effective_on=booking.day,
        postings=booking.postings,
        customer_id=order["customer_id"],
        items=[booking.opens] if booking.opens else [],
    )


def _record(booking: _Booking, entry_id: UUID | None) -> dict[str, Any]:
    order = booking.order
    return {
        "customer_id": order["customer_id"],
        "order_id": order["id"],
        "revision": booking.revision,
        "entry_id": entry_id,
        "item_id": booking.item_id,
        "booked_on": booking.day,
        "rate": booking.rate.rate,
        "rate_id": booking.rate.id,
        "cost_amount": order["cost_amount"] if order["committed"] else order["cost_amount"] * 0,
        "is_committed": order["committed"],
        "rules": booking.deferral.rules,
    }
