-- Refunds: money of payments, or of a customer's credit, that goes back; held by a pending entry until it ends.
-- Disputes: money of payments that the customer's bank took back, an open item until they are won or lost.

CREATE TABLE refunds (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    amount numeric NOT NULL,
    currency varchar(3) NOT NULL,
    method varchar(20) NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'REQUESTED',
    reason varchar(1000),
    status_reason varchar(1000),
    provider varchar(50),
    provider_reference varchar(200),
    requested_at timestamptz NOT NULL,
    ended_at timestamptz,
    customer_id uuid NOT NULL,
    payment_id uuid,
    CONSTRAINT refunds_amount_positive CHECK (amount > 0),
    CONSTRAINT refunds_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT refunds_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT refunds_ended CHECK ((ended_at IS NULL) = (status = 'REQUESTED' OR status = 'UNKNOWN')),
    CONSTRAINT refunds_method CHECK (method IN ('CREDIT_CARD', 'DEBIT_CARD', 'BANK_TRANSFER', 'DIRECT_DEBIT', 'BOLETO', 'VOUCHER', 'WALLET', 'CASH', 'CHECK', 'OTHER')),
    CONSTRAINT refunds_provider CHECK (provider_reference IS NULL OR provider IS NOT NULL),
    CONSTRAINT refunds_status CHECK (status IN ('REQUESTED', 'UNKNOWN', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
    CONSTRAINT refunds_provider_reference UNIQUE (provider, provider_reference)
);
CREATE INDEX refunds_by_payment ON refunds (customer_id, payment_id, id);
CREATE INDEX refunds_created ON refunds (created_at, id);
CREATE UNIQUE INDEX refunds_origin ON refunds (source, external_id) WHERE external_id IS NOT NULL;
ALTER TABLE refunds ADD CONSTRAINT refunds_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE refunds ADD CONSTRAINT refunds_payment FOREIGN KEY (customer_id, payment_id) REFERENCES payments (customer_id, id);
ALTER TABLE refunds ADD CONSTRAINT refunds_payment_currency FOREIGN KEY (payment_id, currency) REFERENCES payments (id, currency);

CREATE TRIGGER refunds_no_delete BEFORE DELETE ON refunds FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refunds_no_truncate BEFORE TRUNCATE ON refunds FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE ON refunds FROM crmgql_app;

-- At the commit: a payment's money is in the books exactly if it is received: what entries moved, but for those of refunds.
-- Over TRANSFER it comes from another owner, such as the company that did not know whose it was.
CREATE OR REPLACE FUNCTION payment_as_posted() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    payment payments;
    posted numeric;
BEGIN
    SELECT * INTO payment FROM payments WHERE id = NEW.id;
    -- By its own items, and by theirs: a customer may have thousands.
    SELECT coalesce(sum(moves.amount), 0) INTO posted
    FROM (SELECT * FROM open_items WHERE payment_id = payment.id OFFSET 0) AS item, LATERAL (
        SELECT owner_id, entry_id, amount, debit AS bank FROM postings
        WHERE credit_item_id = item.id AND phase = 'POSTED' AND debit IN ('BANK', 'CLEARING', 'TRANSFER')
        UNION ALL
        SELECT owner_id, entry_id, -amount, credit FROM postings
        WHERE debit_item_id = item.id AND phase = 'POSTED' AND credit IN ('BANK', 'CLEARING', 'TRANSFER')
    ) AS moves JOIN ledger_entries AS e ON e.owner_id = moves.owner_id AND e.id = moves.entry_id
    WHERE item.purpose = 'UNEARNED' AND item.customer_id = payment.customer_id AND item.currency = payment.currency
        AND CASE moves.bank WHEN 'TRANSFER' THEN e.source_type = 'Payment' AND e.source_id = payment.id ELSE e.source_type <> 'Refund' END;
    IF posted <> (CASE WHEN payment.status = 'RECEIVED' THEN payment.amount ELSE 0 END) THEN
        RAISE EXCEPTION 'payment % is % with %, and % of it is in the books', payment.id, payment.status, payment.amount, posted
            USING ERRCODE = 'check_violation', TABLE = 'payments', CONSTRAINT = 'payments_posted';
    END IF;
    RETURN NULL;
END
$$;

-- At the commit: a refund is what its entries hold or gave back, of its payment or of its customer's credit; and they have their refund.
CREATE FUNCTION refund_as_posted() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    subject uuid := to_jsonb(NEW) ->> TG_ARGV[0];
    refund refunds;
    made record;
BEGIN
    SELECT * INTO refund FROM refunds WHERE id = subject;
    SELECT coalesce(sum(way * p.amount) FILTER (WHERE e.phase = 'POSTED'), 0) AS posted,
        coalesce(sum(way * p.amount) FILTER (WHERE e.phase = 'PENDING' AND NOT EXISTS (
            SELECT FROM ledger_entries AS ended WHERE ended.owner_id = e.owner_id AND ended.resolves_id = e.id)), 0) AS pending,
        coalesce(bool_and(e.owner_id = refund.customer_id AND p.currency = refund.currency
            AND bank = CASE WHEN refund.provider IS NULL THEN 'BANK' ELSE 'CLEARING' END
            AND item.customer_id = refund.customer_id AND CASE WHEN refund.payment_id IS NULL THEN item.purpose = 'CREDIT'
                ELSE item.payment_id = refund.payment_id AND item.purpose IN ('UNEARNED', 'CREDIT') END), false) AS is_its_own
    INTO made
    FROM (SELECT * FROM ledger_entries WHERE source_id = subject AND source_type = 'Refund' OFFSET 0) AS e
    JOIN postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
    CROSS JOIN LATERAL (VALUES (1, p.credit, p.debit_item_id), (-1, p.debit, p.credit_item_id)) AS side(way, bank, item_id)
    LEFT JOIN open_items AS item ON item.id = side.item_id
    WHERE bank IN ('BANK', 'CLEARING');
    IF made.is_its_own IS DISTINCT FROM true
        OR made.posted <> (CASE refund.status WHEN 'SUCCEEDED' THEN refund.amount ELSE 0 END)
        OR made.pending <> (CASE WHEN refund.status IN ('REQUESTED', 'UNKNOWN') THEN refund.amount ELSE 0 END) THEN
        RAISE EXCEPTION 'refund % is % with %, and % of it is posted and % pending', subject, coalesce(refund.status, 'not there'),
            refund.amount, made.posted, made.pending
            USING ERRCODE = 'check_violation', TABLE = 'refunds', CONSTRAINT = 'refunds_posted';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER refunds_posted AFTER INSERT OR UPDATE OF status, amount, currency, customer_id, payment_id, provider ON refunds
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refund_as_posted('id');
CREATE CONSTRAINT TRIGGER refunds_entries AFTER INSERT ON ledger_entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.source_type = 'Refund') EXECUTE FUNCTION refund_as_posted('source_id');

CREATE TABLE disputes (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    amount numeric NOT NULL,
    fee_amount numeric,
    currency varchar(3) NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'OPEN',
    reason varchar(1000),
    provider varchar(50),
    provider_reference varchar(200),
    opened_at timestamptz NOT NULL,
    ended_at timestamptz,
    customer_id uuid NOT NULL,
    payment_id uuid NOT NULL,
    CONSTRAINT disputes_amount_positive CHECK (amount > 0),
    CONSTRAINT disputes_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT disputes_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT disputes_ended CHECK ((ended_at IS NULL) = (status = 'OPEN')),
    CONSTRAINT disputes_fee_amount_scale CHECK (amount_fits(fee_amount, currency)),
    CONSTRAINT disputes_fee_positive CHECK (fee_amount > 0),
    CONSTRAINT disputes_provider CHECK (provider_reference IS NULL OR provider IS NOT NULL),
    CONSTRAINT disputes_status CHECK (status IN ('OPEN', 'WON', 'LOST')),
    CONSTRAINT disputes_customer_id UNIQUE (customer_id, id),
    CONSTRAINT disputes_provider_reference UNIQUE (provider, provider_reference)
);
CREATE INDEX disputes_by_payment ON disputes (customer_id, payment_id, id);
CREATE INDEX disputes_created ON disputes (created_at, id);
CREATE UNIQUE INDEX disputes_origin ON disputes (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX open_items_dispute ON open_items (customer_id, dispute_id) WHERE dispute_id IS NOT NULL;
ALTER TABLE disputes ADD CONSTRAINT disputes_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE disputes ADD CONSTRAINT disputes_payment FOREIGN KEY (customer_id, payment_id) REFERENCES payments (customer_id, id);
ALTER TABLE disputes ADD CONSTRAINT disputes_payment_currency FOREIGN KEY (payment_id, currency) REFERENCES payments (id, currency);
ALTER TABLE open_items ADD CONSTRAINT open_items_dispute FOREIGN KEY (customer_id, dispute_id) REFERENCES disputes (customer_id, id);

CREATE TRIGGER disputes_no_delete BEFORE DELETE ON disputes FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER disputes_no_truncate BEFORE TRUNCATE ON disputes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE ON disputes FROM crmgql_app;

-- At the commit: a dispute is what its entries took from the bank, and gave back to it or took from its payment; and they have their dispute.
CREATE FUNCTION dispute_as_posted() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    subject uuid := to_jsonb(NEW) ->> TG_ARGV[0];
    dispute disputes;
    bank text;
    made record;
BEGIN
    SELECT * INTO dispute FROM disputes WHERE id = subject;
    bank := CASE WHEN dispute.provider IS NULL THEN 'BANK' ELSE 'CLEARING' END;
    SELECT coalesce(sum(p.amount) FILTER (WHERE p.debit = 'DISPUTED'), 0) AS opened,
        coalesce(sum(p.amount) FILTER (WHERE p.credit = 'DISPUTED' AND p.debit = bank), 0) AS won,
        coalesce(sum(p.amount) FILTER (WHERE p.credit = 'DISPUTED' AND p.debit <> bank), 0) AS lost,
        coalesce(sum(p.amount) FILTER (WHERE p.debit = 'FEES'), 0) AS fee,
        coalesce(bool_and(coalesce(
            e.owner_id = dispute.customer_id AND p.phase = 'POSTED' AND p.currency = dispute.currency AND CASE
                WHEN p.debit = 'FEES' THEN p.credit = bank
                WHEN p.debit = 'DISPUTED' THEN p.credit = bank AND debited.dispute_id = subject
                WHEN p.debit IN ('UNEARNED', 'CREDIT') THEN credited.dispute_id = subject AND debited.payment_id = dispute.payment_id
                WHEN p.debit = 'RECEIVABLE' THEN credited.dispute_id = subject AND debited.dispute_id = subject
                ELSE credited.dispute_id = subject AND (p.debit = bank OR p.debit = 'FX_LOSS' AND p.amount = 0) END, false)), false) AS is_its_own
    INTO made
    FROM (SELECT * FROM ledger_entries WHERE source_id = subject AND source_type = 'Dispute' OFFSET 0) AS e
    JOIN postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
    LEFT JOIN open_items AS debited ON debited.id = p.debit_item_id
    LEFT JOIN open_items AS credited ON credited.id = p.credit_item_id
    WHERE p.debit IN ('DISPUTED', 'FEES') OR p.credit = 'DISPUTED';
    IF NOT made.is_its_own OR dispute.id IS NULL OR made.opened <> dispute.amount OR made.fee <> coalesce(dispute.fee_amount, 0)
        OR made.won <> (CASE dispute.status WHEN 'WON' THEN dispute.amount ELSE 0 END)
        OR made.lost <> (CASE dispute.status WHEN 'LOST' THEN dispute.amount ELSE 0 END) THEN
        RAISE EXCEPTION 'dispute % is % with %: in the books % is opened, % won, % lost, with a fee of %', subject,
            coalesce(dispute.status, 'not there'), dispute.amount, made.opened, made.won, made.lost, made.fee
            USING ERRCODE = 'check_violation', TABLE = 'disputes', CONSTRAINT = 'disputes_posted';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER disputes_posted AFTER INSERT OR UPDATE OF status, amount, fee_amount, currency, customer_id, payment_id, provider
    ON disputes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dispute_as_posted('id');
CREATE CONSTRAINT TRIGGER disputes_entries AFTER INSERT ON ledger_entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.source_type = 'Dispute') EXECUTE FUNCTION dispute_as_posted('source_id');
