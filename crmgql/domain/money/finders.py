"""What reconciliation looks for, as SQL: each statement answers rows of `FOUND` for the owners from $1 to $2.

Where it is asked for, $3 is the company's day. Always holds: a finder reads committed records only, and the same
records answer the same rows, so that what is found again is known again.
"""

from __future__ import annotations

from dataclasses import dataclass

from crmgql.models import ReconciliationKind as Kind

UNUSUAL_TIMES, UNUSUAL_AFTER = 10, 5
"""A payment is unusual if it is more than so many times the median of the customer's, of which there are so many at least."""

LONG_AFTER, CLEARED_WITHIN, SUSPENSE_AFTER = 30, 14, 7
"""Days: an order was delivered or is due; money lies at a provider; nobody says whose money is."""

FOUND = ("kind", "owner_id", "customer_id", "subject_type", "subject_id", "amount", "currency", "finding")

# Of an order, what is open and what credit names it. What is not due for long is nobody's mistake, and what was cancelled owes nothing:
# there only what is above the total was paid by mistake; and what has no lines can't be compared.
ORDERS = f"""
WITH items AS MATERIALIZED (
    SELECT customer_id, order_id, currency, coalesce(sum(open) FILTER (WHERE purpose = 'CREDIT'), 0) AS credit,
        coalesce(sum(open) FILTER (WHERE purpose = 'RECEIVABLE' AND coalesce(due_on, '-infinity') < $3::date - {LONG_AFTER}), 0) AS owed
    FROM open_items WHERE customer_id BETWEEN $1 AND $2 AND order_id IS NOT NULL AND purpose IN ('RECEIVABLE', 'CREDIT') AND open > 0
    GROUP BY customer_id, order_id, currency
), compared AS (
    SELECT o.id, o.customer_id, o.status, o.currency, o.total_amount AS total, items.credit, items.owed,
        EXISTS (SELECT FROM order_lines line WHERE line.customer_id = o.customer_id AND line.order_id = o.id) AS has_lines
    FROM items JOIN orders o ON o.customer_id = items.customer_id AND o.id = items.order_id AND o.currency = items.currency
    WHERE coalesce(o.delivered_at, o.ordered_at) < $3::date - {LONG_AFTER}
)
SELECT '{Kind.ORDER_PAYMENT_MISMATCH}' AS kind, customer_id AS owner_id, customer_id, 'Order' AS subject_type, id AS subject_id,
    difference AS amount, currency, CASE WHEN difference > 0 THEN concat('Paid ', difference, ' ', currency, ' more than the order comes to: ',
        total, '.') ELSE concat('Of ', total, ' ', currency, ', ', -difference, ' is not paid.') END AS finding
FROM compared CROSS JOIN LATERAL (SELECT CASE WHEN status <> 'CANCELLED' THEN credit - owed ELSE greatest(credit - total, 0 * total) END AS difference)
WHERE has_lines AND status <> 'DRAFT' AND difference <> 0
UNION ALL
SELECT '{Kind.ORDER_PAID_NOT_OWED}', customer_id, customer_id, 'Order', id, credit, currency, concat('There are ', credit, ' ', currency,
    ' for the order, which ', CASE WHEN status = 'CANCELLED' THEN 'is cancelled' WHEN has_lines THEN 'is a draft' ELSE 'has no lines' END, '.')
FROM compared WHERE credit > 0 AND (status IN ('CANCELLED', 'DRAFT') OR NOT has_lines)"""

# Two that were both needed are no duplicates. What was passed on did not come in again.
DUPLICATES = f"""
SELECT '{Kind.DUPLICATE_PAYMENT}' AS kind, p.customer_id AS owner_id, p.customer_id, 'Payment' AS subject_type, p.id AS subject_id, p.amount,
    p.currency, concat('The same amount as ', before.number, ' less than a day before, and ', spare.amount, ' of it is not needed.') AS finding
FROM payments p CROSS JOIN LATERAL (
    SELECT 'pay_' || replace(twin.id::text, '-', '') AS number FROM payments twin
    WHERE twin.customer_id = p.customer_id AND twin.status = 'RECEIVED' AND twin.paid_from_id IS NULL AND (twin.amount, twin.currency) = (p.amount, p.currency)
        AND (twin.order_id, twin.invoice_id) IS NOT DISTINCT FROM (p.order_id, p.invoice_id)
        AND (twin.received_at, twin.id) < (p.received_at, p.id) AND twin.received_at > p.received_at - interval '1 day'
    ORDER BY twin.received_at, twin.id LIMIT 1
) AS before CROSS JOIN LATERAL (
    SELECT sum(open) AS amount FROM open_items item
    WHERE item.customer_id = p.customer_id AND item.payment_id = p.id AND item.purpose IN ('UNEARNED', 'CREDIT')
) AS spare
WHERE p.customer_id BETWEEN $1 AND $2 AND p.status = 'RECEIVED' AND p.paid_from_id IS NULL AND p.amount > 0 AND spare.amount > 0"""

