-- A credit note takes what is owed again for the order of its invoice, too: what was paid before the invoice and refunded since, or
-- written off before it.

-- What is wrong with a credit note: its lines sum to its net, its entry took net and tax from what is owed of its invoice or, apart
-- from invoices, of that one's order, or made the customer's credit of it, and what it took of deferred revenue is not scheduled any
-- more. What is in base currency alone mends a rounding.
CREATE OR REPLACE FUNCTION credit_note_mistake(customer uuid, note uuid) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    made credit_notes;
    posted record;
BEGIN
    SELECT * INTO made FROM credit_notes WHERE customer_id = customer AND id = note;
    IF (SELECT sum(net_amount) FROM credit_note_lines WHERE customer_id = customer AND credit_note_id = note) <> made.net_amount THEN
        RETURN 'its lines do not sum to it';
    END IF;
    SELECT coalesce(sum(amount) FILTER (WHERE debit IN ('REFUNDS', 'DEFERRED')), 0) AS net, coalesce(sum(amount) FILTER (WHERE debit = 'TAX'), 0) AS tax,
        bool_and(coalesce(item.customer_id = customer AND p.currency = made.currency AND CASE item.purpose
            WHEN 'RECEIVABLE' THEN item.invoice_id = made.invoice_id OR item.invoice_id IS NULL AND item.order_id = (
                SELECT order_id FROM invoices WHERE customer_id = customer AND id = made.invoice_id)
            WHEN 'CREDIT' THEN item.credit_note_id = note ELSE false END, false)) FILTER (WHERE p.amount > 0) AS fits,
        bool_or('DEFERRED' IN (p.debit, p.credit)) AS is_deferred
    INTO posted FROM ledger_entries AS e JOIN postings AS p ON p.owner_id = e.owner_id AND p.entry_id = e.id
        LEFT JOIN open_items AS item ON item.id = p.credit_item_id
    WHERE e.owner_id = customer AND e.key = 'credit note ' || note AND e.source_type = 'CreditNote' AND e.source_id = note AND e.phase = 'POSTED';
    IF posted.fits IS NOT TRUE OR (posted.net, posted.tax) <> (made.net_amount, made.tax_amount) THEN
        RETURN 'it is not what its entry posted';
    END IF;
    IF posted.is_deferred AND (
        SELECT is_scheduled_as_posted(customer, order_id) IS NOT TRUE FROM invoices WHERE customer_id = customer AND id = made.invoice_id
    ) THEN
        RETURN 'what it took of deferred revenue is not what is scheduled';
    END IF;
    RETURN NULL;
END
$$;
