-- Payouts of payment providers, and what reconciliation finds. There are no rows yet: the first run finds what lasts.

-- Reconciliation. Written by "crmgql migrations make"; read it, and say where the rows that are there go.

CREATE TABLE payouts (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    provider varchar(50) NOT NULL,
    reference varchar(200) NOT NULL,
    currency varchar(3) NOT NULL,
    gross_amount numeric,
    refunds_amount numeric,
    fees_amount numeric,
    reserve_amount numeric,
    net_amount numeric NOT NULL,
    fees_booked boolean NOT NULL DEFAULT true,
    arrives_on date,
    status varchar(10) NOT NULL DEFAULT 'EXPECTED',
    status_reason varchar(1000),
    paid_at timestamptz,
    CONSTRAINT payouts_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT payouts_fees CHECK (fees_booked OR (fees_amount IS NOT NULL AND fees_amount > 0)),
    CONSTRAINT payouts_fees_amount_scale CHECK (amount_fits(fees_amount, currency)),
    CONSTRAINT payouts_gross_amount_scale CHECK (amount_fits(gross_amount, currency)),
    CONSTRAINT payouts_net CHECK (net_amount <> 0),
    CONSTRAINT payouts_net_amount_scale CHECK (amount_fits(net_amount, currency)),
    CONSTRAINT payouts_paid CHECK (status <> 'PAID' OR paid_at IS NOT NULL),
    CONSTRAINT payouts_parts CHECK (gross_amount >= 0 AND refunds_amount >= 0 AND fees_amount >= 0),
    CONSTRAINT payouts_refunds_amount_scale CHECK (amount_fits(refunds_amount, currency)),
    CONSTRAINT payouts_reserve_amount_scale CHECK (amount_fits(reserve_amount, currency)),
    CONSTRAINT payouts_status CHECK (status IN ('EXPECTED', 'PAID', 'FAILED')),
    CONSTRAINT payouts_reference UNIQUE (provider, reference)
);
CREATE TABLE reconciliation_exceptions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    kind varchar(30) NOT NULL,
    owner_id uuid NOT NULL,
    subject_type varchar(30) NOT NULL,
    subject_id uuid NOT NULL,
    amount numeric,
    currency varchar(3) NOT NULL,
    finding varchar(500) NOT NULL,
    status varchar(10) NOT NULL DEFAULT 'OPEN',
    found_at timestamptz NOT NULL,
    closed_at timestamptz,
    reason varchar(1000),
    closed_by_id uuid,
    customer_id uuid,
    run_id uuid NOT NULL,
    CONSTRAINT reconciliation_exceptions_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT reconciliation_exceptions_by CHECK (closed_by_id IS NULL OR closed_at IS NOT NULL),
    CONSTRAINT reconciliation_exceptions_closed CHECK ((closed_at IS NOT NULL) = (status = 'CLOSED')),
    CONSTRAINT reconciliation_exceptions_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT reconciliation_exceptions_kind CHECK (kind IN ('ORDER_PAYMENT_MISMATCH', 'ORDER_PAID_NOT_OWED', 'DUPLICATE_PAYMENT', 'AMOUNT_MISMATCH', 'PAYOUT_DIFFERS', 'PAYOUT_LATE', 'UNEXPLAINED_CLEARING', 'SUSPENSE_OPEN', 'LEDGER', 'OVERDUE', 'UNUSUAL_PAYMENT', 'LOW_MARGIN')),
    CONSTRAINT reconciliation_exceptions_owner CHECK (customer_id = owner_id),
    CONSTRAINT reconciliation_exceptions_status CHECK (status IN ('OPEN', 'CLOSED')),
    CONSTRAINT reconciliation_exceptions_once UNIQUE (kind, subject_id, currency)
);
CREATE TABLE reconciliation_runs (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    reconciled_on date NOT NULL,
    finished_at timestamptz,
    customers bigint NOT NULL DEFAULT 0,
    found bigint NOT NULL DEFAULT 0,
    opened bigint NOT NULL DEFAULT 0,
    closed bigint NOT NULL DEFAULT 0,
    CONSTRAINT reconciliation_runs_counts CHECK (customers >= 0 AND found >= 0 AND opened >= 0 AND closed >= 0)
);
ALTER TABLE companies ADD COLUMN low_margin_percent numeric;
CREATE INDEX payouts_arrives ON payouts (arrives_on, id);
CREATE INDEX payouts_created ON payouts (created_at, id);
CREATE UNIQUE INDEX payouts_origin ON payouts (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX reconciliation_exceptions_closer ON reconciliation_exceptions (closed_by_id, id);
CREATE INDEX reconciliation_exceptions_created ON reconciliation_exceptions (created_at, id);
CREATE INDEX reconciliation_exceptions_customer ON reconciliation_exceptions (customer_id, id);
CREATE INDEX reconciliation_exceptions_found ON reconciliation_exceptions (found_at, id);
CREATE INDEX reconciliation_exceptions_open ON reconciliation_exceptions (kind, owner_id) WHERE status = 'OPEN';
CREATE UNIQUE INDEX reconciliation_exceptions_origin ON reconciliation_exceptions (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX reconciliation_exceptions_run ON reconciliation_exceptions (run_id, id);
CREATE INDEX reconciliation_runs_created ON reconciliation_runs (created_at, id);
ALTER TABLE companies ADD CONSTRAINT companies_low_margin CHECK (low_margin_percent BETWEEN 0 AND 100 AND scale(low_margin_percent) <= 2);
ALTER TABLE reconciliation_exceptions ADD CONSTRAINT reconciliation_exceptions_closed_by_id_fkey FOREIGN KEY (closed_by_id) REFERENCES users (id);
ALTER TABLE reconciliation_exceptions ADD CONSTRAINT reconciliation_exceptions_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE reconciliation_exceptions ADD CONSTRAINT reconciliation_exceptions_run_id_fkey FOREIGN KEY (run_id) REFERENCES reconciliation_runs (id);

CREATE TRIGGER payouts_no_delete BEFORE DELETE ON payouts FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payouts_no_truncate BEFORE TRUNCATE ON payouts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE ON payouts FROM crmgql_app;

-- At the commit: a payout is what its entries moved from the provider to the bank, and kept as fees that no payment has; and they have
-- their payout.
CREATE FUNCTION payout_as_posted() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    subject uuid := to_jsonb(NEW) ->> TG_ARGV[0];
    payout payouts;
    made record;
BEGIN
    SELECT * INTO payout FROM payouts WHERE id = subject;
    SELECT coalesce(sum(CASE p.credit WHEN 'CLEARING' THEN p.amount ELSE -p.amount END) FILTER (WHERE 'BANK' IN (p.debit, p.credit)), 0) AS net,
        coalesce(sum(CASE p.credit WHEN 'CLEARING' THEN p.amount ELSE -p.amount END) FILTER (WHERE 'FEES' IN (p.debit, p.credit)), 0) AS fees,
        coalesce(bool_and(e.customer_id IS NULL AND p.phase = 'POSTED' AND p.currency = payout.currency AND 'CLEARING' IN (p.debit, p.credit)
            AND (p.debit IN ('BANK', 'FEES') OR p.credit IN ('BANK', 'FEES'))), true) AS is_its_own
    INTO made
    FROM (SELECT * FROM ledger_entries WHERE source_id = subject AND source_type = 'Payout' OFFSET 0) AS e
    JOIN postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id;
    IF payout.id IS NULL OR NOT made.is_its_own OR made.net <> (CASE payout.status WHEN 'PAID' THEN payout.net_amount ELSE 0 END)
        OR made.fees <> (CASE WHEN payout.status = 'PAID' AND NOT payout.fees_booked THEN payout.fees_amount ELSE 0 END) THEN
        RAISE EXCEPTION 'payout % is % with %: in the books % reached the bank, and % is fees', subject, coalesce(payout.status, 'not there'),
            payout.net_amount, made.net, made.fees
            USING ERRCODE = 'check_violation', TABLE = 'payouts', CONSTRAINT = 'payouts_posted';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER payouts_posted AFTER INSERT OR UPDATE OF status, net_amount, fees_amount, fees_booked, currency ON payouts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION payout_as_posted('id');
CREATE CONSTRAINT TRIGGER payouts_entries AFTER INSERT ON ledger_entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.source_type = 'Payout') EXECUTE FUNCTION payout_as_posted('source_id');
