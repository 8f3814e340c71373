-- What customers owe and have, one row per customer and currency, to filter and order by; their credit limits.
-- A row is updated once when the transaction commits: it is locked while the commit is written, and no longer.

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
-- What a transaction that runs has changed so far, a row per statement, customer and currency: there is none when it has committed.
CREATE UNLOGGED TABLE standing_moves (
    customer_id uuid NOT NULL,
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id uuid NOT NULL DEFAULT uuidv7(),
    currency varchar(3) NOT NULL,
    owed numeric NOT NULL DEFAULT 0,
    booked numeric NOT NULL DEFAULT 0,
    credit_balance numeric NOT NULL DEFAULT 0,
    unearned numeric NOT NULL DEFAULT 0,
    order_ids uuid[] NOT NULL DEFAULT '{}',
    CONSTRAINT standing_moves_pkey PRIMARY KEY (customer_id, transaction_id, id)
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
REVOKE INSERT, UPDATE, DELETE ON customer_standings, standing_moves FROM crmgql_app;

-- The company's day by the database's clock.
CREATE FUNCTION company_today() RETURNS date LANGUAGE sql STABLE AS $$
    SELECT (now() AT TIME ZONE coalesce((SELECT timezone FROM companies ORDER BY id LIMIT 1), 'UTC'))::date
$$;

-- What is owed of orders and covered by credit that names them; those left out apart.
CREATE FUNCTION covered_by_credit(customer uuid, of_currency text, left_out uuid[]) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(least(credit, (
        SELECT coalesce(sum(open), 0) FROM open_items
        WHERE customer_id = customer AND order_id = named.order_id AND currency = of_currency AND purpose = 'RECEIVABLE'))), 0)
    FROM (
        SELECT order_id, sum(open) AS credit FROM open_items
        WHERE owner_id = customer AND purpose = 'CREDIT' AND currency = of_currency AND open > 0 AND order_id <> ALL (left_out)
        GROUP BY order_id
    ) AS named
$$;

-- Adds to standings whose rows are locked, and counts the rest anew. Orders on hold are booked, and what is owed of them is; but as
-- long as they are on hold they count in neither `outstanding`, `overdue` nor `lifetime_value`. What credit covers is not
-- outstanding. What is overdue is all that was due before `today`; `next_due_on` is the first due day that does not count yet.
CREATE FUNCTION count_standings(
    customers uuid[], currencies text[], more_owed numeric[], more_booked numeric[], more_credit numeric[], more_unearned numeric[], today date
) RETURNS void LANGUAGE sql AS $$
    UPDATE customer_standings AS kept SET owed = kept.owed + more.owed, booked = kept.booked + more.booked,
        credit_balance = kept.credit_balance + more.credit, unearned = kept.unearned + more.unearned,
        outstanding = kept.owed + more.owed - held.owed - covered, lifetime_value = kept.booked + more.booked - held.booked,
        overdue = due.overdue, oldest_due_on = due.oldest, next_due_on = due.next
    FROM unnest(customers, currencies, more_owed, more_booked, more_credit, more_unearned)
        AS more(customer_id, currency, owed, booked, credit, unearned)
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(id), '{}') AS ids, coalesce(sum(total_amount), 0) AS booked, coalesce(sum((
            SELECT sum(open) FROM open_items AS item
            WHERE item.customer_id = o.customer_id AND item.order_id = o.id AND item.purpose = 'RECEIVABLE')), 0) AS owed
        FROM orders AS o WHERE o.customer_id = more.customer_id AND o.status = 'UNAVAILABLE' AND o.currency = more.currency
    ) AS held CROSS JOIN LATERAL covered_by_credit(more.customer_id, more.currency, held.ids) AS covered CROSS JOIN LATERAL (
        SELECT round(coalesce(sum(open) FILTER (WHERE due_on < today), 0), currency_scale(more.currency)) AS overdue,
            min(due_on) AS oldest, min(due_on) FILTER (WHERE due_on >= today) AS next
        FROM open_items WHERE owner_id = more.customer_id AND currency = more.currency AND purpose = 'RECEIVABLE' AND open > 0
            AND due_on IS NOT NULL AND (order_id IS NULL OR order_id <> ALL (held.ids))
    ) AS due
    WHERE kept.customer_id = more.customer_id AND kept.currency = more.currency
