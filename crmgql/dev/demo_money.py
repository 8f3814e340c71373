"""What becomes of money in the demo company beside orders that are paid: invoices of every age, a credit note, refunds,
chargebacks, a payment in another currency, a credit limit that is passed.

Enters: the cases of `demo_money.sql`, whose orders and payments are in the books. Leaves: their documents, each made by its verb on the
day when it happened. Always holds: the order of the days, as numbers of invoices need it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import asyncpg

from crmgql.db import Transaction
from crmgql.domain.customers import customers
from crmgql.domain.money import allocations, credit_notes, disputes, invoices, refunds
from crmgql.records import money
from crmgql.records.money import Money
from crmgql.records.records import Act, Row
from crmgql.viewer import system

# The cases with their orders and payments, in the order of time.
CASES = """
SELECT c.name, c.terms, c.ordered_at, d.id AS customer_id, d.currency, o.id AS order_id, p.id AS payment_id, p.amount AS paid_amount,
    p.currency AS paid_currency, o.subtotal + o.shipping + o.tax - o.discount AS total
FROM demo_cases c JOIN demo_customers d ON d.n = c.customer LEFT JOIN demo_orders o USING (key) LEFT JOIN demo_payments p USING (key)
ORDER BY c.ordered_at, c.key"""


async def invoice(tx: Transaction) -> Counter[str]:
    """Invoices each order that has terms, on the day after it. Returns how many rows it made of each table."""
    made: Counter[str] = Counter()
    for case in await _cases(tx.connection):
        if case["terms"] is not None:
            act = _at(tx, case["ordered_at"] + timedelta(days=1))
            id = await invoices.create(act, order_id=case["order_id"], payment_terms=case["terms"])
            await invoices.issue(act, id=id)
            made["invoices"] += 1
    return made


async def settle(tx: Transaction, now: datetime) -> Counter[str]:
    """What came after the payments. Returns how many rows it made of each table."""
    found = {case["name"]: case for case in await _cases(tx.connection)}
    made: Counter[str] = Counter()

    def ago(days: int) -> Act:
        return _at(tx, now - timedelta(days=days))

    if case := found.get("lost"):
        id = await disputes.open(ago(60), payment_id=case["payment_id"], fee=_dollars(15), reason="Card was stolen")
        await disputes.lose(ago(32), id=id)
        made["disputes"] += 1
    if case := found.get("credited"):
        sql = "SELECT id FROM invoices WHERE customer_id = $1 AND order_id = $2"
        invoice_id = await tx.connection.fetchval(sql, case["customer_id"], case["order_id"])
        reason = "Two printers were damaged in transit."
        await credit_notes.issue(ago(25), invoice_id=invoice_id, amount=_part(case, "0.2"), reason=reason)
        made["credit_notes"] += 1
    if case := found.get("refunded"):
        reason = "Four scanners were sent back"
        await refunds.record(ago(20), payment_id=case["payment_id"], amount=_part(case, "0.4"), reason=reason)
        made["refunds"] += 1
    if case := found.get("foreign"):
        whole = (case["paid_amount"], case["paid_currency"])
        owed = (case["total"], case["currency"])
        await allocations.allocate(
            ago(5), id=case["payment_id"], order_id=case["order_id"], amount=whole, order_amount=owed
        )
    if case := found.get("disputed"):
        await disputes.open(ago(4), payment_id=case["payment_id"], fee=_dollars(15), reason="Product not as described")
        made["disputes"] += 1
    if case := found.get("refund asked for"):
        reason = "Four access points too many"
        await refunds.request(ago(2), payment_id=case["payment_id"], amount=_part(case, "0.25"), reason=reason)
        made["refunds"] += 1
    if case := found.get("over 90"):
        await customers.update(ago(1), id=case["customer_id"], credit_limit=_part(case, "0.5"), credit_policy="WARN")
    return made


async def _cases(connection: asyncpg.Connection) -> Sequence[Row]:
    return await connection.fetch(CASES)  # type: ignore[no-any-return]


def _at(tx: Transaction, moment: datetime) -> Act:
    return Act(tx, system(lambda: moment))


def _dollars(amount: int) -> Money:
    return money.rounded(Decimal(amount), "USD"), "USD"


def _part(case: Row, share: str) -> Money:
    """A part of the order's total."""
    return money.rounded(case["total"] * Decimal(share), case["currency"]), case["currency"]
