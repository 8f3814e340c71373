"""A parent company pays for its subsidiary: its payment settles what the subsidiary owes, and gets back what is not needed.

Enters: a payment, and an order, invoice or lost dispute of a customer below its own. Leaves: a payment of that customer, which took over what it
settles. Always holds: nobody but an ancestor pays; undone, the money is the ancestor's payment's again.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

from crmgql import access
from crmgql.domain.money import allocations, passing_on, sides
from crmgql.domain.money.sides import Named, Side
from crmgql.domain.money.write_offs import Short
from crmgql.errors import AllocationExceedsPayment, BadUserInput, IllegalTransition, ReversedAlready
from crmgql.events import outbox
from crmgql.ledger import book, items
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, new_id
from crmgql.models import Payment
from crmgql.records import money, records
from crmgql.records.money import Money
from crmgql.records.records import Act, Row

# Parameters: payment, order, invoice, dispute. Whether the payment's customer is above the one that owes, which is who a merged one lives on in.
IS_ABOVE = """
WITH RECURSIVE owed AS (
    SELECT lives_on_in(customer_id) AS id FROM orders WHERE id = $2
    UNION ALL
    SELECT lives_on_in(customer_id) FROM invoices WHERE id = $3
    UNION ALL
    SELECT lives_on_in(customer_id) FROM disputes WHERE id = $4
), above AS (
    SELECT parent_id FROM customers JOIN owed USING (id)
    UNION
    SELECT customers.parent_id FROM above JOIN customers ON customers.id = above.parent_id
)
SELECT true FROM payments WHERE id = $1 AND customer_id IN (SELECT parent_id FROM above) AND customer_id NOT IN (SELECT id FROM owed)"""
UNDONE = "SELECT true FROM allocations WHERE customer_id = $1 AND undoes_id = $2"
GIVER = "SELECT * FROM payments WHERE id = $1 FOR KEY SHARE"
RESTS = """
SELECT id FROM open_items WHERE payment_id = $1 AND purpose IN ('UNEARNED', 'CREDIT') ORDER BY purpose DESC, id"""


async def allocate(
    act: Act,
    *,
    id: UUID,
    order_id: UUID | None = None,
    invoice_id: UUID | None = None,
    dispute_id: UUID | None = None,
    amount: Money | None = None,
    write_off: Short | None = None,
    order_amount: Money | None = None,
    expected_version: int | None = None,
) -> UUID:
    """As `allocations.allocate`; what is named may also be a subsidiary's, for which the payment's customer pays.

    It gets a payment of its own then, `paid_from` this one, with what it settles. Raises as `allocations.allocate`.
    """
    if not await act.tx.connection.fetchval(IS_ABOVE, id, order_id, invoice_id, dispute_id):
        return await allocations.allocate(
            act,
            id=id,
            order_id=order_id,
            invoice_id=invoice_id,
            dispute_id=dispute_id,
            amount=amount,
            write_off=write_off,
            order_amount=order_amount,
            expected_version=expected_version,
        )
    access.require_write(act.viewer, "Payment")
    payment = await records.lock(act, Payment, id, expected_version=expected_version)
    if payment["status"] != "RECEIVED":
        raise IllegalTransition(f"A {payment['status']} payment settles nothing; it has to be received.", field="id")
    named = await sides.to_settle(act, order_id, invoice_id, dispute_id, alone=write_off is not None)
    assert named is not None
    limit = None if amount is None else money.amount(amount, payment["currency"], field="amount", positive=True)
    owed, paid = await sides.rests(act, payment, named, payment_id=id)
    passed, made = await _settled(act, payment, named, owed, paid, limit, order_amount)
    payload = {"amount": (passed.row["amount"], payment["currency"])}
    await records.change(act, Payment, payment, {}, kind="payment.allocated", payload=payload, touch=True)
    events = await passing_on.record(act, [passed])
    written_off = None if write_off is None else await allocations.shortened(act, named, owed, made, write_off)
    events += await allocations.post(act, made, before=passed.entries, written_off=written_off)
    await outbox.record_many(act.tx, act.viewer, events)
    return id


async def _settled(
    act: Act,
    payment: Row,
    named: Named,
    owed: list[Side],
    paid: list[Side],
    limit: Decimal | None,
    order_amount: Money | None,
) -> tuple[passing_on.Passed, list[allocations.Made]]:
    """What is passed on, and what it settles. Takes from the rests of both sides."""
    own, currency = await book.company_of(act), payment["currency"]
    day = max([act.today, *(each.since for each in (*owed, *paid))])
    rests = [each.rest for each in paid]
    used: Row = {}
    if named.currency != currency:
        wanted = order_amount and money.amount(order_amount, named.currency, field="orderAmount", positive=True)
        pair, used = await allocations.exchange_pair(act, currency, named, owed, paid, limit, wanted, day)
        amount = pair.paid
    elif order_amount is not None:
        raise BadUserInput(
            "It is for what is owed in another currency than the payment's; leave it out.", field="orderAmount"
        )
    else:
        sides.check_left(limit, paid, currency, field="amount" if limit else "id")
        sides.check_open(limit, owed, currency, named, field="amount" if limit else named.field)
        left, open_ = (sum((each.rest.free for each in side), Decimal(0)) for side in (paid, owed))
        amount = min(left, open_) if limit is None else limit
    passed = passing_on.passed(payment, named.customer_id, amount, rests, on=day, act=act, base_currency=own.currency)
    source = Side({"payment_id": passed.row["id"], "credit_note_id": None}, passed.rest, day)
    given: Row = {"customer_id": named.customer_id, "on": day, "base_currency": own.currency}
    if named.currency != currency:
        return passed, allocations.exchange(pair, owed, [source], **given, **used)
    return passed, list(allocations.spread(amount, owed, [source], **given))


async def undo(act: Act, *, id: UUID) -> UUID:
    """As `allocations.undo`; what another customer's payment passed on is that payment's again."""
    made = await allocations.taking_back(act, id)
    payment_id = made.row["payment_id"]
    payment = payment_id and await act.tx.connection.fetchrow(GIVER, payment_id)
    entries: list[Entry] = []
    if payment and payment["paid_from_id"] is not None:
        source_id = made.row["source_item_id"]
        rest = (await items.lock(act, [source_id]))[source_id]
        if await act.tx.connection.fetchval(UNDONE, made.row["customer_id"], id):
            raise ReversedAlready("The allocation is undone already.", field="id")
        items.move({source_id: rest}, made.entry.postings)
        amount = min(made.row["paid_amount"], rest.free)
        entries = await _back(act, dict(payment), amount, [rest], made.entry.effective_on, key=made.row["undoes_id"])
    await outbox.record_many(act.tx, act.viewer, await allocations.post(act, [made], after=entries))
    return made.row["id"]  # type: ignore[no-any-return]


async def give_back(act: Act, *, id: UUID, amount: Money | None = None, expected_version: int | None = None) -> UUID:
    """What is left of a payment that another customer's payment passed on is that payment's again; without an amount, all of it.

    Raises `IllegalTransition` for a payment that nobody passed on, `AllocationExceedsPayment`, `PeriodClosed`.
    """
    access.require_write(act.viewer, "Payment")
    payment = await records.lock(act, Payment, id, expected_version=expected_version)
    if payment["paid_from_id"] is None:
        raise IllegalTransition("No other payment passed it on; refund it with refundRequest instead.", field="id")
    currency = payment["currency"]
    limit = None if amount is None else money.amount(amount, currency, field="amount", positive=True)
    found = [row["id"] for row in await act.tx.connection.fetch(RESTS, id)]
    locked = await items.lock(act, found)
    rests = [locked[each] for each in found]
    left = sum((rest.free for rest in rests), money.rounded(Decimal(0), currency))
    if left < (limit or 0) or not left:
        raise AllocationExceedsPayment(
            f"Of the payment {left} {currency} is left, and no more; undo its allocations first.",
            field="id" if limit is None else "amount",
        )
    payload = {"amount": (limit or left, currency)}
    await records.change(act, Payment, payment, {}, kind="payment.gaveBack", payload=payload, touch=True)
    entries = await _back(act, payment, limit or left, rests, act.today, key=new_id())
    await outbox.record_many(act.tx, act.viewer, await allocations.post(act, [], after=entries))
    return id


async def _back(act: Act, payment: Row, amount: Decimal, rests: list[Rest], on: date, *, key: UUID) -> list[Entry]:
    giver = dict(await act.tx.connection.fetchrow(GIVER, payment["paid_from_id"]))
    return await passing_on.give_back(act, payment, giver, amount, rests, on=on, key=key)
