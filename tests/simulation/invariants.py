"""What must hold after every step, whatever happened: each statement answers the rows that break it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg

NET = "sum(CASE WHEN undoes_id IS NULL THEN amount ELSE -amount END)"
# Parameter: owners.
WRONG = {
    "an open item is below zero, or has a rest in base currency alone": """
        SELECT id FROM open_items WHERE owner_id = ANY ($1) AND (open < 0 OR free < 0 OR base < 0 OR open = 0 AND base <> 0)""",
    "a balance is not the sum of its items": """
        SELECT * FROM (
            SELECT owner_id, purpose, currency, sum(debit - credit) AS balance, sum(base) AS base FROM balances
            WHERE owner_id = ANY ($1) AND purpose IN ('RECEIVABLE', 'UNEARNED', 'CREDIT', 'DISPUTED') GROUP BY 1, 2, 3
        ) b FULL JOIN (
            SELECT owner_id, purpose, currency, sum(open) AS open, sum(base) AS base FROM open_items
            WHERE owner_id = ANY ($1) GROUP BY 1, 2, 3
        ) i USING (owner_id, purpose, currency)
        WHERE abs(coalesce(b.balance, 0)) <> coalesce(i.open, 0) OR abs(coalesce(b.base, 0)) <> coalesce(i.base, 0)""",
    "the books do not balance": """
        SELECT owner_id, sum(base) FROM balances WHERE owner_id = ANY ($1)
        GROUP BY 1 HAVING sum(debit) <> sum(credit) OR sum(base) <> 0""",
    "an order is owed or settled, and not committed": """
        SELECT o.id FROM orders o JOIN open_items i ON i.customer_id = o.customer_id AND i.order_id = o.id
        WHERE o.customer_id = ANY ($1) AND NOT o.committed AND i.purpose = 'RECEIVABLE' AND (i.open <> 0 OR i.settled <> 0)""",
    "a committed order has no revenue record of its figures": """
        SELECT o.id FROM orders o WHERE customer_id = ANY ($1) AND committed AND NOT EXISTS (
            SELECT FROM revenue_records r WHERE r.customer_id = o.customer_id AND r.order_id = o.id
                AND r.revision = o.revenue_revision AND r.total_amount = o.total_amount)""",
    "what is allocated to an order or written off of it is not what is settled of it": f"""
        SELECT o.id FROM orders o LEFT JOIN (
            SELECT order_id, {NET} AS amount FROM allocations WHERE customer_id = ANY ($1) GROUP BY 1
        ) a ON a.order_id = o.id LEFT JOIN (
            SELECT order_id, {NET} AS amount FROM write_offs WHERE customer_id = ANY ($1) GROUP BY 1
        ) w ON w.order_id = o.id LEFT JOIN (
            SELECT order_id, sum(settled) AS settled FROM open_items WHERE customer_id = ANY ($1) GROUP BY 1
        ) i ON i.order_id = o.id
        WHERE o.customer_id = ANY ($1) AND coalesce(a.amount, 0) + coalesce(w.amount, 0) <> coalesce(i.settled, 0)""",
    "a payment is in the books twice, or not at all": """
        SELECT p.id FROM payments p WHERE customer_id = ANY ($1) AND (status = 'RECEIVED') IS DISTINCT FROM EXISTS (
            SELECT FROM ledger_entries e WHERE e.owner_id = p.customer_id AND e.kind = 'payment.received' AND e.source_id = p.id)""",
    "what of a payment went back, is on its way back, settles something, was lost, or is left is not the payment": """
        SELECT p.id FROM payments p
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(CASE WHEN undoes_id IS NULL THEN paid_amount ELSE -paid_amount END), 0) AS amount FROM allocations
            WHERE customer_id = p.customer_id AND payment_id = p.id
        ) AS settles
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(free), 0) AS free, coalesce(sum(open - free), 0) AS held FROM open_items
            WHERE customer_id = p.customer_id AND payment_id = p.id AND purpose IN ('UNEARNED', 'CREDIT')
        ) AS rest
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount) FILTER (WHERE status = 'SUCCEEDED'), 0) AS done,
                coalesce(sum(amount) FILTER (WHERE status IN ('REQUESTED', 'UNKNOWN')), 0) AS pending
            FROM refunds WHERE customer_id = p.customer_id AND payment_id = p.id
        ) AS back
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount) FILTER (WHERE is_done), 0) AS done, coalesce(sum(amount) FILTER (WHERE NOT is_done), 0) AS pending
            FROM (
                SELECT moved.amount, r.status = 'SUCCEEDED' AS is_done FROM refunds r
                JOIN ledger_entries e ON e.owner_id = r.customer_id AND e.key = 'succeeded ' || r.id OR e.owner_id = r.customer_id
                    AND e.key = 'requested ' || r.id AND r.status IN ('REQUESTED', 'UNKNOWN')
                JOIN postings moved ON moved.owner_id = e.owner_id AND moved.entry_id = e.id
                JOIN open_items i ON i.id = moved.debit_item_id AND i.payment_id = p.id
                WHERE r.customer_id = p.customer_id AND r.payment_id IS NULL AND r.status IN ('SUCCEEDED', 'REQUESTED', 'UNKNOWN')
            ) AS parts
        ) AS as_credit
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(CASE WHEN moved.debit_item_id = i.id THEN moved.amount ELSE -moved.amount END), 0) AS amount
            FROM open_items i JOIN postings moved ON i.id IN (moved.debit_item_id, moved.credit_item_id) AND 'TRANSFER' IN (moved.debit, moved.credit)
            JOIN ledger_entries e ON e.owner_id = moved.owner_id AND e.id = moved.entry_id AND e.key <> 'received ' || p.id
            WHERE i.customer_id = p.customer_id AND i.payment_id = p.id
        ) AS passed_on
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(d.amount - coalesce(i.debited, 0)), 0) AS amount FROM disputes d
            LEFT JOIN open_items i ON i.customer_id = d.customer_id AND i.dispute_id = d.id AND i.purpose = 'RECEIVABLE'
            WHERE d.customer_id = p.customer_id AND d.payment_id = p.id AND d.status = 'LOST'
        ) AS lost
        WHERE p.customer_id = ANY ($1) AND p.status = 'RECEIVED' AND (rest.held <> back.pending + as_credit.pending
            OR p.amount <> settles.amount + rest.free + rest.held + back.done + as_credit.done + lost.amount + passed_on.amount)""",
    "what one owner gave is not what another took": """
        SELECT currency FROM balances WHERE purpose = 'TRANSFER'
        GROUP BY currency HAVING sum(debit) <> sum(credit) OR sum(base) <> 0""",
    "a transfer was left behind": "SELECT id FROM transfer_moves",
    "a dispute is open and its money is not there, or it ended and is": """
        SELECT d.id FROM disputes d LEFT JOIN open_items i ON i.customer_id = d.customer_id AND i.dispute_id = d.id AND i.purpose = 'DISPUTED'
        WHERE d.customer_id = ANY ($1) AND i.open IS DISTINCT FROM CASE WHEN d.status = 'OPEN' THEN d.amount ELSE 0 END""",
    "more is invoiced of an order, or credited of an invoice, than it is": """
        SELECT o.id FROM orders o JOIN invoices i ON i.customer_id = o.customer_id AND i.order_id = o.id AND i.status = 'ISSUED'
        WHERE o.customer_id = ANY ($1) GROUP BY o.customer_id, o.id, o.total_amount, o.invoiced_amount
        HAVING sum(i.total_amount) > o.total_amount OR sum(i.total_amount) <> o.invoiced_amount
        UNION ALL
        SELECT i.id FROM invoices i JOIN credit_notes c ON c.customer_id = i.customer_id AND c.invoice_id = i.id
        WHERE i.customer_id = ANY ($1) GROUP BY i.customer_id, i.id, i.total_amount, i.tax_amount, i.credited_amount
        HAVING sum(c.total_amount) > i.total_amount OR sum(c.tax_amount) > i.tax_amount OR sum(c.total_amount) <> i.credited_amount""",
    "instalments or lines of an invoice are not the invoice": """
        SELECT i.id FROM invoices i WHERE i.customer_id = ANY ($1) AND (
            i.status = 'ISSUED' AND i.total_amount <> (SELECT sum(amount) FROM instalments WHERE customer_id = i.customer_id AND invoice_id = i.id)
            OR i.total_amount - i.tax_amount <>
                (SELECT sum(net_amount) FROM invoice_lines WHERE customer_id = i.customer_id AND invoice_id = i.id))""",
    "what was credited of what was paid is not a credit note's": """
        SELECT i.id FROM open_items i WHERE i.owner_id = ANY ($1) AND i.credit_note_id IS NOT NULL AND (
            i.purpose <> 'CREDIT' OR NOT EXISTS (SELECT FROM credit_notes c WHERE c.id = i.credit_note_id AND c.invoice_id = i.invoice_id))""",
    "what is deferred is not what is scheduled": """
        SELECT * FROM (
            SELECT owner_id, currency, sum(credit - debit) AS amount, -sum(base) AS base FROM balances
            WHERE owner_id = ANY ($1) AND purpose = 'DEFERRED' GROUP BY 1, 2
        ) b FULL JOIN (
            SELECT customer_id AS owner_id, currency, sum(amount - credited_amount) AS amount, sum(base_amount - credited_base_amount) AS base
            FROM recognition_schedules WHERE customer_id = ANY ($1) AND entry_id IS NULL GROUP BY 1, 2
        ) s USING (owner_id, currency)
        WHERE coalesce(b.amount, 0) <> coalesce(s.amount, 0) OR coalesce(b.base, 0) <> coalesce(s.base, 0)""",
    "something stays between two currencies": """
        SELECT owner_id FROM balances WHERE owner_id = ANY ($1) AND purpose = 'EXCHANGE' GROUP BY 1 HAVING sum(base) <> 0""",
    "a revaluation was not taken back": """
        SELECT owner_id FROM balances WHERE owner_id = ANY ($1) AND purpose IN ('REVALUATION', 'UNREALISED_FX')
        GROUP BY owner_id, purpose, currency HAVING sum(base) <> 0""",
    "a standing is not what items and revenue records say": """
        SELECT * FROM (
            SELECT customer_id, currency, owed, booked, credit_balance, unearned, outstanding FROM customer_standings
            WHERE customer_id = ANY ($1) AND (owed, booked, credit_balance, unearned) <> (0, 0, 0, 0)
        ) s FULL JOIN (
            SELECT customer_id, currency, sum(owed) AS owed, sum(booked) AS booked, sum(credit) AS credit_balance, sum(unearned) AS unearned,
                sum(owed) - sum(held) - (
                    SELECT coalesce(sum(least(credit, owed)), 0) FROM (
                        SELECT sum(i.open) FILTER (WHERE purpose = 'CREDIT') AS credit,
                            coalesce(sum(i.open) FILTER (WHERE purpose = 'RECEIVABLE'), 0) AS owed
                        FROM open_items i JOIN orders o ON o.customer_id = i.customer_id AND o.id = i.order_id
                        WHERE i.owner_id = parts.customer_id AND i.currency = parts.currency AND o.status <> 'UNAVAILABLE' GROUP BY o.id
                    ) AS of_orders WHERE credit > 0
                ) AS outstanding
            FROM (
                SELECT i.customer_id, i.currency, CASE i.purpose WHEN 'RECEIVABLE' THEN i.open ELSE 0 END AS owed, 0::numeric AS booked,
                    CASE i.purpose WHEN 'CREDIT' THEN i.open ELSE 0 END AS credit, CASE i.purpose WHEN 'UNEARNED' THEN i.open ELSE 0 END AS unearned,
                    CASE WHEN i.purpose = 'RECEIVABLE' AND o.status = 'UNAVAILABLE' THEN i.open ELSE 0 END AS held
                FROM open_items i LEFT JOIN orders o ON o.customer_id = i.customer_id AND o.id = i.order_id WHERE i.owner_id = ANY ($1)
                UNION ALL
                SELECT customer_id, currency, 0, total_amount, 0, 0, 0 FROM orders WHERE customer_id = ANY ($1) AND committed
            ) AS parts GROUP BY 1, 2 HAVING (sum(owed), sum(booked), sum(credit), sum(unearned)) <> (0, 0, 0, 0)
        ) i USING (customer_id, currency, owed, booked, credit_balance, unearned, outstanding)
        WHERE s.customer_id IS NULL OR i.customer_id IS NULL""",
    "a move of a standing was left behind": """
        SELECT id FROM standing_moves WHERE customer_id = ANY ($1)""",
    "an entry has no event": """
        SELECT e.id FROM ledger_entries e WHERE owner_id = ANY ($1)
            AND NOT EXISTS (SELECT FROM events WHERE subject_id = e.source_id)""",
}


async def check(database: asyncpg.Connection, owners: Sequence[UUID]) -> list[str]:
    """What does not hold, in one statement."""
    parts = [
        f"SELECT {number} AS rule, count(*) AS rows FROM ({sql}) AS broken" for number, sql in enumerate(WRONG.values())
    ]
    rows = await database.fetch(" UNION ALL ".join(parts), list(owners))
    names = list(WRONG)
    return [f"{names[row['rule']]} ({row['rows']} rows)" for row in rows if row["rows"]]
