-- Payments in the books: what is expected, received and allocated. Those that are there are posted here.

CREATE TABLE allocations (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    item_id uuid NOT NULL,
    source_item_id uuid NOT NULL,
    currency varchar(3) NOT NULL,
    amount numeric NOT NULL,
    allocated_on date NOT NULL,
    entry_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    order_id uuid NOT NULL,
    payment_id uuid NOT NULL,
    CONSTRAINT allocations_amount_positive CHECK (amount > 0),
    CONSTRAINT allocations_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT allocations_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT allocations_entry_once UNIQUE (customer_id, entry_id)
);
CREATE INDEX allocations_by_order ON allocations (customer_id, order_id, id);
CREATE INDEX allocations_by_payment ON allocations (customer_id, payment_id, id);
CREATE INDEX allocations_created ON allocations (created_at, id);
ALTER TABLE allocations ADD CONSTRAINT allocations_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE allocations ADD CONSTRAINT allocations_entry FOREIGN KEY (customer_id, entry_id) REFERENCES ledger_entries (owner_id, id);
ALTER TABLE allocations ADD CONSTRAINT allocations_item FOREIGN KEY (item_id) REFERENCES open_items (id);
ALTER TABLE allocations ADD CONSTRAINT allocations_order FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE allocations ADD CONSTRAINT allocations_payment FOREIGN KEY (customer_id, payment_id) REFERENCES payments (customer_id, id);
ALTER TABLE allocations ADD CONSTRAINT allocations_source_item FOREIGN KEY (source_item_id) REFERENCES open_items (id);

CREATE TRIGGER allocations_no_change BEFORE UPDATE OR DELETE ON allocations FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER allocations_no_truncate BEFORE TRUNCATE ON allocations FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE ON allocations FROM crmgql_app;

-- At the commit: a payment's money is in the books exactly if it is received, in its currency, at its customer.
CREATE FUNCTION payment_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    payment payments;
    posted numeric;
BEGIN
    SELECT * INTO payment FROM payments WHERE id = NEW.id;
    -- By its own items, and by theirs: a customer may have thousands.
    SELECT coalesce(sum(moves.amount), 0) INTO posted
    FROM (SELECT * FROM open_items WHERE payment_id = payment.id OFFSET 0) AS item, LATERAL (
        SELECT amount FROM postings WHERE credit_item_id = item.id AND phase = 'POSTED' AND debit IN ('BANK', 'CLEARING')
        UNION ALL
        SELECT -amount FROM postings WHERE debit_item_id = item.id AND phase = 'POSTED' AND credit IN ('BANK', 'CLEARING')
    ) AS moves
    WHERE item.purpose = 'UNEARNED' AND item.customer_id = payment.customer_id AND item.currency = payment.currency;
    IF posted <> (CASE WHEN payment.status = 'RECEIVED' THEN payment.amount ELSE 0 END) THEN
        RAISE EXCEPTION 'payment % is % with %, and % of it is in the books', payment.id, payment.status, payment.amount, posted
            USING ERRCODE = 'check_violation', TABLE = 'payments', CONSTRAINT = 'payments_posted';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER payments_posted AFTER INSERT OR UPDATE OF status, amount, currency, customer_id ON payments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION payment_as_posted();

-- What else the books say of a received payment stays, too: the order that it was for, where its money lies, its day.
CREATE FUNCTION payment_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payment % is received and in the books; its order, provider and time stay as they are', NEW.id
        USING ERRCODE = 'check_violation', TABLE = 'payments', CONSTRAINT = 'payments_kept';
END
$$;
CREATE CONSTRAINT TRIGGER payments_kept AFTER UPDATE OF order_id, provider, received_at ON payments DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.status = 'RECEIVED' AND OLD.amount > 0
        AND (OLD.order_id, OLD.provider, OLD.received_at) IS DISTINCT FROM (NEW.order_id, NEW.provider, NEW.received_at))
    EXECUTE FUNCTION payment_is_kept();

