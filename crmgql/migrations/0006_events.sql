-- Events and the audit trail: partitioned by month, personal values apart, positions beside them; who was erased.

CREATE TABLE event_positions (
    position bigint PRIMARY KEY,
    event_id uuid NOT NULL,
    is_last boolean NOT NULL,
    CONSTRAINT event_positions_event UNIQUE (event_id),
    CONSTRAINT event_positions_positive CHECK (position > 0)
);

CREATE TABLE event_checkpoints (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    relation varchar(40) NOT NULL,
    month date NOT NULL,
    rows bigint NOT NULL,
    first_id uuid,
    last_id uuid,
    first_position bigint,
    last_position bigint,
    heads jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT event_checkpoints_month UNIQUE (relation, month)
);

CREATE TABLE erasures (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    actor_id uuid,
    reason varchar(300),
    erased_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT erasures_actor_id_fkey FOREIGN KEY (actor_id) REFERENCES users (id)
);
CREATE INDEX erasures_actor ON erasures (actor_id, id);

CREATE TABLE tombstones (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    erasure_id uuid NOT NULL,
    subject_type varchar(40) NOT NULL,
    subject_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tombstones_erasure_id_fkey FOREIGN KEY (erasure_id) REFERENCES erasures (id)
);
CREATE INDEX tombstones_erasure ON tombstones (erasure_id, id);
CREATE INDEX tombstones_subject ON tombstones (subject_id);

ALTER TABLE events RENAME TO events_of_old;
ALTER TABLE audit_entries RENAME TO audit_entries_of_old;
ALTER TABLE events_of_old RENAME CONSTRAINT events_pkey TO events_of_old_pkey;
ALTER TABLE audit_entries_of_old RENAME CONSTRAINT audit_entries_pkey TO audit_entries_of_old_pkey;
DROP INDEX events_customer, events_subject, events_actor;
DROP INDEX audit_entries_customer, audit_entries_subject, audit_entries_actor, audit_entries_api_key;
ALTER TABLE events_of_old DROP CONSTRAINT events_actor_id_fkey, DROP CONSTRAINT events_customer_id_fkey;
ALTER TABLE audit_entries_of_old DROP CONSTRAINT audit_entries_actor_id_fkey,
    DROP CONSTRAINT audit_entries_api_key_id_fkey, DROP CONSTRAINT audit_entries_customer_id_fkey;

-- `kept` and `personal` together are what was said: a virtual column joins them, so that queries need not know.
CREATE TABLE events (
    id uuid NOT NULL DEFAULT uuidv7(),
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind varchar(60) NOT NULL,
    kind_version integer NOT NULL DEFAULT 1,
    subject_id uuid NOT NULL,
    subject_type varchar(40) NOT NULL,
    customer_id uuid,
    actor_id uuid,
    changed text[] NOT NULL DEFAULT '{}',
    kept jsonb NOT NULL DEFAULT '{}',
    personal text,
    salt bytea,
    commitment varchar(100),
    payload jsonb GENERATED ALWAYS AS (kept || coalesce(personal::jsonb, '{}'::jsonb)) VIRTUAL NOT NULL,
    occurred_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT events_pkey PRIMARY KEY (id),
    CONSTRAINT events_personal CHECK ((personal IS NULL) = (salt IS NULL) AND (personal IS NULL OR commitment IS NOT NULL)),
    CONSTRAINT events_actor_id_fkey FOREIGN KEY (actor_id) REFERENCES users (id),
    CONSTRAINT events_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id)
) PARTITION BY RANGE (id);
CREATE INDEX events_customer ON events (customer_id, id);
CREATE INDEX events_subject ON events (subject_id, id);
CREATE INDEX events_actor ON events (actor_id, id);
CREATE INDEX events_transaction ON events (transaction_id);

