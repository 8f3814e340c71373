-- Invoices are e-mailed, and who does not pay them in time is reminded, level by level. Nobody is before there are levels.

CREATE TABLE dunning_levels (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    level integer NOT NULL,
    after_days integer NOT NULL,
    subject varchar(200) NOT NULL,
    body text NOT NULL,
    subject_zh varchar(200),
    body_zh text,
    active boolean NOT NULL DEFAULT true,
    CONSTRAINT dunning_levels_after_days CHECK (after_days BETWEEN 1 AND 3650),
    CONSTRAINT dunning_levels_body_length CHECK (length(body) <= 20000 AND length(body_zh) <= 20000),
    CONSTRAINT dunning_levels_level_range CHECK (level BETWEEN 1 AND 999),
    CONSTRAINT dunning_levels_zh CHECK ((subject_zh IS NULL) = (body_zh IS NULL)),
    CONSTRAINT dunning_levels_level UNIQUE (level)
);
CREATE TABLE reminders (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    level integer NOT NULL,
    due_on date NOT NULL,
    reminded_on date NOT NULL,
    currency varchar(3) NOT NULL,
    amount numeric NOT NULL,
    customer_id uuid NOT NULL,
    email_id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    CONSTRAINT reminders_amount_positive CHECK (amount > 0),
    CONSTRAINT reminders_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT reminders_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT reminders_overdue CHECK (due_on < reminded_on),
    CONSTRAINT reminders_once UNIQUE (customer_id, invoice_id, due_on, level),
    CONSTRAINT reminders_one_a_day UNIQUE (customer_id, invoice_id, reminded_on)
);
ALTER TABLE customers ADD COLUMN language varchar(2);
ALTER TABLE customers ADD COLUMN dunning_stop_reason varchar(1000);
ALTER TABLE email_messages ADD COLUMN customer_id uuid;
ALTER TABLE email_messages ADD COLUMN invoice_id uuid;
ALTER TABLE invoices ADD COLUMN overdue_on date;
ALTER TABLE invoices ADD COLUMN dunning_level integer;
ALTER TABLE invoices ADD COLUMN dunned_on date;
ALTER TABLE invoices ADD COLUMN dunning_stop_reason varchar(1000);
CREATE INDEX dunning_levels_created ON dunning_levels (created_at, id);
CREATE UNIQUE INDEX dunning_levels_origin ON dunning_levels (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX reminders_by_invoice ON reminders (customer_id, invoice_id, id);
CREATE INDEX reminders_created ON reminders (created_at, id);
CREATE INDEX reminders_email ON reminders (email_id, id);
ALTER TABLE customers ADD CONSTRAINT customers_language CHECK (language IN ('EN', 'ZH'));
ALTER TABLE email_messages ADD CONSTRAINT email_messages_invoice_customer CHECK (invoice_id IS NULL OR customer_id IS NOT NULL);
CREATE INDEX email_messages_customer ON email_messages (customer_id, id);
CREATE INDEX email_messages_of_invoice ON email_messages (invoice_id, id);
ALTER TABLE invoices ADD CONSTRAINT invoices_dunned CHECK (status = 'ISSUED' OR num_nonnulls(overdue_on, dunning_level, dunned_on, dunning_stop_reason) = 0);
CREATE INDEX open_items_of_invoices ON open_items (due_on, customer_id, invoice_id) WHERE open > 0 AND invoice_id IS NOT NULL;
ALTER TABLE reminders ADD CONSTRAINT reminders_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE reminders ADD CONSTRAINT reminders_email_id_fkey FOREIGN KEY (email_id) REFERENCES email_messages (id);
ALTER TABLE reminders ADD CONSTRAINT reminders_invoice FOREIGN KEY (customer_id, invoice_id) REFERENCES invoices (customer_id, id);
ALTER TABLE email_messages ADD CONSTRAINT email_messages_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE email_messages ADD CONSTRAINT email_messages_invoice FOREIGN KEY (customer_id, invoice_id) REFERENCES invoices (customer_id, id);

-- What is done about an invoice that is overdue is noted on it; all else stays as it was issued.
CREATE OR REPLACE FUNCTION invoice_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- What is generated is not known before the row is written.
    free text[] := '{before,version,updated_at,credited_amount,credited_tax_amount,overdue_on,dunning_level,dunned_on,dunning_stop_reason}';
BEGIN
    IF to_jsonb(NEW) - free IS DISTINCT FROM to_jsonb(OLD) - free THEN
        RAISE EXCEPTION 'invoice % is % and stays as it is', OLD.id, OLD.status
            USING ERRCODE = 'check_violation', TABLE = 'invoices', CONSTRAINT = 'invoices_kept';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER reminders_no_change BEFORE UPDATE OR DELETE ON reminders FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER reminders_no_truncate BEFORE TRUNCATE ON reminders FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE ON reminders FROM crmgql_app;
