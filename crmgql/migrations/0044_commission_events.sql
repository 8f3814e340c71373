-- What documents of orders mean for who sold them: an event in the document's transaction; facts and credits follow.

ALTER TABLE customers ADD COLUMN segment varchar(100);
CREATE TABLE commission_accounts (
    user_id uuid PRIMARY KEY,
    dirty_on date
);
CREATE TABLE commission_credits (
    customer_id uuid NOT NULL,
    event_id uuid NOT NULL,
    order_id uuid NOT NULL,
    effective_on date NOT NULL,
    user_id uuid NOT NULL,
    CONSTRAINT commission_credits_pkey PRIMARY KEY (customer_id, event_id, user_id)
);
CREATE TABLE commission_events (
    id uuid NOT NULL DEFAULT uuidv7(),
    order_id uuid NOT NULL,
    source_type varchar(20) NOT NULL,
    source_id uuid NOT NULL,
    effective_on date NOT NULL,
    customer_id uuid NOT NULL,
    CONSTRAINT commission_events_pkey PRIMARY KEY (customer_id, id),
    CONSTRAINT commission_events_source_type CHECK (source_type IN ('RevenueRecord', 'Invoice', 'CreditNote', 'Allocation', 'Split')),
    CONSTRAINT commission_events_source UNIQUE (customer_id, source_type, source_id)
);
CREATE TABLE commission_facts (
    customer_id uuid NOT NULL,
    event_id uuid NOT NULL,
    crediting integer NOT NULL,
    measure varchar(10) NOT NULL,
    line_id uuid NOT NULL,
    category varchar(100),
    segment varchar(100),
    is_new boolean NOT NULL,
    currency varchar(3) NOT NULL,
    net_amount numeric NOT NULL,
    shipping_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    product_id uuid,
    CONSTRAINT commission_facts_cost_amount_scale CHECK (amount_fits(cost_amount, currency)),
    CONSTRAINT commission_facts_crediting CHECK (crediting > 0),
    CONSTRAINT commission_facts_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT commission_facts_measure CHECK (measure IN ('BOOKED', 'INVOICED', 'COLLECTED')),
    CONSTRAINT commission_facts_net_amount_scale CHECK (amount_fits(net_amount, currency)),
    CONSTRAINT commission_facts_pkey PRIMARY KEY (customer_id, event_id, crediting, measure, line_id),
    CONSTRAINT commission_facts_shipping_amount_scale CHECK (amount_fits(shipping_amount, currency))
);
CREATE TABLE commission_pending (
    customer_id uuid NOT NULL,
    event_id uuid NOT NULL,
    order_id uuid NOT NULL,
    CONSTRAINT commission_pending_pkey PRIMARY KEY (customer_id, event_id)
);
CREATE TABLE commission_shares (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    customer_id uuid NOT NULL,
    order_id uuid NOT NULL,
    crediting integer NOT NULL,
    line_id uuid,
    role varchar(10) NOT NULL,
    share_from numeric NOT NULL,
    share_to numeric NOT NULL,
    team_id uuid,
    user_id uuid NOT NULL,
    CONSTRAINT commission_shares_crediting CHECK (crediting > 0),
    CONSTRAINT commission_shares_part CHECK (share_from >= 0 AND share_from < share_to),
    CONSTRAINT commission_shares_role CHECK (role IN ('OWNER', 'OVERLAY', 'MANAGER'))
);
CREATE TABLE commission_splits (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    role varchar(10) NOT NULL DEFAULT 'OWNER',
    share numeric NOT NULL,
    customer_id uuid NOT NULL,
    order_id uuid NOT NULL,
    user_id uuid NOT NULL,
    CONSTRAINT commission_splits_role CHECK (role IN ('OWNER', 'OVERLAY')),
    CONSTRAINT commission_splits_share CHECK (share > 0 AND share <= 1 AND scale(share) <= 8),
    CONSTRAINT commission_splits_person UNIQUE (customer_id, order_id, user_id, role)
);
CREATE INDEX commission_accounts_dirty ON commission_accounts (user_id) WHERE dirty_on IS NOT NULL;
CREATE INDEX commission_credits_user ON commission_credits (user_id, effective_on, event_id);
CREATE INDEX commission_events_by_order ON commission_events (customer_id, order_id, id);
CREATE INDEX commission_facts_product ON commission_facts (product_id, event_id);
CREATE INDEX commission_pending_event ON commission_pending (event_id, order_id);
CREATE INDEX commission_pending_order ON commission_pending (order_id);
CREATE INDEX commission_shares_by_order ON commission_shares (customer_id, order_id, crediting);
CREATE INDEX commission_shares_team ON commission_shares (team_id, id);
CREATE INDEX commission_shares_user ON commission_shares (user_id, id);
CREATE INDEX commission_splits_by_order ON commission_splits (customer_id, order_id, id);
CREATE INDEX commission_splits_created ON commission_splits (created_at, id);
CREATE INDEX commission_splits_user ON commission_splits (user_id, id);
ALTER TABLE commission_accounts ADD CONSTRAINT commission_accounts_user FOREIGN KEY (user_id) REFERENCES users (id);
ALTER TABLE commission_credits ADD CONSTRAINT commission_credits_event FOREIGN KEY (customer_id, event_id) REFERENCES commission_events (customer_id, id);
ALTER TABLE commission_credits ADD CONSTRAINT commission_credits_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);
ALTER TABLE commission_events ADD CONSTRAINT commission_events_order FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE commission_facts ADD CONSTRAINT commission_facts_event FOREIGN KEY (customer_id, event_id) REFERENCES commission_events (customer_id, id);
ALTER TABLE commission_facts ADD CONSTRAINT commission_facts_product_id_fkey FOREIGN KEY (product_id) REFERENCES products (id);
ALTER TABLE commission_shares ADD CONSTRAINT commission_shares_order FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE commission_shares ADD CONSTRAINT commission_shares_team_id_fkey FOREIGN KEY (team_id) REFERENCES teams (id);
ALTER TABLE commission_shares ADD CONSTRAINT commission_shares_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);
ALTER TABLE commission_splits ADD CONSTRAINT commission_splits_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE commission_splits ADD CONSTRAINT commission_splits_order FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE commission_splits ADD CONSTRAINT commission_splits_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);

