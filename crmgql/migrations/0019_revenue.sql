-- Forced revenue: what is booked of an order, in its newest revenue record; a committed order without one, or with other figures or
-- lines, can't be committed, whoever writes it. Orders that are committed already are booked here.

CREATE TABLE revenue_lines (
    customer_id uuid NOT NULL,
    order_id uuid NOT NULL,
    revision integer NOT NULL,
    line_id uuid NOT NULL,
    quantity numeric(14,3) NOT NULL,
    currency varchar(3) NOT NULL,
    unit_price_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    shipping_amount numeric NOT NULL,
    line_amount numeric NOT NULL,
    unit_cost_amount numeric,
    product_id uuid,
    CONSTRAINT revenue_lines_pkey PRIMARY KEY (customer_id, order_id, revision, line_id)
);
CREATE TABLE revenue_records (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    revision integer NOT NULL,
    currency varchar(3) NOT NULL,
    subtotal_amount numeric NOT NULL,
    shipping_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    total_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    booked_on date NOT NULL,
    rate numeric NOT NULL DEFAULT 1,
    rate_id uuid,
    entry_id uuid,
    item_id uuid,
    customer_id uuid NOT NULL,
    order_id uuid NOT NULL,
    CONSTRAINT revenue_records_cost_amount_scale CHECK (amount_fits(cost_amount, currency)),
    CONSTRAINT revenue_records_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT revenue_records_discount_amount_scale CHECK (amount_fits(discount_amount, currency)),
    CONSTRAINT revenue_records_revision_positive CHECK (revision > 0),
    CONSTRAINT revenue_records_shipping_amount_scale CHECK (amount_fits(shipping_amount, currency)),
    CONSTRAINT revenue_records_subtotal_amount_scale CHECK (amount_fits(subtotal_amount, currency)),
    CONSTRAINT revenue_records_tax_amount_scale CHECK (amount_fits(tax_amount, currency)),
    CONSTRAINT revenue_records_total CHECK (total_amount = subtotal_amount + shipping_amount + tax_amount - discount_amount),
    CONSTRAINT revenue_records_total_amount_scale CHECK (amount_fits(total_amount, currency)),
    CONSTRAINT revenue_records_figures UNIQUE (customer_id, order_id, revision, currency, subtotal_amount, shipping_amount, tax_amount, discount_amount, total_amount),
    CONSTRAINT revenue_records_revision UNIQUE (customer_id, order_id, revision)
);
ALTER TABLE open_items ADD COLUMN live_order_id uuid GENERATED ALWAYS AS (
    CASE WHEN purpose = 'RECEIVABLE' AND (settled <> 0 OR debited <> credited) THEN order_id END) STORED;
ALTER TABLE open_items ADD COLUMN live boolean GENERATED ALWAYS AS (true) STORED;
ALTER TABLE orders ADD COLUMN revenue_revision integer NOT NULL DEFAULT 1;
ALTER TABLE orders ADD COLUMN committed boolean GENERATED ALWAYS AS (status <> 'DRAFT' AND status <> 'CANCELLED') STORED;
ALTER TABLE orders ADD COLUMN committed_id uuid GENERATED ALWAYS AS (
    CASE WHEN status <> 'DRAFT' AND status <> 'CANCELLED' THEN id END) STORED;
CREATE INDEX revenue_lines_product ON revenue_lines (product_id, line_id);
CREATE INDEX revenue_records_created ON revenue_records (created_at, id);
ALTER TABLE orders ADD CONSTRAINT orders_committed UNIQUE (customer_id, id, committed);
ALTER TABLE revenue_lines ADD CONSTRAINT revenue_lines_product_id_fkey FOREIGN KEY (product_id) REFERENCES products (id);
ALTER TABLE revenue_lines ADD CONSTRAINT revenue_lines_record FOREIGN KEY (customer_id, order_id, revision) REFERENCES revenue_records (customer_id, order_id, revision);
ALTER TABLE revenue_records ADD CONSTRAINT revenue_records_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE revenue_records ADD CONSTRAINT revenue_records_entry FOREIGN KEY (customer_id, entry_id) REFERENCES ledger_entries (owner_id, id);
ALTER TABLE revenue_records ADD CONSTRAINT revenue_records_order FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE revenue_records ADD CONSTRAINT revenue_records_rate FOREIGN KEY (rate_id) REFERENCES fx_rates (id);