-- At the commit: an allocation is what its entry posted between its two items.
CREATE FUNCTION allocation_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM postings AS p JOIN open_items AS owed ON owed.id = NEW.item_id JOIN open_items AS source ON source.id = NEW.source_item_id
        WHERE p.owner_id = NEW.customer_id AND p.entry_id = NEW.entry_id AND p.phase = 'POSTED' AND p.credit_item_id = NEW.item_id
            AND p.debit_item_id = NEW.source_item_id AND p.amount = NEW.amount AND p.currency = NEW.currency
            AND owed.order_id = NEW.order_id AND source.payment_id = NEW.payment_id
    ) THEN
        RAISE EXCEPTION 'allocation % is not what its entry posted', NEW.id
            USING ERRCODE = 'check_violation', TABLE = 'allocations', CONSTRAINT = 'allocations_posted';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER allocations_posted AFTER INSERT ON allocations DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION allocation_as_posted();

-- Payments that are there: received ones are posted, allocated to their order as far as it is still owed, oldest first, and what is
-- above is credit that names the order; pending ones are expected.
CREATE TEMPORARY TABLE to_receive ON COMMIT DROP AS
SELECT p.id, p.customer_id, p.order_id, p.status, p.amount, p.currency, company.id AS company_id, company.currency AS base_currency,
    CASE WHEN p.provider IS NULL THEN 'BANK' ELSE 'CLEARING' END AS bank, day.on_day,
    CASE WHEN p.currency = company.currency THEN 1 ELSE rate.rate END AS rate, uuidv7() AS unearned_id, uuidv7() AS credit_id,
    uuidv7() AS allocation_id, owed.item_id, owed.total, owed.total_base,
    sum(p.amount) FILTER (WHERE p.status = 'RECEIVED') OVER (
        PARTITION BY p.customer_id, p.order_id, (p.order_id IS NULL) ORDER BY p.received_at, p.id
    ) - p.amount AS before
FROM payments p
    CROSS JOIN (SELECT companies.id, timezone, books.currency FROM companies JOIN books ON company_id = companies.id) AS company
    CROSS JOIN LATERAL (SELECT (coalesce(p.received_at, p.created_at) AT TIME ZONE company.timezone)::date AS on_day) AS day
    LEFT JOIN LATERAL (
        SELECT rate FROM fx_rates WHERE base_currency = company.currency AND currency = p.currency AND effective_on <= day.on_day
        ORDER BY effective_on DESC, id DESC LIMIT 1
    ) AS rate ON p.currency <> company.currency
    LEFT JOIN LATERAL (
        SELECT r.item_id, i.open AS total, i.base AS total_base FROM orders o
        JOIN revenue_records r ON r.customer_id = o.customer_id AND r.order_id = o.id AND r.revision = o.revenue_revision
        JOIN open_items i ON i.id = r.item_id
        WHERE o.customer_id = p.customer_id AND o.id = p.order_id AND o.committed
    ) AS owed ON p.status = 'RECEIVED'
WHERE p.amount > 0 AND p.status IN ('RECEIVED', 'PENDING');

DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(format('%s on %s', currency, first), ', ' ORDER BY currency) INTO missing
    FROM (SELECT currency, min(on_day) AS first FROM to_receive WHERE rate IS NULL GROUP BY currency) AS each;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'payments need exchange rates to be booked, of %: give each by "crmgql rates set CURRENCY DAY RATE" and migrate again', missing;
    END IF;
END
$$;

CREATE TEMPORARY TABLE to_allocate ON COMMIT DROP AS
SELECT r.*, round(r.amount * r.rate, currency_scale(base_currency)) AS received_base,
    CASE WHEN r.total IS NULL THEN 0 ELSE greatest(0, least(r.amount, r.total - r.before)) END AS allocated
FROM to_receive r;
ALTER TABLE to_allocate ADD COLUMN owed_base numeric, ADD COLUMN paid_base numeric;
UPDATE to_allocate SET allocated = round(allocated, currency_scale(currency));
-- What is left of a base amount is rounded, the last part takes all: parts sum to the whole.
UPDATE to_allocate SET
    owed_base = round(total_base * (total - before) / total, currency_scale(base_currency))
        - round(total_base * (total - before - allocated) / total, currency_scale(base_currency)),
    paid_base = received_base - round(received_base * (amount - allocated) / amount, currency_scale(base_currency))
WHERE allocated > 0;