-- Events. They refuse nothing: a document is what it is.

-- The company's day is asked for only where a document has none of its own.
CREATE FUNCTION commission_event(customers uuid[], orders uuid[], type text, sources uuid[], days date[]) RETURNS void LANGUAGE sql AS $$
    WITH made AS (
        INSERT INTO commission_events (customer_id, order_id, source_type, source_id, effective_on)
        SELECT d.customer_id, d.order_id, type, d.source_id, d.effective_on
        FROM unnest(customers, orders, sources, days) WITH ORDINALITY AS d(customer_id, order_id, source_id, effective_on, n) ORDER BY n
        RETURNING customer_id, id, order_id
    )
    INSERT INTO commission_pending (customer_id, event_id, order_id) SELECT customer_id, id, order_id FROM made
$$;

CREATE FUNCTION revenue_records_credited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM commission_event(array_agg(customer_id), array_agg(order_id), 'RevenueRecord', array_agg(id), array_agg(booked_on)) FROM made;
    RETURN NULL;
END
$$;
CREATE TRIGGER revenue_records_credited AFTER INSERT ON revenue_records REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION revenue_records_credited();

CREATE FUNCTION invoices_credited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM commission_event(array_agg(customer_id), array_agg(order_id), 'Invoice', array_agg(id), array_agg(issued_on))
        FROM made WHERE status = 'ISSUED' AND order_id IS NOT NULL HAVING count(*) > 0;
    ELSE
        PERFORM commission_event(array_agg(made.customer_id), array_agg(made.order_id), 'Invoice', array_agg(made.id), array_agg(made.issued_on))
        FROM made JOIN was ON was.id = made.id
        WHERE made.status = 'ISSUED' AND was.status <> 'ISSUED' AND made.order_id IS NOT NULL HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER invoices_credited AFTER INSERT ON invoices REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION invoices_credited();
CREATE TRIGGER invoices_issued_credited AFTER UPDATE ON invoices REFERENCING OLD TABLE AS was NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION invoices_credited();

CREATE FUNCTION credit_notes_credited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM commission_event(array_agg(made.customer_id), array_agg(i.order_id), 'CreditNote', array_agg(made.id), array_agg(made.issued_on))
    FROM made JOIN invoices i ON i.customer_id = made.customer_id AND i.id = made.invoice_id
    WHERE i.order_id IS NOT NULL HAVING count(*) > 0;
    RETURN NULL;
END
$$;
CREATE TRIGGER credit_notes_credited AFTER INSERT ON credit_notes REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION credit_notes_credited();

CREATE FUNCTION allocations_credited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM commission_event(array_agg(customer_id), array_agg(order_id), 'Allocation', array_agg(id), array_agg(allocated_on))
    FROM (
        SELECT made.customer_id, made.id, made.allocated_on, coalesce(made.order_id, (
            SELECT i.order_id FROM invoices i WHERE i.customer_id = made.customer_id AND i.id = made.invoice_id)) AS order_id
        FROM made
    ) AS settled WHERE order_id IS NOT NULL HAVING count(*) > 0;
    RETURN NULL;