$$;

-- Statements say what they change, in the order of customers.
CREATE FUNCTION items_move_standings() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO standing_moves (customer_id, currency, owed, credit_balance, unearned)
    SELECT customer_id, currency, coalesce(sum(more) FILTER (WHERE purpose = 'RECEIVABLE'), 0),
        coalesce(sum(more) FILTER (WHERE purpose = 'CREDIT'), 0), coalesce(sum(more) FILTER (WHERE purpose = 'UNEARNED'), 0)
    FROM (
        SELECT customer_id, currency, purpose, sum(side) AS more FROM (
            SELECT id, customer_id, currency, purpose, open AS side FROM became
            UNION ALL
            SELECT id, customer_id, currency, purpose, -open FROM was
        ) AS sides
        WHERE customer_id IS NOT NULL AND purpose IN ('RECEIVABLE', 'CREDIT', 'UNEARNED')
        GROUP BY id, customer_id, currency, purpose HAVING sum(side) <> 0
    ) AS changed
    GROUP BY customer_id, currency ORDER BY customer_id, currency;
    RETURN NULL;
END
$$;
CREATE TRIGGER open_items_standings AFTER UPDATE ON open_items REFERENCING OLD TABLE AS was NEW TABLE AS became
    FOR EACH STATEMENT EXECUTE FUNCTION items_move_standings();

-- And names the orders that lead further, of customers whose policy is to refuse.
CREATE FUNCTION revenue_moves_standings() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO standing_moves (customer_id, currency, booked, order_ids)
    SELECT record.customer_id, record.currency, sum(more), coalesce(array_agg(record.order_id) FILTER (WHERE more > 0 AND limited.id IS NOT NULL), '{}')
    FROM made AS record LEFT JOIN revenue_records AS before
        ON before.customer_id = record.customer_id AND before.order_id = record.order_id AND before.revision = record.revision - 1
    LEFT JOIN customers AS limited
        ON limited.id = record.customer_id AND limited.credit_policy = 'REFUSE' AND limited.currency = record.currency
    CROSS JOIN LATERAL (SELECT record.total_amount - coalesce(before.total_amount, 0)) AS _(more)
    GROUP BY record.customer_id, record.currency ORDER BY record.customer_id, record.currency;
    RETURN NULL;
END
$$;
CREATE TRIGGER revenue_records_standings AFTER INSERT ON revenue_records REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION revenue_moves_standings();

CREATE FUNCTION hold_moves_standing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO standing_moves (customer_id, currency) VALUES (NEW.customer_id, NEW.currency);
    RETURN NULL;
END
$$;
CREATE TRIGGER orders_standing AFTER UPDATE OF status ON orders FOR EACH ROW
    WHEN ((NEW.status = 'UNAVAILABLE') <> (OLD.status = 'UNAVAILABLE')) EXECUTE FUNCTION hold_moves_standing();