CREATE TEMPORARY TABLE entries_to_post ON COMMIT DROP AS
SELECT uuidv7() AS entry_id, place, id, customer_id, company_id, kind, key, phase, on_day, base_currency, currency
FROM to_allocate a CROSS JOIN LATERAL (VALUES
    (1, CASE status WHEN 'PENDING' THEN 'payment.expected' ELSE 'payment.received' END,
        format('%s %s', CASE status WHEN 'PENDING' THEN 'expected' ELSE 'received' END, id),
        CASE status WHEN 'PENDING' THEN 'PENDING' ELSE 'POSTED' END, true),
    (2, 'payment.allocated', format('allocated %s', allocation_id), 'POSTED', allocated > 0),
    (3, 'payment.overpaid', format('overpaid %s', id), 'POSTED', status = 'RECEIVED' AND order_id IS NOT NULL AND allocated < amount)
) AS e(place, kind, key, phase, is_made)
WHERE is_made ORDER BY customer_id, on_day, id, place;

CREATE TEMPORARY TABLE postings_to_post ON COMMIT DROP AS
SELECT e.*, p.debit, p.credit, p.amount, p.base_amount, p.debit_item_id, p.credit_item_id,
    row_number() OVER (PARTITION BY e.entry_id ORDER BY p.part) AS n, count(*) OVER (PARTITION BY e.entry_id) AS size
FROM entries_to_post e JOIN to_allocate a USING (id) CROSS JOIN LATERAL (VALUES
    (1, 1, a.bank, 'UNEARNED', a.amount, a.received_base, NULL::uuid, a.unearned_id),
    (2, 1, 'UNEARNED', 'RECEIVABLE', a.allocated, least(a.owed_base, a.paid_base), a.unearned_id, a.item_id),
    (2, 2, 'UNEARNED', 'FX_GAIN', 0 * a.amount, a.paid_base - a.owed_base, a.unearned_id, NULL),
    (2, 3, 'FX_LOSS', 'RECEIVABLE', 0 * a.amount, a.owed_base - a.paid_base, NULL, a.item_id),
    (3, 1, 'UNEARNED', 'CREDIT', a.amount - a.allocated, a.received_base - coalesce(a.paid_base, 0), a.unearned_id, a.credit_id)
) AS p(place, part, debit, credit, amount, base_amount, debit_item_id, credit_item_id)
WHERE p.place = e.place AND (p.amount > 0 OR p.base_amount > 0);

-- The first entry of a payment opens its item, the third one the item of its credit.
ANALYZE to_allocate, entries_to_post, postings_to_post;
INSERT INTO open_items (id, owner_id, customer_id, entry_id, n, opens, purpose, currency, order_id, payment_id, opened_on)
SELECT CASE place WHEN 1 THEN unearned_id ELSE credit_id END, a.customer_id, a.customer_id, entry_id, 1, 1,
    CASE place WHEN 1 THEN 'UNEARNED' ELSE 'CREDIT' END, a.currency, CASE place WHEN 3 THEN order_id END, id, a.on_day
FROM to_allocate a JOIN entries_to_post e USING (id) WHERE place IN (1, 3);

WITH made AS (
    INSERT INTO ledger_entries (id, company_id, customer_id, owner_id, kind, phase, key, request_hash, source_type, source_id, effective_on,
        base_currency, size, opens)
    SELECT entry_id, company_id, customer_id, customer_id, kind, phase, key, encode(sha256(convert_to(entry_id::text, 'UTF8')), 'hex'),
        'Payment', id, on_day, base_currency, size,
        CASE WHEN place IN (1, 3) THEN 1 ELSE 0 END
    FROM entries_to_post e JOIN (SELECT entry_id, max(size) AS size FROM postings_to_post GROUP BY entry_id) AS sizes USING (entry_id) ORDER BY customer_id, entry_id
)
INSERT INTO postings (owner_id, entry_id, n, size, phase, effective_on, base_currency, debit, credit, currency, amount, base_amount,
    debit_item_id, credit_item_id)
SELECT customer_id, entry_id, n, size, phase, on_day, base_currency, debit, credit, currency, amount, base_amount, debit_item_id,
    credit_item_id
FROM postings_to_post;
INSERT INTO allocations (id, customer_id, order_id, payment_id, item_id, source_item_id, currency, amount, allocated_on, entry_id)
SELECT a.allocation_id, a.customer_id, a.order_id, a.id, a.item_id, a.unearned_id, a.currency, a.allocated, a.on_day, e.entry_id
FROM to_allocate a JOIN entries_to_post e ON e.id = a.id AND e.place = 2;

-- What waits for the commit is planned now: for tables that are full.
ANALYZE open_items, ledger_entries, postings, payments, allocations;
SET CONSTRAINTS ALL IMMEDIATE;
