-- Credit notes and statements of account go out by e-mail, as invoices do.

ALTER TABLE email_messages ADD COLUMN credit_note_id uuid;
ALTER TABLE email_messages ADD COLUMN statement_since date;
ALTER TABLE email_messages ADD COLUMN statement_until date;
ALTER TABLE email_messages ADD COLUMN statement_currency varchar(3);
ALTER TABLE email_messages DROP CONSTRAINT email_messages_invoice_customer;
ALTER TABLE email_messages ADD CONSTRAINT email_messages_enclosed CHECK (num_nonnulls(invoice_id, credit_note_id, statement_since) <= CASE WHEN customer_id IS NULL THEN 0 ELSE 1 END);
ALTER TABLE email_messages ADD CONSTRAINT email_messages_statement CHECK (num_nonnulls(statement_since, statement_until, statement_currency) IN (0, 3) AND statement_since <= statement_until AND (statement_currency IS NULL OR currency_scale(statement_currency) IS NOT NULL));
CREATE INDEX email_messages_of_credit_note ON email_messages (credit_note_id, id);
ALTER TABLE email_messages ADD CONSTRAINT email_messages_credit_note FOREIGN KEY (customer_id, credit_note_id) REFERENCES credit_notes (customer_id, id);