-- Where the customer's policy is to refuse, no order leads past the credit limit that was not approved for its total.
CREATE FUNCTION check_credit_limit(customer uuid, orders_more uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    passed record;
BEGIN
    SELECT c.currency, credit_limit_amount AS most, rest INTO passed FROM customers AS c
    JOIN customer_standings AS kept ON kept.customer_id = c.id AND kept.currency = c.currency
    CROSS JOIN LATERAL (SELECT kept.owed - covered_by_credit(c.id, c.currency, '{}')) AS _(rest)
    WHERE c.id = customer AND credit_policy = 'REFUSE' AND rest > credit_limit_amount AND EXISTS (
        SELECT FROM orders AS o WHERE o.customer_id = customer AND o.id = ANY (orders_more)
            AND coalesce(credit_approved_amount, -1) < total_amount AND (
                SELECT sum(CASE purpose WHEN 'RECEIVABLE' THEN open ELSE -open END) FROM open_items AS item
                WHERE item.customer_id = customer AND item.order_id = o.id AND item.currency = o.currency
                    AND purpose IN ('RECEIVABLE', 'CREDIT')) > 0);
    IF FOUND THEN
        RAISE EXCEPTION 'With this order % % would be outstanding, and the credit limit is % %.',
            passed.rest, passed.currency, passed.most, passed.currency
            USING ERRCODE = 'check_violation', TABLE = 'customers', CONSTRAINT = 'customers_credit_limit';
    END IF;
END
$$;

-- At the commit: the first move of a transaction takes all of them that are the customer's, so the rest find nothing. The standings
-- are locked before anything is read, so of two commits the later one reads what the earlier one left.
CREATE FUNCTION move_standings() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    moved record;
    locked integer;
BEGIN
    IF NOT EXISTS (SELECT FROM standing_moves WHERE customer_id = NEW.customer_id AND transaction_id = NEW.transaction_id AND id = NEW.id) THEN
        RETURN NULL;
    END IF;
    WITH taken AS (
        DELETE FROM standing_moves WHERE customer_id = NEW.customer_id AND transaction_id = NEW.transaction_id RETURNING *
    ), sums AS (
        SELECT currency, sum(owed) AS owed, sum(booked) AS booked, sum(credit_balance) AS credit, sum(unearned) AS unearned
        FROM taken GROUP BY currency
    )
    SELECT array_agg(NEW.customer_id) AS customers, array_agg(currency::text) AS currencies, array_agg(owed) AS owed, array_agg(booked) AS booked,
        array_agg(credit) AS credit, array_agg(unearned) AS unearned, ARRAY(SELECT unnest(order_ids) FROM taken) AS order_ids
    INTO moved FROM sums;
    LOOP
        PERFORM FROM customer_standings WHERE customer_id = NEW.customer_id AND currency = ANY (moved.currencies)
        ORDER BY currency FOR NO KEY UPDATE;
        GET DIAGNOSTICS locked = ROW_COUNT;
        EXIT WHEN locked = cardinality(moved.currencies);
        INSERT INTO customer_standings (customer_id, currency, owed, booked, credit_balance, unearned, outstanding, overdue, lifetime_value)
        SELECT NEW.customer_id, currency, nothing, nothing, nothing, nothing, nothing, nothing, nothing
        FROM unnest(moved.currencies) AS _(currency) CROSS JOIN LATERAL round(0::numeric, currency_scale(currency)) AS nothing
        ORDER BY currency ON CONFLICT DO NOTHING;
    END LOOP;
    PERFORM count_standings(moved.customers, moved.currencies, moved.owed, moved.booked, moved.credit, moved.unearned, company_today());
    IF moved.order_ids <> '{}' THEN
        PERFORM check_credit_limit(NEW.customer_id, moved.order_ids);
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER standing_moves_taken AFTER INSERT ON standing_moves DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION move_standings();

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
    nothing numeric[];
BEGIN
    SELECT array_agg(customer_id), array_agg(currency), array_agg(0) INTO customers, currencies, nothing FROM (
        SELECT customer_id, currency FROM customer_standings WHERE next_due_on < today
        ORDER BY next_due_on, customer_id LIMIT most FOR NO KEY UPDATE SKIP LOCKED
    ) AS due;
    PERFORM count_standings(customers, currencies, nothing, nothing, nothing, nothing, today);
    RETURN coalesce(cardinality(customers), 0);
END
$$;

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
SELECT count_standings(array_agg(customer_id), array_agg(currency::text), nothing, nothing, nothing, nothing, company_today())
FROM (SELECT customer_id, currency, array_agg(0::numeric) OVER () AS nothing FROM customer_standings) AS kept GROUP BY nothing;

-- Which payments are an order's: those that name it, and those of which something settles it.
CREATE VIEW order_payments AS
SELECT customer_id, order_id, id AS payment_id FROM payments WHERE order_id IS NOT NULL
UNION ALL
SELECT DISTINCT part.customer_id, part.order_id, part.payment_id
FROM allocations AS part JOIN payments AS payment ON payment.customer_id = part.customer_id AND payment.id = part.payment_id
WHERE payment.order_id IS DISTINCT FROM part.order_id AND part.undoes_id IS NULL AND NOT EXISTS (
    SELECT FROM allocations AS undoing WHERE undoing.customer_id = part.customer_id AND undoing.undoes_id = part.id);
