-- The feed: where the relay stands, and the pass that gives events their positions (docs/feed.md).

ALTER TABLE event_positions ADD COLUMN epoch integer NOT NULL DEFAULT 1;
ALTER TABLE event_positions ALTER COLUMN epoch DROP DEFAULT;

CREATE TABLE feed (
    id integer PRIMARY KEY,
    position bigint NOT NULL,
    event_id uuid,
    epoch integer NOT NULL,
    pass pg_snapshot NOT NULL,
    server varchar(40) NOT NULL,
    timeline varchar(8) NOT NULL,
    base bigint NOT NULL,
    CONSTRAINT feed_one CHECK (id = 1),
    CONSTRAINT feed_head CHECK (position >= 0 AND (position = 0) = (event_id IS NULL))
);

-- Another server counts its transactions anew, and so would find old numbers among its own. From now on it adds a base that
-- puts its numbers above all that are there. Returns the base.
CREATE FUNCTION feed_base() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    highest bigint;
BEGIN
    LOCK TABLE events IN ACCESS EXCLUSIVE MODE;
    SELECT transaction_id::text::bigint INTO highest FROM events ORDER BY transaction_id DESC LIMIT 1;
    IF highest IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format(
        'ALTER TABLE events ALTER transaction_id SET DEFAULT ((pg_current_xact_id()::text::bigint + %s)::text::xid8)', highest);
    RETURN highest;
END
$$;

-- One pass: gives positions to the events that have become visible since the last one. Returns the newest position.
-- Each statement of it has a snapshot of its own, and the one that places takes it after the lock. For the client it is one
-- statement, so a client that stands still does not keep the lock.
CREATE FUNCTION feed_pass() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    state feed;
    here text := (SELECT system_identifier::text FROM pg_control_system());
    line text := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    moved boolean;
    running xid8[];
    next xid8;
    newest bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM feed) THEN  -- the first pass of all
        INSERT INTO feed (id, position, event_id, epoch, pass, server, timeline, base)
        SELECT 1, coalesce(max(position), 0), (array_agg(event_id ORDER BY position DESC))[1], 0, '1:1:', '', '', 0
        FROM event_positions ON CONFLICT DO NOTHING;
    END IF;
    SELECT * INTO state FROM feed FOR UPDATE;
    moved := state.server <> here;
    IF moved OR state.timeline <> line THEN
        state.epoch := state.epoch + 1;
    END IF;
    IF moved AND state.server <> '' THEN
        state.base := feed_base();
    END IF;
    next := (pg_snapshot_xmax(state.pass)::text::bigint + state.base)::text::xid8;
    running := ARRAY(SELECT (xip::text::bigint + state.base)::text::xid8 FROM pg_snapshot_xip(state.pass) AS xip);
    WITH fresh AS MATERIALIZED (
        SELECT id, transaction_id FROM events WHERE NOT moved AND transaction_id >= next
        UNION ALL
        SELECT id, transaction_id FROM events WHERE NOT moved AND transaction_id = ANY (running)
        UNION ALL
        SELECT id, transaction_id FROM events
        WHERE moved AND NOT EXISTS (SELECT FROM event_positions WHERE event_id = events.id)
    ), ranked AS (
        SELECT id, first_value(id) OVER (PARTITION BY transaction_id ORDER BY id DESC) AS last FROM fresh
    ), placed AS (
        INSERT INTO event_positions (position, event_id, epoch, is_last)
        SELECT state.position + row_number() OVER (ORDER BY last, id), id, state.epoch, id = last FROM ranked
        RETURNING position, event_id
    ), head AS (
        SELECT position, event_id FROM placed ORDER BY position DESC LIMIT 1
    )
    UPDATE feed SET pass = pg_current_snapshot(), epoch = state.epoch, server = here, timeline = line, base = state.base,
        position = coalesce((SELECT position FROM head), state.position),
        event_id = coalesce((SELECT event_id FROM head), state.event_id)
    RETURNING position INTO newest;
    RETURN newest;
END
$$;
