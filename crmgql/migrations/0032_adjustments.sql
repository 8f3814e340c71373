-- Write-offs: what of orders and invoices nobody asks for any more, by hand or up to the company's tolerance.

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
    invoice_id uuid,
    order_id uuid,
    undoes_id uuid,
    CONSTRAINT write_offs_account CHECK (account IN ('WRITE_OFF', 'ROUNDING')),
    CONSTRAINT write_offs_amount_positive CHECK (amount > 0),
    CONSTRAINT write_offs_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT write_offs_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT write_offs_entry_once UNIQUE (customer_id, entry_id),
    CONSTRAINT write_offs_figures UNIQUE (customer_id, id, item_id, currency, amount, account),
    CONSTRAINT write_offs_owed CHECK (num_nonnulls(order_id, invoice_id) > 0),
    CONSTRAINT write_offs_undone_once UNIQUE (customer_id, undoes_id)
);
ALTER TABLE companies ADD COLUMN write_off_tolerances jsonb NOT NULL DEFAULT '{}';
CREATE INDEX write_offs_by_allocation ON write_offs (customer_id, allocation_id);
CREATE INDEX write_offs_by_invoice ON write_offs (customer_id, invoice_id, id);
CREATE INDEX write_offs_by_order ON write_offs (customer_id, order_id, id);
CREATE INDEX write_offs_created ON write_offs (created_at, id);
ALTER TABLE allocations ADD CONSTRAINT allocations_customer_id UNIQUE (customer_id, id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_allocation FOREIGN KEY (customer_id, allocation_id) REFERENCES allocations (customer_id, id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_entry FOREIGN KEY (customer_id, entry_id) REFERENCES ledger_entries (owner_id, id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_invoice FOREIGN KEY (customer_id, invoice_id) REFERENCES invoices (customer_id, id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_item FOREIGN KEY (item_id) REFERENCES open_items (id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_order FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE write_offs ADD CONSTRAINT write_offs_undoes FOREIGN KEY (customer_id, undoes_id, item_id, currency, amount, account) REFERENCES write_offs (customer_id, id, item_id, currency, amount, account);

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
            AND p.amount = NEW.amount AND p.currency = NEW.currency AND (owed.order_id, owed.invoice_id) IS NOT DISTINCT FROM (NEW.order_id, NEW.invoice_id)
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

-- Money of which nobody knows whose it is: the company's, until it is a customer's payment, or goes back.

CREATE TABLE suspense_receipts (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    amount numeric NOT NULL,
    currency varchar(3) NOT NULL,
    method varchar(20) NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'OPEN',
    status_reason varchar(1000),
    received_at timestamptz NOT NULL,
    ended_at timestamptz,
    payer varchar(200),
    reference varchar(100),
    provider varchar(50),
    provider_reference varchar(200),
    CONSTRAINT suspense_receipts_amount_positive CHECK (amount > 0),
    CONSTRAINT suspense_receipts_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT suspense_receipts_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT suspense_receipts_ended CHECK ((ended_at IS NULL) = (status = 'OPEN')),
    CONSTRAINT suspense_receipts_method CHECK (method IN ('CREDIT_CARD', 'DEBIT_CARD', 'BANK_TRANSFER', 'DIRECT_DEBIT', 'BOLETO', 'VOUCHER', 'WALLET', 'CASH', 'CHECK', 'OTHER')),
    CONSTRAINT suspense_receipts_status CHECK (status IN ('OPEN', 'ASSIGNED', 'RETURNED')),
    CONSTRAINT suspense_receipts_provider_reference UNIQUE (provider, provider_reference)
);
ALTER TABLE payments ADD COLUMN suspense_id uuid;
CREATE INDEX suspense_receipts_created ON suspense_receipts (created_at, id);
CREATE UNIQUE INDEX suspense_receipts_origin ON suspense_receipts (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX suspense_receipts_received ON suspense_receipts (received_at, id);
CREATE INDEX open_items_suspense ON open_items (suspense_id) WHERE suspense_id IS NOT NULL;
CREATE UNIQUE INDEX payments_suspense_once ON payments (suspense_id) WHERE suspense_id IS NOT NULL;
ALTER TABLE open_items ADD CONSTRAINT open_items_suspense FOREIGN KEY (suspense_id) REFERENCES suspense_receipts (id);
ALTER TABLE payments ADD CONSTRAINT payments_suspense_id_fkey FOREIGN KEY (suspense_id) REFERENCES suspense_receipts (id);

CREATE TRIGGER suspense_receipts_kept BEFORE UPDATE ON suspense_receipts FOR EACH ROW WHEN (
        (OLD.amount, OLD.currency, OLD.method, OLD.received_at) <> (NEW.amount, NEW.currency, NEW.method, NEW.received_at)
        OR (OLD.provider, OLD.provider_reference) IS DISTINCT FROM (NEW.provider, NEW.provider_reference)
        OR OLD.status <> NEW.status AND OLD.status <> 'OPEN')
    EXECUTE FUNCTION refuse_change();
CREATE TRIGGER suspense_receipts_no_delete BEFORE DELETE ON suspense_receipts FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER suspense_receipts_no_truncate BEFORE TRUNCATE ON suspense_receipts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE ON suspense_receipts FROM crmgql_app;

-- A provider's payment is a customer's or lies in suspense: it is not recorded twice.
CREATE FUNCTION refuse_second_receipt() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_there boolean;
BEGIN
    IF TG_TABLE_NAME = 'payments' THEN
        is_there := EXISTS (SELECT FROM suspense_receipts WHERE provider = NEW.provider AND provider_reference = NEW.provider_reference
            AND id IS DISTINCT FROM (to_jsonb(NEW) ->> 'suspense_id')::uuid);
    ELSE
        is_there := EXISTS (SELECT FROM payments WHERE provider = NEW.provider AND provider_reference = NEW.provider_reference);
    END IF;
    IF is_there THEN
        RAISE EXCEPTION 'payment % of % is recorded already', NEW.provider_reference, NEW.provider
            USING ERRCODE = 'unique_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_TABLE_NAME || '_provider_reference';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER payments_not_in_suspense AFTER INSERT OR UPDATE OF provider, provider_reference ON payments FOR EACH ROW
    WHEN (NEW.provider_reference IS NOT NULL) EXECUTE FUNCTION refuse_second_receipt();
CREATE TRIGGER suspense_receipts_not_paid AFTER INSERT ON suspense_receipts FOR EACH ROW
    WHEN (NEW.provider_reference IS NOT NULL) EXECUTE FUNCTION refuse_second_receipt();

-- At the commit: money in suspense is in the company's books as its status says. What it was assigned to is a payment with all of
-- it, which took it over at the same base amount.
CREATE FUNCTION suspense_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject uuid := to_jsonb(NEW) ->> TG_ARGV[0];
    receipt suspense_receipts;
    moved record;
    paid record;
BEGIN
    SELECT * INTO receipt FROM suspense_receipts WHERE id = subject;
    SELECT coalesce(sum(p.amount) FILTER (WHERE p.way = 1 AND p.other IN ('BANK', 'CLEARING')), 0) AS received,
        coalesce(sum(p.amount) FILTER (WHERE p.way = -1 AND p.other IN ('BANK', 'CLEARING')), 0) AS returned,
        coalesce(sum(p.amount) FILTER (WHERE p.way = -1 AND p.other = 'TRANSFER'), 0) AS assigned,
        coalesce(sum(p.base_amount) FILTER (WHERE p.way = -1 AND p.other = 'TRANSFER'), 0) AS assigned_base,
        coalesce(sum(p.way * p.amount), 0) AS open
    INTO moved
    FROM (SELECT * FROM open_items WHERE suspense_id = subject OFFSET 0) AS item, LATERAL (
        SELECT 1 AS way, debit AS other, amount, base_amount FROM postings WHERE credit_item_id = item.id AND phase = 'POSTED'
        UNION ALL
        SELECT -1, credit, amount, base_amount FROM postings WHERE debit_item_id = item.id AND phase = 'POSTED'
    ) AS p
    WHERE item.purpose = 'SUSPENSE' AND item.customer_id IS NULL AND item.currency = receipt.currency;
    SELECT coalesce(sum(p.amount), 0) AS amount, coalesce(sum(p.base_amount), 0) AS base INTO paid
    FROM payments JOIN open_items AS item ON item.payment_id = payments.id AND item.purpose = 'UNEARNED'
        JOIN postings AS p ON p.credit_item_id = item.id AND p.phase = 'POSTED' AND p.debit = 'TRANSFER'
    WHERE payments.suspense_id = subject AND payments.status = 'RECEIVED' AND payments.currency = receipt.currency;
    IF (moved.received, moved.returned, moved.assigned, moved.open, paid.amount, paid.base) IS DISTINCT FROM (receipt.amount,
        CASE receipt.status WHEN 'RETURNED' THEN receipt.amount ELSE 0 END, CASE receipt.status WHEN 'ASSIGNED' THEN receipt.amount ELSE 0 END,
        CASE receipt.status WHEN 'OPEN' THEN receipt.amount ELSE 0 END, moved.assigned, moved.assigned_base) THEN
        RAISE EXCEPTION 'suspense % is not what the books say: it is %, % of it is open and % is paid', subject, receipt.status,
            moved.open, paid.amount
            USING ERRCODE = 'check_violation', TABLE = 'suspense_receipts', CONSTRAINT = 'suspense_receipts_posted';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER suspense_receipts_posted AFTER INSERT OR UPDATE OF status ON suspense_receipts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION suspense_as_posted('id');
CREATE CONSTRAINT TRIGGER suspense_receipts_entered AFTER INSERT ON ledger_entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.source_type = 'SuspenseReceipt') EXECUTE FUNCTION suspense_as_posted('source_id');
CREATE CONSTRAINT TRIGGER suspense_receipts_paid AFTER INSERT OR UPDATE OF suspense_id, status ON payments DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.suspense_id IS NOT NULL) EXECUTE FUNCTION suspense_as_posted('suspense_id');
CREATE CONSTRAINT TRIGGER payments_suspense_kept AFTER UPDATE OF suspense_id ON payments DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.suspense_id IS DISTINCT FROM NEW.suspense_id) EXECUTE FUNCTION payment_is_kept();
