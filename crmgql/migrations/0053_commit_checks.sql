-- What has to hold when a transaction commits is looked at once for all that the transaction wrote, and no more for each row by itself:
-- statements note what they touched, and a deferred trigger of the first note takes all of them.
-- Standings are locked in one order, so two commits over the same customers wait for one another and never for each other.

CREATE UNLOGGED TABLE commit_checks (
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind varchar(20) NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    source varchar(63) NOT NULL,
    is_first boolean NOT NULL,
    customer_ids uuid[] NOT NULL,
    subject_ids uuid[] NOT NULL,
    CONSTRAINT commit_checks_pkey PRIMARY KEY (transaction_id, id)
);
REVOKE INSERT, UPDATE, DELETE ON commit_checks FROM crmgql_app;
ALTER TABLE standing_moves DROP CONSTRAINT standing_moves_pkey;
ALTER TABLE standing_moves ADD CONSTRAINT standing_moves_pkey PRIMARY KEY (transaction_id, customer_id, id);

-- A note that is gone would be a check that is gone, and so would one before the first: nobody but the triggers makes or takes one, the
-- owner neither.
CREATE TRIGGER commit_checks_kept BEFORE INSERT OR UPDATE OR DELETE ON commit_checks FOR EACH STATEMENT EXECUTE FUNCTION kept_by_trigger();

-- Notes: what a statement wrote, by the kind of check and by the constraint in whose name it is refused.
CREATE FUNCTION note_records() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO commit_checks (kind, source, is_first, customer_ids, subject_ids)
    SELECT TG_ARGV[0], TG_ARGV[1], NOT EXISTS (SELECT FROM commit_checks WHERE transaction_id = pg_current_xact_id()),
        array_agg(customer_id), array_agg(id) FROM changed HAVING count(*) > 0;
    RETURN NULL;
END
$$;
CREATE FUNCTION note_orders() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO commit_checks (kind, source, is_first, customer_ids, subject_ids)
    SELECT 'orders', TG_ARGV[0], NOT EXISTS (SELECT FROM commit_checks WHERE transaction_id = pg_current_xact_id()),
        array_agg(customer_id), array_agg(order_id)
    FROM (SELECT DISTINCT customer_id, order_id FROM changed) AS one HAVING count(*) > 0;
    RETURN NULL;
END
$$;
-- A line where it is now, and where it was before.
CREATE FUNCTION note_moved_lines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO commit_checks (kind, source, is_first, customer_ids, subject_ids)
    SELECT 'orders', TG_ARGV[0], NOT EXISTS (SELECT FROM commit_checks WHERE transaction_id = pg_current_xact_id()),
        array_agg(customer_id), array_agg(order_id)
    FROM (SELECT customer_id, order_id FROM changed UNION SELECT customer_id, order_id FROM was) AS one HAVING count(*) > 0;
    RETURN NULL;
END
$$;
-- Orders that were committed, or got another revision.
CREATE FUNCTION note_committed_orders() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO commit_checks (kind, source, is_first, customer_ids, subject_ids)
    SELECT 'orders', TG_ARGV[0], NOT EXISTS (SELECT FROM commit_checks WHERE transaction_id = pg_current_xact_id()),
        array_agg(customer_id), array_agg(id) FROM (
        SELECT customer_id, id, revenue_revision FROM changed WHERE committed
        EXCEPT
        SELECT customer_id, id, revenue_revision FROM was WHERE committed
    ) AS one HAVING count(*) > 0;
    RETURN NULL;
END
$$;
CREATE FUNCTION note_changed_payments() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO commit_checks (kind, source, is_first, customer_ids, subject_ids)
    SELECT 'payments', TG_ARGV[0], NOT EXISTS (SELECT FROM commit_checks WHERE transaction_id = pg_current_xact_id()),
        array_agg(customer_id), array_agg(id) FROM (
        SELECT customer_id, id, status, amount, currency FROM changed
        EXCEPT
        SELECT customer_id, id, status, amount, currency FROM was
    ) AS one HAVING count(*) > 0;
    RETURN NULL;