CREATE TABLE audit_entries (
    id uuid NOT NULL DEFAULT uuidv7(),
    action varchar(60) NOT NULL,
    subject_id uuid NOT NULL,
    subject_type varchar(40) NOT NULL,
    customer_id uuid,
    actor_id uuid,
    api_key_id uuid,
    kept jsonb NOT NULL DEFAULT '{}',
    personal text,
    salt bytea,
    commitment varchar(100),
    changes jsonb GENERATED ALWAYS AS (kept || coalesce(personal::jsonb, '{}'::jsonb)) VIRTUAL NOT NULL,
    occurred_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT audit_entries_pkey PRIMARY KEY (id),
    CONSTRAINT audit_entries_personal CHECK ((personal IS NULL) = (salt IS NULL) AND (personal IS NULL OR commitment IS NOT NULL)),
    CONSTRAINT audit_entries_actor_id_fkey FOREIGN KEY (actor_id) REFERENCES users (id),
    CONSTRAINT audit_entries_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES api_keys (id),
    CONSTRAINT audit_entries_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id)
) PARTITION BY RANGE (id);
CREATE INDEX audit_entries_customer ON audit_entries (customer_id, id);
CREATE INDEX audit_entries_subject ON audit_entries (subject_id, id);
CREATE INDEX audit_entries_actor ON audit_entries (actor_id, id);
CREATE INDEX audit_entries_api_key ON audit_entries (api_key_id, id);

-- Append-only, but for one change: the personal values of a record that has a tombstone go, with their salt.
CREATE FUNCTION allow_erasure() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before record := OLD;
    after record := NEW;
BEGIN
    IF OLD.personal IS NOT NULL AND NEW.personal IS NULL AND NEW.salt IS NULL
        AND EXISTS (SELECT FROM tombstones WHERE subject_id IN (OLD.subject_id, OLD.customer_id)) THEN
        before.personal := NULL;
        before.salt := NULL;
        IF NOT (before *<> after) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER events_no_update BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION allow_erasure();
CREATE TRIGGER events_no_delete BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries FOR EACH ROW EXECUTE FUNCTION allow_erasure();
CREATE TRIGGER audit_entries_no_delete BEFORE DELETE ON audit_entries FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Histories are append-only, too; a reason that somebody typed may go with the person.
CREATE FUNCTION allow_erasure_of_reason() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before record := OLD;
    after record := NEW;
BEGIN
    IF OLD.reason IS NOT NULL AND NEW.reason IS NULL AND EXISTS (
        SELECT FROM tombstones
        WHERE subject_id IN ((to_jsonb(OLD)->>'lead_id')::uuid, (to_jsonb(OLD)->>'customer_id')::uuid)) THEN
        before.reason := NULL;
        IF NOT (before *<> after) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
DROP TRIGGER lead_transitions_no_change ON lead_transitions;
DROP TRIGGER pool_moves_no_change ON pool_moves;
CREATE TRIGGER lead_transitions_no_update BEFORE UPDATE ON lead_transitions
    FOR EACH ROW EXECUTE FUNCTION allow_erasure_of_reason();
