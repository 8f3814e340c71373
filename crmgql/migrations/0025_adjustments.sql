-- Write-offs: what of orders nobody asks for any more, by hand or up to the company's tolerance.

CREATE TABLE write_offs (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    item_id uuid NOT NULL,
    currency varchar(3) NOT NULL,
    amount numeric NOT NULL,
    account varchar(10) NOT NULL DEFAULT 'WRITE_OFF',
    reason varchar(1000),
    written_off_on date NOT NULL,
    entry_id uuid NOT NULL,
    allocation_id uuid,
    customer_id uuid NOT NULL,
    order_id uuid NOT NULL,
    undoes_id uuid,
    CONSTRAINT write_offs_account CHECK (account IN ('WRITE_OFF', 'ROUNDING')),
    CONSTRAINT write_offs_amount_positive CHECK (amount > 0),
    CONSTRAINT write_offs_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT write_offs_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT write_offs_entry_once UNIQUE (customer_id, entry_id),
    CONSTRAINT write_offs_figures UNIQUE (customer_id, id, order_id, item_id, currency, amount, account),
    CONSTRAINT write_offs_undone_once UNIQUE (customer_id, undoes_id)
);
ALTER TABLE companies ADD COLUMN write_off_tolerances jsonb NOT NULL DEFAULT '{}';
CREATE INDEX write_offs_by_allocation ON write_offs (customer_id, allocation_id);
CREATE INDEX write_offs_by_order ON write_offs (customer_id, order_id, id);
CREATE INDEX write_offs_created ON write_offs (created_at, id);
ALTER TABLE allocations ADD CONSTRAINT allocations_customer_id UNIQUE (customer_id, id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_allocation FOREIGN KEY (customer_id, allocation_id) REFERENCES allocations (customer_id, id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_entry FOREIGN KEY (customer_id, entry_id) REFERENCES ledger_entries (owner_id, id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_item FOREIGN KEY (item_id) REFERENCES open_items (id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_order FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_undoes FOREIGN KEY (customer_id, undoes_id, order_id, item_id, currency, amount, account) REFERENCES write_offs (customer_id, id, order_id, item_id, currency, amount, account);

CREATE TRIGGER write_offs_no_update BEFORE UPDATE ON write_offs FOR EACH ROW EXECUTE FUNCTION allow_erasure_of_reason();
CREATE TRIGGER write_offs_no_delete BEFORE DELETE ON write_offs FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER write_offs_no_truncate BEFORE TRUNCATE ON write_offs FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE ON write_offs FROM crmgql_app;

-- At the commit: a write-off is what its entry posted, and one that undoes another is the reversal of its entry. What completes an
-- allocation is of the same receivable.
CREATE FUNCTION write_off_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM ledger_entries AS e JOIN postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
            JOIN open_items AS owed ON owed.id = NEW.item_id
        WHERE e.owner_id = NEW.customer_id AND e.id = NEW.entry_id AND e.phase = 'POSTED' AND e.size = 1
            AND e.source_type = 'WriteOff' AND e.source_id = coalesce(NEW.undoes_id, NEW.id)
            AND p.amount = NEW.amount AND p.currency = NEW.currency AND owed.order_id = NEW.order_id
            AND CASE WHEN NEW.undoes_id IS NULL
                THEN e.reverses_id IS NULL AND (p.credit_item_id, p.debit) = (NEW.item_id, NEW.account)
                ELSE (p.debit_item_id, p.credit) = (NEW.item_id, NEW.account) AND e.reverses_id = (
                    SELECT entry_id FROM write_offs WHERE customer_id = NEW.customer_id AND id = NEW.undoes_id) END
    ) OR NEW.allocation_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM allocations WHERE customer_id = NEW.customer_id AND id = NEW.allocation_id AND item_id = NEW.item_id
    ) THEN
        RAISE EXCEPTION 'write-off % is not what its entry posted', NEW.id
            USING ERRCODE = 'check_violation', TABLE = 'write_offs', CONSTRAINT = 'write_offs_posted';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER write_offs_posted AFTER INSERT ON write_offs DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION write_off_as_posted();

-- At the commit: an entry of a write-off, its reversal included, has its row.
CREATE FUNCTION write_off_is_recorded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM write_offs WHERE customer_id = NEW.owner_id AND entry_id = NEW.id) THEN
        RAISE EXCEPTION 'entry % writes off what no row says', NEW.id
            USING ERRCODE = 'check_violation', TABLE = 'write_offs', CONSTRAINT = 'write_offs_recorded';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER write_offs_recorded AFTER INSERT ON ledger_entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.source_type = 'WriteOff') EXECUTE FUNCTION write_off_is_recorded();
