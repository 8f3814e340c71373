-- Webhooks. Written by "crmgql migrations make"; read it, and say where the rows that are there go.

CREATE TABLE webhook_attempts (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    message_id varchar(40) NOT NULL,
    kind varchar(60) NOT NULL,
    number integer NOT NULL,
    url varchar(500) NOT NULL,
    request_headers jsonb NOT NULL DEFAULT '{}',
    request_sha256 varchar(64) NOT NULL,
    response_status integer,
    response_headers jsonb,
    response_body text,
    latency_ms integer NOT NULL,
    accepted boolean NOT NULL,
    error_code varchar(30),
    error_message varchar(500),
    attempted_at timestamptz NOT NULL,
    endpoint_id uuid NOT NULL,
    CONSTRAINT webhook_attempts_answer CHECK ((response_status IS NULL) = (error_code IS NOT NULL AND NOT accepted)),
    CONSTRAINT webhook_attempts_body_length CHECK (length(response_body) <= 4096)
);
CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    message_id varchar(40) NOT NULL,
    position bigint NOT NULL,
    kind varchar(60) NOT NULL,
    line uuid NOT NULL,
    status varchar(10) NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    finished_at timestamptz,
    endpoint_id uuid NOT NULL,
    CONSTRAINT webhook_deliveries_due CHECK ((next_attempt_at IS NULL) = (status <> 'RETRY')),
    CONSTRAINT webhook_deliveries_finished CHECK ((finished_at IS NULL) = (status IN ('WAITING', 'RETRY'))),
    CONSTRAINT webhook_deliveries_status CHECK (status IN ('WAITING', 'RETRY', 'DELIVERED', 'DEAD')),
    CONSTRAINT webhook_deliveries_once UNIQUE (endpoint_id, message_id)
);
CREATE TABLE webhook_endpoints (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    url varchar(500) NOT NULL,
    description varchar(500),
    kinds text[] NOT NULL DEFAULT '{}',
    fields text[] NOT NULL DEFAULT '{}',
    api_version varchar(10) NOT NULL,
    order_by varchar(10) NOT NULL DEFAULT 'ENDPOINT',
    payload varchar(10) NOT NULL DEFAULT 'WHOLE',
    ed25519 boolean NOT NULL DEFAULT false,
    subscription_id uuid,
    status varchar(10) NOT NULL DEFAULT 'PENDING',
    status_reason varchar(300),
    challenged_at timestamptz,
    verified_at timestamptz,
    key_salt varchar(32) NOT NULL,
    public_key varchar(60) NOT NULL,
    old_key_salt varchar(32),
    old_public_key varchar(60),
    old_key_until timestamptz,
    cursor varchar(60) NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    retry_at timestamptz,
    delivered_at timestamptz,
    lease_by uuid,
    lease_until timestamptz,
    api_key_id uuid,
    owner_id uuid NOT NULL,
    CONSTRAINT webhook_endpoints_active CHECK (status <> 'ACTIVE' OR verified_at IS NOT NULL),
    CONSTRAINT webhook_endpoints_failing CHECK ((failures = 0) = (failing_since IS NULL)),
    CONSTRAINT webhook_endpoints_lease CHECK ((lease_by IS NULL) = (lease_until IS NULL)),
    CONSTRAINT webhook_endpoints_old_key CHECK (num_nulls(old_key_salt, old_public_key, old_key_until) IN (0, 3)),
    CONSTRAINT webhook_endpoints_order_by CHECK (order_by IN ('ENDPOINT', 'CUSTOMER', 'SUBJECT')),
    CONSTRAINT webhook_endpoints_payload CHECK (payload IN ('WHOLE', 'THIN')),
    CONSTRAINT webhook_endpoints_status CHECK (status IN ('PENDING', 'ACTIVE', 'PAUSED', 'DISABLED', 'DELETED'))
);
CREATE INDEX webhook_attempts_created ON webhook_attempts (created_at, id);
CREATE INDEX webhook_attempts_endpoint ON webhook_attempts (endpoint_id, id);
CREATE INDEX webhook_attempts_message ON webhook_attempts (message_id, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE status = 'RETRY';
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_open ON webhook_deliveries (endpoint_id, position) WHERE status IN ('WAITING', 'RETRY');
CREATE INDEX webhook_endpoints_active_ones ON webhook_endpoints (id) WHERE status = 'ACTIVE';
CREATE INDEX webhook_endpoints_api_key ON webhook_endpoints (api_key_id, id) WHERE api_key_id IS NOT NULL;
CREATE INDEX webhook_endpoints_created ON webhook_endpoints (created_at, id);
CREATE UNIQUE INDEX webhook_endpoints_origin ON webhook_endpoints (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX webhook_endpoints_owner ON webhook_endpoints (owner_id, id);
ALTER TABLE webhook_attempts ADD CONSTRAINT webhook_attempts_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES webhook_endpoints (id);
ALTER TABLE webhook_deliveries ADD CONSTRAINT webhook_deliveries_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES webhook_endpoints (id);
ALTER TABLE webhook_endpoints ADD CONSTRAINT webhook_endpoints_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES api_keys (id);
ALTER TABLE webhook_endpoints ADD CONSTRAINT webhook_endpoints_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users (id);
