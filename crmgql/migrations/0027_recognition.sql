-- When what is sold becomes revenue: at the confirmation as before, as it is shipped, or month by month. What is booked already stays as it is.

CREATE TABLE recognition_schedules (
    customer_id uuid NOT NULL,
    order_id uuid NOT NULL,
    revision integer NOT NULL,
    line_id uuid NOT NULL,
    n smallint NOT NULL,
    due_on date,
    currency varchar(3) NOT NULL,
    amount numeric NOT NULL,
    base_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    entry_id uuid,
    CONSTRAINT recognition_schedules_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT recognition_schedules_cost_amount_scale CHECK (amount_fits(cost_amount, currency)),
    CONSTRAINT recognition_schedules_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT recognition_schedules_pkey PRIMARY KEY (customer_id, order_id, revision, line_id, n),
    CONSTRAINT recognition_schedules_positive CHECK (n > 0 AND amount >= 0 AND base_amount >= 0 AND cost_amount >= 0)
);
ALTER TABLE companies ADD COLUMN revenue_statuses text[] NOT NULL DEFAULT '{CONFIRMED,PROCESSING,INVOICED,SHIPPED,DELIVERED}';
ALTER TABLE products ADD COLUMN recognition varchar(20) NOT NULL DEFAULT 'AT_CONFIRMATION';
ALTER TABLE products ADD COLUMN recognition_months integer;
ALTER TABLE products ADD COLUMN counts_as_revenue boolean NOT NULL DEFAULT true;
ALTER TABLE revenue_lines ADD COLUMN recognition varchar(20) NOT NULL DEFAULT 'AT_CONFIRMATION';
ALTER TABLE revenue_lines ADD COLUMN recognition_months integer;
CREATE INDEX recognition_schedules_deferred ON recognition_schedules (customer_id, order_id) WHERE entry_id IS NULL;
CREATE INDEX recognition_schedules_due ON recognition_schedules (due_on, customer_id, order_id) WHERE entry_id IS NULL;
CREATE INDEX recognition_schedules_posted ON recognition_schedules (customer_id, entry_id) WHERE entry_id IS NOT NULL;
ALTER TABLE companies ADD CONSTRAINT companies_revenue_statuses CHECK (revenue_statuses <@ '{CONFIRMED,PROCESSING,INVOICED,SHIPPED,DELIVERED,UNAVAILABLE}'::text[] AND cardinality(revenue_statuses) > 0);
ALTER TABLE products ADD CONSTRAINT products_recognition CHECK (recognition IN ('AT_CONFIRMATION', 'ON_SHIPMENT', 'OVER_TIME'));
ALTER TABLE products ADD CONSTRAINT products_recognition_months CHECK (CASE recognition WHEN 'OVER_TIME' THEN recognition_months IS NOT NULL AND recognition_months BETWEEN 1 AND 120 ELSE recognition_months IS NULL END);
CREATE INDEX products_deferred ON products (id) WHERE recognition <> 'AT_CONFIRMATION';
ALTER TABLE recognition_schedules ADD CONSTRAINT recognition_schedules_entry FOREIGN KEY (customer_id, entry_id) REFERENCES ledger_entries (owner_id, id);
ALTER TABLE recognition_schedules ADD CONSTRAINT recognition_schedules_line FOREIGN KEY (customer_id, order_id, revision, line_id) REFERENCES revenue_lines (customer_id, order_id, revision, line_id);


-- A row is what was booked; it gets its entry, once, and is deleted only while it has none.
CREATE TRIGGER recognition_schedules_no_change BEFORE UPDATE ON recognition_schedules FOR EACH ROW WHEN (
    OLD.entry_id IS NOT NULL OR (OLD.customer_id, OLD.order_id, OLD.revision, OLD.line_id, OLD.n, OLD.due_on, OLD.currency, OLD.amount,
        OLD.base_amount, OLD.cost_amount) IS DISTINCT FROM (NEW.customer_id, NEW.order_id, NEW.revision, NEW.line_id, NEW.n, NEW.due_on,
        NEW.currency, NEW.amount, NEW.base_amount, NEW.cost_amount)
) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER recognition_schedules_no_delete BEFORE DELETE ON recognition_schedules FOR EACH ROW WHEN (OLD.entry_id IS NOT NULL)
    EXECUTE FUNCTION refuse_change();
CREATE TRIGGER recognition_schedules_no_truncate BEFORE TRUNCATE ON recognition_schedules FOR EACH STATEMENT
    EXECUTE FUNCTION refuse_change();