CREATE TRIGGER lead_transitions_no_delete BEFORE DELETE ON lead_transitions FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER pool_moves_no_update BEFORE UPDATE ON pool_moves FOR EACH ROW EXECUTE FUNCTION allow_erasure_of_reason();
CREATE TRIGGER pool_moves_no_delete BEFORE DELETE ON pool_moves FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A position goes only after its event, with the event's month.
CREATE FUNCTION refuse_change_of_position() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM events WHERE id = OLD.event_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER event_positions_no_change BEFORE UPDATE OR DELETE ON event_positions
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_position();
CREATE TRIGGER event_positions_no_truncate BEFORE TRUNCATE ON event_positions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER event_checkpoints_no_change BEFORE UPDATE OR DELETE ON event_checkpoints
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER erasures_no_change BEFORE UPDATE OR DELETE ON erasures FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tombstones_no_change BEFORE UPDATE OR DELETE ON tombstones FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER event_checkpoints_no_truncate BEFORE TRUNCATE ON event_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER erasures_no_truncate BEFORE TRUNCATE ON erasures FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tombstones_no_truncate BEFORE TRUNCATE ON tombstones FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The lowest UUIDv7 of a time.
CREATE FUNCTION uuidv7_at(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- Makes the partition of one month, in UTC, if it is not there; what had gathered in the default one moves over.
-- TRUNCATE asks no trigger of the parent, so each partition has its own.
CREATE FUNCTION event_month(relation text, month date) RETURNS void LANGUAGE plpgsql AS $$
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
    IF early THEN
        EXECUTE format('INSERT INTO %I (%s) SELECT %s FROM early_rows', relation, columns, columns);
        DROP TABLE early_rows;
    END IF;
END
$$;

-- Makes the months of both tables from the current one on.
CREATE FUNCTION event_months(now timestamptz, ahead integer) RETURNS void LANGUAGE sql AS $$
    SELECT event_month(relation, (date_trunc('month', now AT TIME ZONE 'UTC') + n * interval '1 month')::date)
    FROM unnest(ARRAY['events', 'audit_entries']) AS relation, generate_series(0, ahead) AS n
$$;

-- Gives up one month: a checkpoint stays. Answers how many rows went.
CREATE FUNCTION event_month_drop(relation text, month date) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    part text := relation || to_char(month, '_YYYY_MM');
    named text := CASE relation WHEN 'events' THEN 'kind' ELSE 'action' END;
    gone bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('event_month'));
    IF to_regclass(part) IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', part);
    EXECUTE format($sql$
        INSERT INTO event_checkpoints (relation, month, rows, first_id, last_id, first_position, last_position, heads)
        SELECT %L, %L, count(*), (SELECT id FROM %I ORDER BY id LIMIT 1), (SELECT id FROM %I ORDER BY id DESC LIMIT 1),
            min(position), max(position),
            jsonb_build_object('counts', coalesce((SELECT jsonb_object_agg(%I, n) FROM (SELECT %I, count(*) AS n FROM %I GROUP BY 1) c), '{}'))
        FROM %I LEFT JOIN event_positions ON event_id = id
        RETURNING rows$sql$, relation, month, part, part, named, named, part, part) INTO gone;
    EXECUTE format('DROP TABLE %I', part);
    IF relation = 'events' THEN
        DELETE FROM event_positions
        WHERE event_id >= uuidv7_at(month::timestamp AT TIME ZONE 'UTC')
            AND event_id < uuidv7_at((month + interval '1 month') AT TIME ZONE 'UTC');
    END IF;
    RETURN gone;
END
$$;