CREATE TRIGGER revenue_records_no_change BEFORE UPDATE OR DELETE ON revenue_records FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER revenue_records_no_truncate BEFORE TRUNCATE ON revenue_records FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER revenue_lines_no_change BEFORE UPDATE OR DELETE ON revenue_lines FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER revenue_lines_no_truncate BEFORE TRUNCATE ON revenue_lines FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE ON revenue_records, revenue_lines FROM crmgql_app;

-- Whether an order has exactly the lines of a revision.
CREATE FUNCTION lines_as_booked(customer uuid, "order" uuid, booked integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (
        SELECT FROM (
            SELECT id, product_id, quantity, currency, unit_price_amount, discount_amount, shipping_amount, line_amount, unit_cost_amount
            FROM order_lines WHERE customer_id = customer AND order_id = "order"
        ) AS line FULL JOIN (
            SELECT line_id, product_id, quantity, currency, unit_price_amount, discount_amount, shipping_amount, line_amount, unit_cost_amount
            FROM revenue_lines WHERE customer_id = customer AND order_id = "order" AND revision = booked
        ) AS was ON line.id = was.line_id
        WHERE (line.*) IS DISTINCT FROM (was.*)
    )
$$;

-- At the commit: the newest record of an order has the figures of what was posted for the order, and its lines, and is the order's.
CREATE FUNCTION revenue_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    posted record;
BEGIN
    IF EXISTS (SELECT FROM revenue_records WHERE customer_id = NEW.customer_id AND order_id = NEW.order_id AND revision > NEW.revision) THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(sum(moves.amount) FILTER (WHERE moves.other IN ('REVENUE', 'DEFERRED')), 0) AS net,
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
CREATE CONSTRAINT TRIGGER revenue_records_posted AFTER INSERT ON revenue_records DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION revenue_as_posted();

-- At the commit: a line of a committed order is as it was booked, and none of those is missing: neither where it is now nor where
-- it was before, under the id that it had.
CREATE FUNCTION line_as_booked() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    line order_lines;
    booked integer;
BEGIN
    FOREACH line IN ARRAY CASE TG_OP WHEN 'INSERT' THEN ARRAY[NEW] WHEN 'DELETE' THEN ARRAY[OLD] ELSE CASE
        WHEN (OLD.customer_id, OLD.order_id, OLD.id) = (NEW.customer_id, NEW.order_id, NEW.id) THEN ARRAY[NEW] ELSE ARRAY[OLD, NEW] END END
    LOOP
        SELECT revenue_revision INTO booked FROM orders WHERE customer_id = line.customer_id AND id = line.order_id AND committed;
        IF FOUND AND EXISTS (
            SELECT FROM (SELECT * FROM order_lines WHERE customer_id = line.customer_id AND order_id = line.order_id AND id = line.id) AS l
            FULL JOIN (
                SELECT * FROM revenue_lines
                WHERE customer_id = line.customer_id AND order_id = line.order_id AND revision = booked AND line_id = line.id
            ) AS b ON b.line_id = l.id
            WHERE (l.id, l.product_id, l.quantity, l.currency, l.unit_price_amount, l.discount_amount, l.shipping_amount, l.line_amount,
                l.unit_cost_amount) IS DISTINCT FROM (b.line_id, b.product_id, b.quantity, b.currency, b.unit_price_amount, b.discount_amount,
                b.shipping_amount, b.line_amount, b.unit_cost_amount)
        ) THEN
            RAISE EXCEPTION 'line % of order % is not as it was booked', line.id, line.order_id
                USING ERRCODE = 'check_violation', TABLE = 'order_lines', CONSTRAINT = 'order_lines_booked';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER order_lines_booked AFTER INSERT OR DELETE OR UPDATE OF id, customer_id, order_id, product_id, quantity, currency,
    unit_price_amount, discount_amount, shipping_amount, line_amount, unit_cost_amount ON order_lines DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION line_as_booked();

-- At the commit: a booked line of the order's revision is one of its lines.
CREATE FUNCTION booked_line_is_a_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM orders WHERE customer_id = NEW.customer_id AND id = NEW.order_id AND committed AND revenue_revision = NEW.revision
    ) AND NOT EXISTS (
        SELECT FROM order_lines WHERE customer_id = NEW.customer_id AND order_id = NEW.order_id AND id = NEW.line_id
    ) THEN
        RAISE EXCEPTION 'order % has no line %', NEW.order_id, NEW.line_id
            USING ERRCODE = 'check_violation', TABLE = 'revenue_lines', CONSTRAINT = 'revenue_lines_line';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER revenue_lines_line AFTER INSERT ON revenue_lines DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION booked_line_is_a_line();

