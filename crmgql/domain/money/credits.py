"""A customer's credit, from credit notes and overpayments, that settles what the customer owes.

Always holds: no more is used than there is, nor more settled than is owed; each part is an allocation, which can be undone.
"""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from crmgql import access
from crmgql.domain.money import allocations, sides
from crmgql.errors import BadUserInput
from crmgql.events import outbox
from crmgql.ledger import book
from crmgql.models import Customer
from crmgql.records import money, records
from crmgql.records.money import Money
from crmgql.records.records import Act


async def apply(
    act: Act,
    *,
    customer_id: UUID,
    order_id: UUID | None = None,
    invoice_id: UUID | None = None,
    dispute_id: UUID | None = None,
    amount: Money | None = None,
) -> UUID:
    """Settles an order, an invoice or a lost dispute with the customer's credit, the oldest first; without an amount, as much as fits. Returns the
    first of the allocations.

    Raises `AllocationExceedsOpen`, `AllocationExceedsPayment`, `IllegalTransition`, `PeriodClosed`.
    """
    access.require_write(act.viewer, "Allocation")
    await records.visible(act, Customer, customer_id, field="customerId")
    named = await sides.to_settle(act, order_id, invoice_id, dispute_id, customer_id=customer_id)
    if named is None:
        raise BadUserInput("Name the order, the invoice or the dispute that the credit settles.", field="orderId")
    currency = named.currency
    limit = None if amount is None else money.amount(amount, currency, field="amount", positive=True)
    of = {"customer_id": customer_id, "currency": currency}
    owed, paid = await sides.rests(act, of, named, payment_id=None)
    field = "amount" if limit else named.field
    sides.check_left(limit, paid, currency, field=field, source="the customer's credit")
    sides.check_open(limit, owed, currency, named, field=field)
    fits = limit if limit is not None else sum((each.rest.free for each in paid), Decimal(0))
    own = await book.company_of(act)
    made = list(allocations.spread(fits, owed, paid, customer_id=customer_id, on=act.today, base_currency=own.currency))
    await outbox.record_many(act.tx, act.viewer, await allocations.post(act, made))
    return made[0].row["id"]  # type: ignore[no-any-return]