-- What changed records without their verbs says so: to be called by migrations and by whoever writes SQL by hand.
-- `prefix` is that of the type's ids; without ids, any record of the type may have changed.
CREATE FUNCTION record_gap(type text, prefix text, first uuid, last uuid, reason text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    gap uuid := uuidv7();
    salt bytea := uuid_send(gen_random_uuid());
    personal text := jsonb_build_object('reason', reason)::text;
    sealed text := 'sha256-1:' || encode(sha256(salt || convert_to(personal, 'UTF8')), 'hex');
    said jsonb := jsonb_strip_nulls(jsonb_build_object('type', type,
        'first', prefix || '_' || replace(first::text, '-', ''), 'last', prefix || '_' || replace(last::text, '-', '')));
BEGIN
    INSERT INTO events (id, kind, subject_type, subject_id, kept, personal, salt, commitment, occurred_at)
    VALUES (gap, 'gap.recorded', 'Gap', gap, said, personal, salt, sealed, now());
    INSERT INTO audit_entries (id, action, subject_type, subject_id, occurred_at)
    VALUES (gap, 'gap.recorded', 'Gap', gap, now());
    RETURN gap;
END
$$;

CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE TABLE audit_entries_default PARTITION OF audit_entries DEFAULT;
CREATE TRIGGER events_default_no_truncate BEFORE TRUNCATE ON events_default
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_entries_default_no_truncate BEFORE TRUNCATE ON audit_entries_default
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Months from the oldest row on, at most ten years of them; what is older stays in the default partition.
SELECT event_month(relation, month::date) FROM (
    SELECT 'events' AS relation, min(uuid_extract_timestamp(id)) AS since FROM events_of_old
    UNION ALL SELECT 'audit_entries', min(uuid_extract_timestamp(id)) FROM audit_entries_of_old
) found, generate_series(date_trunc('month', greatest(since, now() - interval '10 years') AT TIME ZONE 'UTC'),
    now() AT TIME ZONE 'UTC', interval '1 month') AS month
WHERE since IS NOT NULL;
SELECT event_months(now(), 3);

-- Which columns of an audit row are personal, as the registry has it today.
CREATE TEMPORARY TABLE personal_columns (record text, name text) ON COMMIT DROP;
INSERT INTO personal_columns SELECT record, unnest(string_to_array(names, ' ')) FROM (VALUES
    ('Absence', 'reason'),
    ('Contact', 'email name phone title'),
    ('Customer', 'city email name notes phone postal_code state website'),
    ('EmailMessage', 'body error subject to_address'),
    ('Interaction', 'body subject'),
    ('Lead', 'attributes city company domain email lost_reason message name normal_email normal_phone phone title website'),
    ('LeadDuplicate', 'reasons'),
    ('Notification', 'body title'),
    ('Opportunity', 'lost_reason name'),
    ('Order', 'note'),
    ('Payment', 'reference'),
    ('PoolItem', 'shown'),
    ('SellerProfile', 'attributes'),
    ('Task', 'description subject'),
    ('Ticket', 'description subject'),
    ('User', 'city email name postal_code state')
) AS said (record, names);

-- Version 0: from before the contract. Each is a transaction of its own.
INSERT INTO events (id, transaction_id, kind, kind_version, subject_type, subject_id, customer_id, actor_id, kept, personal, salt,
    commitment, occurred_at, created_at)
SELECT id, '0', kind, 0, CASE subject_type WHEN 'import' THEN 'ImportRun' ELSE subject_type END, subject_id, customer_id, actor_id,
    CASE WHEN said IS NULL THEN payload ELSE payload - 'reason' END, said, salt, 'sha256-1:' || encode(sha256(salt || convert_to(said, 'UTF8')), 'hex'), occurred_at, created_at
FROM (SELECT old.*, jsonb_build_object('reason', payload->'reason')::text AS said, uuid_send(gen_random_uuid()) AS salt
      FROM events_of_old old WHERE payload ? 'reason' AND (kind LIKE 'pool.%' OR kind LIKE 'order.%')
      UNION ALL
      SELECT old.*, NULL, NULL FROM events_of_old old WHERE NOT (payload ? 'reason' AND (kind LIKE 'pool.%' OR kind LIKE 'order.%'))) old;
INSERT INTO event_positions (position, event_id, is_last) SELECT position, id, true FROM events_of_old WHERE position IS NOT NULL;

INSERT INTO audit_entries (id, action, subject_type, subject_id, customer_id, actor_id, api_key_id, kept, personal, salt, commitment,
    occurred_at, created_at)
SELECT id, action, subject_type, subject_id, customer_id, actor_id, api_key_id, changes - coalesce(names, '{}'), said,
    CASE WHEN said IS NOT NULL THEN salt END,
    'sha256-1:' || encode(sha256(salt || convert_to(said, 'UTF8')), 'hex'), occurred_at, created_at
FROM audit_entries_of_old old
CROSS JOIN LATERAL (
    SELECT array_agg(key) AS names, jsonb_object_agg(key, value)::text AS said FROM jsonb_each(changes)
    JOIN personal_columns c ON c.record = subject_type AND c.name = key
) apart
CROSS JOIN LATERAL (SELECT uuid_send(gen_random_uuid()) AS salt WHERE old.id IS NOT NULL) salted;

DROP TABLE events_of_old, audit_entries_of_old;
