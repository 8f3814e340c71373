-- Invoices, credit notes and the numbers that they have; what an allocation settles may be an invoice, what it takes from a credit
-- note. Rows that are there stay as they are: they name an order and a payment.

ALTER TABLE allocations DROP CONSTRAINT allocations_undoes;
ALTER TABLE allocations DROP CONSTRAINT allocations_figures;
CREATE TABLE credit_note_lines (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    position integer NOT NULL,
    description varchar(300) NOT NULL,
    quantity numeric(14,3),
    currency varchar(3) NOT NULL,
    net_amount numeric NOT NULL,
    credit_note_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    invoice_line_id uuid,
    CONSTRAINT credit_note_lines_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT credit_note_lines_net_amount_scale CHECK (amount_fits(net_amount, currency)),
    CONSTRAINT credit_note_lines_quantity_positive CHECK (quantity > 0),
    CONSTRAINT credit_note_lines_position UNIQUE (customer_id, credit_note_id, position)
);
CREATE TABLE credit_notes (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    number varchar(64),
    series varchar(10),
    year integer,
    n integer,
    before integer GENERATED ALWAYS AS (NULLIF((n - 1), 0)) STORED,
    issuer_name varchar(200),
    issuer_address varchar(1000),
    issuer_tax_id varchar(50),
    recipient_name varchar(200),
    recipient_address varchar(1000),
    recipient_tax_id varchar(50),
    reason varchar(1000) NOT NULL,
    currency varchar(3) NOT NULL,
    net_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    total_amount numeric NOT NULL,
    issued_on date NOT NULL,
    customer_id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    CONSTRAINT credit_notes_amounts_positive CHECK (net_amount >= 0 AND tax_amount >= 0 AND total_amount > 0),
    CONSTRAINT credit_notes_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT credit_notes_in_series CHECK (num_nulls(series, year, n) IN (0, 3) AND coalesce(n > 0, true)),
    CONSTRAINT credit_notes_issued CHECK (num_nulls(number, issuer_name, recipient_name) = 0),
    CONSTRAINT credit_notes_net_amount_scale CHECK (amount_fits(net_amount, currency)),
    CONSTRAINT credit_notes_tax_amount_scale CHECK (amount_fits(tax_amount, currency)),
    CONSTRAINT credit_notes_total CHECK (total_amount = net_amount + tax_amount),
    CONSTRAINT credit_notes_total_amount_scale CHECK (amount_fits(total_amount, currency)),
    CONSTRAINT credit_notes_customer_id UNIQUE (customer_id, id),
    CONSTRAINT credit_notes_number UNIQUE (number),
    CONSTRAINT credit_notes_sequence UNIQUE (series, year, n)
);
CREATE TABLE instalments (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    position integer NOT NULL,
    due_on date NOT NULL,
    currency varchar(3) NOT NULL,
    amount numeric NOT NULL,
    paid_before_amount numeric NOT NULL,
    item_id uuid,
    customer_id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    CONSTRAINT instalments_amount_positive CHECK (amount > 0 AND paid_before_amount BETWEEN 0 AND amount),
    CONSTRAINT instalments_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT instalments_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT instalments_item CHECK ((item_id IS NULL) = (paid_before_amount = amount)),
    CONSTRAINT instalments_paid_before_amount_scale CHECK (amount_fits(paid_before_amount, currency)),
    CONSTRAINT instalments_position UNIQUE (customer_id, invoice_id, position)
);
CREATE TABLE invoice_lines (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    position integer NOT NULL,
    description varchar(300) NOT NULL,
    quantity numeric(14,3) NOT NULL,
    currency varchar(3) NOT NULL,
    unit_price_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    shipping_amount numeric NOT NULL,
    line_amount numeric NOT NULL,
    net_amount numeric NOT NULL,
    customer_id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    order_line_id uuid,
    product_id uuid,
    CONSTRAINT invoice_lines_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT invoice_lines_discount_amount_scale CHECK (amount_fits(discount_amount, currency)),
    CONSTRAINT invoice_lines_line_amount_scale CHECK (amount_fits(line_amount, currency)),
    CONSTRAINT invoice_lines_net_amount_scale CHECK (amount_fits(net_amount, currency)),
    CONSTRAINT invoice_lines_quantity_positive CHECK (quantity > 0),
    CONSTRAINT invoice_lines_shipping_amount_scale CHECK (amount_fits(shipping_amount, currency)),
    CONSTRAINT invoice_lines_unit_price_amount_scale CHECK (amount_fits(unit_price_amount, currency)),
    CONSTRAINT invoice_lines_customer_id UNIQUE (customer_id, id),
    CONSTRAINT invoice_lines_position UNIQUE (customer_id, invoice_id, position)
);
CREATE TABLE invoices (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    number varchar(64),
    series varchar(10),
    year integer,
    n integer,
    before integer GENERATED ALWAYS AS (NULLIF((n - 1), 0)) STORED,
    issuer_name varchar(200),
    issuer_address varchar(1000),
    issuer_tax_id varchar(50),
    recipient_name varchar(200),
    recipient_address varchar(1000),
    recipient_tax_id varchar(50),
    order_revision integer,
    status varchar(20) NOT NULL DEFAULT 'DRAFT',
    currency varchar(3) NOT NULL,
    subtotal_amount numeric NOT NULL,
    shipping_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    total_amount numeric NOT NULL,
    credited_amount numeric NOT NULL DEFAULT 0,
    credited_tax_amount numeric NOT NULL DEFAULT 0,
    payment_terms varchar(200),
    issued_on date,
    due_on date,
    note varchar(2000),
    customer_id uuid NOT NULL,
    order_id uuid,
    CONSTRAINT invoices_amounts_positive CHECK (subtotal_amount >= 0 AND shipping_amount >= 0 AND tax_amount >= 0 AND discount_amount >= 0 AND total_amount > 0),
    CONSTRAINT invoices_credited CHECK (credited_amount BETWEEN 0 AND total_amount AND credited_tax_amount BETWEEN 0 AND tax_amount AND credited_amount - credited_tax_amount BETWEEN 0 AND total_amount - tax_amount),
    CONSTRAINT invoices_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT invoices_discount_amount_scale CHECK (amount_fits(discount_amount, currency)),
    CONSTRAINT invoices_due CHECK (due_on >= issued_on),
    CONSTRAINT invoices_in_series CHECK (num_nulls(series, year, n) IN (0, 3) AND coalesce(n > 0, true)),
    CONSTRAINT invoices_issued CHECK (CASE status WHEN 'ISSUED' THEN num_nulls(number, issued_on, due_on, issuer_name, recipient_name) = 0 ELSE num_nonnulls(number, issued_on, due_on, issuer_name, recipient_name, n) = 0 END),
    CONSTRAINT invoices_shipping_amount_scale CHECK (amount_fits(shipping_amount, currency)),
    CONSTRAINT invoices_status CHECK (status IN ('DRAFT', 'ISSUED', 'DISCARDED')),
    CONSTRAINT invoices_subtotal_amount_scale CHECK (amount_fits(subtotal_amount, currency)),
    CONSTRAINT invoices_tax_amount_scale CHECK (amount_fits(tax_amount, currency)),
    CONSTRAINT invoices_total CHECK (total_amount = subtotal_amount + shipping_amount + tax_amount - discount_amount),
    CONSTRAINT invoices_total_amount_scale CHECK (amount_fits(total_amount, currency)),
    CONSTRAINT invoices_customer_id UNIQUE (customer_id, id),
    CONSTRAINT invoices_number UNIQUE (number),
    CONSTRAINT invoices_sequence UNIQUE (series, year, n)
);
CREATE TABLE number_series (
    company_id uuid NOT NULL,
    kind varchar(20) NOT NULL,
    code varchar(10) NOT NULL,
    year integer NOT NULL,
    last_n integer NOT NULL,
    last_on date NOT NULL,
    CONSTRAINT number_series_kind CHECK (kind IN ('INVOICE', 'CREDIT_NOTE')),
    CONSTRAINT number_series_last_n CHECK (last_n > 0),
    CONSTRAINT number_series_pkey PRIMARY KEY (company_id, kind, code, year)
);
ALTER TABLE allocations ADD COLUMN credit_note_id uuid;
ALTER TABLE allocations ADD COLUMN invoice_id uuid;
ALTER TABLE allocations ALTER COLUMN order_id DROP NOT NULL;
ALTER TABLE allocations ALTER COLUMN payment_id DROP NOT NULL;
ALTER TABLE companies ADD COLUMN address varchar(1000);
ALTER TABLE companies ADD COLUMN tax_id varchar(50);
ALTER TABLE companies ADD COLUMN payment_terms varchar(200) NOT NULL DEFAULT 'NET 30';
ALTER TABLE customers ADD COLUMN billing_address varchar(1000);
ALTER TABLE customers ADD COLUMN tax_id varchar(50);
ALTER TABLE customers ADD COLUMN payment_terms varchar(200);
ALTER TABLE orders ADD COLUMN invoiced_amount numeric NOT NULL DEFAULT 0;
ALTER TABLE payments ADD COLUMN invoice_id uuid;
CREATE INDEX credit_note_lines_by_note ON credit_note_lines (customer_id, credit_note_id, position, id);
CREATE INDEX credit_note_lines_created ON credit_note_lines (created_at, id);
CREATE INDEX credit_note_lines_invoice_line_id ON credit_note_lines (customer_id, invoice_line_id, id);
CREATE INDEX credit_notes_by_customer ON credit_notes (customer_id, issued_on, id);
CREATE INDEX credit_notes_by_invoice ON credit_notes (customer_id, invoice_id, id);
CREATE INDEX credit_notes_created ON credit_notes (created_at, id);
CREATE INDEX credit_notes_issued_on ON credit_notes (issued_on, id);
CREATE UNIQUE INDEX credit_notes_origin ON credit_notes (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX instalments_created ON instalments (created_at, id);
CREATE INDEX instalments_by_invoice ON instalments (customer_id, invoice_id, position, id);
CREATE INDEX instalments_due_on ON instalments (due_on, id);
CREATE INDEX invoice_lines_created ON invoice_lines (created_at, id);
CREATE INDEX invoice_lines_by_invoice ON invoice_lines (customer_id, invoice_id, position, id);
CREATE INDEX invoice_lines_product ON invoice_lines (product_id, id);
CREATE INDEX invoices_by_customer ON invoices (customer_id, issued_on, id);
CREATE INDEX invoices_by_order ON invoices (customer_id, order_id, id);
CREATE INDEX invoices_created ON invoices (created_at, id);
CREATE INDEX invoices_due_on ON invoices (due_on, id);
CREATE INDEX invoices_issued_on ON invoices (issued_on, id);
CREATE UNIQUE INDEX invoices_one_draft ON invoices (customer_id, order_id) WHERE status = 'DRAFT';
CREATE UNIQUE INDEX invoices_origin ON invoices (source, external_id) WHERE external_id IS NOT NULL;
ALTER TABLE allocations ADD CONSTRAINT allocations_owed CHECK (num_nonnulls(order_id, invoice_id) > 0);
ALTER TABLE allocations ADD CONSTRAINT allocations_source CHECK (num_nonnulls(payment_id, credit_note_id) = 1);
CREATE INDEX allocations_by_credit_note ON allocations (customer_id, credit_note_id, id);
CREATE INDEX allocations_by_invoice ON allocations (customer_id, invoice_id, id);
ALTER TABLE allocations ADD CONSTRAINT allocations_figures UNIQUE (customer_id, id, item_id, source_item_id, currency, amount, paid_currency, paid_amount);
CREATE INDEX open_items_credit_note ON open_items (customer_id, credit_note_id, id);
CREATE INDEX open_items_invoice ON open_items (customer_id, invoice_id, id);
ALTER TABLE orders ADD CONSTRAINT orders_invoiced CHECK (invoiced_amount BETWEEN 0 AND total_amount);
CREATE INDEX payments_invoice ON payments (customer_id, invoice_id, received_at, id);
ALTER TABLE credit_note_lines ADD CONSTRAINT credit_note_lines_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE credit_note_lines ADD CONSTRAINT credit_note_lines_invoice_line FOREIGN KEY (customer_id, invoice_line_id) REFERENCES invoice_lines (customer_id, id);
ALTER TABLE credit_note_lines ADD CONSTRAINT credit_note_lines_note FOREIGN KEY (customer_id, credit_note_id) REFERENCES credit_notes (customer_id, id);
ALTER TABLE credit_notes ADD CONSTRAINT credit_notes_before FOREIGN KEY (series, year, before) REFERENCES credit_notes (series, year, n);
ALTER TABLE credit_notes ADD CONSTRAINT credit_notes_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE credit_notes ADD CONSTRAINT credit_notes_invoice FOREIGN KEY (customer_id, invoice_id) REFERENCES invoices (customer_id, id);
ALTER TABLE instalments ADD CONSTRAINT instalments_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE instalments ADD CONSTRAINT instalments_invoice FOREIGN KEY (customer_id, invoice_id) REFERENCES invoices (customer_id, id);
ALTER TABLE instalments ADD CONSTRAINT instalments_item_id FOREIGN KEY (item_id) REFERENCES open_items (id);
ALTER TABLE invoice_lines ADD CONSTRAINT invoice_lines_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE invoice_lines ADD CONSTRAINT invoice_lines_invoice FOREIGN KEY (customer_id, invoice_id) REFERENCES invoices (customer_id, id);
ALTER TABLE invoice_lines ADD CONSTRAINT invoice_lines_product_id_fkey FOREIGN KEY (product_id) REFERENCES products (id);
ALTER TABLE invoices ADD CONSTRAINT invoices_before FOREIGN KEY (series, year, before) REFERENCES invoices (series, year, n);
ALTER TABLE invoices ADD CONSTRAINT invoices_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE invoices ADD CONSTRAINT invoices_order_currency FOREIGN KEY (order_id, currency) REFERENCES orders (id, currency);
ALTER TABLE invoices ADD CONSTRAINT invoices_order_customer FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE number_series ADD CONSTRAINT number_series_company_id_fkey FOREIGN KEY (company_id) REFERENCES companies (id);
ALTER TABLE allocations ADD CONSTRAINT allocations_credit_note FOREIGN KEY (customer_id, credit_note_id) REFERENCES credit_notes (customer_id, id);
ALTER TABLE allocations ADD CONSTRAINT allocations_invoice FOREIGN KEY (customer_id, invoice_id) REFERENCES invoices (customer_id, id);
ALTER TABLE allocations ADD CONSTRAINT allocations_undoes FOREIGN KEY (customer_id, undoes_id, item_id, source_item_id, currency, amount, paid_currency, paid_amount) REFERENCES allocations (customer_id, id, item_id, source_item_id, currency, amount, paid_currency, paid_amount);
ALTER TABLE open_items ADD CONSTRAINT open_items_credit_note_id FOREIGN KEY (customer_id, credit_note_id) REFERENCES credit_notes (customer_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE open_items ADD CONSTRAINT open_items_invoice_id FOREIGN KEY (customer_id, invoice_id) REFERENCES invoices (customer_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE payments ADD CONSTRAINT payments_invoice_customer FOREIGN KEY (customer_id, invoice_id) REFERENCES invoices (customer_id, id);

-- An invoice that is issued or discarded stays as it is; of an issued one what was credited is added up, by the trigger below. Nor is a
-- line added to it.
CREATE FUNCTION invoice_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- What is generated is not known before the row is written.
    IF to_jsonb(NEW) - '{before,credited_amount,credited_tax_amount}'::text[]
        IS DISTINCT FROM to_jsonb(OLD) - '{before,credited_amount,credited_tax_amount}'::text[] THEN
        RAISE EXCEPTION 'invoice % is % and stays as it is', OLD.id, OLD.status
            USING ERRCODE = 'check_violation', TABLE = 'invoices', CONSTRAINT = 'invoices_kept';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER invoices_kept BEFORE UPDATE ON invoices FOR EACH ROW WHEN (OLD.status <> 'DRAFT') EXECUTE FUNCTION invoice_is_kept();
CREATE FUNCTION invoice_takes_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM invoices WHERE customer_id = NEW.customer_id AND id = NEW.invoice_id AND status = 'DRAFT') THEN
        RAISE EXCEPTION 'invoice % is no draft and takes no line', NEW.invoice_id
            USING ERRCODE = 'check_violation', TABLE = 'invoice_lines', CONSTRAINT = 'invoice_lines_of_draft';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER invoice_lines_of_draft BEFORE INSERT ON invoice_lines FOR EACH ROW EXECUTE FUNCTION invoice_takes_line();

CREATE TRIGGER invoices_no_delete BEFORE DELETE ON invoices FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER invoices_no_truncate BEFORE TRUNCATE ON invoices FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER invoice_lines_no_change BEFORE UPDATE OR DELETE ON invoice_lines FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER invoice_lines_no_truncate BEFORE TRUNCATE ON invoice_lines FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER instalments_no_change BEFORE UPDATE OR DELETE ON instalments FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER instalments_no_truncate BEFORE TRUNCATE ON instalments FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER credit_notes_no_change BEFORE UPDATE OR DELETE ON credit_notes FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER credit_notes_no_truncate BEFORE TRUNCATE ON credit_notes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER credit_note_lines_no_change BEFORE UPDATE OR DELETE ON credit_note_lines FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER credit_note_lines_no_truncate BEFORE TRUNCATE ON credit_note_lines FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE ON invoices, number_series FROM crmgql_app;
REVOKE UPDATE, DELETE ON invoice_lines, instalments, credit_notes, credit_note_lines FROM crmgql_app;

-- Sums that a constraint looks at: what of an order is invoiced, what of an invoice is credited.
CREATE FUNCTION add_invoiced() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE orders SET invoiced_amount = invoiced_amount + NEW.total_amount WHERE customer_id = NEW.customer_id AND id = NEW.order_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER invoices_add_new AFTER INSERT ON invoices FOR EACH ROW
    WHEN (NEW.status = 'ISSUED' AND NEW.order_id IS NOT NULL) EXECUTE FUNCTION add_invoiced();
CREATE TRIGGER invoices_add AFTER UPDATE OF status ON invoices FOR EACH ROW
    WHEN (NEW.status = 'ISSUED' AND OLD.status <> 'ISSUED' AND NEW.order_id IS NOT NULL) EXECUTE FUNCTION add_invoiced();
CREATE FUNCTION add_credited() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE invoices SET credited_amount = credited_amount + NEW.total_amount, credited_tax_amount = credited_tax_amount + NEW.tax_amount
    WHERE customer_id = NEW.customer_id AND id = NEW.invoice_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER credit_notes_add AFTER INSERT ON credit_notes FOR EACH ROW EXECUTE FUNCTION add_credited();
CREATE TRIGGER orders_invoiced_kept BEFORE UPDATE OF invoiced_amount ON orders FOR EACH STATEMENT EXECUTE FUNCTION kept_by_trigger();
CREATE TRIGGER orders_invoiced_new BEFORE INSERT ON orders FOR EACH ROW WHEN (NEW.invoiced_amount <> 0) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER invoices_credited_kept BEFORE UPDATE OF credited_amount, credited_tax_amount ON invoices
    FOR EACH STATEMENT EXECUTE FUNCTION kept_by_trigger();
CREATE TRIGGER invoices_credited_new BEFORE INSERT ON invoices FOR EACH ROW
    WHEN (NEW.credited_amount <> 0 OR NEW.credited_tax_amount <> 0) EXECUTE FUNCTION refuse_change();

-- What is wrong with an invoice that is issued: its lines and instalments sum to it, and what is owed of each instalment is what the
-- invoice's entry made its item. Nothing if it is as it should be.
CREATE FUNCTION invoice_mistake(customer uuid, invoice uuid) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    issued invoices;
    entry uuid;
    lines record;
    parts record;
BEGIN
    SELECT * INTO issued FROM invoices WHERE customer_id = customer AND id = invoice AND status = 'ISSUED';
    SELECT count(*) AS n, sum(amount) AS amount, max(due_on) AS due_on INTO parts FROM instalments WHERE customer_id = customer AND invoice_id = invoice;
    IF issued IS NULL THEN
        RETURN CASE WHEN parts.n > 0 THEN 'it has instalments and is not issued' END;
    END IF;
    SELECT count(*) AS n, sum(line_amount) AS line, sum(shipping_amount) AS shipping, sum(net_amount) AS net INTO lines
    FROM invoice_lines WHERE customer_id = customer AND invoice_id = invoice;
    IF lines.n > 0 AND (lines.line, lines.shipping, lines.net) <> (issued.subtotal_amount, issued.shipping_amount, issued.total_amount - issued.tax_amount) THEN
        RETURN 'its lines do not sum to it';
    END IF;
    IF (parts.amount, parts.due_on) IS DISTINCT FROM (issued.total_amount, issued.due_on) THEN
        RETURN 'its instalments do not sum to it';
    END IF;
    SELECT id INTO entry FROM ledger_entries
    WHERE owner_id = customer AND key = 'invoice ' || invoice AND source_type = 'Invoice' AND source_id = invoice AND phase = 'POSTED';
    IF EXISTS (
        SELECT FROM instalments AS part LEFT JOIN open_items AS item ON item.id = part.item_id
        WHERE part.customer_id = customer AND part.invoice_id = invoice AND part.item_id IS NOT NULL AND (
            (item.customer_id, item.purpose, item.currency, item.due_on, item.invoice_id) IS DISTINCT FROM (customer, 'RECEIVABLE', part.currency, part.due_on, invoice)
            OR item.order_id IS DISTINCT FROM issued.order_id
            OR part.amount - part.paid_before_amount IS DISTINCT FROM (
                SELECT sum(amount) FROM postings WHERE owner_id = customer AND entry_id = entry AND debit_item_id = item.id))
    ) OR EXISTS (
        SELECT FROM postings WHERE owner_id = customer AND entry_id = entry AND debit_item_id IS NULL
            OR owner_id = customer AND entry_id = entry AND debit_item_id NOT IN (
                SELECT item_id FROM instalments WHERE customer_id = customer AND invoice_id = invoice AND item_id IS NOT NULL)
    ) THEN
        RETURN 'it is not what its entry posted';
    END IF;
    RETURN NULL;
END
$$;
-- What is wrong with a credit note: its lines sum to its net, and its entry took net and tax from what is owed of its invoice, or made
-- the customer's credit of it.
CREATE FUNCTION credit_note_mistake(customer uuid, note uuid) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    made credit_notes;
    posted record;
BEGIN
    SELECT * INTO made FROM credit_notes WHERE customer_id = customer AND id = note;
    IF (SELECT sum(net_amount) FROM credit_note_lines WHERE customer_id = customer AND credit_note_id = note) <> made.net_amount THEN
        RETURN 'its lines do not sum to it';
    END IF;
    SELECT coalesce(sum(amount) FILTER (WHERE debit IN ('REFUNDS', 'DEFERRED')), 0) AS net, coalesce(sum(amount) FILTER (WHERE debit = 'TAX'), 0) AS tax,
        bool_and(item.customer_id = customer AND p.currency = made.currency AND CASE item.purpose
            WHEN 'RECEIVABLE' THEN item.invoice_id = made.invoice_id WHEN 'CREDIT' THEN item.credit_note_id = note ELSE false END) AS fits
    INTO posted FROM ledger_entries AS e JOIN postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
        LEFT JOIN open_items AS item ON item.id = p.credit_item_id
    WHERE e.owner_id = customer AND e.key = 'credit note ' || note AND e.source_type = 'CreditNote' AND e.source_id = note AND e.phase = 'POSTED';
    IF posted.fits IS NOT TRUE OR (posted.net, posted.tax) <> (made.net_amount, made.tax_amount) THEN
        RETURN 'it is not what its entry posted';
    END IF;
    RETURN NULL;
END
$$;

-- At the commit: both are what was posted.
CREATE FUNCTION invoice_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    invoice uuid := CASE TG_TABLE_NAME WHEN 'invoices' THEN NEW.id ELSE (to_jsonb(NEW) ->> 'invoice_id')::uuid END;
    mistake text := invoice_mistake(NEW.customer_id, invoice);
BEGIN
    IF mistake IS NOT NULL THEN
        RAISE EXCEPTION 'invoice %: %', invoice, mistake USING ERRCODE = 'check_violation', TABLE = 'invoices', CONSTRAINT = 'invoices_posted';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER invoices_posted_new AFTER INSERT ON invoices DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.status = 'ISSUED') EXECUTE FUNCTION invoice_as_posted();
CREATE CONSTRAINT TRIGGER invoices_posted AFTER UPDATE OF status ON invoices DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.status = 'ISSUED') EXECUTE FUNCTION invoice_as_posted();
CREATE CONSTRAINT TRIGGER instalments_posted AFTER INSERT ON instalments DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION invoice_as_posted();
CREATE FUNCTION credit_note_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    note uuid := CASE TG_TABLE_NAME WHEN 'credit_notes' THEN NEW.id ELSE (to_jsonb(NEW) ->> 'credit_note_id')::uuid END;
    mistake text := credit_note_mistake(NEW.customer_id, note);