AMOUNTS = f"""
SELECT DISTINCT ON (p.id) '{Kind.AMOUNT_MISMATCH}' AS kind, p.customer_id AS owner_id, p.customer_id, 'Payment' AS subject_type,
    p.id AS subject_id, CASE WHEN e.currency = p.currency THEN e.amount - p.amount END AS amount, p.currency,
    concat('Recorded with ', p.amount, ' ', p.currency, '; ', e.provider, ' received ', e.amount, ' ', e.currency, '.') AS finding
FROM provider_events e JOIN payments p ON p.customer_id = e.customer_id AND p.id = e.payment_id
WHERE e.customer_id BETWEEN $1 AND $2 AND e.status = 'WAITING' AND e.kind = 'PAYMENT_SUCCEEDED' AND p.status = 'RECEIVED'
    AND (e.amount, e.currency) <> (p.amount, p.currency)
ORDER BY p.id, e.id DESC"""

# Orders on hold are not asked for. What was taken over from a merged customer is found with the customer.
OVERDUE = f"""
SELECT '{Kind.OVERDUE}' AS kind, item.customer_id AS owner_id, item.customer_id,
    CASE WHEN item.invoice_id IS NOT NULL THEN 'Invoice' WHEN item.order_id IS NOT NULL THEN 'Order'
        WHEN item.dispute_id IS NOT NULL THEN 'Dispute' ELSE 'Customer' END AS subject_type,
    coalesce(item.invoice_id, item.order_id, item.dispute_id, item.customer_id) AS subject_id,
    sum(item.open) AS amount, item.currency, concat(sum(item.open), ' ', item.currency, ' is due since ', min(item.due_on), '.') AS finding
FROM open_items item
WHERE item.owner_id BETWEEN $1 AND $2 AND item.purpose = 'RECEIVABLE' AND item.open > 0 AND item.due_on < $3::date
    AND item.customer_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM orders WHERE orders.customer_id = item.customer_id AND orders.id = item.order_id AND orders.status = 'UNAVAILABLE')
GROUP BY item.customer_id, item.invoice_id, item.order_id, item.dispute_id, item.currency"""

UNUSUAL = f"""
WITH usual AS MATERIALIZED (
    SELECT customer_id, currency, percentile_disc(0.5) WITHIN GROUP (ORDER BY amount) AS median FROM payments
    WHERE customer_id BETWEEN $1 AND $2 AND status = 'RECEIVED' AND paid_from_id IS NULL AND amount > 0 GROUP BY customer_id, currency HAVING count(*) >= {UNUSUAL_AFTER}
)
SELECT '{Kind.UNUSUAL_PAYMENT}' AS kind, p.customer_id AS owner_id, p.customer_id, 'Payment' AS subject_type, p.id AS subject_id, p.amount,
    p.currency, concat(p.amount, ' ', p.currency, ' is more than {UNUSUAL_TIMES} times what the customer usually pays: ', usual.median, '.') AS finding
FROM usual JOIN payments p ON p.customer_id = usual.customer_id AND p.currency = usual.currency
WHERE p.status = 'RECEIVED' AND p.paid_from_id IS NULL AND p.amount > {UNUSUAL_TIMES} * usual.median"""

