-- The audit trail is chained as the books are: a link for each statement, in lanes below zero of its customer, or of the company where
-- its rows are of several. What is hashed of personal values is their commitment, so a person can be erased.

CREATE TABLE audit_links (
    owner_id uuid NOT NULL,
    lane smallint NOT NULL,
    seq bigint NOT NULL,
    ids uuid[] NOT NULL,
    digest bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT audit_links_lane CHECK (lane < 0),
    CONSTRAINT audit_links_pkey PRIMARY KEY (owner_id, lane, seq)
);
REVOKE INSERT, UPDATE, DELETE ON audit_links FROM crmgql_app;
ALTER TABLE audit_entries ADD CONSTRAINT audit_entries_plain CHECK (action !~ '[\x01-\x1f\x7f\\]' AND subject_type !~ '[\x01-\x1f\x7f\\]' AND commitment !~ '[\x01-\x1f\x7f\\]');

-- Entries of the books have the lanes from 0 on, audit rows those below.
DROP FUNCTION free_lane(uuid);
CREATE FUNCTION free_lane(owner uuid, of_audit boolean DEFAULT false) RETURNS ledger_heads LANGUAGE plpgsql AS $$
DECLARE
    head ledger_heads;
    sign integer := CASE WHEN of_audit THEN -1 ELSE 1 END;
    other smallint;
BEGIN
    LOOP
        IF of_audit THEN
            SELECT * INTO head FROM ledger_heads WHERE owner_id = owner AND lane < 0 ORDER BY lane DESC LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        ELSE
            SELECT * INTO head FROM ledger_heads WHERE owner_id = owner AND lane >= 0 ORDER BY lane LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        END IF;
        IF FOUND THEN
            RETURN head;
        END IF;
        -- Only one may make the first lane: the others would wait for its commit. They take a lane at random.
        other := sign * (2 + floor(random() * 32000));
        IF pg_try_advisory_xact_lock(hashtextextended('ledger_heads ' || sign || owner, 0)) THEN
            other := CASE WHEN EXISTS (SELECT FROM ledger_heads WHERE owner_id = owner AND (lane < 0) = of_audit) THEN other
                WHEN of_audit THEN -1 ELSE 0 END;
        END IF;
        INSERT INTO ledger_heads (owner_id, lane, seq, hash) VALUES (owner, other, 0, '') ON CONFLICT DO NOTHING
        RETURNING * INTO head;
        IF FOUND THEN
            RETURN head;
        END IF;
    END LOOP;
END
$$;

-- What is hashed of a row: docs/ledger.md's text, which crmgql.ledger.chains reads as it is.
CREATE FUNCTION audit_line(id uuid, action text, subject_type text, subject_id uuid, customer_id uuid, actor_id uuid, api_key_id uuid,
    kept jsonb, commitment text, occurred_at timestamptz, created_at timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN concat('1', E'\t', id, E'\t', action, E'\t', subject_type, E'\t', subject_id, E'\t', coalesce(customer_id::text, '\N'), E'\t',
    coalesce(actor_id::text, '\N'), E'\t', coalesce(api_key_id::text, '\N'), E'\t', replace(kept::text, '\', '\\'), E'\t',
    coalesce(commitment, '\N'), E'\t', to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), E'\t',
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), E'\n');

-- Links the rows of a statement, when it ends.
CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    link record;
    owner uuid;
    head ledger_heads;
BEGIN
    SELECT array_agg(id ORDER BY id) AS ids, sha256(convert_to(string_agg(audit_line(id, action, subject_type, subject_id, customer_id,
            actor_id, api_key_id, kept, commitment, occurred_at, created_at), '' ORDER BY id), 'UTF8')) AS digest,
        CASE WHEN min(customer_id::text) = max(customer_id::text) AND count(customer_id) = count(*) THEN min(customer_id::text)::uuid END AS customer_id
    INTO link FROM made;
    IF link.ids IS NULL THEN
        RETURN NULL;
    END IF;
    owner := coalesce(link.customer_id, (SELECT id FROM companies ORDER BY id LIMIT 1), '00000000-0000-0000-0000-000000000000');
    head := free_lane(owner, true);
    head.seq := head.seq + 1;
    head.hash := sha256(head.hash || link.digest);
    UPDATE ledger_heads SET seq = head.seq, hash = head.hash WHERE owner_id = owner AND lane = head.lane;
    INSERT INTO audit_links (owner_id, lane, seq, ids, digest, hash) VALUES (owner, head.lane, head.seq, link.ids, link.digest, head.hash);
    RETURN NULL;