BEGIN
    IF mistake IS NOT NULL THEN
        RAISE EXCEPTION 'credit note %: %', note, mistake USING ERRCODE = 'check_violation', TABLE = 'credit_notes', CONSTRAINT = 'credit_notes_posted';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER credit_notes_posted AFTER INSERT ON credit_notes DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION credit_note_as_posted();
CREATE CONSTRAINT TRIGGER credit_note_lines_posted AFTER INSERT ON credit_note_lines DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION credit_note_as_posted();

-- A payment that is received keeps the invoice that it was for, too.
DROP TRIGGER payments_kept ON payments;
CREATE CONSTRAINT TRIGGER payments_kept AFTER UPDATE OF order_id, invoice_id, provider, received_at ON payments DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.status = 'RECEIVED' AND OLD.amount > 0 AND (OLD.order_id, OLD.invoice_id, OLD.provider, OLD.received_at)
        IS DISTINCT FROM (NEW.order_id, NEW.invoice_id, NEW.provider, NEW.received_at)) EXECUTE FUNCTION payment_is_kept();
CREATE OR REPLACE FUNCTION payment_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payment % is received and in the books; its order, invoice, provider and time stay as they are', NEW.id
        USING ERRCODE = 'check_violation', TABLE = 'payments', CONSTRAINT = 'payments_kept';
