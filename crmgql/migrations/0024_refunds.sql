-- Refunds: money of payments, or of a customer's credit, that goes back; held by a pending entry until it ends.

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
CREATE OR REPLACE FUNCTION payment_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE FUNCTION refund_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
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