END
$$;

-- Rows that are there are linked by their owners, ten thousand at a time.
ALTER TABLE ledger_heads DISABLE TRIGGER ledger_heads_kept;
DO $$
DECLARE
    link record;
    head ledger_heads;
BEGIN
    FOR link IN
        SELECT owner_id, array_agg(id ORDER BY id) AS ids, sha256(convert_to(string_agg(audit_line(id, action, subject_type, subject_id,
            customer_id, actor_id, api_key_id, kept, commitment, occurred_at, created_at), '' ORDER BY id), 'UTF8')) AS digest
        FROM (
            SELECT *, (row_number() OVER (PARTITION BY owner_id ORDER BY id) - 1) / 10000 AS part FROM (
                SELECT *, coalesce(customer_id, (SELECT id FROM companies ORDER BY id LIMIT 1), '00000000-0000-0000-0000-000000000000') AS owner_id
                FROM audit_entries
            ) AS entries
        ) AS parts GROUP BY owner_id, part ORDER BY owner_id, part
    LOOP
        head := free_lane(link.owner_id, true);
        head.seq := head.seq + 1;
        head.hash := sha256(head.hash || link.digest);
        UPDATE ledger_heads SET seq = head.seq, hash = head.hash WHERE owner_id = head.owner_id AND lane = head.lane;
        INSERT INTO audit_links (owner_id, lane, seq, ids, digest, hash)
        VALUES (head.owner_id, head.lane, head.seq, link.ids, link.digest, head.hash);
    END LOOP;
END
$$;
ALTER TABLE ledger_heads ENABLE TRIGGER ledger_heads_kept;

CREATE TRIGGER audit_entries_keep AFTER INSERT ON audit_entries REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION keep_audit();
CREATE TRIGGER audit_links_kept BEFORE INSERT ON audit_links FOR EACH STATEMENT EXECUTE FUNCTION kept_by_trigger();
CREATE TRIGGER audit_links_no_change BEFORE UPDATE OR DELETE ON audit_links FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_links_no_truncate BEFORE TRUNCATE ON audit_links FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Makes the partition of one month, in UTC, if it is not there; what had gathered in the default one moves over.
-- They are linked already, so they move past the parent's trigger. TRUNCATE asks no trigger of the parent, so each partition has its own;
-- the application writes to the parent alone.
CREATE OR REPLACE FUNCTION event_month(relation text, month date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part text := relation || to_char(month, '_YYYY_MM');
    spare text := relation || '_default';
    first uuid := uuidv7_at(month::timestamp AT TIME ZONE 'UTC');
    next uuid := uuidv7_at((month + interval '1 month') AT TIME ZONE 'UTC');
    early boolean;
    columns text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('event_month'));
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE id >= %L AND id < %L)', spare, first, next) INTO early;
    IF early THEN
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns FROM pg_attribute
        WHERE attrelid = relation::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
        EXECUTE format('CREATE TEMPORARY TABLE early_rows ON COMMIT DROP AS SELECT %s FROM %I WHERE id >= %L AND id < %L',
            columns, spare, first, next);
        EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', spare);
        EXECUTE format('DELETE FROM %I WHERE id >= %L AND id < %L', spare, first, next);
        EXECUTE format('ALTER TABLE %I ENABLE TRIGGER USER', spare);
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', part, relation, first, next);
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()',
        part || '_no_truncate', part);
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I FROM crmgql_app', part);
    IF early THEN
        EXECUTE format('INSERT INTO %I (%s) SELECT %s FROM early_rows', part, columns, columns);
        DROP TABLE early_rows;
    END IF;
END
$$;

DO $$
BEGIN
    EXECUTE (SELECT string_agg(format('REVOKE INSERT, UPDATE, DELETE ON %s FROM crmgql_app;', inhrelid::regclass), ' ')
        FROM pg_inherits WHERE inhparent IN ('events'::regclass, 'audit_entries'::regclass));
END
$$;