# As `order.margin`: of orders whose cost is known for each line.
MARGINS = f"""
WITH costs AS MATERIALIZED (
    SELECT o.customer_id, o.id, o.currency, o.subtotal_amount - o.discount_amount AS net,
        sum(round(line.quantity * line.unit_cost_amount, currency_scale(o.currency))) AS cost
    FROM orders o JOIN order_lines line ON line.customer_id = o.customer_id AND line.order_id = o.id
    WHERE o.customer_id BETWEEN $1 AND $2 AND o.committed AND EXISTS (SELECT FROM companies WHERE low_margin_percent IS NOT NULL)
    GROUP BY o.customer_id, o.id HAVING bool_and(line.unit_cost_amount IS NOT NULL)
)
SELECT '{Kind.LOW_MARGIN}' AS kind, customer_id AS owner_id, customer_id, 'Order' AS subject_type, costs.id AS subject_id, net - cost AS amount,
    currency, concat('The margin is ', net - cost, ' ', currency, ' of ', net, ', which is less than ', low_margin_percent, ' %.') AS finding
FROM costs CROSS JOIN companies WHERE net > 0 AND net - cost < net * low_margin_percent / 100"""

# What came in lately is on its way; so is a minus of what was lately refunded or charged back, but not all of it.
CLEARING = f"""
WITH lying AS (
    SELECT currency, sum(debit - credit) AS amount FROM balances WHERE purpose = 'CLEARING' GROUP BY currency
), lately AS (
    SELECT currency, sum(amount) FILTER (WHERE debit = 'CLEARING') AS came, sum(amount) FILTER (WHERE credit = 'CLEARING') AS went FROM postings
    WHERE 'CLEARING' IN (debit, credit) AND phase = 'POSTED' AND effective_on > $3::date - {CLEARED_WITHIN} GROUP BY currency
)
SELECT '{Kind.UNEXPLAINED_CLEARING}' AS kind, company_id AS owner_id, NULL::uuid AS customer_id, 'Company' AS subject_type,
    company_id AS subject_id, unexplained AS amount, currency, concat(unexplained, ' ', currency,
        ' lies at payment providers by the books for more than {CLEARED_WITHIN} days; no payout, fee or refund explains it.') AS finding
FROM lying LEFT JOIN lately USING (currency) CROSS JOIN (SELECT company_id FROM books) AS books CROSS JOIN LATERAL (
    SELECT greatest(amount - coalesce(came, 0), 0 * amount) + least(amount + coalesce(went, 0), 0 * amount) AS unexplained)
WHERE unexplained <> 0 AND company_id BETWEEN $1 AND $2"""

SUSPENSE = f"""
SELECT '{Kind.SUSPENSE_OPEN}' AS kind, item.owner_id, item.customer_id, e.source_type AS subject_type, e.source_id AS subject_id,
    sum(item.open) AS amount, item.currency,
    concat('Since ', min(item.opened_on), ' nobody has said whose ', sum(item.open), ' ', item.currency, ' is.') AS finding
FROM open_items item JOIN ledger_entries e ON e.owner_id = item.owner_id AND e.id = item.entry_id
WHERE item.owner_id BETWEEN $1 AND $2 AND item.purpose = 'SUSPENSE' AND item.open > 0 AND item.opened_on < $3::date - {SUSPENSE_AFTER}
GROUP BY item.owner_id, item.customer_id, e.source_type, e.source_id, item.currency"""

