-- Our accounts at banks, their statements, the lines of these, and what each may be.

CREATE TABLE bank_accounts (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    name varchar(100) NOT NULL,
    number varchar(50) NOT NULL,
    currency varchar(3) NOT NULL,
    layout jsonb,
    CONSTRAINT bank_accounts_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT bank_accounts_number_plain CHECK (number ~ '^[^[:space:]]+$' AND number = upper(number)),
    CONSTRAINT bank_accounts_currency UNIQUE (id, currency),
    CONSTRAINT bank_accounts_number UNIQUE (number, currency)
);
CREATE TABLE bank_lines (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    key varchar(64) NOT NULL,
    booked_on date NOT NULL,
    value_on date,
    amount numeric NOT NULL,
    currency varchar(3) NOT NULL,
    name varchar(500),
    counterparty varchar(500),
    texts text[] NOT NULL,
    end_to_end_id varchar(500),
    bank_id varchar(1100),
    kind varchar(500),
    is_reversal boolean NOT NULL,
    place varchar(100) NOT NULL,
    status varchar(10) NOT NULL DEFAULT 'OPEN',
    status_reason varchar(1000),
    settled_at timestamptz,
    account_id uuid NOT NULL,
    customer_id uuid,
    payment_id uuid,
    refund_id uuid,
    statement_id uuid NOT NULL,
    suspense_id uuid,
    CONSTRAINT bank_lines_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT bank_lines_booked CHECK ((status = 'BOOKED') = (num_nonnulls(payment_id, refund_id) = 1)),
    CONSTRAINT bank_lines_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT bank_lines_ignored CHECK ((status = 'IGNORED') = (status_reason IS NOT NULL)),
    CONSTRAINT bank_lines_moves CHECK (amount <> 0),
    CONSTRAINT bank_lines_settled CHECK ((status = 'OPEN') = (settled_at IS NULL)),
    CONSTRAINT bank_lines_status CHECK (status IN ('OPEN', 'BOOKED', 'SUSPENSE', 'IGNORED')),
    CONSTRAINT bank_lines_suspended CHECK ((status = 'SUSPENSE') = (suspense_id IS NOT NULL)),
    CONSTRAINT bank_lines_whose CHECK ((customer_id IS NULL) = (num_nonnulls(payment_id, refund_id) = 0)),
    CONSTRAINT bank_lines_once UNIQUE (account_id, key)
);
CREATE TABLE bank_statements (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    digest varchar(64) NOT NULL,
    format varchar(10) NOT NULL,
    reference varchar(500),
    currency varchar(3) NOT NULL,
    opening_amount numeric,
    opening_on date,
    moved_amount numeric NOT NULL,
    closing_amount numeric,
    closing_on date,
    first_on date,
    last_on date,
    line_count integer NOT NULL,
    known_count integer NOT NULL,
    skipped_count integer NOT NULL,
    account_id uuid NOT NULL,
    CONSTRAINT bank_statements_balanced CHECK (opening_amount + moved_amount = closing_amount),
    CONSTRAINT bank_statements_closing CHECK ((closing_amount IS NULL) = (closing_on IS NULL)),
    CONSTRAINT bank_statements_closing_amount_scale CHECK (amount_fits(closing_amount, currency)),
    CONSTRAINT bank_statements_counts CHECK (known_count BETWEEN 0 AND line_count AND skipped_count >= 0),
    CONSTRAINT bank_statements_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT bank_statements_format CHECK (format IN ('CAMT_053', 'CSV')),
    CONSTRAINT bank_statements_moved_amount_scale CHECK (amount_fits(moved_amount, currency)),
    CONSTRAINT bank_statements_opening CHECK ((opening_amount IS NULL) = (opening_on IS NULL)),
    CONSTRAINT bank_statements_opening_amount_scale CHECK (amount_fits(opening_amount, currency)),
    CONSTRAINT bank_statements_account UNIQUE (account_id, id),
    CONSTRAINT bank_statements_once UNIQUE (account_id, digest)
);
CREATE TABLE bank_suggestions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    n integer NOT NULL,
    certainty varchar(10) NOT NULL,
    basis varchar(10) NOT NULL,
    reasons text[] NOT NULL,
    labels text[] NOT NULL,
    currency varchar(3) NOT NULL,
    amount numeric NOT NULL,
    rest_amount numeric NOT NULL,
    short_amount numeric NOT NULL,
    item_ids uuid[] NOT NULL,
    customer_id uuid NOT NULL,
    invoice_id uuid,
    line_id uuid NOT NULL,
    order_id uuid,
    payment_id uuid,
    refund_id uuid,
    CONSTRAINT bank_suggestions_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT bank_suggestions_basis CHECK (basis IN ('REFERENCE', 'AMOUNT', 'SUM', 'OLDEST_DUE')),
    CONSTRAINT bank_suggestions_certainty CHECK (certainty IN ('CERTAIN', 'LIKELY', 'POSSIBLE')),
    CONSTRAINT bank_suggestions_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT bank_suggestions_rest_amount_scale CHECK (amount_fits(rest_amount, currency)),
    CONSTRAINT bank_suggestions_short_amount_scale CHECK (amount_fits(short_amount, currency)),
    CONSTRAINT bank_suggestions_n UNIQUE (line_id, n)
);
CREATE INDEX bank_accounts_created ON bank_accounts (created_at, id);
CREATE UNIQUE INDEX bank_accounts_name ON bank_accounts (lower(name));
CREATE UNIQUE INDEX bank_accounts_origin ON bank_accounts (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX bank_lines_booked_on ON bank_lines (booked_on, id);
CREATE INDEX bank_lines_by_account ON bank_lines (account_id, id);
CREATE INDEX bank_lines_by_statement ON bank_lines (statement_id, id);
CREATE INDEX bank_lines_by_status ON bank_lines (status, id);
CREATE INDEX bank_lines_created ON bank_lines (created_at, id);
CREATE INDEX bank_lines_of_customer ON bank_lines (customer_id, id) WHERE customer_id IS NOT NULL;
CREATE UNIQUE INDEX bank_lines_origin ON bank_lines (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX bank_lines_payment_once ON bank_lines (payment_id) WHERE payment_id IS NOT NULL;
CREATE UNIQUE INDEX bank_lines_refund_once ON bank_lines (refund_id) WHERE refund_id IS NOT NULL;
CREATE UNIQUE INDEX bank_lines_suspense_once ON bank_lines (suspense_id) WHERE suspense_id IS NOT NULL;
CREATE INDEX bank_statements_by_account ON bank_statements (account_id, id);
CREATE INDEX bank_statements_created ON bank_statements (created_at, id);
CREATE INDEX bank_suggestions_by_invoice ON bank_suggestions (invoice_id, id) WHERE invoice_id IS NOT NULL;
CREATE INDEX bank_suggestions_by_order ON bank_suggestions (order_id, id) WHERE order_id IS NOT NULL;
CREATE INDEX bank_suggestions_by_payment ON bank_suggestions (payment_id, id) WHERE payment_id IS NOT NULL;
CREATE INDEX bank_suggestions_by_refund ON bank_suggestions (refund_id, id) WHERE refund_id IS NOT NULL;
CREATE INDEX bank_suggestions_created ON bank_suggestions (created_at, id);
CREATE INDEX bank_suggestions_of_customer ON bank_suggestions (customer_id, id);
ALTER TABLE refunds ADD CONSTRAINT refunds_customer_id UNIQUE (customer_id, id);
ALTER TABLE bank_lines ADD CONSTRAINT bank_lines_account_id_fkey FOREIGN KEY (account_id) REFERENCES bank_accounts (id);
ALTER TABLE bank_lines ADD CONSTRAINT bank_lines_currency_of_account FOREIGN KEY (account_id, currency) REFERENCES bank_accounts (id, currency);
ALTER TABLE bank_lines ADD CONSTRAINT bank_lines_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE bank_lines ADD CONSTRAINT bank_lines_payment FOREIGN KEY (customer_id, payment_id) REFERENCES payments (customer_id, id);
ALTER TABLE bank_lines ADD CONSTRAINT bank_lines_refund FOREIGN KEY (customer_id, refund_id) REFERENCES refunds (customer_id, id);
ALTER TABLE bank_lines ADD CONSTRAINT bank_lines_statement FOREIGN KEY (account_id, statement_id) REFERENCES bank_statements (account_id, id);
ALTER TABLE bank_lines ADD CONSTRAINT bank_lines_statement_id_fkey FOREIGN KEY (statement_id) REFERENCES bank_statements (id);
ALTER TABLE bank_lines ADD CONSTRAINT bank_lines_suspense_id_fkey FOREIGN KEY (suspense_id) REFERENCES suspense_receipts (id);
ALTER TABLE bank_statements ADD CONSTRAINT bank_statements_account_id_fkey FOREIGN KEY (account_id) REFERENCES bank_accounts (id);
ALTER TABLE bank_statements ADD CONSTRAINT bank_statements_currency_of_account FOREIGN KEY (account_id, currency) REFERENCES bank_accounts (id, currency);
ALTER TABLE bank_suggestions ADD CONSTRAINT bank_suggestions_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE bank_suggestions ADD CONSTRAINT bank_suggestions_invoice FOREIGN KEY (customer_id, invoice_id) REFERENCES invoices (customer_id, id);
ALTER TABLE bank_suggestions ADD CONSTRAINT bank_suggestions_line_id_fkey FOREIGN KEY (line_id) REFERENCES bank_lines (id);
ALTER TABLE bank_suggestions ADD CONSTRAINT bank_suggestions_order FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE bank_suggestions ADD CONSTRAINT bank_suggestions_payment FOREIGN KEY (customer_id, payment_id) REFERENCES payments (customer_id, id);
ALTER TABLE bank_suggestions ADD CONSTRAINT bank_suggestions_refund FOREIGN KEY (customer_id, refund_id) REFERENCES refunds (customer_id, id);

-- What a bank said stays as it was said; of a line what became of it may change, until it is booked, and personal values may go.
CREATE FUNCTION bank_line_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fates CONSTANT text[] := '{status,status_reason,settled_at,customer_id,payment_id,refund_id,suspense_id}';
    personal CONSTANT text[] := '{name,counterparty,texts,end_to_end_id}';
    kept CONSTANT text[] := fates || personal || '{version,updated_at}'::text[];
BEGIN
    IF to_jsonb(OLD) - kept <> to_jsonb(NEW) - kept
        OR (NEW.name, NEW.counterparty, NEW.texts, NEW.end_to_end_id) IS DISTINCT FROM (OLD.name, OLD.counterparty, OLD.texts, OLD.end_to_end_id)
            AND (num_nonnulls(NEW.name, NEW.counterparty, NEW.end_to_end_id) > 0 OR NEW.texts <> '{}')
        OR OLD.status NOT IN ('OPEN', 'IGNORED') AND (OLD.status, OLD.settled_at, OLD.customer_id, OLD.payment_id, OLD.refund_id, OLD.suspense_id)
            IS DISTINCT FROM (NEW.status, NEW.settled_at, NEW.customer_id, NEW.payment_id, NEW.refund_id, NEW.suspense_id) THEN
        RAISE EXCEPTION 'bank line % stays as it was said, and what it was booked as', OLD.id
            USING ERRCODE = 'check_violation', TABLE = 'bank_lines', CONSTRAINT = 'bank_lines_kept';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER bank_lines_kept BEFORE UPDATE ON bank_lines FOR EACH ROW EXECUTE FUNCTION bank_line_is_kept();
CREATE TRIGGER bank_lines_no_delete BEFORE DELETE ON bank_lines FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER bank_lines_no_truncate BEFORE TRUNCATE ON bank_lines FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER bank_statements_no_change BEFORE UPDATE OR DELETE ON bank_statements FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER bank_statements_no_truncate BEFORE TRUNCATE ON bank_statements FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE ON bank_accounts FROM crmgql_app;
REVOKE UPDATE, DELETE ON bank_statements, bank_lines FROM crmgql_app;
GRANT UPDATE (status, status_reason, settled_at, customer_id, payment_id, refund_id, suspense_id, name, counterparty, texts, end_to_end_id, version,
    updated_at) ON bank_lines TO crmgql_app;

-- At the commit: a line that is booked is what came in at the bank, or went out, with its amount.
CREATE FUNCTION bank_line_as_booked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM payments WHERE id = NEW.payment_id AND status = 'RECEIVED' AND provider IS NULL
            AND (amount, currency) = (NEW.amount, NEW.currency)
        UNION ALL
        SELECT FROM refunds WHERE id = NEW.refund_id AND status = 'SUCCEEDED' AND provider IS NULL
            AND (amount, currency) = (-NEW.amount, NEW.currency)
        UNION ALL
        SELECT FROM suspense_receipts WHERE id = NEW.suspense_id AND provider IS NULL AND (amount, currency) = (NEW.amount, NEW.currency)
    ) THEN
        RAISE EXCEPTION 'bank line % is not what it is booked as', NEW.id
            USING ERRCODE = 'check_violation', TABLE = 'bank_lines', CONSTRAINT = 'bank_lines_as_booked';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER bank_lines_as_booked AFTER INSERT OR UPDATE OF status, payment_id, refund_id, suspense_id ON bank_lines
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.status IN ('BOOKED', 'SUSPENSE')) EXECUTE FUNCTION bank_line_as_booked();

-- At the commit: a statement has its lines, all that no other one had brought before.
CREATE FUNCTION bank_statement_is_whole() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    SELECT count(*) AS lines, coalesce(sum(amount), 0) AS moved INTO found FROM bank_lines WHERE statement_id = NEW.id;
    IF found.lines <> NEW.line_count - NEW.known_count OR NEW.known_count = 0 AND found.moved <> NEW.moved_amount THEN
        RAISE EXCEPTION 'bank statement % has % lines of %', NEW.id, found.lines, found.moved
            USING ERRCODE = 'check_violation', TABLE = 'bank_statements', CONSTRAINT = 'bank_statements_whole';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER bank_statements_whole AFTER INSERT ON bank_statements DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION bank_statement_is_whole();
