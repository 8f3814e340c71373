-- An item names one or two documents: it is in the indexes of those alone. Each change of an item is a new entry in all of its indexes, as
-- one of them is of what is open.

DROP INDEX open_items_order;
DROP INDEX open_items_payment;
DROP INDEX open_items_invoice;
DROP INDEX open_items_credit_note;
CREATE INDEX open_items_order ON open_items (customer_id, order_id, id) WHERE order_id IS NOT NULL;
CREATE INDEX open_items_payment ON open_items (payment_id, id) WHERE payment_id IS NOT NULL;
CREATE INDEX open_items_invoice ON open_items (customer_id, invoice_id, id) WHERE invoice_id IS NOT NULL;
CREATE INDEX open_items_credit_note ON open_items (customer_id, credit_note_id, id) WHERE credit_note_id IS NOT NULL;