END
$$;
CREATE TRIGGER allocations_credited AFTER INSERT ON allocations REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION allocations_credited();

-- Other people are credited from today on: of an order that has events. Its draft has none, and is credited with the first.
CREATE FUNCTION commission_resplit(customer uuid, "order" uuid) RETURNS void LANGUAGE sql AS $$
    SELECT commission_event(ARRAY[customer], ARRAY["order"], 'Split', ARRAY[uuidv7()], ARRAY[company_today()])
    WHERE EXISTS (SELECT FROM commission_events WHERE customer_id = customer AND order_id = "order")
$$;
CREATE FUNCTION sellers_credited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM commission_resplit(NEW.customer_id, CASE TG_TABLE_NAME WHEN 'orders' THEN NEW.id ELSE (to_jsonb(NEW) ->> 'order_id')::uuid END);
    RETURN NULL;
END
$$;
CREATE TRIGGER orders_seller_credited AFTER UPDATE OF seller_id ON orders FOR EACH ROW
    WHEN (OLD.seller_id IS DISTINCT FROM NEW.seller_id) EXECUTE FUNCTION sellers_credited();
CREATE TRIGGER order_lines_seller_credited AFTER UPDATE OF seller_id ON order_lines FOR EACH ROW
    WHEN (OLD.seller_id IS DISTINCT FROM NEW.seller_id) EXECUTE FUNCTION sellers_credited();

-- Owners have the whole of an order, or its sellers do. Checked at the commit, once for a person.
CREATE FUNCTION commission_splits_whole() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed record;
    owned numeric;
BEGIN
    changed := coalesce(NEW, OLD);
    SELECT sum(share) INTO owned FROM commission_splits
    WHERE customer_id = changed.customer_id AND order_id = changed.order_id AND role = 'OWNER';
    IF owned <> 1 THEN
        RAISE EXCEPTION 'the shares of the owners of order % sum to %', changed.order_id, owned
            USING ERRCODE = 'check_violation', TABLE = 'commission_splits', CONSTRAINT = 'commission_splits_whole';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER commission_splits_whole AFTER INSERT OR UPDATE OR DELETE ON commission_splits DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION commission_splits_whole();
CREATE FUNCTION commission_splits_credited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM commission_resplit(customer_id, order_id) FROM (SELECT DISTINCT customer_id, order_id FROM changed) AS of_order;
    RETURN NULL;
END
$$;
CREATE TRIGGER commission_splits_made AFTER INSERT ON commission_splits REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION commission_splits_credited();
CREATE TRIGGER commission_splits_changed AFTER UPDATE ON commission_splits REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION commission_splits_credited();
CREATE TRIGGER commission_splits_gone AFTER DELETE ON commission_splits REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION commission_splits_credited();

-- What is worked out stays. What was there before gets its events now, in the order in which it was written; workers do the rest.
DO $$
DECLARE
    of_table text;
BEGIN
    FOREACH of_table IN ARRAY ARRAY['commission_events', 'commission_facts', 'commission_shares', 'commission_credits'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION refuse_change()', of_table || '_no_change', of_table);
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', of_table || '_no_truncate', of_table);
    END LOOP;
END
$$;
REVOKE UPDATE, DELETE ON commission_events, commission_facts, commission_shares, commission_credits FROM crmgql_app;
REVOKE DELETE ON commission_accounts FROM crmgql_app;
WITH made AS (
    INSERT INTO commission_events (customer_id, order_id, source_type, source_id, effective_on)
    SELECT customer_id, order_id, source_type, id, day FROM (
        SELECT customer_id, order_id, 'RevenueRecord' AS source_type, id, booked_on AS day FROM revenue_records
        UNION ALL
        SELECT customer_id, order_id, 'Invoice', id, issued_on FROM invoices WHERE status = 'ISSUED' AND order_id IS NOT NULL
        UNION ALL
        SELECT n.customer_id, i.order_id, 'CreditNote', n.id, n.issued_on
        FROM credit_notes n JOIN invoices i ON i.customer_id = n.customer_id AND i.id = n.invoice_id WHERE i.order_id IS NOT NULL
        UNION ALL
        SELECT a.customer_id, coalesce(a.order_id, i.order_id), 'Allocation', a.id, a.allocated_on
        FROM allocations a LEFT JOIN invoices i ON i.customer_id = a.customer_id AND i.id = a.invoice_id
        WHERE coalesce(a.order_id, i.order_id) IS NOT NULL
    ) AS document ORDER BY id
    RETURNING customer_id, id, order_id
)
INSERT INTO commission_pending (customer_id, event_id, order_id) SELECT customer_id, id, order_id FROM made;
