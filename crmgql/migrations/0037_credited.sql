-- What is deferred and then credited becomes no revenue later. Credit notes from before took all from what was recognised, and stay so.

ALTER TABLE recognition_schedules ADD COLUMN credited_amount numeric NOT NULL DEFAULT 0;
ALTER TABLE recognition_schedules ADD COLUMN credited_base_amount numeric NOT NULL DEFAULT 0;
ALTER TABLE recognition_schedules ADD CONSTRAINT recognition_schedules_credited CHECK (credited_amount BETWEEN 0 AND amount AND credited_base_amount BETWEEN 0 AND base_amount AND (credited_amount < amount OR credited_base_amount = base_amount));
DROP INDEX recognition_schedules_due;
CREATE INDEX recognition_schedules_due ON recognition_schedules (due_on, customer_id, order_id) WHERE entry_id IS NULL AND (amount > credited_amount OR cost_amount > 0);

-- A row is what was booked; while it has no entry it gets one, once, and what of it is credited grows.
DROP TRIGGER recognition_schedules_no_change ON recognition_schedules;
CREATE TRIGGER recognition_schedules_no_change BEFORE UPDATE ON recognition_schedules FOR EACH ROW WHEN (
    OLD.entry_id IS NOT NULL OR (OLD.customer_id, OLD.order_id, OLD.revision, OLD.line_id, OLD.n, OLD.due_on, OLD.currency, OLD.amount,
        OLD.base_amount, OLD.cost_amount) IS DISTINCT FROM (NEW.customer_id, NEW.order_id, NEW.revision, NEW.line_id, NEW.n, NEW.due_on,
        NEW.currency, NEW.amount, NEW.base_amount, NEW.cost_amount)
    OR NEW.credited_amount < OLD.credited_amount OR NEW.credited_base_amount < OLD.credited_base_amount
) EXECUTE FUNCTION refuse_change();

-- Whether what of an order is not posted yet, less what of it is credited, is what is deferred of it in the books, to the unit of
-- both currencies.
CREATE FUNCTION is_scheduled_as_posted(customer uuid, "order" uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (waiting.amount, waiting.base) = (posted.amount, posted.base) FROM (
        SELECT coalesce(sum(amount - credited_amount), 0) AS amount, coalesce(sum(base_amount - credited_base_amount), 0) AS base
        FROM recognition_schedules WHERE customer_id = customer AND order_id = "order" AND entry_id IS NULL
    ) AS waiting CROSS JOIN (
        SELECT coalesce(sum(CASE p.credit WHEN 'DEFERRED' THEN p.amount ELSE -p.amount END), 0) AS amount,
            coalesce(sum(CASE p.credit WHEN 'DEFERRED' THEN p.base_amount ELSE -p.base_amount END), 0) AS base
        FROM (
            SELECT 'Order' AS type, "order" AS id
            UNION ALL
            SELECT 'CreditNote', note.id FROM invoices AS invoice
            JOIN credit_notes AS note ON note.customer_id = invoice.customer_id AND note.invoice_id = invoice.id
            WHERE invoice.customer_id = customer AND invoice.order_id = "order"
        ) AS document
        JOIN ledger_entries AS e ON e.source_id = document.id AND e.source_type = document.type AND e.owner_id = customer
        JOIN postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id AND p.phase = 'POSTED' AND 'DEFERRED' IN (p.debit, p.credit)
    ) AS posted
$$;
CREATE OR REPLACE FUNCTION schedule_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken uuid;
BEGIN
    SELECT o.order_id INTO broken FROM (SELECT DISTINCT customer_id, order_id FROM changed) AS o
    WHERE NOT is_scheduled_as_posted(o.customer_id, o.order_id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'what is scheduled of order % is not what is deferred of it', broken
            USING ERRCODE = 'check_violation', TABLE = 'recognition_schedules', CONSTRAINT = 'recognition_schedules_posted';
    END IF;
    RETURN NULL;
END
$$;

-- What is wrong with a credit note: its lines sum to its net, its entry took net and tax from what is owed of its invoice, or made
-- the customer's credit of it, and what it took of deferred revenue is not scheduled any more. What is in base currency alone
-- mends a rounding.
CREATE OR REPLACE FUNCTION credit_note_mistake(customer uuid, note uuid) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    made credit_notes;
    posted record;
BEGIN
    SELECT * INTO made FROM credit_notes WHERE customer_id = customer AND id = note;
    IF (SELECT sum(net_amount) FROM credit_note_lines WHERE customer_id = customer AND credit_note_id = note) <> made.net_amount THEN
        RETURN 'its lines do not sum to it';
    END IF;
    SELECT coalesce(sum(amount) FILTER (WHERE debit IN ('REFUNDS', 'DEFERRED')), 0) AS net, coalesce(sum(amount) FILTER (WHERE debit = 'TAX'), 0) AS tax,
        bool_and(item.customer_id = customer AND p.currency = made.currency AND CASE item.purpose
            WHEN 'RECEIVABLE' THEN item.invoice_id = made.invoice_id WHEN 'CREDIT' THEN item.credit_note_id = note ELSE false END)
            FILTER (WHERE p.amount > 0) AS fits,
        bool_or('DEFERRED' IN (p.debit, p.credit)) AS is_deferred
    INTO posted FROM ledger_entries AS e JOIN postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
        LEFT JOIN open_items AS item ON item.id = p.credit_item_id
    WHERE e.owner_id = customer AND e.key = 'credit note ' || note AND e.source_type = 'CreditNote' AND e.source_id = note AND e.phase = 'POSTED';
    IF posted.fits IS NOT TRUE OR (posted.net, posted.tax) <> (made.net_amount, made.tax_amount) THEN
        RETURN 'it is not what its entry posted';
    END IF;
    IF posted.is_deferred AND (
        SELECT is_scheduled_as_posted(customer, order_id) IS NOT TRUE FROM invoices WHERE customer_id = customer AND id = made.invoice_id
    ) THEN
        RETURN 'what it took of deferred revenue is not what is scheduled';
    END IF;
    RETURN NULL;
END
$$;
