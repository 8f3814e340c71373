-- What customers owe and have, one row per customer and currency, to filter and order by; their credit limits.
-- A row is updated when the transaction commits: it is locked while the commit is written, and no longer.

CREATE TABLE customer_standings (
    customer_id uuid NOT NULL,
    currency varchar(3) NOT NULL,
    owed numeric NOT NULL,
    booked numeric NOT NULL,
    credit_balance numeric NOT NULL,
    unearned numeric NOT NULL,
    outstanding numeric NOT NULL,
    overdue numeric NOT NULL,
    lifetime_value numeric NOT NULL,
    oldest_due_on date,
    next_due_on date,
    CONSTRAINT customer_standings_pkey PRIMARY KEY (customer_id, currency)
);
ALTER TABLE customers ADD COLUMN credit_limit_amount numeric;
ALTER TABLE customers ADD COLUMN credit_policy varchar(10) NOT NULL DEFAULT 'NONE';
ALTER TABLE orders ADD COLUMN credit_approved_amount numeric;
CREATE INDEX orders_held ON orders (customer_id, id) WHERE status = 'UNAVAILABLE';
CREATE INDEX customer_standings_credit ON customer_standings (credit_balance, customer_id);
CREATE INDEX customer_standings_lifetime ON customer_standings (lifetime_value, customer_id);
CREATE INDEX customer_standings_next_due ON customer_standings (next_due_on, customer_id);
CREATE INDEX customer_standings_oldest_due ON customer_standings (oldest_due_on, customer_id);
CREATE INDEX customer_standings_outstanding ON customer_standings (outstanding, customer_id);
CREATE INDEX customer_standings_overdue ON customer_standings (overdue, customer_id);
CREATE INDEX customer_standings_unearned ON customer_standings (unearned, customer_id);
ALTER TABLE customers ADD CONSTRAINT customers_credit_limit_amount_scale CHECK (amount_fits(credit_limit_amount, currency));
ALTER TABLE customers ADD CONSTRAINT customers_credit_limit_known CHECK (credit_policy = 'NONE' OR credit_limit_amount IS NOT NULL);
ALTER TABLE customers ADD CONSTRAINT customers_credit_limit_positive CHECK (credit_limit_amount >= 0);
ALTER TABLE customers ADD CONSTRAINT customers_credit_policy CHECK (credit_policy IN ('NONE', 'WARN', 'REFUSE'));
ALTER TABLE orders ADD CONSTRAINT orders_credit_approved_amount_scale CHECK (amount_fits(credit_approved_amount, currency));
ALTER TABLE customer_standings ADD CONSTRAINT customer_standings_customer FOREIGN KEY (customer_id) REFERENCES customers (id);

-- Kept by triggers alone, for who may write nothing here.
REVOKE INSERT, UPDATE, DELETE ON customer_standings FROM crmgql_app;

-- The company's day by the database's clock.
CREATE FUNCTION company_today() RETURNS date LANGUAGE sql STABLE AS $$
    SELECT (now() AT TIME ZONE coalesce((SELECT timezone FROM companies ORDER BY id LIMIT 1), 'UTC'))::date
$$;

-- What counts of standings anew, once their rows are locked. Orders on hold are booked, and what is owed of them is; but as long as
-- they are on hold they count in neither `outstanding`, `overdue` nor `lifetime_value`. What is overdue is all that was due before
-- `today`; `next_due_on` is the first due day that does not count yet.
CREATE FUNCTION count_standings(customers uuid[], currencies text[], today date) RETURNS void LANGUAGE sql AS $$
    UPDATE customer_standings AS kept SET outstanding = kept.owed - held.owed, lifetime_value = kept.booked - held.booked,
        overdue = due.overdue, oldest_due_on = due.oldest, next_due_on = due.next
    FROM unnest(customers, currencies) AS wanted(customer_id, currency) CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(id), '{}') AS ids, coalesce(sum(total_amount), 0) AS booked, coalesce(sum((
            SELECT sum(open) FROM open_items AS item
            WHERE item.customer_id = o.customer_id AND item.order_id = o.id AND item.purpose = 'RECEIVABLE')), 0) AS owed
        FROM orders AS o WHERE o.customer_id = wanted.customer_id AND o.status = 'UNAVAILABLE' AND o.currency = wanted.currency
    ) AS held CROSS JOIN LATERAL (
        SELECT round(coalesce(sum(open) FILTER (WHERE due_on < today), 0), currency_scale(wanted.currency)) AS overdue,
            min(due_on) AS oldest, min(due_on) FILTER (WHERE due_on >= today) AS next
        FROM open_items WHERE owner_id = wanted.customer_id AND currency = wanted.currency AND purpose = 'RECEIVABLE' AND open > 0
            AND due_on IS NOT NULL AND (order_id IS NULL OR order_id <> ALL (held.ids))
    ) AS due
    WHERE kept.customer_id = wanted.customer_id AND kept.currency = wanted.currency
        AND (kept.outstanding, kept.lifetime_value, kept.overdue, kept.oldest_due_on, kept.next_due_on)
            IS DISTINCT FROM (kept.owed - held.owed, kept.booked - held.booked, due.overdue, due.oldest, due.next)