# What is paid by the provider's word is late only where the bank's statements cover its days.
PAYOUTS = f"""
SELECT '{Kind.PAYOUT_DIFFERS}' AS kind, company_id AS owner_id, NULL::uuid AS customer_id, 'Payout' AS subject_type, p.id AS subject_id,
    net_amount - expected AS amount, p.currency, concat('It is ', net_amount, ' ', p.currency, '; charges less refunds and fees, with the reserve, are ',
        expected, '.') AS finding
FROM payouts p CROSS JOIN books CROSS JOIN LATERAL (
    SELECT gross_amount - coalesce(refunds_amount, 0) - coalesce(fees_amount, 0) + coalesce(reserve_amount, 0) AS expected)
WHERE company_id BETWEEN $1 AND $2 AND p.status <> 'FAILED' AND net_amount <> expected
UNION ALL
SELECT '{Kind.PAYOUT_LATE}', company_id, NULL, 'Payout', p.id, net_amount, p.currency,
    concat(net_amount, ' ', p.currency, ' should have arrived on ', arrives_on, '.')
FROM payouts p CROSS JOIN books JOIN companies ON companies.id = company_id
WHERE company_id BETWEEN $1 AND $2 AND p.status = 'EXPECTED' AND arrives_on < $3::date - payout_days
UNION ALL
SELECT '{Kind.PAYOUT_LATE}', company_id, NULL, 'Payout', p.id, net_amount, p.currency,
    concat(net_amount, ' ', p.currency, ' was paid by the provider''s word, due on ', due.day, '; no line of the bank''s statements is it.')
FROM payouts p CROSS JOIN books JOIN companies ON companies.id = company_id
    CROSS JOIN LATERAL (SELECT coalesce(arrives_on, (paid_at AT TIME ZONE companies.timezone)::date) AS day) AS due
WHERE company_id BETWEEN $1 AND $2 AND p.status = 'PAID' AND NOT EXISTS (SELECT FROM bank_lines l WHERE l.payout_id = p.id)
    AND EXISTS (SELECT FROM bank_statements s WHERE s.currency = p.currency AND coalesce(s.opening_on, s.first_on) <= due.day)
    AND EXISTS (SELECT FROM bank_statements s WHERE s.currency = p.currency AND coalesce(s.closing_on, s.last_on) > due.day + payout_days)"""

# A line that names a payout with another amount is booked by nobody; one that was booked has brought what did not arrive.
AT_BANK = f"""
SELECT DISTINCT ON (p.id) '{Kind.PAYOUT_BANK_DIFFERS}' AS kind, company_id AS owner_id, NULL::uuid AS customer_id, 'Payout' AS subject_type,
    p.id AS subject_id, l.amount - net_amount AS amount, p.currency,
    concat('The bank''s line of ', l.booked_on, ' names it with ', l.amount, ' ', p.currency, '; it is ', net_amount, '.') AS finding
FROM bank_suggestions s JOIN bank_lines l ON l.id = s.line_id AND l.status = 'OPEN' JOIN payouts p ON p.id = s.payout_id CROSS JOIN books
WHERE company_id BETWEEN $1 AND $2 AND s.basis = 'REFERENCE' AND l.amount <> net_amount AND p.status <> 'FAILED'
    AND NOT EXISTS (SELECT FROM bank_lines own WHERE own.payout_id = p.id)
ORDER BY p.id, l.booked_on, l.id"""
RETURNED = f"""
SELECT '{Kind.PAYOUT_BANK_DIFFERS}' AS kind, company_id AS owner_id, NULL::uuid AS customer_id, 'Payout' AS subject_type, p.id AS subject_id,
    sum(l.amount) AS amount, p.currency, concat('It failed; by the bank''s lines ', sum(l.amount), ' ', p.currency, ' of it came in.') AS finding
FROM payouts p JOIN bank_lines l ON l.payout_id = p.id CROSS JOIN books
WHERE company_id BETWEEN $1 AND $2 AND p.status = 'FAILED' GROUP BY p.id, company_id HAVING sum(l.amount) <> 0"""


@dataclass(frozen=True, slots=True)
class Finder:
    """`kinds`: all that the statement can find."""

    kinds: tuple[Kind, ...]
    sql: str

    @property
    def by_day(self) -> bool:
        return "$3" in self.sql


OF_CUSTOMERS = (
    Finder((Kind.ORDER_PAYMENT_MISMATCH, Kind.ORDER_PAID_NOT_OWED), ORDERS),
    Finder((Kind.DUPLICATE_PAYMENT,), DUPLICATES),
    Finder((Kind.AMOUNT_MISMATCH,), AMOUNTS),
    Finder((Kind.OVERDUE,), OVERDUE),
    Finder((Kind.UNUSUAL_PAYMENT,), UNUSUAL),
    Finder((Kind.LOW_MARGIN,), MARGINS),
)
"""Read customers by customers."""

OF_COMPANY = (
    Finder((Kind.UNEXPLAINED_CLEARING,), CLEARING),
    Finder((Kind.SUSPENSE_OPEN,), SUSPENSE),
    Finder((Kind.PAYOUT_DIFFERS, Kind.PAYOUT_LATE), PAYOUTS),
    Finder((Kind.PAYOUT_BANK_DIFFERS,), f"SELECT * FROM ({AT_BANK}) AS named UNION ALL {RETURNED}"),
)
"""Read once, for all owners."""
