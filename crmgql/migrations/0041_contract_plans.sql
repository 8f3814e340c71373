-- What of contracts' plans is received and overdue, and when somebody was told. Nobody was told of anything yet.

ALTER TABLE contract_payments ADD COLUMN alerted_at timestamptz;
ALTER TABLE contract_payments ADD COLUMN escalated_at timestamptz;
ALTER TABLE contract_payments ADD COLUMN reminded_at timestamptz;

-- What settled the contract's orders fills its payments, the first due first. A draft and a terminated contract have nothing overdue.
CREATE VIEW contract_payment_standings AS
SELECT part.id, part.customer_id, part.contract_id, part.currency, filled.received, part.amount - filled.received AS outstanding,
    CASE WHEN part.due_on < company_today() AND contract.status IN ('ACTIVE', 'ENDED') THEN part.amount - filled.received
        ELSE 0 * part.amount END AS overdue
FROM contract_payments AS part
JOIN contracts AS contract ON contract.customer_id = part.customer_id AND contract.id = part.contract_id
CROSS JOIN LATERAL (
    SELECT coalesce((
        SELECT sum(item.settled) FROM orders AS sold
        JOIN open_items AS item ON item.customer_id = sold.customer_id AND item.order_id = sold.id
        WHERE sold.customer_id = part.customer_id AND sold.contract_id = part.contract_id
            AND item.purpose = 'RECEIVABLE' AND item.currency = part.currency), 0)
        - coalesce((
        SELECT sum(earlier.amount) FROM contract_payments AS earlier
        WHERE earlier.customer_id = part.customer_id AND earlier.contract_id = part.contract_id AND earlier.n < part.n), 0) AS rest
    OFFSET 0
) AS settled
CROSS JOIN LATERAL (SELECT round(least(part.amount, greatest(settled.rest, 0)), currency_scale(part.currency)) AS received) AS filled;