$$;

-- At the commit: what became more or less counts in the customer's standing. Its row is locked before the rest is read, so of two
-- commits the later one reads what the earlier one left; and the last of a transaction's changes leaves it as it is to be.
CREATE FUNCTION move_standing(customer uuid, of_currency text, owed numeric, booked numeric, credit numeric, unearned numeric)
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    nothing numeric := round(0::numeric, currency_scale(of_currency));
BEGIN
    INSERT INTO customer_standings AS kept (customer_id, currency, owed, booked, credit_balance, unearned, outstanding, overdue, lifetime_value)
    VALUES (customer, of_currency, nothing + move_standing.owed, nothing + move_standing.booked, nothing + credit,
        nothing + move_standing.unearned, nothing + move_standing.owed, nothing, nothing + move_standing.booked)
    ON CONFLICT (customer_id, currency) DO UPDATE SET owed = kept.owed + EXCLUDED.owed, booked = kept.booked + EXCLUDED.booked,
        credit_balance = kept.credit_balance + EXCLUDED.credit_balance, unearned = kept.unearned + EXCLUDED.unearned,
        outstanding = kept.outstanding + EXCLUDED.outstanding, lifetime_value = kept.lifetime_value + EXCLUDED.lifetime_value;
    IF credit = 0 AND move_standing.unearned = 0 THEN
        PERFORM count_standings(ARRAY[customer], ARRAY[of_currency], company_today());
    END IF;
END
$$;

CREATE FUNCTION item_in_standing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
DECLARE
    more numeric := NEW.open - OLD.open;
BEGIN
    PERFORM move_standing(NEW.customer_id, NEW.currency, CASE NEW.purpose WHEN 'RECEIVABLE' THEN more ELSE 0 END, 0,
        CASE NEW.purpose WHEN 'CREDIT' THEN more ELSE 0 END, CASE NEW.purpose WHEN 'UNEARNED' THEN more ELSE 0 END);
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER open_items_standing AFTER UPDATE OF debited, credited ON open_items DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.customer_id IS NOT NULL AND NEW.open <> OLD.open AND NEW.purpose IN ('RECEIVABLE', 'CREDIT', 'UNEARNED'))
    EXECUTE FUNCTION item_in_standing();

CREATE FUNCTION hold_in_standing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
BEGIN
    PERFORM move_standing(NEW.customer_id, NEW.currency, 0, 0, 0, 0);
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER orders_standing AFTER UPDATE OF status ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((NEW.status = 'UNAVAILABLE') <> (OLD.status = 'UNAVAILABLE')) EXECUTE FUNCTION hold_in_standing();

-- And where the customer's policy is to refuse, no order leads past the credit limit that was not approved for its total.
CREATE FUNCTION revenue_in_standing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
DECLARE
    more numeric := NEW.total_amount - coalesce((
        SELECT total_amount FROM revenue_records
        WHERE customer_id = NEW.customer_id AND order_id = NEW.order_id AND revision = NEW.revision - 1), 0);
    most numeric;
    owed numeric;
BEGIN
    PERFORM move_standing(NEW.customer_id, NEW.currency, 0, more, 0, 0);
    IF more > 0 THEN
        SELECT credit_limit_amount INTO most FROM customers AS customer
        WHERE id = NEW.customer_id AND credit_policy = 'REFUSE' AND currency = NEW.currency AND EXISTS (
            SELECT FROM orders WHERE customer_id = NEW.customer_id AND orders.id = NEW.order_id
                AND coalesce(credit_approved_amount, -1) < total_amount
        ) AND EXISTS (
            SELECT FROM open_items WHERE customer_id = NEW.customer_id AND order_id = NEW.order_id AND purpose = 'RECEIVABLE' AND open > 0);
        IF FOUND THEN
            SELECT sum(open) INTO owed FROM open_items
            WHERE owner_id = NEW.customer_id AND purpose = 'RECEIVABLE' AND currency = NEW.currency AND open > 0;
            IF owed > most THEN
                RAISE EXCEPTION 'With this order % % would be outstanding, and the credit limit is % %.', owed, NEW.currency, most, NEW.currency
                    USING ERRCODE = 'check_violation', TABLE = 'customers', CONSTRAINT = 'customers_credit_limit';
            END IF;
        END IF;
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER revenue_records_standing AFTER INSERT ON revenue_records DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION revenue_in_standing();

