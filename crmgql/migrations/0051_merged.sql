-- Customers are merged: what one owes and has goes on to the other, its history stays. None is yet.

ALTER TABLE customers ADD COLUMN merged_into_id uuid;
ALTER TABLE customers ADD COLUMN merge_reason varchar(1000);
CREATE INDEX customers_merged_into ON customers (merged_into_id, id) WHERE merged_into_id IS NOT NULL;
ALTER TABLE customers DROP CONSTRAINT customers_status;
ALTER TABLE customers ADD CONSTRAINT customers_merged CHECK ((status = 'MERGED') = (merged_into_id IS NOT NULL));
ALTER TABLE customers ADD CONSTRAINT customers_merged_other CHECK (merged_into_id <> id);
ALTER TABLE customers ADD CONSTRAINT customers_status CHECK (status IN ('PROSPECT', 'CUSTOMER', 'DORMANT', 'CHURNED', 'MERGED'));
ALTER TABLE customers ADD CONSTRAINT customers_merged_into_id_fkey FOREIGN KEY (merged_into_id) REFERENCES customers (id);

-- What was taken over from a merged customer names no document: those are the merged one's.
ALTER TABLE allocations DROP CONSTRAINT allocations_owed;
ALTER TABLE allocations DROP CONSTRAINT allocations_source;
ALTER TABLE allocations ADD CONSTRAINT allocations_source CHECK (num_nonnulls(payment_id, credit_note_id) <= 1);
ALTER TABLE write_offs DROP CONSTRAINT write_offs_owed;

-- The customers that one was merged into, one after the other.
CREATE FUNCTION survivors(customer uuid) RETURNS SETOF uuid LANGUAGE sql STABLE ROWS 1 AS $$
    WITH RECURSIVE chain AS (
        SELECT merged_into_id AS id FROM customers WHERE id = customer AND merged_into_id IS NOT NULL
        UNION
        SELECT merged_into_id FROM chain JOIN customers USING (id) WHERE merged_into_id IS NOT NULL
    )
    SELECT id FROM chain
$$;

-- The customer that one lives on in, which is itself if it was not merged.
CREATE FUNCTION lives_on_in(customer uuid) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT id FROM customers WHERE id IN (SELECT customer UNION ALL SELECT survivors(customer)) AND merged_into_id IS NULL
$$;

-- The items that took over what an item of a merged customer was, one after the other: the entry that opened each says which.
CREATE FUNCTION taken_over(item uuid) RETURNS SETOF uuid LANGUAGE sql STABLE ROWS 1 AS $$
    WITH RECURSIVE heirs AS (
        SELECT id, owner_id FROM open_items WHERE id = item
        UNION
        SELECT heir.id, heir.owner_id FROM heirs CROSS JOIN LATERAL survivors(heirs.owner_id) AS survivor
        JOIN ledger_entries AS e ON e.owner_id = survivor AND e.key = 'took over ' || heirs.id
        JOIN open_items AS heir ON heir.owner_id = e.owner_id AND heir.entry_id = e.id AND heir.n = 1
    )
    SELECT id FROM heirs WHERE id <> item
$$;

-- A merged customer stays merged, and no customer lives on in itself.
CREATE FUNCTION merged_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'customer % is merged, and stays so', OLD.id
        USING ERRCODE = 'check_violation', TABLE = 'customers', CONSTRAINT = 'customers_merged_kept';
END
$$;
CREATE TRIGGER customers_merged_kept BEFORE UPDATE OF merged_into_id ON customers FOR EACH ROW
    WHEN (OLD.merged_into_id IS NOT NULL AND OLD.merged_into_id IS DISTINCT FROM NEW.merged_into_id) EXECUTE FUNCTION merged_is_final();
CREATE FUNCTION merged_in_no_circle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id IN (SELECT survivors(NEW.id)) THEN
        RAISE EXCEPTION 'customer % would live on in itself', NEW.id
            USING ERRCODE = 'check_violation', TABLE = 'customers', CONSTRAINT = 'customers_merged_circle';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER customers_merged_circle AFTER INSERT OR UPDATE OF merged_into_id ON customers DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.merged_into_id IS NOT NULL) EXECUTE FUNCTION merged_in_no_circle();
