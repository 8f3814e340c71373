-- An allocation is undone by another row with the same figures, whose entry reverses its entry.

ALTER TABLE allocations ADD COLUMN undoes_id uuid;
ALTER TABLE allocations ADD CONSTRAINT allocations_figures UNIQUE (customer_id, id, order_id, payment_id, item_id, source_item_id, currency, amount);
ALTER TABLE allocations ADD CONSTRAINT allocations_undone_once UNIQUE (customer_id, undoes_id);
ALTER TABLE allocations ADD CONSTRAINT allocations_undoes FOREIGN KEY (customer_id, undoes_id, order_id, payment_id, item_id, source_item_id, currency, amount) REFERENCES allocations (customer_id, id, order_id, payment_id, item_id, source_item_id, currency, amount);

-- At the commit: an allocation is what its entry posted between its two items, and one that undoes another is the reversal of its entry.
CREATE OR REPLACE FUNCTION allocation_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM ledger_entries AS e JOIN postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
            JOIN open_items AS owed ON owed.id = NEW.item_id JOIN open_items AS source ON source.id = NEW.source_item_id
        WHERE e.owner_id = NEW.customer_id AND e.id = NEW.entry_id AND p.phase = 'POSTED' AND p.amount = NEW.amount
            AND p.currency = NEW.currency AND owed.order_id = NEW.order_id AND source.payment_id = NEW.payment_id
            AND CASE WHEN NEW.undoes_id IS NULL
                THEN e.reverses_id IS NULL AND (p.credit_item_id, p.debit_item_id) = (NEW.item_id, NEW.source_item_id)
                ELSE (p.debit_item_id, p.credit_item_id) = (NEW.item_id, NEW.source_item_id) AND e.reverses_id = (
                    SELECT entry_id FROM allocations WHERE customer_id = NEW.customer_id AND id = NEW.undoes_id) END
    ) THEN
        RAISE EXCEPTION 'allocation % is not what its entry posted', NEW.id
            USING ERRCODE = 'check_violation', TABLE = 'allocations', CONSTRAINT = 'allocations_posted';
    END IF;
    RETURN NULL;
END
$$;

-- At the commit: the reversal of an allocation's entry has its row, which undoes the allocation.
CREATE FUNCTION allocation_is_undone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM allocations AS a WHERE a.customer_id = NEW.owner_id AND a.entry_id = NEW.reverses_id AND NOT EXISTS (
            SELECT FROM allocations AS undoing WHERE undoing.customer_id = a.customer_id AND undoing.undoes_id = a.id AND undoing.entry_id = NEW.id)
    ) THEN
        RAISE EXCEPTION 'entry % reverses an allocation that no row undoes', NEW.id
            USING ERRCODE = 'check_violation', TABLE = 'allocations', CONSTRAINT = 'allocations_undone';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER allocations_undone AFTER INSERT ON ledger_entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.reverses_id IS NOT NULL) EXECUTE FUNCTION allocation_is_undone();
