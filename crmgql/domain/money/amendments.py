"""Changes of committed orders: what is paid above the new total is freed first, so that it can be taken off.

Enters: an order and what it is to be. Leaves: its next revision in the books; allocations undone, the latest first; the
customer's credit for what they paid too much. Always holds: all of it is one transaction, in as many statements for one
allocation as for hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.domain.money import allocations
from crmgql.domain.money.allocations import Made
from crmgql.domain.money.exchanging import Pair
from crmgql.domain.sales import credit, orders, revenue
from crmgql.domain.sales.orders import Line
from crmgql.errors import OrderBelowSettled
from crmgql.events import outbox
from crmgql.ledger import book, items
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, Item, Posting, share
from crmgql.models import Order, Purpose
from crmgql.records.columns import takes
from crmgql.records.records import Act, Row

OWED = "SELECT item_id FROM revenue_records WHERE customer_id = $1 AND order_id = $2 ORDER BY revision DESC LIMIT 1"
# Parameters: customer, order, its receivable. What settles it now, the latest first.
ALLOCATED = """
SELECT * FROM allocations a WHERE customer_id = $1 AND order_id = $2 AND item_id = $3 AND undoes_id IS NULL
    AND NOT EXISTS (SELECT FROM allocations u WHERE u.customer_id = a.customer_id AND u.undoes_id = a.id)
ORDER BY entry_id DESC"""


@takes(Order, "tax discount")
async def amend(
    act: Act,
    *,
    id: UUID,
    reason: str,
    lines: Sequence[Line] | None = None,
    expected_version: int | None = None,
    **changes: Any,
) -> UUID:
    """Changes a committed order as `orders.amend` does, and books it.

    More is owed as if it were confirmed today. Less is taken off what is open; what was paid above the new total becomes the
    customer's credit that names the order, or goes back to the credit that it was paid with; in another currency it stays
    unearned. Raises `OrderBelowSettled` where
    neither is enough, `IllegalTransition` for an order that is a draft, invoiced, shipped or cancelled, `PeriodClosed`.
    """
    before, after = await orders.amend(
        act, id=id, reason=reason, lines=lines, expected_version=expected_version, **changes
    )
    less = before["total_amount"] - after["total_amount"]
    freed = await _free(act, after, less) if less > 0 else []
    booked = await revenue.follow(act, [id], on=act.today)
    await outbox.record_many(act.tx, act.viewer, [*freed, *booked])
    if less < 0:
        await credit.warn(act, after)
    return id


async def _free(act: Act, order: Row, less: Decimal) -> list[outbox.Entry]:
    """Has that much of the order's receivable be open: undoes allocations, and allocates again what of them still fits."""
    item_id = await act.tx.connection.fetchval(OWED, order["customer_id"], order["id"])
    owed = (await items.lock(act, [item_id]))[item_id]
    excess = less - owed.free
    if excess <= 0:
        return []
    found = await act.tx.connection.fetch(ALLOCATED, order["customer_id"], order["id"], item_id)
    undone = _latest(found, excess)
    if undone is None:
        most = owed.free + sum((row["amount"] for row in found), Decimal(0))
        raise OrderBelowSettled(
            f"Of the order {most} {order['currency']} is open or paid and can be taken off, and no more; the rest is"
            " invoiced, written off, or asked for.",
            field="id",
        )
    rests = {item_id: owed} | await items.lock(act, {row["source_item_id"] for row in undone})
    undoing = await allocations.undoing(act, undone)
    items.move(rests, [posting for each in undoing for posting in each.entry.postings])
    base = (await book.company_of(act)).currency
    again = _again(act, undone, excess, rests, base)
    credits = list(_credits(act, order, undone, again, rests, base))
    return await allocations.post(act, [*undoing, *again], before=credits, written_off=[])


def _latest(found: Sequence[Any], excess: Decimal) -> list[Row] | None:
    """As many of the allocations as it takes; None where all are not enough."""
    chosen: list[Row] = []
    for row in found:
        chosen.append(dict(row))
        excess -= row["amount"]
        if excess <= 0:
            return chosen
    return None


def _again(act: Act, undone: Sequence[Row], excess: Decimal, rests: dict[UUID, Rest], base_currency: str) -> list[Made]:
    """What of the last one that is undone still settles the order."""
    last = undone[-1]
    kept = sum((row["amount"] for row in undone), Decimal(0)) - excess
    room, day = Pair(last["paid_amount"], kept), max(act.today, last["allocated_on"])
    return allocations.again(last, room, rests, on=day, base_currency=base_currency)


def _credits(
    act: Act, order: Row, undone: Sequence[Row], again: Sequence[Made], rests: dict[UUID, Rest], base_currency: str
) -> Iterator[Entry]:
    """The entries that make credit of what of payments is freed. In another currency than the order's it stays unearned."""
    freed: dict[tuple[UUID, UUID], Decimal] = {}
    for row, sign in [(row, 1) for row in undone] + [(each.row, -1) for each in again]:
        source = row["payment_id"], row["source_item_id"]
        freed[source] = freed.get(source, Decimal(0)) + sign * row["paid_amount"]
    day = max([act.today, *(row["allocated_on"] for row in undone)])
    for (payment_id, source_id), amount in freed.items():
        rest = rests[source_id]
        if amount and rest.account.purpose is Purpose.UNEARNED and rest.currency == order["currency"]:
            credit = Item(Purpose.CREDIT, rest.currency, order_id=order["id"], payment_id=payment_id)
            base = share(amount, rest.open, rest.base, base_currency)
            yield Entry(
                "payment.overpaid",
                f"overpaid {payment_id} {credit.id}",
                ("Payment", payment_id),
                day,
                [Posting(credit.account, rest.account, rest.currency, amount, base)],
                customer_id=order["customer_id"],
                items=[credit],
            )
