"""What must hold between rows of the books besides chains and sums. Each rule answers the rows that break it.

The database refuses them when they are written, unless somebody switched its triggers off.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """`sql` takes the first and the last owner and the most rows; it answers owner, lane, seq, entry and what is wrong."""

    name: str
    sql: str


def _rule(name: str, what: str, body: str, *, entry: str = "NULL", place: str = "NULL, NULL") -> Rule:
    """MATERIALIZED: planned for all of the range. For its first few rows PostgreSQL would go through whole tables."""
    lane, seq = place.split(", ")
    return Rule(
        name,
        f"WITH broken AS MATERIALIZED ({body})"
        f" SELECT owner_id, {lane} AS lane, {seq} AS seq, ({entry})::text AS entry_id, concat({what}) AS what FROM broken LIMIT $3",
    )


CURRENCIES = """
    SELECT e.owner_id, e.id, e.base_currency, books.currency FROM public.ledger_entries AS e
    LEFT JOIN public.books ON books.company_id = e.company_id
    WHERE e.owner_id BETWEEN $1 AND $2 AND books.currency IS DISTINCT FROM e.base_currency"""
RESOLVED = """
    SELECT e.owner_id, e.id, e.resolves_id FROM public.ledger_entries AS e
    LEFT JOIN public.ledger_entries AS ended
        ON ended.owner_id = e.owner_id AND ended.id = e.resolves_id AND ended.phase = 'PENDING'
    WHERE e.owner_id BETWEEN $1 AND $2 AND e.resolves_id IS NOT NULL AND ended.id IS NULL"""
REVERSED = """
    SELECT e.owner_id, e.id, e.reverses_id FROM public.ledger_entries AS e
    LEFT JOIN public.ledger_entries AS whole ON whole.owner_id = e.owner_id AND whole.id = e.reverses_id
        AND whole.phase = 'POSTED' AND whole.reverses_id IS NULL AND whole.size = e.size
    WHERE e.owner_id BETWEEN $1 AND $2 AND e.reverses_id IS NOT NULL AND (whole.id IS NULL OR EXISTS (
        SELECT FROM public.postings AS was LEFT JOIN public.postings AS p
            ON p.owner_id = was.owner_id AND p.entry_id = e.id AND p.n = was.n
        WHERE was.owner_id = e.owner_id AND was.entry_id = whole.id
            AND (p.debit, p.credit, p.currency, p.amount, p.base_amount, p.debit_item_id, p.credit_item_id)
            IS DISTINCT FROM (was.credit, was.debit, was.currency, was.amount, was.base_amount, was.credit_item_id, was.debit_item_id)
    ))"""
BASES = """
    SELECT owner_id, sum(base) AS base FROM public.balances
    WHERE owner_id BETWEEN $1 AND $2 GROUP BY owner_id HAVING sum(base) <> 0"""
EXCHANGES = """
    SELECT owner_id, entry_id, sum(CASE WHEN debit = 'EXCHANGE' THEN base_amount ELSE -base_amount END) AS base FROM public.postings
    WHERE owner_id BETWEEN $1 AND $2 AND 'EXCHANGE' IN (debit, credit) GROUP BY owner_id, entry_id
    HAVING sum(CASE WHEN debit = 'EXCHANGE' THEN base_amount ELSE -base_amount END) <> 0"""
LANES = """
    SELECT part.owner_id, part.lane, part.purpose, part.currency FROM public.balances AS part
    LEFT JOIN public.ledger_heads AS head ON head.owner_id = part.owner_id AND head.lane = part.lane
    WHERE part.owner_id BETWEEN $1 AND $2 AND head.owner_id IS NULL"""
OPENED = """
    SELECT item.owner_id, item.id, item.entry_id FROM public.open_items AS item
    LEFT JOIN public.ledger_entries AS e ON e.owner_id = item.owner_id AND e.id = item.entry_id AND e.owner_id BETWEEN $1 AND $2
    WHERE item.owner_id BETWEEN $1 AND $2 AND (
        item.customer_id IS DISTINCT FROM e.customer_id OR item.opened_on IS DISTINCT FROM e.effective_on
        OR item.opens IS DISTINCT FROM e.opens)"""
# What the entry of a document opens is that document's. Of orders and payments it is looked up: the others have keys.
DOCUMENTS = """
    SELECT item.owner_id, item.id FROM public.open_items AS item
    JOIN public.ledger_entries AS e ON e.owner_id = item.owner_id AND e.id = item.entry_id
    LEFT JOIN public.orders ON orders.id = item.order_id AND orders.customer_id = item.customer_id
    LEFT JOIN public.payments ON payments.id = item.payment_id
    WHERE item.owner_id BETWEEN $1 AND $2 AND e.owner_id BETWEEN $1 AND $2 AND (
        item.order_id IS NOT NULL AND orders.id IS NULL OR item.payment_id IS NOT NULL AND payments.id IS NULL
        OR e.source_id IS DISTINCT FROM CASE e.source_type WHEN 'Order' THEN item.order_id WHEN 'Payment' THEN item.payment_id
            WHEN 'Invoice' THEN item.invoice_id WHEN 'CreditNote' THEN item.credit_note_id WHEN 'Dispute' THEN item.dispute_id
            WHEN 'SuspenseReceipt' THEN item.suspense_id ELSE e.source_id END)"""
# What was posted for orders and payments, from their items' side.
REVENUE = """
    WITH posted AS MATERIALIZED (
        SELECT item.owner_id, item.order_id, sum(amount) FILTER (WHERE other IN ('REVENUE', 'DEFERRED')) AS net,
            sum(amount) FILTER (WHERE other = 'SHIPPING') AS shipping, sum(amount) FILTER (WHERE other = 'TAX') AS tax
        FROM (
            SELECT owner_id, entry_id, debit_item_id AS item_id, credit AS other, amount FROM public.postings
            WHERE owner_id BETWEEN $1 AND $2 AND phase = 'POSTED' AND debit = 'RECEIVABLE'
            UNION ALL
            SELECT owner_id, entry_id, credit_item_id, debit, -amount FROM public.postings
            WHERE owner_id BETWEEN $1 AND $2 AND phase = 'POSTED' AND credit = 'RECEIVABLE'
        ) AS moves JOIN public.open_items AS item ON item.id = moves.item_id
            JOIN public.ledger_entries AS e ON e.owner_id = moves.owner_id AND e.id = moves.entry_id AND e.source_type <> 'CreditNote'
        WHERE item.owner_id BETWEEN $1 AND $2 AND e.owner_id BETWEEN $1 AND $2 AND item.order_id IS NOT NULL
            AND other IN ('REVENUE', 'DEFERRED', 'SHIPPING', 'TAX')
        GROUP BY item.owner_id, item.order_id
    )
    SELECT coalesce(booked.owner_id, posted.owner_id) AS owner_id, coalesce(booked.order_id, posted.order_id) AS order_id
    FROM (
        SELECT DISTINCT ON (customer_id, order_id) customer_id AS owner_id, order_id, subtotal_amount - discount_amount AS net,
            shipping_amount AS shipping, tax_amount AS tax
        FROM public.revenue_records WHERE customer_id BETWEEN $1 AND $2 ORDER BY customer_id, order_id, revision DESC
    ) AS booked
    FULL JOIN posted ON posted.owner_id = booked.owner_id AND posted.order_id = booked.order_id
    WHERE (coalesce(booked.net, 0), coalesce(booked.shipping, 0), coalesce(booked.tax, 0))
        <> (coalesce(posted.net, 0), coalesce(posted.shipping, 0), coalesce(posted.tax, 0))"""
PAYMENTS = """
    WITH posted AS MATERIALIZED (
        SELECT item.owner_id, item.payment_id AS id, sum(moves.amount) AS amount
        FROM (
            SELECT owner_id, entry_id, credit_item_id AS item_id, debit AS bank, amount FROM public.postings
            WHERE owner_id BETWEEN $1 AND $2 AND phase = 'POSTED' AND credit = 'UNEARNED' AND debit IN ('BANK', 'CLEARING', 'TRANSFER')
            UNION ALL
            SELECT owner_id, entry_id, debit_item_id, credit, -amount FROM public.postings
            WHERE owner_id BETWEEN $1 AND $2 AND phase = 'POSTED' AND debit = 'UNEARNED' AND credit IN ('BANK', 'CLEARING', 'TRANSFER')
        ) AS moves JOIN public.open_items AS item ON item.id = moves.item_id
        JOIN public.ledger_entries AS e ON e.owner_id = moves.owner_id AND e.id = moves.entry_id
        WHERE item.owner_id BETWEEN $1 AND $2 AND e.owner_id BETWEEN $1 AND $2 AND item.payment_id IS NOT NULL
            AND CASE moves.bank WHEN 'TRANSFER' THEN e.source_type = 'Payment' AND e.source_id = item.payment_id
                ELSE e.source_type <> 'Refund' END
        GROUP BY item.owner_id, item.payment_id
    )
    SELECT coalesce(paid.owner_id, posted.owner_id) AS owner_id, coalesce(paid.id, posted.id) AS id,
        coalesce(paid.amount, 0) AS amount, coalesce(posted.amount, 0) AS posted
    FROM (
        SELECT customer_id AS owner_id, id, amount FROM public.payments WHERE customer_id BETWEEN $1 AND $2 AND status = 'RECEIVED'
    ) AS paid
    FULL JOIN posted ON posted.owner_id = paid.owner_id AND posted.id = paid.id
    WHERE coalesce(paid.amount, 0) <> coalesce(posted.amount, 0)"""
# What lies in suspense is the company's, and as much as its receipts say. Elsewhere, as for transfers, no table is gone through: EXISTS
# is asked once.
SUSPENSE = """
    SELECT own.id AS owner_id, coalesce(receipt.id, item.suspense_id) AS id, coalesce(receipt.amount, 0) AS amount, coalesce(item.open, 0) AS open
    FROM (
        SELECT id, amount, currency FROM public.suspense_receipts
        WHERE status = 'OPEN' AND EXISTS (SELECT FROM public.companies WHERE id BETWEEN $1 AND $2)
    ) AS receipt
    FULL JOIN (
        SELECT owner_id, suspense_id, currency, sum(open) AS open FROM public.open_items
        WHERE purpose = 'SUSPENSE' AND EXISTS (SELECT FROM public.companies WHERE id BETWEEN $1 AND $2) GROUP BY owner_id, suspense_id, currency HAVING sum(open) <> 0
    ) AS item ON item.suspense_id = receipt.id AND item.currency = receipt.currency
    CROSS JOIN (SELECT id FROM public.companies WHERE id BETWEEN $1 AND $2) AS own
    WHERE (receipt.amount, own.id) IS DISTINCT FROM (item.open, item.owner_id)"""
# What one owner gives, another takes: over all of them it is nothing. Looked at once, with the company.
TRANSFERS = """
    SELECT own.id AS owner_id, part.currency, sum(part.debit) - sum(part.credit) AS amount, sum(part.base) AS base
    FROM public.companies AS own CROSS JOIN public.balances AS part
    WHERE own.id BETWEEN $1 AND $2 AND part.purpose = 'TRANSFER' AND EXISTS (SELECT FROM public.companies WHERE id BETWEEN $1 AND $2)
    GROUP BY own.id, part.currency HAVING sum(part.debit) <> sum(part.credit) OR sum(part.base) <> 0"""
# What was passed on took over what the payment before it gave for it, at the same base amount.
PASSED_ON = """
    SELECT paid.customer_id AS owner_id, paid.id, paid.amount, coalesce(given.amount, 0) AS given, coalesce(given.base, 0) AS base
    FROM public.payments AS paid CROSS JOIN LATERAL (
        SELECT sum(p.amount) AS amount, sum(p.base_amount) AS base
        FROM public.open_items AS item JOIN public.postings AS p ON p.debit_item_id = item.id AND p.credit = 'TRANSFER' AND p.phase = 'POSTED'
        JOIN public.ledger_entries AS e ON e.owner_id = p.owner_id AND e.id = p.entry_id AND e.source_type = 'Payment' AND e.source_id = paid.id
        WHERE item.payment_id = paid.paid_from_id
    ) AS given CROSS JOIN LATERAL (
        SELECT sum(p.base_amount) AS base
        FROM public.open_items AS item JOIN public.postings AS p ON p.credit_item_id = item.id AND p.debit = 'TRANSFER' AND p.phase = 'POSTED'
        JOIN public.ledger_entries AS e ON e.owner_id = p.owner_id AND e.id = p.entry_id AND e.source_type = 'Payment' AND e.source_id = paid.id
        WHERE item.payment_id = paid.id
    ) AS taken
    WHERE paid.customer_id BETWEEN $1 AND $2 AND paid.paid_from_id IS NOT NULL
        AND (given.amount, given.base) IS DISTINCT FROM (paid.amount, taken.base)"""
# What entries of write-offs took off a receivable is what their rows say.
WRITE_OFFS = """
    SELECT coalesce(said.owner_id, posted.owner_id) AS owner_id, coalesce(said.entry_id, posted.entry_id) AS entry_id
    FROM (
        SELECT customer_id AS owner_id, entry_id, item_id, currency, account, CASE WHEN undoes_id IS NULL THEN amount ELSE -amount END AS amount
        FROM public.write_offs WHERE customer_id BETWEEN $1 AND $2
    ) AS said
    FULL JOIN (
        SELECT p.owner_id, p.entry_id, coalesce(p.credit_item_id, p.debit_item_id) AS item_id, p.currency,
            CASE WHEN p.credit_item_id IS NOT NULL THEN p.debit ELSE p.credit END AS account,
            CASE WHEN p.credit_item_id IS NOT NULL THEN p.amount ELSE -p.amount END AS amount
        FROM public.ledger_entries AS e JOIN public.postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
        WHERE e.owner_id BETWEEN $1 AND $2 AND p.owner_id BETWEEN $1 AND $2 AND e.source_type = 'WriteOff'
    ) AS posted ON posted.owner_id = said.owner_id AND posted.entry_id = said.entry_id
    WHERE (said.item_id, said.currency, said.account, said.amount)
        IS DISTINCT FROM (posted.item_id, posted.currency, posted.account, posted.amount)"""
# What invoices and credit notes say against what was posted for them, and the sums that are kept of them.
INVOICES = """
    WITH posted AS MATERIALIZED (
        SELECT e.owner_id, e.source_id AS id, p.debit_item_id AS item_id, sum(p.amount) AS amount
        FROM public.ledger_entries AS e JOIN public.postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
        WHERE e.owner_id BETWEEN $1 AND $2 AND p.owner_id BETWEEN $1 AND $2 AND e.source_type = 'Invoice' AND e.phase = 'POSTED'
        GROUP BY e.owner_id, e.source_id, p.debit_item_id
    ), parts AS MATERIALIZED (
        SELECT customer_id AS owner_id, invoice_id AS id, sum(amount) AS amount, max(due_on) AS due_on FROM public.instalments
        WHERE customer_id BETWEEN $1 AND $2 GROUP BY customer_id, invoice_id
    )
    SELECT owner_id, id FROM posted FULL JOIN (
        SELECT customer_id AS owner_id, invoice_id AS id, item_id, amount - paid_before_amount AS amount FROM public.instalments
        WHERE customer_id BETWEEN $1 AND $2 AND item_id IS NOT NULL
    ) AS said USING (owner_id, id, item_id) WHERE posted.amount IS DISTINCT FROM said.amount
    UNION
    SELECT coalesce(i.customer_id, parts.owner_id), coalesce(i.id, parts.id) FROM (
        SELECT * FROM public.invoices WHERE customer_id BETWEEN $1 AND $2 AND status = 'ISSUED'
    ) AS i FULL JOIN parts ON parts.owner_id = i.customer_id AND parts.id = i.id
    WHERE (i.total_amount, i.due_on) IS DISTINCT FROM (parts.amount, parts.due_on)
    UNION
    SELECT i.customer_id, i.id FROM public.invoices AS i LEFT JOIN (
        SELECT customer_id, invoice_id, sum(total_amount) AS total, sum(tax_amount) AS tax FROM public.credit_notes
        WHERE customer_id BETWEEN $1 AND $2 GROUP BY customer_id, invoice_id
    ) AS notes ON notes.customer_id = i.customer_id AND notes.invoice_id = i.id
    WHERE i.customer_id BETWEEN $1 AND $2
        AND (i.credited_amount, i.credited_tax_amount) <> (coalesce(notes.total, 0), coalesce(notes.tax, 0))"""
INVOICED = """
    SELECT o.customer_id AS owner_id, o.id FROM public.orders AS o LEFT JOIN (
        SELECT customer_id, order_id, sum(total_amount) AS total FROM public.invoices
        WHERE customer_id BETWEEN $1 AND $2 AND status = 'ISSUED' GROUP BY customer_id, order_id
    ) AS i ON i.customer_id = o.customer_id AND i.order_id = o.id
    WHERE o.customer_id BETWEEN $1 AND $2 AND o.invoiced_amount <> coalesce(i.total, 0)"""
CREDIT_NOTES = """
    WITH posted AS MATERIALIZED (
        SELECT e.owner_id, e.source_id AS id, sum(p.amount) AS total, coalesce(sum(p.amount) FILTER (WHERE p.debit = 'TAX'), 0) AS tax
        FROM public.ledger_entries AS e JOIN public.postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
        WHERE e.owner_id BETWEEN $1 AND $2 AND p.owner_id BETWEEN $1 AND $2 AND e.source_type = 'CreditNote' AND e.kind = 'creditNote.issued'
        GROUP BY e.owner_id, e.source_id
    )
    SELECT coalesce(note.customer_id, posted.owner_id) AS owner_id, coalesce(note.id, posted.id) AS id FROM (
        SELECT * FROM public.credit_notes WHERE customer_id BETWEEN $1 AND $2
    ) AS note FULL JOIN posted ON posted.owner_id = note.customer_id AND posted.id = note.id
    WHERE (note.total_amount, note.tax_amount) IS DISTINCT FROM (posted.total, posted.tax)"""
# Orders on hold are owed and booked, but count no further; nor does what credit that names an order covers of it. What is overdue is counted as of a day that the row itself says: all
# that was due before `next_due_on`.
STANDINGS = """
    WITH held AS MATERIALIZED (
        SELECT id FROM public.orders WHERE customer_id BETWEEN $1 AND $2 AND status = 'UNAVAILABLE'
    ), parts AS (
        SELECT owner_id, item.currency, sum(open) FILTER (WHERE purpose = 'RECEIVABLE') AS owed, 0::numeric AS booked,
            sum(open) FILTER (WHERE purpose = 'CREDIT') AS credit, sum(open) FILTER (WHERE purpose = 'UNEARNED') AS unearned,
            sum(open) FILTER (WHERE purpose = 'RECEIVABLE' AND counts) AS outstanding, 0::numeric AS lifetime,
            sum(open) FILTER (WHERE is_due AND (due_on < next_due_on OR next_due_on IS NULL)) AS overdue,
            min(due_on) FILTER (WHERE is_due) AS oldest, min(due_on) FILTER (WHERE is_due AND due_on >= next_due_on) AS next
        FROM public.open_items AS item
        LEFT JOIN public.customer_standings AS kept ON kept.customer_id = owner_id AND kept.currency = item.currency
        CROSS JOIN LATERAL (SELECT order_id IS NULL OR order_id NOT IN (SELECT id FROM held) AS counts) AS order_counts
        CROSS JOIN LATERAL (SELECT purpose = 'RECEIVABLE' AND due_on IS NOT NULL AND counts AS is_due) AS due
        WHERE owner_id BETWEEN $1 AND $2 AND item.customer_id IS NOT NULL AND open > 0 GROUP BY owner_id, item.currency
        UNION ALL
        SELECT owner_id, currency, 0, 0, 0, 0, -sum(least(owed, credit)), 0, 0, NULL, NULL
        FROM (
            SELECT owner_id, currency, sum(open) FILTER (WHERE purpose = 'RECEIVABLE') AS owed, sum(open) FILTER (WHERE purpose = 'CREDIT') AS credit
            FROM public.open_items WHERE owner_id BETWEEN $1 AND $2 AND customer_id IS NOT NULL AND open > 0
                AND order_id IS NOT NULL AND order_id NOT IN (SELECT id FROM held) GROUP BY owner_id, currency, order_id
        ) AS of_order WHERE owed > 0 AND credit > 0 GROUP BY owner_id, currency
        UNION ALL
        SELECT customer_id, currency, 0, sum(total_amount), 0, 0, 0, coalesce(sum(total_amount) FILTER (WHERE counts), 0), 0, NULL, NULL
        FROM (
            SELECT DISTINCT ON (customer_id, order_id) customer_id, order_id, currency, total_amount
            FROM public.revenue_records WHERE customer_id BETWEEN $1 AND $2 ORDER BY customer_id, order_id, revision DESC
        ) AS newest CROSS JOIN LATERAL (SELECT order_id NOT IN (SELECT id FROM held) AS counts) AS order_counts
        GROUP BY customer_id, currency
    ), sums AS MATERIALIZED (
        SELECT owner_id, currency, ROW(sum(owed), sum(booked), sum(credit), sum(unearned), sum(outstanding), sum(lifetime), sum(overdue),
            min(oldest), min(next)) AS figures
        FROM (
            SELECT owner_id, currency, coalesce(owed, 0) AS owed, booked, coalesce(credit, 0) AS credit, coalesce(unearned, 0) AS unearned,
                coalesce(outstanding, 0) AS outstanding, lifetime, coalesce(overdue, 0) AS overdue, oldest, next FROM parts
            UNION ALL
            SELECT id, currency, 0, 0, 0, 0, 0, 0, 0, NULL, NULL FROM public.customers WHERE id BETWEEN $1 AND $2
        ) AS each GROUP BY owner_id, currency
    )
    SELECT coalesce(kept.owner_id, sums.owner_id) AS owner_id, coalesce(kept.currency, sums.currency) AS currency
    FROM (
        SELECT customer_id AS owner_id, currency, ROW(owed, booked, credit_balance, unearned, outstanding, lifetime_value, overdue,
            oldest_due_on, next_due_on) AS figures
        FROM public.customer_standings WHERE customer_id BETWEEN $1 AND $2
    ) AS kept FULL JOIN sums ON sums.owner_id = kept.owner_id AND sums.currency = kept.currency
    WHERE coalesce(kept.figures, ROW(0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, NULL::date, NULL::date))
        IS DISTINCT FROM
        coalesce(sums.figures, ROW(0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, NULL::date, NULL::date))
        OR kept.owner_id IS NULL"""
DEFERRED = """
    WITH posted AS MATERIALIZED (
        SELECT e.owner_id, CASE e.source_type WHEN 'Order' THEN e.source_id ELSE invoice.order_id END AS order_id,
            sum(CASE p.credit WHEN 'DEFERRED' THEN p.amount ELSE -p.amount END) AS amount,
            sum(CASE p.credit WHEN 'DEFERRED' THEN p.base_amount ELSE -p.base_amount END) AS base
        FROM public.postings AS p JOIN public.ledger_entries AS e ON e.owner_id = p.owner_id AND e.id = p.entry_id
        LEFT JOIN public.credit_notes AS note ON note.customer_id = e.owner_id AND note.id = e.source_id
        LEFT JOIN public.invoices AS invoice ON invoice.customer_id = note.customer_id AND invoice.id = note.invoice_id
        WHERE p.owner_id BETWEEN $1 AND $2 AND p.phase = 'POSTED' AND 'DEFERRED' IN (p.debit, p.credit)
            AND e.owner_id BETWEEN $1 AND $2 AND e.source_type IN ('Order', 'CreditNote')
        GROUP BY 1, 2
    )
    SELECT coalesce(waiting.owner_id, posted.owner_id) AS owner_id, coalesce(waiting.order_id, posted.order_id) AS order_id,
        coalesce(waiting.amount, 0) AS amount, coalesce(posted.amount, 0) AS posted
    FROM (
        SELECT customer_id AS owner_id, order_id, sum(amount - credited_amount) AS amount, sum(base_amount - credited_base_amount) AS base
        FROM public.recognition_schedules
        WHERE customer_id BETWEEN $1 AND $2 AND entry_id IS NULL GROUP BY customer_id, order_id
    ) AS waiting
    FULL JOIN posted ON posted.owner_id = waiting.owner_id AND posted.order_id = waiting.order_id
    WHERE (coalesce(waiting.amount, 0), coalesce(waiting.base, 0)) <> (coalesce(posted.amount, 0), coalesce(posted.base, 0))"""
# What is held for a refund, or went back by it, is of its payment or of its customer's credit, and is as much as it says.
REFUNDS = """
    WITH posted AS MATERIALIZED (
        SELECT e.owner_id, e.source_id AS id, bool_and(coalesce(
                bank = CASE WHEN refund.provider IS NULL THEN 'BANK' ELSE 'CLEARING' END AND p.currency = refund.currency
                AND CASE WHEN refund.payment_id IS NULL THEN item.purpose = 'CREDIT'
                    ELSE item.payment_id = refund.payment_id AND item.purpose IN ('UNEARNED', 'CREDIT') END, false)) AS is_its_own,
            coalesce(sum(way * p.amount) FILTER (WHERE e.phase = 'POSTED'), 0) AS amount,
            coalesce(sum(way * p.amount) FILTER (WHERE e.phase = 'PENDING' AND ended.id IS NULL), 0) AS pending
        FROM public.ledger_entries AS e JOIN public.postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
        CROSS JOIN LATERAL (VALUES (1, p.credit, p.debit_item_id), (-1, p.debit, p.credit_item_id)) AS side(way, bank, item_id)
        LEFT JOIN public.open_items AS item ON item.id = side.item_id
        LEFT JOIN public.refunds AS refund ON refund.customer_id = e.owner_id AND refund.id = e.source_id
        LEFT JOIN public.ledger_entries AS ended ON ended.owner_id = e.owner_id AND ended.resolves_id = e.id
        WHERE e.owner_id BETWEEN $1 AND $2 AND p.owner_id BETWEEN $1 AND $2 AND e.source_type = 'Refund' AND bank IN ('BANK', 'CLEARING')
        GROUP BY e.owner_id, e.source_id
    )
    SELECT coalesce(refund.customer_id, posted.owner_id) AS owner_id, coalesce(refund.id, posted.id) AS id, refund.status,
        coalesce(refund.amount, 0) AS amount, coalesce(posted.amount, 0) AS posted, coalesce(posted.pending, 0) AS pending
    FROM (SELECT * FROM public.refunds WHERE customer_id BETWEEN $1 AND $2) AS refund
    FULL JOIN posted ON posted.owner_id = refund.customer_id AND posted.id = refund.id
    WHERE posted.is_its_own IS DISTINCT FROM true
        OR coalesce(posted.amount, 0) <> CASE refund.status WHEN 'SUCCEEDED' THEN refund.amount ELSE 0 END
        OR coalesce(posted.pending, 0) <> CASE WHEN refund.status IN ('REQUESTED', 'UNKNOWN') THEN refund.amount ELSE 0 END"""
# What was taken back is in the dispute's item until it is won or lost; whoever moved it.
DISPUTES = """
    WITH posted AS MATERIALIZED (
        SELECT item.owner_id, item.dispute_id AS id, sum(moves.amount) FILTER (WHERE way = 1) AS amount,
            sum(moves.amount) FILTER (WHERE way = -1 AND other IN ('BANK', 'CLEARING')) AS won,
            sum(moves.amount) FILTER (WHERE way = -1 AND other NOT IN ('BANK', 'CLEARING')) AS lost
        FROM (
            SELECT 1 AS way, debit_item_id AS item_id, credit AS other, amount FROM public.postings
            WHERE owner_id BETWEEN $1 AND $2 AND phase = 'POSTED' AND debit = 'DISPUTED'
            UNION ALL
            SELECT -1, credit_item_id, debit, amount FROM public.postings
            WHERE owner_id BETWEEN $1 AND $2 AND phase = 'POSTED' AND credit = 'DISPUTED'
        ) AS moves JOIN public.open_items AS item ON item.id = moves.item_id
        WHERE item.owner_id BETWEEN $1 AND $2 AND item.dispute_id IS NOT NULL GROUP BY item.owner_id, item.dispute_id
    ), fees AS MATERIALIZED (
        SELECT e.owner_id, e.source_id AS id, sum(p.amount) AS amount FROM public.ledger_entries AS e
        JOIN public.postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
        WHERE e.owner_id BETWEEN $1 AND $2 AND p.owner_id BETWEEN $1 AND $2 AND e.source_type = 'Dispute' AND p.debit = 'FEES'
        GROUP BY e.owner_id, e.source_id
    )
    SELECT coalesce(dispute.customer_id, posted.owner_id) AS owner_id, coalesce(dispute.id, posted.id) AS id, dispute.status,
        coalesce(dispute.amount, 0) AS amount, coalesce(posted.amount, 0) AS opened, coalesce(posted.won, 0) AS won,
        coalesce(posted.lost, 0) AS lost, coalesce(fees.amount, 0) AS fee
    FROM (SELECT * FROM public.disputes WHERE customer_id BETWEEN $1 AND $2) AS dispute
    FULL JOIN posted ON posted.owner_id = dispute.customer_id AND posted.id = dispute.id
    LEFT JOIN fees ON fees.owner_id = dispute.customer_id AND fees.id = dispute.id
    WHERE dispute.amount IS DISTINCT FROM posted.amount OR coalesce(dispute.fee_amount, 0) <> coalesce(fees.amount, 0)
        OR coalesce(posted.won, 0) <> CASE dispute.status WHEN 'WON' THEN dispute.amount ELSE 0 END
        OR coalesce(posted.lost, 0) <> CASE dispute.status WHEN 'LOST' THEN dispute.amount ELSE 0 END"""
PAYOUTS = """
    WITH posted AS MATERIALIZED (
        SELECT e.owner_id, e.source_id AS id, sum(CASE p.credit WHEN 'CLEARING' THEN p.amount ELSE -p.amount END) FILTER (
                WHERE 'BANK' IN (p.debit, p.credit)) AS net,
            sum(CASE p.credit WHEN 'CLEARING' THEN p.amount ELSE -p.amount END) FILTER (WHERE 'FEES' IN (p.debit, p.credit)) AS fees
        FROM public.ledger_entries AS e JOIN public.postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
        WHERE e.owner_id BETWEEN $1 AND $2 AND p.owner_id BETWEEN $1 AND $2 AND e.source_type = 'Payout' AND p.phase = 'POSTED'
        GROUP BY e.owner_id, e.source_id
    )
    SELECT coalesce(posted.owner_id, payout.company_id) AS owner_id, coalesce(payout.id, posted.id) AS id, payout.status,
        payout.net_amount AS net, coalesce(posted.net, 0) AS reached, coalesce(posted.fees, 0) AS fees
    FROM (SELECT payouts.*, books.company_id FROM public.payouts CROSS JOIN public.books WHERE books.company_id BETWEEN $1 AND $2) AS payout
    FULL JOIN posted ON posted.id = payout.id
    WHERE coalesce(posted.net, 0) IS DISTINCT FROM CASE payout.status WHEN 'PAID' THEN payout.net_amount ELSE payout.net_amount * 0 END
        OR coalesce(posted.fees, 0) <> CASE WHEN payout.status = 'PAID' AND NOT payout.fees_booked THEN payout.fees_amount ELSE 0 END"""
# What a line is booked as has an entry that moved just its amount at the bank. A payout's line is the company's, as what is in suspense.
BANK_LINES = """
    WITH moved AS MATERIALIZED (
        SELECT e.owner_id, e.source_id, p.currency, sum(CASE p.debit WHEN 'BANK' THEN p.amount ELSE -p.amount END) AS amount
        FROM public.ledger_entries AS e JOIN public.postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
        WHERE e.owner_id BETWEEN $1 AND $2 AND p.owner_id BETWEEN $1 AND $2 AND p.phase = 'POSTED' AND 'BANK' IN (p.debit, p.credit)
            AND e.source_type IN ('Payment', 'Refund', 'SuspenseReceipt', 'Payout')
        GROUP BY e.owner_id, e.id, e.source_id, p.currency
    )
    SELECT line.owner_id, line.id, line.status, line.amount, line.currency
    FROM (
        SELECT customer_id AS owner_id, id, status, amount, currency, coalesce(payment_id, refund_id) AS source_id
        FROM public.bank_lines WHERE customer_id BETWEEN $1 AND $2
        UNION ALL
        SELECT books.company_id, l.id, l.status, l.amount, l.currency, coalesce(l.payout_id, l.suspense_id)
        FROM public.books JOIN public.bank_lines AS l ON l.customer_id IS NULL AND l.status IN ('BOOKED', 'SUSPENSE')
        WHERE books.company_id BETWEEN $1 AND $2
    ) AS line
    WHERE NOT EXISTS (
        SELECT FROM moved WHERE moved.owner_id = line.owner_id AND moved.source_id = line.source_id
            AND moved.currency = line.currency AND moved.amount = line.amount)"""
ANCHORED = """
    SELECT a.owner_id, a.lane, a.seq, a.anchor_id, link.entry_id FROM public.anchor_heads AS a
    LEFT JOIN public.ledger_links AS link ON link.owner_id = a.owner_id AND link.lane = a.lane AND link.seq = a.seq
    LEFT JOIN public.audit_links AS trail ON trail.owner_id = a.owner_id AND trail.lane = a.lane AND trail.seq = a.seq
    WHERE a.owner_id BETWEEN $1 AND $2 AND coalesce(link.hash, trail.hash) IS DISTINCT FROM a.hash ORDER BY a.anchor_id"""

RULES = (
    _rule(
        "currencies",
        "'the entry is in base currency ', base_currency, ', and the books are in ', coalesce(currency, 'none')",
        CURRENCIES,
        entry="id",
    ),
    _rule("resolved", "'the entry ends ', resolves_id, ', which is not pending'", RESOLVED, entry="id"),
    _rule("reversed", "'the entry is not the reversal of ', reverses_id", REVERSED, entry="id"),
    _rule("bases", "'the balances add up to ', base, ' in base currency, not to 0'", BASES),
    _rule(
        "exchanges",
        "'the entry leaves ', base, ' between two currencies, not 0'",
        EXCHANGES,
        entry="entry_id",
    ),
    _rule(
        "lanes",
        "'balance ', purpose, ' in ', currency, ': a part of it is of a lane that does not exist'",
        LANES,
        place="lane, NULL",
    ),
    _rule(
        "opened",
        "'open item ', id, ' has another customer or day than the entry that opens it'",
        OPENED,
        entry="entry_id",
    ),
    _rule(
        "documents",
        "'open item ', id, ' names another document than the entry that opens it, or one that its customer does not have'",
        DOCUMENTS,
    ),
    _rule(
        "revenue",
        "'order ', order_id, ': its newest revenue record does not have the figures that were posted'",
        REVENUE,
    ),
    _rule(
        "deferred",
        "'order ', order_id, ': ', amount, ' of it waits to become revenue, and ', posted, ' of it is deferred in the books'",
        DEFERRED,
    ),
    _rule(
        "payments",
        "'payment ', id, ': ', amount, ' of it is received, and ', posted, ' of it is in the books'",
        PAYMENTS,
    ),
    _rule("invoices", "'invoice ', id, ' is not what was posted, or was credited, for it'", INVOICES),
    _rule("invoiced", "'order ', id, ': what is invoiced of it is not the sum of its invoices'", INVOICED),
    _rule("credit notes", "'credit note ', id, ' is not what was posted for it'", CREDIT_NOTES),
    _rule(
        "suspense",
        "'suspense ', id, ': ', amount, ' of it is open, and ', open, ' in the books'",
        SUSPENSE,
    ),
    _rule(
        "transfers",
        "'what owners gave one another in ', currency, ' adds up to ', amount, ', and to ', base, ' in base currency, not to 0'",
        TRANSFERS,
    ),
    _rule(
        "passedOn",
        "'payment ', id, ': ', amount, ' was passed on to it, and the payment before it gave ', given, ', ', base, ' in base currency'",
        PASSED_ON,
    ),
    _rule("writeOffs", "'a write-off is not what its entry posted'", WRITE_OFFS, entry="entry_id"),
    _rule(
        "standings",
        "'the standing in ', currency, ' is not what open items and revenue records come to'",
        STANDINGS,
    ),
    _rule(
        "refunds",
        "'refund ', id, ' is ', coalesce(status, 'not there'), ' with ', amount, ': ', posted, ' of it is in the books, and ', pending, ' pending'",
        REFUNDS,
    ),
    _rule(
        "disputes",
        "'dispute ', id, ' is ', coalesce(status, 'not there'), ' with ', amount, ': in the books ', opened, ' is opened, ', won, ' won, ',"
        " lost, ' lost, with a fee of ', fee",
        DISPUTES,
    ),
    _rule(
        "payouts",
        "'payout ', id, ' is ', coalesce(status, 'not there'), ' with ', net, ': in the books ', reached, ' reached the bank, and ', fees, ' is fees'",
        PAYOUTS,
    ),
    _rule(
        "bankLines",
        "'bank line ', id, ' is ', status, ' with ', amount, ' ', currency, ', and nothing of just that was posted at the bank for it'",
        BANK_LINES,
    ),
    _rule(
        "anchored",
        "'anchor ', anchor_id, ' saw another hash here: the chain was computed anew, or its end is missing'",
        ANCHORED,
        place="lane, seq",
        entry="entry_id",
    ),
)