END
$$;

-- At the commit: an allocation is what its entry posted between its two items, which are of its documents, in another currency over EXCHANGE;
-- and one that undoes another is the reversal of its entry.
CREATE OR REPLACE FUNCTION allocation_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM ledger_entries AS e JOIN open_items AS owed ON owed.id = NEW.item_id JOIN open_items AS source ON source.id = NEW.source_item_id
        WHERE e.owner_id = NEW.customer_id AND e.id = NEW.entry_id AND e.phase = 'POSTED'
            AND (owed.order_id, owed.invoice_id) IS NOT DISTINCT FROM (NEW.order_id, NEW.invoice_id)
            AND (source.payment_id, source.credit_note_id) IS NOT DISTINCT FROM (NEW.payment_id, NEW.credit_note_id)
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

-- At the commit: the newest record of an order has the figures of what was posted for the order, but by credit notes (which
-- take tax back from what is owed), its lines, and the schedule of what is deferred, and is the order's.
CREATE OR REPLACE FUNCTION revenue_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    posted record;
BEGIN
    IF EXISTS (SELECT FROM revenue_records WHERE customer_id = NEW.customer_id AND order_id = NEW.order_id AND revision > NEW.revision) THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(sum(moves.amount) FILTER (WHERE moves.other IN ('REVENUE', 'DEFERRED')), 0) AS net,
        coalesce(sum(moves.amount) FILTER (WHERE moves.other = 'DEFERRED'), 0) AS deferred,
        coalesce(sum(moves.amount) FILTER (WHERE moves.other = 'SHIPPING'), 0) AS shipping, coalesce(sum(moves.amount) FILTER (WHERE moves.other = 'TAX'), 0) AS tax
    INTO posted FROM open_items AS item, LATERAL (
        SELECT entry_id, credit AS other, amount FROM postings WHERE debit_item_id = item.id AND phase = 'POSTED'
        UNION ALL
        SELECT entry_id, debit, -amount FROM postings WHERE credit_item_id = item.id AND phase = 'POSTED'
    ) AS moves
    WHERE item.customer_id = NEW.customer_id AND item.order_id = NEW.order_id AND item.purpose = 'RECEIVABLE'
        AND 'CreditNote' <> (SELECT source_type FROM ledger_entries WHERE id = moves.entry_id);  -- by its key: a customer may have thousands
    IF (posted.net, posted.shipping, posted.tax) <> (NEW.subtotal_amount - NEW.discount_amount, NEW.shipping_amount, NEW.tax_amount) THEN
        RAISE EXCEPTION 'revenue record % of order % does not have the figures that were posted', NEW.revision, NEW.order_id
            USING ERRCODE = 'check_violation', TABLE = 'revenue_records', CONSTRAINT = 'revenue_records_posted';
    END IF;
    IF posted.deferred <> (
        SELECT coalesce(sum(amount), 0) FROM recognition_schedules
        WHERE customer_id = NEW.customer_id AND order_id = NEW.order_id AND revision = NEW.revision
    ) THEN
        RAISE EXCEPTION 'revenue record % of order % does not have the schedule of what is deferred', NEW.revision, NEW.order_id
            USING ERRCODE = 'check_violation', TABLE = 'revenue_records', CONSTRAINT = 'revenue_records_scheduled';
    END IF;
    IF EXISTS (
        SELECT FROM orders WHERE customer_id = NEW.customer_id AND id = NEW.order_id AND committed AND (
            revenue_revision <> NEW.revision OR NOT lines_as_booked(customer_id, id, revenue_revision))
    ) THEN
        RAISE EXCEPTION 'revenue record % is not that of order % and its lines', NEW.revision, NEW.order_id
            USING ERRCODE = 'check_violation', TABLE = 'revenue_records', CONSTRAINT = 'revenue_records_lines';
    END IF;
    RETURN NULL;
END
$$;