-- At the commit: an order that was committed, or got another revision, has the lines of its newest record.
CREATE FUNCTION order_as_booked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM orders AS o WHERE customer_id = NEW.customer_id AND id = NEW.id AND committed AND (
            NOT lines_as_booked(customer_id, id, revenue_revision) OR EXISTS (
                SELECT FROM revenue_records AS r WHERE r.customer_id = o.customer_id AND r.order_id = o.id AND r.revision > o.revenue_revision))
    ) THEN
        RAISE EXCEPTION 'order % does not have the lines of its newest revenue record', NEW.id
            USING ERRCODE = 'check_violation', TABLE = 'orders', CONSTRAINT = 'orders_newest';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER orders_newest AFTER UPDATE OF status, revenue_revision ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.committed AND (NOT OLD.committed OR NEW.revenue_revision <> OLD.revenue_revision)) EXECUTE FUNCTION order_as_booked();

-- Orders that are committed already: revision 1 and its entry, on the company's day of their confirmation.
CREATE TEMPORARY TABLE to_book ON COMMIT DROP AS
SELECT o.*, uuidv7() AS entry_id, uuidv7() AS item_id, company.id AS company_id, company.currency AS base_currency, rate.id AS rate_id,
    CASE WHEN o.currency = company.currency THEN 1 ELSE rate.rate END AS rate, day.on_day,
    (SELECT round(coalesce(sum(quantity * unit_cost_amount), 0), currency_scale(o.currency))
     FROM order_lines l WHERE l.customer_id = o.customer_id AND l.order_id = o.id) AS cost_amount
FROM orders o
    CROSS JOIN (SELECT companies.id, timezone, books.currency FROM companies JOIN books ON company_id = companies.id) AS company
    CROSS JOIN LATERAL (SELECT (coalesce(o.confirmed_at, o.ordered_at) AT TIME ZONE company.timezone)::date AS on_day) AS day
    LEFT JOIN LATERAL (
        SELECT id, rate FROM fx_rates WHERE base_currency = company.currency AND currency = o.currency AND effective_on <= day.on_day
        ORDER BY effective_on DESC, id DESC LIMIT 1
    ) AS rate ON o.currency <> company.currency
WHERE o.committed;

DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(format('%s on %s', currency, first), ', ' ORDER BY currency) INTO missing
    FROM (SELECT currency, min(on_day) AS first FROM to_book WHERE rate IS NULL GROUP BY currency) AS each;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'orders need exchange rates to be booked, of %: give each by "crmgql rates set CURRENCY DAY RATE" and migrate again', missing;
    END IF;
END
$$;

CREATE TEMPORARY TABLE to_post ON COMMIT DROP AS
SELECT b.customer_id, b.entry_id, b.on_day, b.base_currency, b.currency, p.*, round(p.amount * b.rate, currency_scale(b.base_currency)) AS base_amount,
    CASE WHEN p.debit = 'RECEIVABLE' THEN b.item_id END AS debit_item_id, CASE WHEN p.credit = 'RECEIVABLE' THEN b.item_id END AS credit_item_id,
    row_number() OVER (PARTITION BY b.entry_id ORDER BY p.place) AS n, count(*) OVER (PARTITION BY b.entry_id) AS size