-- What of an order is not posted yet is what is deferred of it in the books, to the unit of both currencies.
CREATE FUNCTION schedule_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken uuid;
BEGIN
    SELECT o.order_id INTO broken FROM (SELECT DISTINCT customer_id, order_id FROM changed) AS o
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount), 0) AS amount, coalesce(sum(base_amount), 0) AS base FROM recognition_schedules
        WHERE customer_id = o.customer_id AND order_id = o.order_id AND entry_id IS NULL
    ) AS waiting
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(CASE p.credit WHEN 'DEFERRED' THEN p.amount ELSE -p.amount END), 0) AS amount,
            coalesce(sum(CASE p.credit WHEN 'DEFERRED' THEN p.base_amount ELSE -p.base_amount END), 0) AS base
        FROM ledger_entries AS e JOIN postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
        WHERE e.source_id = o.order_id AND e.source_type = 'Order' AND e.owner_id = o.customer_id AND p.phase = 'POSTED'
            AND 'DEFERRED' IN (p.debit, p.credit)
    ) AS posted
    WHERE (waiting.amount, waiting.base) <> (posted.amount, posted.base) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'what is scheduled of order % is not what is deferred of it', broken
            USING ERRCODE = 'check_violation', TABLE = 'recognition_schedules', CONSTRAINT = 'recognition_schedules_posted';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER recognition_schedules_made AFTER INSERT ON recognition_schedules REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION schedule_as_posted();
CREATE TRIGGER recognition_schedules_posted AFTER UPDATE ON recognition_schedules REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION schedule_as_posted();

CREATE FUNCTION schedule_is_superseded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone WHERE NOT EXISTS (
            SELECT FROM revenue_records AS r
            WHERE r.customer_id = gone.customer_id AND r.order_id = gone.order_id AND r.revision > gone.revision)
    ) THEN
        RAISE EXCEPTION 'what is scheduled of a booked order stays until the order is booked anew'
            USING ERRCODE = 'check_violation', TABLE = 'recognition_schedules', CONSTRAINT = 'recognition_schedules_superseded';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER recognition_schedules_superseded AFTER DELETE ON recognition_schedules REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION schedule_is_superseded();

-- At the commit: the newest record of an order has the figures of what was posted for the order, its lines, and the schedule of what
-- is deferred, and is the order's.
CREATE OR REPLACE FUNCTION revenue_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    posted record;
BEGIN
    IF EXISTS (SELECT FROM revenue_records WHERE customer_id = NEW.customer_id AND order_id = NEW.order_id AND revision > NEW.revision) THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(sum(moves.amount) FILTER (WHERE moves.other IN ('REVENUE', 'DEFERRED')), 0) AS net,
        coalesce(sum(moves.amount) FILTER (WHERE moves.other = 'DEFERRED'), 0) AS deferred,
        coalesce(sum(moves.amount) FILTER (WHERE moves.other = 'SHIPPING'), 0) AS shipping, coalesce(sum(moves.amount) FILTER (WHERE moves.other = 'TAX'), 0) AS tax
    INTO posted FROM open_items AS item, LATERAL (
        SELECT credit AS other, amount FROM postings WHERE debit_item_id = item.id AND phase = 'POSTED'
        UNION ALL
        SELECT debit, -amount FROM postings WHERE credit_item_id = item.id AND phase = 'POSTED'
    ) AS moves
    WHERE item.customer_id = NEW.customer_id AND item.order_id = NEW.order_id AND item.purpose = 'RECEIVABLE';
    IF (posted.net, posted.shipping, posted.tax) <> (NEW.subtotal_amount - NEW.discount_amount, NEW.shipping_amount, NEW.tax_amount) THEN
        RAISE EXCEPTION 'revenue record % of order % does not have the figures that were posted', NEW.revision, NEW.order_id
            USING ERRCODE = 'check_violation', TABLE = 'revenue_records', CONSTRAINT = 'revenue_records_posted';
    END IF;
    IF posted.deferred <> (
        SELECT coalesce(sum(amount), 0) FROM recognition_schedules
        WHERE customer_id = NEW.customer_id AND order_id = NEW.order_id AND revision = NEW.revision
    ) THEN
        RAISE EXCEPTION 'revenue record % of order % does not have the schedule of what is deferred', NEW.revision, NEW.order_id
            USING ERRCODE = 'check_violation', TABLE = 'revenue_records', CONSTRAINT = 'revenue_records_scheduled';
    END IF;
    IF EXISTS (
        SELECT FROM orders WHERE customer_id = NEW.customer_id AND id = NEW.order_id AND committed AND (
            revenue_revision <> NEW.revision OR NOT lines_as_booked(customer_id, id, revenue_revision))
    ) THEN
        RAISE EXCEPTION 'revenue record % is not that of order % and its lines', NEW.revision, NEW.order_id
            USING ERRCODE = 'check_violation', TABLE = 'revenue_records', CONSTRAINT = 'revenue_records_lines';
    END IF;
    RETURN NULL;
END
$$;