END
$$;
CREATE FUNCTION note_issued_invoices() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO commit_checks (kind, source, is_first, customer_ids, subject_ids)
    SELECT 'invoices', TG_ARGV[0], NOT EXISTS (SELECT FROM commit_checks WHERE transaction_id = pg_current_xact_id()),
        array_agg(customer_id), array_agg(id) FROM changed WHERE status = 'ISSUED' HAVING count(*) > 0;
    RETURN NULL;
END
$$;
CREATE FUNCTION note_newly_issued_invoices() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO commit_checks (kind, source, is_first, customer_ids, subject_ids)
    SELECT 'invoices', TG_ARGV[0], NOT EXISTS (SELECT FROM commit_checks WHERE transaction_id = pg_current_xact_id()),
        array_agg(customer_id), array_agg(id) FROM (
        SELECT customer_id, id FROM changed WHERE status = 'ISSUED' EXCEPT SELECT customer_id, id FROM was WHERE status = 'ISSUED'
    ) AS one HAVING count(*) > 0;
    RETURN NULL;
END
$$;
CREATE FUNCTION note_invoices() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO commit_checks (kind, source, is_first, customer_ids, subject_ids)
    SELECT 'invoices', TG_ARGV[0], NOT EXISTS (SELECT FROM commit_checks WHERE transaction_id = pg_current_xact_id()),
        array_agg(customer_id), array_agg(invoice_id)
    FROM (SELECT DISTINCT customer_id, invoice_id FROM changed) AS one HAVING count(*) > 0;
    RETURN NULL;
END
$$;
CREATE FUNCTION note_credit_notes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO commit_checks (kind, source, is_first, customer_ids, subject_ids)
    SELECT 'credit notes', TG_ARGV[0], NOT EXISTS (SELECT FROM commit_checks WHERE transaction_id = pg_current_xact_id()),
        array_agg(customer_id), array_agg(credit_note_id)
    FROM (SELECT DISTINCT customer_id, credit_note_id FROM changed) AS one HAVING count(*) > 0;
    RETURN NULL;
END
$$;

