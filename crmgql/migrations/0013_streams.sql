-- Subscriptions to events that have a name, and the documents that are registered for them.

CREATE TABLE documents (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    hash varchar(64) NOT NULL,
    text text NOT NULL,
    purpose varchar(20) NOT NULL,
    created_by_id uuid,
    CONSTRAINT documents_hash_of_text CHECK (hash = encode(sha256(convert_to(text, 'UTF8')), 'hex')),
    CONSTRAINT documents_length CHECK (length(text) <= 16384),
    CONSTRAINT documents_purpose CHECK (purpose IN ('PAYLOAD')),
    CONSTRAINT documents_hash UNIQUE (hash)
);
CREATE TABLE event_subscriptions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    name varchar(100) NOT NULL,
    scopes text[],
    document_hash varchar(64) NOT NULL,
    kinds text[] NOT NULL DEFAULT '{}',
    fields text[] NOT NULL DEFAULT '{}',
    filter jsonb,
    read_as varchar(10) NOT NULL DEFAULT 'DELIVERY',
    active boolean NOT NULL DEFAULT true,
    cursor varchar(60) NOT NULL,
    position bigint GENERATED ALWAYS AS (((('x'::text || substr((cursor)::text, 13, 16)))::bit(64))::bigint) VIRTUAL NOT NULL,
    lease_by varchar(100),
    lease_token varchar(43),
    lease_until timestamptz,
    pulled varchar(60),
    deleted_at timestamptz,
    owner_id uuid NOT NULL,
    CONSTRAINT event_subscriptions_cursor CHECK (cursor ~ '^evc_[0-9a-f]{56}$'),
    CONSTRAINT event_subscriptions_leased CHECK (num_nulls(lease_token, lease_until, pulled) IN (0, 3) AND (lease_by IS NULL OR lease_token IS NOT NULL)),
    CONSTRAINT event_subscriptions_read_as CHECK (read_as IN ('EVENT', 'DELIVERY'))
);
CREATE INDEX documents_created_by ON documents (created_by_id, id);
CREATE INDEX event_subscriptions_created ON event_subscriptions (created_at, id);
CREATE INDEX event_subscriptions_document ON event_subscriptions (document_hash);
CREATE UNIQUE INDEX event_subscriptions_name ON event_subscriptions (owner_id, name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX event_subscriptions_origin ON event_subscriptions (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX event_subscriptions_owner ON event_subscriptions (owner_id, id);
ALTER TABLE documents ADD CONSTRAINT documents_created_by_id_fkey FOREIGN KEY (created_by_id) REFERENCES users (id);
ALTER TABLE event_subscriptions ADD CONSTRAINT event_subscriptions_document FOREIGN KEY (document_hash) REFERENCES documents (hash);
ALTER TABLE event_subscriptions ADD CONSTRAINT event_subscriptions_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users (id);
