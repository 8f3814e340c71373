-- A parent company pays for its subsidiary: a payment passes money on to a payment of another customer, over TRANSFER. No payment that is
-- there did.

CREATE UNLOGGED TABLE transfer_moves (
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id uuid NOT NULL DEFAULT uuidv7(),
    currency varchar(3) NOT NULL,
    amount numeric NOT NULL,
    base_amount numeric NOT NULL,
    CONSTRAINT transfer_moves_pkey PRIMARY KEY (transaction_id, id)
);
ALTER TABLE payments ADD COLUMN paid_from_id uuid;
CREATE INDEX payments_passed_on ON payments (paid_from_id, id) WHERE paid_from_id IS NOT NULL;
ALTER TABLE payments ADD CONSTRAINT payments_paid_from CHECK (paid_from_id IS NULL OR (status = 'RECEIVED' AND num_nonnulls(suspense_id, provider_reference) = 0));
ALTER TABLE payments ADD CONSTRAINT payments_paid_from_currency FOREIGN KEY (paid_from_id, currency) REFERENCES payments (id, currency);
ALTER TABLE payments ADD CONSTRAINT payments_paid_from_id_fkey FOREIGN KEY (paid_from_id) REFERENCES payments (id);

-- Kept by triggers alone, for who may write nothing here.
REVOKE INSERT, UPDATE, DELETE ON transfer_moves FROM crmgql_app;

-- At the commit: what one owner gives, another takes, so over all of them it is nothing, in each currency and in base currency.
-- The first move of a transaction takes all of them, so the rest find nothing.
CREATE FUNCTION note_transfer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    way integer := CASE NEW.debit WHEN 'TRANSFER' THEN 1 ELSE -1 END;
BEGIN
    INSERT INTO transfer_moves (currency, amount, base_amount) VALUES (NEW.currency, way * NEW.amount, way * NEW.base_amount);
    RETURN NULL;
END
$$;
CREATE TRIGGER postings_transfer AFTER INSERT ON postings FOR EACH ROW
    WHEN (NEW.phase = 'POSTED' AND (NEW.debit = 'TRANSFER' OR NEW.credit = 'TRANSFER')) EXECUTE FUNCTION note_transfer();
CREATE FUNCTION transfers_are_even() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    uneven record;
BEGIN
    WITH taken AS (
        DELETE FROM transfer_moves WHERE transaction_id = NEW.transaction_id RETURNING *
    )
    SELECT currency, sum(amount) AS amount, sum(base_amount) AS base INTO uneven FROM taken
    GROUP BY currency HAVING sum(amount) <> 0 OR sum(base_amount) <> 0 ORDER BY currency LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'what owners give one another adds up to % %, and to % in base currency', uneven.amount, uneven.currency, uneven.base
            USING ERRCODE = 'check_violation', TABLE = 'postings', CONSTRAINT = 'postings_transfer';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER transfer_moves_even AFTER INSERT ON transfer_moves DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION transfers_are_even();

-- At the commit: what was passed on is another customer's, and took over what the payment before it gave for it, at the same base amount.
CREATE FUNCTION passed_on_as_posted() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    moved record;
BEGIN
    SELECT coalesce(sum(p.amount) FILTER (WHERE NOT takes), 0) AS given, coalesce(sum(p.base_amount) FILTER (WHERE NOT takes), 0) AS given_base,
        coalesce(sum(p.amount) FILTER (WHERE takes), 0) AS taken, coalesce(sum(p.base_amount) FILTER (WHERE takes), 0) AS taken_base
    INTO moved
    FROM (VALUES (true, NEW.id), (false, NEW.paid_from_id)) AS side(takes, payment_id)
    JOIN open_items AS item ON item.payment_id = side.payment_id CROSS JOIN LATERAL (
        SELECT owner_id, entry_id, amount, base_amount FROM postings
        WHERE takes AND credit_item_id = item.id AND debit = 'TRANSFER' AND phase = 'POSTED'
        UNION ALL
        SELECT owner_id, entry_id, amount, base_amount FROM postings
        WHERE NOT takes AND debit_item_id = item.id AND credit = 'TRANSFER' AND phase = 'POSTED'
    ) AS p JOIN ledger_entries AS e ON e.owner_id = p.owner_id AND e.id = p.entry_id AND e.source_type = 'Payment' AND e.source_id = NEW.id;
    IF (moved.given, moved.taken, moved.given_base) IS DISTINCT FROM (NEW.amount, NEW.amount, moved.taken_base)
        OR EXISTS (SELECT FROM payments WHERE id = NEW.paid_from_id AND customer_id = NEW.customer_id) THEN
        RAISE EXCEPTION 'payment % is passed on with %: % is given, % taken over', NEW.id, NEW.amount, moved.given, moved.taken
            USING ERRCODE = 'check_violation', TABLE = 'payments', CONSTRAINT = 'payments_passed_on_posted';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER payments_passed_on_posted AFTER INSERT OR UPDATE OF amount, customer_id ON payments DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.paid_from_id IS NOT NULL) EXECUTE FUNCTION passed_on_as_posted();
CREATE CONSTRAINT TRIGGER payments_paid_from_kept AFTER UPDATE OF paid_from_id ON payments DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.paid_from_id IS DISTINCT FROM NEW.paid_from_id) EXECUTE FUNCTION payment_is_kept();