-- A committed order has the lines of its newest revenue record, column by column, and no others; such a record, just
-- made, has the figures of what was posted for the order, but by credit notes (which take tax back from what is owed), and the schedule
-- of what is deferred.
CREATE FUNCTION check_orders(customers uuid[], subjects uuid[], sources jsonb[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT o.id, one.named ->> 0 AS source INTO wrong
    FROM unnest(customers, subjects, sources) AS one(customer_id, order_id, named)
    CROSS JOIN LATERAL (SELECT * FROM orders WHERE customer_id = one.customer_id AND id = one.order_id AND committed OFFSET 0) AS o
    WHERE EXISTS (SELECT FROM revenue_records AS r WHERE r.customer_id = o.customer_id AND r.order_id = o.id AND r.revision > o.revenue_revision)
        OR (SELECT count(*) FROM order_lines WHERE customer_id = o.customer_id AND order_id = o.id)
            <> (SELECT count(*) FROM revenue_lines WHERE customer_id = o.customer_id AND order_id = o.id AND revision = o.revenue_revision)
        OR EXISTS (
            SELECT FROM order_lines AS l WHERE l.customer_id = o.customer_id AND l.order_id = o.id AND NOT EXISTS (
                SELECT FROM revenue_lines AS b
                WHERE b.customer_id = l.customer_id AND b.order_id = l.order_id AND b.revision = o.revenue_revision AND b.line_id = l.id
                    AND (b.quantity, b.currency, b.unit_price_amount, b.discount_amount, b.shipping_amount, b.line_amount)
                        = (l.quantity, l.currency, l.unit_price_amount, l.discount_amount, l.shipping_amount, l.line_amount)
                    AND (b.product_id, b.unit_cost_amount) IS NOT DISTINCT FROM (l.product_id, l.unit_cost_amount)))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'order % does not have the lines of its newest revenue record', wrong.id
            USING ERRCODE = 'check_violation', TABLE = 'orders', CONSTRAINT = wrong.source;
    END IF;
    SELECT record.order_id, record.revision, posted.deferred <> coalesce(scheduled.amount, 0) AS is_scheduled_wrong INTO wrong
    FROM unnest(customers, subjects, sources) AS one(customer_id, order_id, named)
    CROSS JOIN LATERAL (
        SELECT * FROM revenue_records WHERE customer_id = one.customer_id AND order_id = one.order_id ORDER BY revision DESC LIMIT 1
    ) AS record
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(moves.amount) FILTER (WHERE moves.other IN ('REVENUE', 'DEFERRED')), 0) AS net,
            coalesce(sum(moves.amount) FILTER (WHERE moves.other = 'DEFERRED'), 0) AS deferred,
            coalesce(sum(moves.amount) FILTER (WHERE moves.other = 'SHIPPING'), 0) AS shipping,
            coalesce(sum(moves.amount) FILTER (WHERE moves.other = 'TAX'), 0) AS tax
        FROM (SELECT * FROM open_items WHERE customer_id = one.customer_id AND order_id = one.order_id OFFSET 0) AS item
        CROSS JOIN LATERAL (
            SELECT entry_id, credit AS other, amount FROM postings WHERE debit_item_id = item.id AND phase = 'POSTED'
            UNION ALL
            SELECT entry_id, debit, -amount FROM postings WHERE credit_item_id = item.id AND phase = 'POSTED'
        ) AS moves
        WHERE item.purpose = 'RECEIVABLE'
            AND 'CreditNote' <> (SELECT source_type FROM ledger_entries WHERE id = moves.entry_id)  -- by its key: a customer may have thousands
    ) AS posted
    CROSS JOIN LATERAL (
        SELECT sum(amount) AS amount FROM recognition_schedules
        WHERE customer_id = one.customer_id AND order_id = one.order_id AND revision = record.revision
    ) AS scheduled
    WHERE one.named ? 'revenue_records_lines' AND (
        (posted.net, posted.shipping, posted.tax) <> (record.subtotal_amount - record.discount_amount, record.shipping_amount, record.tax_amount)
        OR posted.deferred <> coalesce(scheduled.amount, 0))
    LIMIT 1;
    IF FOUND AND wrong.is_scheduled_wrong THEN
        RAISE EXCEPTION 'revenue record % of order % does not have the schedule of what is deferred', wrong.revision, wrong.order_id
            USING ERRCODE = 'check_violation', TABLE = 'revenue_records', CONSTRAINT = 'revenue_records_scheduled';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'revenue record % of order % does not have the figures that were posted', wrong.revision, wrong.order_id
            USING ERRCODE = 'check_violation', TABLE = 'revenue_records', CONSTRAINT = 'revenue_records_posted';
    END IF;
END
$$;

