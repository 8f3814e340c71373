-- What a customer owes of a lost dispute, as the money went back twice, is settled by payments and credit, and written off, as what it owes
-- of orders and invoices.

ALTER TABLE allocations ADD COLUMN dispute_id uuid;
ALTER TABLE write_offs ADD COLUMN dispute_id uuid;
ALTER TABLE allocations DROP CONSTRAINT allocations_owed;
ALTER TABLE allocations ADD CONSTRAINT allocations_owed CHECK (num_nonnulls(order_id, invoice_id, dispute_id) > 0);
ALTER TABLE write_offs DROP CONSTRAINT write_offs_owed;
ALTER TABLE write_offs ADD CONSTRAINT write_offs_owed CHECK (num_nonnulls(order_id, invoice_id, dispute_id) > 0);
CREATE INDEX allocations_by_dispute ON allocations (customer_id, dispute_id, id);
CREATE INDEX write_offs_by_dispute ON write_offs (customer_id, dispute_id, id);
ALTER TABLE allocations ADD CONSTRAINT allocations_dispute FOREIGN KEY (customer_id, dispute_id) REFERENCES disputes (customer_id, id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_dispute FOREIGN KEY (customer_id, dispute_id) REFERENCES disputes (customer_id, id);

-- At the commit: an allocation is what its entry posted between its two items, which are of its documents, in another currency over EXCHANGE;
-- and one that undoes another is the reversal of its entry.
CREATE OR REPLACE FUNCTION allocation_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM ledger_entries AS e JOIN open_items AS owed ON owed.id = NEW.item_id JOIN open_items AS source ON source.id = NEW.source_item_id
        WHERE e.owner_id = NEW.customer_id AND e.id = NEW.entry_id AND e.phase = 'POSTED'
            AND (owed.order_id, owed.invoice_id, owed.dispute_id) IS NOT DISTINCT FROM (NEW.order_id, NEW.invoice_id, NEW.dispute_id)
            AND (source.payment_id, source.credit_note_id) IS NOT DISTINCT FROM (NEW.payment_id, NEW.credit_note_id)
            AND e.reverses_id IS NOT DISTINCT FROM (SELECT entry_id FROM allocations WHERE customer_id = NEW.customer_id AND id = NEW.undoes_id)
            AND (SELECT count(*) FROM (
                SELECT amount, currency, CASE WHEN e.reverses_id IS NULL THEN credit ELSE debit END AS taken,
                    CASE WHEN e.reverses_id IS NULL THEN debit ELSE credit END AS given,
                    CASE WHEN e.reverses_id IS NULL THEN credit_item_id ELSE debit_item_id END AS taken_id,
                    CASE WHEN e.reverses_id IS NULL THEN debit_item_id ELSE credit_item_id END AS given_id
                FROM postings WHERE owner_id = e.owner_id AND entry_id = e.id
            ) AS p WHERE CASE WHEN NEW.currency = NEW.paid_currency
                THEN (p.taken_id, p.given_id, p.amount, p.currency) = (NEW.item_id, NEW.source_item_id, NEW.amount, NEW.currency)
                ELSE (p.taken_id, p.given, p.amount, p.currency) = (NEW.item_id, 'EXCHANGE', NEW.amount, NEW.currency)
                    OR (p.taken, p.given_id, p.amount, p.currency) = ('EXCHANGE', NEW.source_item_id, NEW.paid_amount, NEW.paid_currency)
                END
            ) = CASE WHEN NEW.currency = NEW.paid_currency THEN 1 ELSE 2 END
    ) THEN
        RAISE EXCEPTION 'allocation % is not what its entry posted', NEW.id
            USING ERRCODE = 'check_violation', TABLE = 'allocations', CONSTRAINT = 'allocations_posted';
    END IF;
    RETURN NULL;
END
$$;

-- At the commit: a write-off is what its entry posted, and one that undoes another is the reversal of its entry. What completes an
-- allocation is of the same receivable.
CREATE OR REPLACE FUNCTION write_off_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM ledger_entries AS e JOIN postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
            JOIN open_items AS owed ON owed.id = NEW.item_id
        WHERE e.owner_id = NEW.customer_id AND e.id = NEW.entry_id AND e.phase = 'POSTED' AND e.size = 1
            AND e.source_type = 'WriteOff' AND e.source_id = coalesce(NEW.undoes_id, NEW.id)
            AND p.amount = NEW.amount AND p.currency = NEW.currency
            AND (owed.order_id, owed.invoice_id, owed.dispute_id) IS NOT DISTINCT FROM (NEW.order_id, NEW.invoice_id, NEW.dispute_id)
            AND CASE WHEN NEW.undoes_id IS NULL
                THEN e.reverses_id IS NULL AND (p.credit_item_id, p.debit) = (NEW.item_id, NEW.account)
                ELSE (p.debit_item_id, p.credit) = (NEW.item_id, NEW.account) AND e.reverses_id = (
                    SELECT entry_id FROM write_offs WHERE customer_id = NEW.customer_id AND id = NEW.undoes_id) END
    ) OR NEW.allocation_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM allocations WHERE customer_id = NEW.customer_id AND id = NEW.allocation_id AND item_id = NEW.item_id
    ) THEN
        RAISE EXCEPTION 'write-off % is not what its entry posted', NEW.id
            USING ERRCODE = 'check_violation', TABLE = 'write_offs', CONSTRAINT = 'write_offs_posted';
    END IF;
    RETURN NULL;
END
$$;

-- Which entries are of an order, a payment, an invoice: those whose event it is, and those that move what is owed, left or credited of it.
CREATE VIEW order_entries AS
SELECT customer_id, source_id AS order_id, id AS entry_id FROM ledger_entries WHERE source_type = 'Order' AND customer_id IS NOT NULL
UNION
SELECT item.customer_id, item.order_id, moved.entry_id FROM open_items AS item JOIN postings AS moved ON moved.debit_item_id = item.id
WHERE item.order_id IS NOT NULL
UNION
SELECT item.customer_id, item.order_id, moved.entry_id FROM open_items AS item JOIN postings AS moved ON moved.credit_item_id = item.id
WHERE item.order_id IS NOT NULL;

CREATE VIEW payment_entries AS
SELECT customer_id, source_id AS payment_id, id AS entry_id FROM ledger_entries WHERE source_type = 'Payment' AND customer_id IS NOT NULL
UNION
SELECT item.customer_id, item.payment_id, moved.entry_id FROM open_items AS item JOIN postings AS moved ON moved.debit_item_id = item.id
WHERE item.payment_id IS NOT NULL
UNION
SELECT item.customer_id, item.payment_id, moved.entry_id FROM open_items AS item JOIN postings AS moved ON moved.credit_item_id = item.id
WHERE item.payment_id IS NOT NULL;

CREATE VIEW invoice_entries AS
SELECT customer_id, source_id AS invoice_id, id AS entry_id FROM ledger_entries WHERE source_type = 'Invoice' AND customer_id IS NOT NULL
UNION
SELECT item.customer_id, item.invoice_id, moved.entry_id FROM open_items AS item JOIN postings AS moved ON moved.debit_item_id = item.id
WHERE item.invoice_id IS NOT NULL
UNION
SELECT item.customer_id, item.invoice_id, moved.entry_id FROM open_items AS item JOIN postings AS moved ON moved.credit_item_id = item.id
WHERE item.invoice_id IS NOT NULL;
