-- An order in one currency may be paid in another: an allocation has an amount in each, and the rates between them.

ALTER TABLE allocations DROP CONSTRAINT allocations_undoes;
ALTER TABLE allocations DROP CONSTRAINT allocations_figures;
ALTER TABLE allocations DROP CONSTRAINT allocations_amount_positive;
ALTER TABLE allocations ADD COLUMN paid_currency varchar(3);
ALTER TABLE allocations ADD COLUMN paid_amount numeric;
ALTER TABLE allocations ADD COLUMN rate_id uuid;
ALTER TABLE allocations ADD COLUMN paid_rate_id uuid;
ALTER TABLE allocations DISABLE TRIGGER allocations_no_change;
UPDATE allocations SET paid_currency = currency, paid_amount = amount;
ALTER TABLE allocations ENABLE TRIGGER allocations_no_change;
ALTER TABLE allocations ALTER COLUMN paid_currency SET NOT NULL;
ALTER TABLE allocations ALTER COLUMN paid_amount SET NOT NULL;
ALTER TABLE allocations ADD CONSTRAINT allocations_amount_positive CHECK (amount > 0 AND paid_amount > 0);
ALTER TABLE allocations ADD CONSTRAINT allocations_paid CHECK (currency <> paid_currency OR (amount = paid_amount AND num_nonnulls(rate_id, paid_rate_id) = 0));
ALTER TABLE allocations ADD CONSTRAINT allocations_paid_amount_scale CHECK (amount_fits(paid_amount, paid_currency));
ALTER TABLE allocations ADD CONSTRAINT allocations_paid_currency_known CHECK (paid_currency IS NULL OR currency_scale(paid_currency) IS NOT NULL);
ALTER TABLE allocations ADD CONSTRAINT allocations_figures UNIQUE (customer_id, id, order_id, payment_id, item_id, source_item_id, currency, amount, paid_currency, paid_amount);
ALTER TABLE allocations ADD CONSTRAINT allocations_paid_rate FOREIGN KEY (paid_rate_id) REFERENCES fx_rates (id);
ALTER TABLE allocations ADD CONSTRAINT allocations_rate FOREIGN KEY (rate_id) REFERENCES fx_rates (id);
ALTER TABLE allocations ADD CONSTRAINT allocations_undoes FOREIGN KEY (customer_id, undoes_id, order_id, payment_id, item_id, source_item_id, currency, amount, paid_currency, paid_amount) REFERENCES allocations (customer_id, id, order_id, payment_id, item_id, source_item_id, currency, amount, paid_currency, paid_amount);

-- At the commit: an allocation is what its entry posted between its two items, in another currency over EXCHANGE; and one that undoes
-- another is the reversal of its entry.
CREATE OR REPLACE FUNCTION allocation_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM ledger_entries AS e JOIN open_items AS owed ON owed.id = NEW.item_id JOIN open_items AS source ON source.id = NEW.source_item_id
        WHERE e.owner_id = NEW.customer_id AND e.id = NEW.entry_id AND e.phase = 'POSTED'
            AND owed.order_id = NEW.order_id AND source.payment_id = NEW.payment_id
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

-- At the commit: what goes from one currency into another has the same base amount on both sides, entry by entry.
CREATE FUNCTION exchange_is_even() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (
        SELECT sum(CASE WHEN debit = 'EXCHANGE' THEN base_amount ELSE -base_amount END) FROM postings
        WHERE owner_id = NEW.owner_id AND entry_id = NEW.entry_id AND 'EXCHANGE' IN (debit, credit)
    ) <> 0 THEN
        RAISE EXCEPTION 'entry % leaves a difference between two currencies', NEW.entry_id
            USING ERRCODE = 'check_violation', TABLE = 'postings', CONSTRAINT = 'postings_exchange';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER postings_exchange AFTER INSERT ON postings DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.debit = 'EXCHANGE' OR NEW.credit = 'EXCHANGE') EXECUTE FUNCTION exchange_is_even();