-- A payment's money is in the books exactly if it is received: what entries moved, but for those of refunds.
-- Over TRANSFER it comes from another owner, such as the company that did not know whose it was.
CREATE FUNCTION check_payments(subjects uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT payment.id, payment.status, payment.amount, posted.amount AS posted INTO wrong FROM unnest(subjects) AS one(id)
    CROSS JOIN LATERAL (SELECT * FROM payments WHERE id = one.id OFFSET 0) AS payment
    CROSS JOIN LATERAL (
        -- By its own items, and by theirs: a customer may have thousands.
        SELECT coalesce(sum(moves.amount), 0) AS amount
        FROM (SELECT * FROM open_items WHERE payment_id = payment.id OFFSET 0) AS item CROSS JOIN LATERAL (
            SELECT entry_id, amount, debit AS bank FROM postings
            WHERE credit_item_id = item.id AND phase = 'POSTED' AND debit IN ('BANK', 'CLEARING', 'TRANSFER')
            UNION ALL
            SELECT entry_id, -amount, credit FROM postings
            WHERE debit_item_id = item.id AND phase = 'POSTED' AND credit IN ('BANK', 'CLEARING', 'TRANSFER')
        ) AS moves CROSS JOIN LATERAL (SELECT * FROM ledger_entries WHERE id = moves.entry_id OFFSET 0) AS e
        WHERE item.purpose = 'UNEARNED' AND item.customer_id = payment.customer_id AND item.currency = payment.currency
            AND CASE moves.bank WHEN 'TRANSFER' THEN e.source_type = 'Payment' AND e.source_id = payment.id ELSE e.source_type <> 'Refund' END
    ) AS posted
    WHERE posted.amount <> (CASE WHEN payment.status = 'RECEIVED' THEN payment.amount ELSE 0 END) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'payment % is % with %, and % of it is in the books', wrong.id, wrong.status, wrong.amount, wrong.posted
            USING ERRCODE = 'check_violation', TABLE = 'payments', CONSTRAINT = 'payments_posted';
    END IF;
END
$$;

-- An allocation is what its entry posted between its two items, which are of its documents, in another currency over EXCHANGE;
-- and one that undoes another is the reversal of its entry.
CREATE FUNCTION check_allocations(subjects uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wrong uuid;
BEGIN
    SELECT part.id INTO wrong FROM unnest(subjects) AS one(id)
    CROSS JOIN LATERAL (SELECT * FROM allocations WHERE id = one.id OFFSET 0) AS part
    WHERE NOT EXISTS (
        SELECT FROM ledger_entries AS e JOIN open_items AS owed ON owed.id = part.item_id JOIN open_items AS source ON source.id = part.source_item_id
        WHERE e.owner_id = part.customer_id AND e.id = part.entry_id AND e.phase = 'POSTED'
            AND (owed.order_id, owed.invoice_id, owed.dispute_id) IS NOT DISTINCT FROM (part.order_id, part.invoice_id, part.dispute_id)
            AND (source.payment_id, source.credit_note_id) IS NOT DISTINCT FROM (part.payment_id, part.credit_note_id)
            AND e.reverses_id IS NOT DISTINCT FROM (SELECT entry_id FROM allocations WHERE customer_id = part.customer_id AND id = part.undoes_id)
            AND (SELECT count(*) FROM (
                SELECT amount, currency, CASE WHEN e.reverses_id IS NULL THEN credit ELSE debit END AS taken,
                    CASE WHEN e.reverses_id IS NULL THEN debit ELSE credit END AS given,
                    CASE WHEN e.reverses_id IS NULL THEN credit_item_id ELSE debit_item_id END AS taken_id,
                    CASE WHEN e.reverses_id IS NULL THEN debit_item_id ELSE credit_item_id END AS given_id
                FROM postings WHERE owner_id = e.owner_id AND entry_id = e.id
            ) AS p WHERE CASE WHEN part.currency = part.paid_currency
                THEN (p.taken_id, p.given_id, p.amount, p.currency) = (part.item_id, part.source_item_id, part.amount, part.currency)
                ELSE (p.taken_id, p.given, p.amount, p.currency) = (part.item_id, 'EXCHANGE', part.amount, part.currency)
                    OR (p.taken, p.given_id, p.amount, p.currency) = ('EXCHANGE', part.source_item_id, part.paid_amount, part.paid_currency)
                END
            ) = CASE WHEN part.currency = part.paid_currency THEN 1 ELSE 2 END
    ) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'allocation % is not what its entry posted', wrong
            USING ERRCODE = 'check_violation', TABLE = 'allocations', CONSTRAINT = 'allocations_posted';
    END IF;
END
$$;

-- Invoices and credit notes are what was posted.
CREATE FUNCTION check_invoices(customers uuid[], subjects uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT one.id, found.mistake INTO wrong FROM unnest(customers, subjects) AS one(customer_id, id)
    CROSS JOIN LATERAL (SELECT invoice_mistake(one.customer_id, one.id) AS mistake OFFSET 0) AS found WHERE found.mistake IS NOT NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'invoice %: %', wrong.id, wrong.mistake USING ERRCODE = 'check_violation', TABLE = 'invoices', CONSTRAINT = 'invoices_posted';
    END IF;
END
$$;
CREATE FUNCTION check_credit_notes(customers uuid[], subjects uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT one.id, found.mistake INTO wrong FROM unnest(customers, subjects) AS one(customer_id, id)
    CROSS JOIN LATERAL (SELECT credit_note_mistake(one.customer_id, one.id) AS mistake OFFSET 0) AS found WHERE found.mistake IS NOT NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'credit note %: %', wrong.id, wrong.mistake
            USING ERRCODE = 'check_violation', TABLE = 'credit_notes', CONSTRAINT = 'credit_notes_posted';
    END IF;
END
$$;

-- All moves of a transaction. The standings are locked, in the order of customers, before
-- anything is read, so of two commits the later one reads what the earlier one left.
CREATE FUNCTION move_standings(of_transaction xid8) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    moved record;
    limited record;
    locked integer;
BEGIN
    WITH taken AS (
        DELETE FROM standing_moves WHERE transaction_id = of_transaction RETURNING *
    ), sums AS (
        SELECT customer_id, currency::text, sum(owed) AS owed, sum(booked) AS booked, sum(credit_balance) AS credit, sum(unearned) AS unearned
        FROM taken GROUP BY customer_id, currency ORDER BY customer_id, currency
    )
    SELECT array_agg(customer_id) AS customers, array_agg(currency) AS currencies, array_agg(owed) AS owed, array_agg(booked) AS booked,
        array_agg(credit) AS credit, array_agg(unearned) AS unearned,
        (SELECT jsonb_object_agg(customer_id, order_ids) FROM (
            SELECT customer_id, array_agg(order_id) AS order_ids FROM taken, unnest(order_ids) AS _(order_id) GROUP BY customer_id) AS more) AS limited
    INTO moved FROM sums;
    IF moved.customers IS NULL THEN
        RETURN;
    END IF;
    LOOP
        PERFORM FROM customer_standings WHERE (customer_id, currency) IN (SELECT * FROM unnest(moved.customers, moved.currencies))
        ORDER BY customer_id, currency FOR NO KEY UPDATE;
        GET DIAGNOSTICS locked = ROW_COUNT;
        EXIT WHEN locked = cardinality(moved.currencies);
        INSERT INTO customer_standings (customer_id, currency, owed, booked, credit_balance, unearned, outstanding, overdue, lifetime_value)
        SELECT customer_id, currency, nothing, nothing, nothing, nothing, nothing, nothing, nothing
        FROM unnest(moved.customers, moved.currencies) AS _(customer_id, currency)
        CROSS JOIN LATERAL round(0::numeric, currency_scale(currency)) AS nothing
        ORDER BY customer_id, currency ON CONFLICT DO NOTHING;
    END LOOP;
    PERFORM count_standings(moved.customers, moved.currencies, moved.owed, moved.booked, moved.credit, moved.unearned, company_today());
    FOR limited IN SELECT key::uuid AS customer, ARRAY(SELECT jsonb_array_elements_text(value)::uuid) AS orders FROM jsonb_each(moved.limited) LOOP
        PERFORM check_credit_limit(limited.customer, limited.orders);
    END LOOP;
END
$$;

-- What moves standings has them counted when the transaction commits.
CREATE FUNCTION note_standings() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO commit_checks (kind, source, is_first, customer_ids, subject_ids)
    SELECT 'standings', 'customer_standings', NOT EXISTS (SELECT FROM commit_checks WHERE transaction_id = pg_current_xact_id()),
        ARRAY['00000000-0000-0000-0000-000000000000'::uuid], ARRAY['00000000-0000-0000-0000-000000000000'::uuid] WHERE EXISTS (SELECT FROM changed);
    RETURN NULL;
END
$$;
DROP TRIGGER standing_moves_taken ON standing_moves;
CREATE TRIGGER standing_moves_noted AFTER INSERT ON standing_moves REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_standings();
DROP FUNCTION move_standings();

-- At the commit: each subject once, with the constraints in whose names it was noted. All plans look rows up by their keys: they are made
-- once, and the tables grow.
CREATE FUNCTION check_commit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    noted record;
BEGIN
    FOR noted IN
        WITH taken AS (
            DELETE FROM commit_checks WHERE transaction_id = NEW.transaction_id RETURNING kind, source, customer_ids, subject_ids
        )
        SELECT kind, array_agg(customer_id) AS customers, array_agg(subject_id) AS subjects, array_agg(named) AS sources FROM (
            SELECT kind, customer_id, subject_id, jsonb_agg(source) AS named
            FROM taken, unnest(customer_ids, subject_ids) AS one(customer_id, subject_id) GROUP BY kind, customer_id, subject_id
        ) AS each GROUP BY kind ORDER BY kind
    LOOP
        CASE noted.kind
            WHEN 'orders' THEN PERFORM check_orders(noted.customers, noted.subjects, noted.sources);
            WHEN 'payments' THEN PERFORM check_payments(noted.subjects);
            WHEN 'allocations' THEN PERFORM check_allocations(noted.subjects);
            WHEN 'invoices' THEN PERFORM check_invoices(noted.customers, noted.subjects);
            WHEN 'credit notes' THEN PERFORM check_credit_notes(noted.customers, noted.subjects);
            WHEN 'standings' THEN PERFORM move_standings(NEW.transaction_id);
        END CASE;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER commit_checks_taken AFTER INSERT ON commit_checks DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.is_first) EXECUTE FUNCTION check_commit();

-- As before, by the orders' keys even where it was first planned for empty tables.
ALTER FUNCTION lines_as_booked(uuid, uuid, integer) SET enable_seqscan = off;

-- In place of the triggers for each row.
DROP TRIGGER revenue_records_posted ON revenue_records;
DROP TRIGGER revenue_lines_line ON revenue_lines;
DROP TRIGGER order_lines_booked ON order_lines;
DROP TRIGGER orders_newest ON orders;
DROP TRIGGER payments_posted ON payments;
DROP TRIGGER allocations_posted ON allocations;
DROP TRIGGER invoices_posted_new ON invoices;
DROP TRIGGER invoices_posted ON invoices;
DROP TRIGGER instalments_posted ON instalments;
DROP TRIGGER credit_notes_posted ON credit_notes;
DROP TRIGGER credit_note_lines_posted ON credit_note_lines;
DROP FUNCTION revenue_as_posted, booked_line_is_a_line, line_as_booked, order_as_booked, payment_as_posted, allocation_as_posted,
    invoice_as_posted, credit_note_as_posted;
CREATE TRIGGER revenue_records_noted AFTER INSERT ON revenue_records REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_orders('revenue_records_lines');
CREATE TRIGGER revenue_lines_noted AFTER INSERT ON revenue_lines REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_orders('revenue_lines_line');
CREATE TRIGGER order_lines_noted_new AFTER INSERT ON order_lines REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_orders('order_lines_booked');
CREATE TRIGGER order_lines_noted_gone AFTER DELETE ON order_lines REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_orders('order_lines_booked');
CREATE TRIGGER order_lines_noted AFTER UPDATE ON order_lines REFERENCING OLD TABLE AS was NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_moved_lines('order_lines_booked');
CREATE TRIGGER orders_noted AFTER UPDATE ON orders REFERENCING OLD TABLE AS was NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_committed_orders('orders_newest');
CREATE TRIGGER payments_noted_new AFTER INSERT ON payments REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_records('payments', 'payments_posted');
CREATE TRIGGER payments_noted AFTER UPDATE ON payments REFERENCING OLD TABLE AS was NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_payments('payments_posted');
CREATE TRIGGER allocations_noted AFTER INSERT ON allocations REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_records('allocations', 'allocations_posted');
CREATE TRIGGER invoices_noted_new AFTER INSERT ON invoices REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_issued_invoices('invoices_posted');
CREATE TRIGGER invoices_noted AFTER UPDATE ON invoices REFERENCING OLD TABLE AS was NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_newly_issued_invoices('invoices_posted');
CREATE TRIGGER instalments_noted AFTER INSERT ON instalments REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_invoices('invoices_posted');
CREATE TRIGGER credit_notes_noted AFTER INSERT ON credit_notes REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_records('credit notes', 'credit_notes_posted');
CREATE TRIGGER credit_note_lines_noted AFTER INSERT ON credit_note_lines REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_credit_notes('credit_notes_posted');
