-- Exports: what somebody wants to have as JSON Lines, and the lines, compressed, for as long as they are kept.

CREATE TABLE export_chunks (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    number integer NOT NULL,
    body bytea NOT NULL,
    export_id uuid NOT NULL,
    CONSTRAINT export_chunks_number UNIQUE (export_id, number)
);
CREATE TABLE exports (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    record_type varchar(40) NOT NULL,
    document text NOT NULL,
    filter jsonb,
    scopes text[],
    roles text[],
    record_count bigint NOT NULL DEFAULT 0,
    size_bytes bigint NOT NULL DEFAULT 0,
    crc32 bigint,
    cursor varchar(60),
    started_at timestamptz,
    finished_at timestamptz,
    expires_at timestamptz,
    job_id uuid,
    owner_id uuid NOT NULL,
    CONSTRAINT exports_document_length CHECK (length(document) <= 16384),
    CONSTRAINT exports_finished CHECK ((finished_at IS NULL) = (expires_at IS NULL)),
    CONSTRAINT exports_whole CHECK (finished_at IS NULL OR num_nulls(cursor, roles, crc32) = 0)
);
CREATE INDEX exports_created ON exports (created_at, id);
CREATE INDEX exports_expires ON exports (expires_at);
CREATE INDEX exports_job ON exports (job_id);
CREATE INDEX exports_owner ON exports (owner_id, id);
ALTER TABLE export_chunks ADD CONSTRAINT export_chunks_export_id_fkey FOREIGN KEY (export_id) REFERENCES exports (id);
ALTER TABLE exports ADD CONSTRAINT exports_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs (id);
ALTER TABLE exports ADD CONSTRAINT exports_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users (id);
