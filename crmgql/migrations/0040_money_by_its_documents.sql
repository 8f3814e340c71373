-- Money comes to a payment by its receipt, and leaves payments and credit by refunds: an entry of anything else does neither, nor does it
-- end what a document holds.

-- At the commit: a refund is what its entries hold or gave back, of its payment or of its customer's credit, all of it; and
-- they have their refund.
CREATE OR REPLACE FUNCTION refund_as_posted() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    subject uuid := to_jsonb(NEW) ->> TG_ARGV[0];
    refund refunds;
    made record;
BEGIN
    SELECT * INTO refund FROM refunds WHERE id = subject;
    -- Allocations that are undone for a refund move no money: looking at all of its entries for each of them takes long for hundreds.
    IF TG_TABLE_NAME = 'ledger_entries' AND refund.id IS NOT NULL THEN
        IF NEW.resolves_id IS NULL AND NOT EXISTS (
            SELECT FROM postings WHERE owner_id = NEW.owner_id AND entry_id = NEW.id
                AND (debit IN ('BANK', 'CLEARING') OR credit IN ('BANK', 'CLEARING'))
        ) THEN
            RETURN NULL;
        END IF;
    END IF;
    SELECT coalesce(sum(way * p.amount) FILTER (WHERE e.phase = 'POSTED'), 0) AS posted,
        coalesce(sum(way * p.amount) FILTER (WHERE e.phase = 'PENDING' AND NOT EXISTS (
            SELECT FROM ledger_entries AS ended WHERE ended.owner_id = e.owner_id AND ended.resolves_id = e.id)), 0) AS pending,
        coalesce(bool_and(coalesce(e.owner_id = refund.customer_id AND p.currency = refund.currency
            AND bank = CASE WHEN refund.provider IS NULL THEN 'BANK' ELSE 'CLEARING' END
            AND item.customer_id = refund.customer_id AND CASE WHEN refund.payment_id IS NULL THEN item.purpose = 'CREDIT'
                ELSE item.payment_id = refund.payment_id AND item.purpose IN ('UNEARNED', 'CREDIT') END, false)), false) AS is_its_own
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

-- Between the bank, or a provider, and what is unearned or credit of a document: a payment's own receipt, expected or posted, or a
-- refund, which is compared with its entries at the commit.
CREATE FUNCTION money_by_its_document() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong uuid;
BEGIN
    SELECT p.entry_id INTO wrong FROM (
        SELECT owner_id, entry_id, phase, credit_item_id AS item_id, true AS comes FROM moved
        WHERE credit IN ('UNEARNED', 'CREDIT') AND debit IN ('BANK', 'CLEARING')
        UNION ALL
        SELECT owner_id, entry_id, phase, debit_item_id, false FROM moved
        WHERE debit IN ('UNEARNED', 'CREDIT') AND credit IN ('BANK', 'CLEARING')
    ) AS p
    JOIN open_items AS item ON item.id = p.item_id AND num_nonnulls(item.payment_id, item.credit_note_id) > 0
    JOIN ledger_entries AS e ON e.owner_id = p.owner_id AND e.id = p.entry_id
    WHERE e.source_type <> 'Refund' AND NOT (p.comes AND item.purpose = 'UNEARNED' AND e.source_type = 'Payment' AND e.source_id = item.payment_id
        AND (e.key, p.phase) IN (('received ' || item.payment_id, 'POSTED'), ('expected ' || item.payment_id, 'PENDING')))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % moves money without its document: a payment comes by its receipt, and goes back by a refund', wrong
            USING ERRCODE = 'check_violation', TABLE = 'postings', CONSTRAINT = 'postings_money';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER postings_money AFTER INSERT ON postings REFERENCING NEW TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION money_by_its_document();

-- At the commit: what was received is the payment's, which is received with as much.
CREATE FUNCTION receipt_of_its_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM payments WHERE id = NEW.source_id AND customer_id = NEW.owner_id AND status = 'RECEIVED' AND amount = (
            SELECT sum(amount) FROM postings WHERE owner_id = NEW.owner_id AND entry_id = NEW.id AND credit = 'UNEARNED')
    ) THEN
        RAISE EXCEPTION 'entry % receives what payment % has not', NEW.id, NEW.source_id
            USING ERRCODE = 'check_violation', TABLE = 'payments', CONSTRAINT = 'payments_posted';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER payments_received AFTER INSERT ON ledger_entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.source_type = 'Payment' AND NEW.key LIKE 'received %') EXECUTE FUNCTION receipt_of_its_payment();

-- What is pending is ended by an entry of the same document.
CREATE FUNCTION ends_its_own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ledger_entries AS pending
        WHERE pending.owner_id = NEW.owner_id AND pending.id = NEW.resolves_id AND (pending.source_type, pending.source_id) <> (NEW.source_type, NEW.source_id)
    ) THEN
        RAISE EXCEPTION 'entry % ends what another document holds', NEW.id
            USING ERRCODE = 'check_violation', TABLE = 'ledger_entries', CONSTRAINT = 'ledger_entries_ends_own';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER ledger_entries_ends_own AFTER INSERT ON ledger_entries
    FOR EACH ROW WHEN (NEW.resolves_id IS NOT NULL) EXECUTE FUNCTION ends_its_own();