FROM to_book b, LATERAL (VALUES
    (1, 'RECEIVABLE', 'REVENUE', b.subtotal_amount - b.discount_amount), (2, 'RECEIVABLE', 'SHIPPING', b.shipping_amount),
    (3, 'RECEIVABLE', 'TAX', b.tax_amount), (4, 'REVENUE', 'RECEIVABLE', b.discount_amount - b.subtotal_amount),
    (5, 'COST', 'INVENTORY', b.cost_amount)
) AS p(place, debit, credit, amount)
WHERE p.amount > 0;

INSERT INTO open_items (id, owner_id, customer_id, entry_id, n, opens, purpose, currency, order_id, opened_on)
SELECT item_id, customer_id, customer_id, entry_id, 1, 1, 'RECEIVABLE', currency, id, on_day FROM to_book
WHERE subtotal_amount <> discount_amount OR shipping_amount > 0 OR tax_amount > 0;
WITH made AS (
    INSERT INTO ledger_entries (id, company_id, customer_id, owner_id, kind, key, request_hash, source_type, source_id, effective_on,
        base_currency, size, opens)
    SELECT entry_id, company_id, customer_id, customer_id, 'order.confirmed', format('revenue %s 1', id),
        encode(sha256(convert_to(entry_id::text, 'UTF8')), 'hex'), 'Order', id, on_day, base_currency,
        size, (SELECT count(*) FROM open_items WHERE open_items.id = to_book.item_id)
    FROM to_book JOIN (SELECT entry_id, max(size) AS size FROM to_post GROUP BY entry_id) AS sizes USING (entry_id) ORDER BY customer_id, id
)
INSERT INTO postings (owner_id, entry_id, n, size, phase, effective_on, base_currency, debit, credit, currency, amount, base_amount,
    debit_item_id, credit_item_id)
SELECT customer_id, entry_id, n, size, 'POSTED', on_day, base_currency, debit, credit, currency, amount, base_amount, debit_item_id,
    credit_item_id
FROM to_post;
INSERT INTO revenue_records (customer_id, order_id, revision, currency, subtotal_amount, shipping_amount, tax_amount, discount_amount,
    total_amount, cost_amount, booked_on, rate, rate_id, entry_id, item_id)
SELECT customer_id, id, 1, currency, subtotal_amount, shipping_amount, tax_amount, discount_amount, total_amount, cost_amount, on_day, rate,
    rate_id, (SELECT e.id FROM ledger_entries e WHERE e.id = b.entry_id), (SELECT i.id FROM open_items i WHERE i.id = b.item_id)
FROM to_book b;
INSERT INTO revenue_lines (customer_id, order_id, revision, line_id, product_id, quantity, currency, unit_price_amount, discount_amount,
    shipping_amount, line_amount, unit_cost_amount)
SELECT l.customer_id, l.order_id, 1, l.id, l.product_id, l.quantity, l.currency, l.unit_price_amount, l.discount_amount, l.shipping_amount,
    l.line_amount, l.unit_cost_amount
FROM to_book b JOIN order_lines l ON l.customer_id = b.customer_id AND l.order_id = b.id;

-- What waits for the commit is planned now: for tables that are full.
ANALYZE open_items, ledger_entries, postings, orders, order_lines, revenue_records, revenue_lines;
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE open_items ADD CONSTRAINT open_items_live_order FOREIGN KEY (customer_id, live_order_id, live) REFERENCES orders (customer_id, id, committed) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE orders ADD CONSTRAINT orders_booked FOREIGN KEY (customer_id, committed_id, revenue_revision, currency, subtotal_amount, shipping_amount, tax_amount, discount_amount, total_amount) REFERENCES revenue_records (customer_id, order_id, revision, currency, subtotal_amount, shipping_amount, tax_amount, discount_amount, total_amount) DEFERRABLE INITIALLY DEFERRED;
