-- Payouts meet the lines of bank statements that brought them. No line is one yet.

ALTER TABLE bank_lines ADD COLUMN payout_id uuid;
ALTER TABLE bank_suggestions ADD COLUMN payout_id uuid;
ALTER TABLE bank_suggestions ALTER COLUMN customer_id DROP NOT NULL;
ALTER TABLE companies ADD COLUMN payout_days integer NOT NULL DEFAULT 3;
ALTER TABLE bank_lines DROP CONSTRAINT bank_lines_booked;
ALTER TABLE bank_lines ADD CONSTRAINT bank_lines_booked CHECK ((status = 'BOOKED') = (num_nonnulls(payment_id, refund_id, payout_id) = 1));
ALTER TABLE reconciliation_exceptions DROP CONSTRAINT reconciliation_exceptions_kind;
ALTER TABLE reconciliation_exceptions ADD CONSTRAINT reconciliation_exceptions_kind CHECK (kind IN ('ORDER_PAYMENT_MISMATCH', 'ORDER_PAID_NOT_OWED', 'DUPLICATE_PAYMENT', 'AMOUNT_MISMATCH', 'PAYOUT_DIFFERS', 'PAYOUT_LATE', 'PAYOUT_BANK_DIFFERS', 'UNEXPLAINED_CLEARING', 'SUSPENSE_OPEN', 'LEDGER', 'OVERDUE', 'UNUSUAL_PAYMENT', 'LOW_MARGIN'));
CREATE INDEX bank_suggestions_by_payout ON bank_suggestions (payout_id, id) WHERE payout_id IS NOT NULL;
CREATE UNIQUE INDEX bank_lines_payout_once ON bank_lines (payout_id, (amount > 0)) WHERE payout_id IS NOT NULL;
ALTER TABLE bank_lines ADD CONSTRAINT bank_lines_payout_id_fkey FOREIGN KEY (payout_id) REFERENCES payouts (id);
ALTER TABLE bank_suggestions ADD CONSTRAINT bank_suggestions_payout_id_fkey FOREIGN KEY (payout_id) REFERENCES payouts (id);
ALTER TABLE bank_suggestions ADD CONSTRAINT bank_suggestions_whose CHECK ((customer_id IS NULL) = (payout_id IS NOT NULL));
ALTER TABLE companies ADD CONSTRAINT companies_payout_days CHECK (payout_days BETWEEN 0 AND 90);
GRANT UPDATE (payout_id) ON bank_lines TO crmgql_app;

-- As before, and a line that is booked as a payout may be ignored instead: that is how somebody says that it is not.
CREATE OR REPLACE FUNCTION bank_line_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fates CONSTANT text[] := '{status,status_reason,settled_at,customer_id,payment_id,refund_id,suspense_id,payout_id}';
    personal CONSTANT text[] := '{name,counterparty,texts,end_to_end_id}';
    kept CONSTANT text[] := fates || personal || '{version,updated_at}'::text[];
BEGIN
    IF to_jsonb(OLD) - kept <> to_jsonb(NEW) - kept
        OR (NEW.name, NEW.counterparty, NEW.texts, NEW.end_to_end_id) IS DISTINCT FROM (OLD.name, OLD.counterparty, OLD.texts, OLD.end_to_end_id)
            AND (num_nonnulls(NEW.name, NEW.counterparty, NEW.end_to_end_id) > 0 OR NEW.texts <> '{}')
        OR OLD.status NOT IN ('OPEN', 'IGNORED') AND NOT (OLD.payout_id IS NOT NULL AND NEW.status = 'IGNORED')
            AND (OLD.status, OLD.settled_at, OLD.customer_id, OLD.payment_id, OLD.refund_id, OLD.suspense_id, OLD.payout_id)
            IS DISTINCT FROM (NEW.status, NEW.settled_at, NEW.customer_id, NEW.payment_id, NEW.refund_id, NEW.suspense_id, NEW.payout_id) THEN
        RAISE EXCEPTION 'bank line % stays as it was said, and what it was booked as', OLD.id
            USING ERRCODE = 'check_violation', TABLE = 'bank_lines', CONSTRAINT = 'bank_lines_kept';
    END IF;
    RETURN NEW;
END
$$;

-- At the commit: a line that is booked is what came in at the bank, or went out, with its amount.
CREATE OR REPLACE FUNCTION bank_line_as_booked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM payments WHERE id = NEW.payment_id AND status = 'RECEIVED' AND provider IS NULL
            AND (amount, currency) = (NEW.amount, NEW.currency)
        UNION ALL
        SELECT FROM refunds WHERE id = NEW.refund_id AND status = 'SUCCEEDED' AND provider IS NULL
            AND (amount, currency) = (-NEW.amount, NEW.currency)
        UNION ALL
        SELECT FROM suspense_receipts WHERE id = NEW.suspense_id AND provider IS NULL AND (amount, currency) = (NEW.amount, NEW.currency)
        UNION ALL
        SELECT FROM payouts WHERE id = NEW.payout_id AND currency = NEW.currency
            AND (status, net_amount) IN (('PAID', NEW.amount), ('FAILED', -NEW.amount))
    ) THEN
        RAISE EXCEPTION 'bank line % is not what it is booked as', NEW.id
            USING ERRCODE = 'check_violation', TABLE = 'bank_lines', CONSTRAINT = 'bank_lines_as_booked';
    END IF;
    RETURN NULL;
END
$$;
DROP TRIGGER bank_lines_as_booked ON bank_lines;
CREATE CONSTRAINT TRIGGER bank_lines_as_booked AFTER INSERT OR UPDATE OF status, payment_id, refund_id, suspense_id, payout_id ON bank_lines
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.status IN ('BOOKED', 'SUSPENSE')) EXECUTE FUNCTION bank_line_as_booked();
