"""Credit limits: orders that may lead past one, and those that did.

That no order leads past a limit whose policy is to refuse is up to the database, when the confirmation commits.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.errors import BadUserInput, IllegalTransition
from crmgql.events import outbox
from crmgql.models import Order
from crmgql.records import checks, records
from crmgql.records.records import Act, Row

# Parameters: customer, currency. Where the policy is to warn and the limit is passed: what is owed, and the limit.
PASSED = """
SELECT owed.amount, credit_limit_amount FROM customers
CROSS JOIN LATERAL (
    SELECT sum(open) - covered_by_credit(customers.id, customers.currency, '{}') AS amount FROM open_items
    WHERE owner_id = customers.id AND purpose = 'RECEIVABLE' AND currency = customers.currency AND open > 0
) AS owed
WHERE id = $1 AND currency = $2 AND credit_policy = 'WARN' AND owed.amount > credit_limit_amount"""


async def approve(act: Act, *, id: UUID, reason: str, expected_version: int | None = None) -> UUID:
    """Lets an order lead past its customer's credit limit, up to the order's present total. Raises `IllegalTransition`."""
    access.require_write(act.viewer, "Order")
    access.require(act.viewer, "credit.approve", "Approving credit")
    if not reason.strip():
        raise BadUserInput("Say why.", field="reason")
    checks.check_text(reason, "reason", longest=1000)
    order = await records.lock(act, Order, id, expected_version=expected_version)
    if order["status"] == "CANCELLED":
        raise IllegalTransition("A CANCELLED order is not owed.", field="id")
    changes: dict[str, Any] = {"credit_approved_amount": order["total_amount"]}
    payload = {"amount": (order["total_amount"], order["currency"]), "reason": reason}
    await records.change(act, Order, order, changes, kind="order.creditApproved", payload=payload, touch=True)
    return id


async def warn(act: Act, order: Row) -> None:
    """Records the event of an order that led past a limit whose policy is to warn."""
    currency, customer_id = order["currency"], order["customer_id"]
    found = await act.tx.connection.fetchrow(PASSED, customer_id, currency)
    if found is not None:
        payload = {"outstanding": (found[0], currency), "limit": (found[1], currency)}
        passed = outbox.Entry("order.creditLimitPassed", ("Order", order["id"]), customer_id, {}, payload)
        await outbox.record_many(act.tx, act.viewer, [passed])