-- A customer has a standing in its own currency from the start, so that an order of customers by it is one of all customers.
CREATE FUNCTION begin_standings() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO customer_standings (customer_id, currency, owed, booked, credit_balance, unearned, outstanding, overdue, lifetime_value)
    SELECT id, currency, nothing, nothing, nothing, nothing, nothing, nothing, nothing
    FROM made CROSS JOIN LATERAL round(0::numeric, currency_scale(currency)) AS nothing
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER customers_standings AFTER INSERT ON customers REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION begin_standings();
CREATE FUNCTION begin_standing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    nothing numeric := round(0::numeric, currency_scale(NEW.currency));
BEGIN
    INSERT INTO customer_standings (customer_id, currency, owed, booked, credit_balance, unearned, outstanding, overdue, lifetime_value)
    VALUES (NEW.id, NEW.currency, nothing, nothing, nothing, nothing, nothing, nothing, nothing) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER customers_standing AFTER UPDATE OF currency ON customers FOR EACH ROW
    WHEN (NEW.currency <> OLD.currency) EXECUTE FUNCTION begin_standing();

-- What became overdue since it was counted, of at most so many standings; those that a commit is writing are left to the next run.
CREATE FUNCTION pass_due_days(today date, most integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
DECLARE
    customers uuid[];
    currencies text[];
BEGIN
    SELECT array_agg(customer_id), array_agg(currency) INTO customers, currencies FROM (
        SELECT customer_id, currency FROM customer_standings WHERE next_due_on < today
        ORDER BY next_due_on, customer_id LIMIT most FOR NO KEY UPDATE SKIP LOCKED
    ) AS due;
    PERFORM count_standings(customers, currencies, today);
    RETURN coalesce(cardinality(customers), 0);
END
$$;
REVOKE EXECUTE ON FUNCTION count_standings(uuid[], text[], date), move_standing(uuid, text, numeric, numeric, numeric, numeric) FROM PUBLIC;

-- Customers that are there, with all that they owe and have.
INSERT INTO customer_standings (customer_id, currency, owed, booked, credit_balance, unearned, outstanding, overdue, lifetime_value)
SELECT customer_id, currency, round(sum(owed), scale), round(sum(booked), scale), round(sum(credit), scale), round(sum(unearned), scale), 0, 0, 0
FROM (
    SELECT id AS customer_id, currency, 0::numeric AS owed, 0::numeric AS booked, 0::numeric AS credit, 0::numeric AS unearned FROM customers
    UNION ALL
    SELECT customer_id, currency, CASE purpose WHEN 'RECEIVABLE' THEN open ELSE 0 END, 0, CASE purpose WHEN 'CREDIT' THEN open ELSE 0 END,
        CASE purpose WHEN 'UNEARNED' THEN open ELSE 0 END
    FROM open_items WHERE customer_id IS NOT NULL AND open <> 0
    UNION ALL
    SELECT * FROM (
        SELECT DISTINCT ON (customer_id, order_id) customer_id, currency, 0::numeric, total_amount, 0::numeric, 0::numeric
        FROM revenue_records ORDER BY customer_id, order_id, revision DESC
    ) AS newest
) AS parts CROSS JOIN LATERAL currency_scale(currency) AS scale
GROUP BY customer_id, currency, scale;
SELECT count_standings(array_agg(customer_id), array_agg(currency::text), company_today()) FROM customer_standings;

-- Which payments are an order's: those that name it, and those of which something settles it.
CREATE VIEW order_payments AS
SELECT customer_id, order_id, id AS payment_id FROM payments WHERE order_id IS NOT NULL
UNION ALL
SELECT DISTINCT part.customer_id, part.order_id, part.payment_id
FROM allocations AS part JOIN payments AS payment ON payment.customer_id = part.customer_id AND payment.id = part.payment_id
WHERE payment.order_id IS DISTINCT FROM part.order_id AND part.undoes_id IS NULL AND NOT EXISTS (
    SELECT FROM allocations AS undoing WHERE undoing.customer_id = part.customer_id AND undoing.undoes_id = part.id);
