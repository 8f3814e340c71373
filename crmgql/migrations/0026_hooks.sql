-- Payment providers: our accounts there, what they post to us, and what became of it.

CREATE TABLE payment_accounts (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    name varchar(100) NOT NULL,
    provider varchar(10) NOT NULL,
    identities text[] NOT NULL DEFAULT '{}',
    public_keys jsonb NOT NULL DEFAULT '{}',
    secrets_sealed text,
    secret_set_at timestamptz,
    old_secret_until timestamptz,
    captured_at_once boolean NOT NULL DEFAULT false,
    test_mode boolean NOT NULL DEFAULT false,
    default_method varchar(20) NOT NULL DEFAULT 'OTHER',
    order_source varchar(50),
    active boolean NOT NULL DEFAULT true,
    CONSTRAINT payment_accounts_provider CHECK (provider IN ('STRIPE', 'ADYEN', 'ALIPAY', 'WECHAT')),
    CONSTRAINT payment_accounts_default_method CHECK (default_method IN ('CREDIT_CARD', 'DEBIT_CARD', 'BANK_TRANSFER', 'DIRECT_DEBIT', 'BOLETO', 'VOUCHER', 'WALLET', 'CASH', 'CHECK', 'OTHER')),
    CONSTRAINT payment_accounts_secret CHECK ((secrets_sealed IS NULL) = (secret_set_at IS NULL))
);
CREATE TABLE provider_events (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    provider varchar(10) NOT NULL,
    post_id uuid NOT NULL,
    event_id varchar(600) NOT NULL,
    kind varchar(20) NOT NULL,
    raw_kind varchar(255) NOT NULL,
    rank smallint NOT NULL,
    occurred_at timestamptz NOT NULL,
    success boolean NOT NULL,
    live boolean NOT NULL,
    names text[] NOT NULL,
    reference varchar(255),
    also text[] NOT NULL,
    part varchar(255),
    key varchar(255),
    order_reference varchar(255),
    amount numeric,
    currency varchar(3),
    cumulative boolean NOT NULL,
    method varchar(255),
    status varchar(10) NOT NULL DEFAULT 'RECEIVED',
    reason varchar(500),
    retry_at timestamptz,
    told_at timestamptz,
    settled_at timestamptz,
    account_id uuid NOT NULL,
    customer_id uuid,
    order_id uuid,
    payment_id uuid,
    CONSTRAINT provider_events_once UNIQUE (account_id, event_id),
    CONSTRAINT provider_events_kind CHECK (kind IN ('PAYMENT_EXPECTED', 'PAYMENT_AUTHORISED', 'PAYMENT_FAILED', 'PAYMENT_SUCCEEDED', 'REFUND_REQUESTED', 'REFUND_FAILED', 'REFUND_SUCCEEDED', 'DISPUTE_OPENED', 'DISPUTE_WON', 'DISPUTE_LOST', 'FEE', 'PAYOUT_EXPECTED', 'PAYOUT_FAILED', 'PAYOUT_PAID', 'NOTED', 'UNKNOWN')),
    CONSTRAINT provider_events_status CHECK (status IN ('RECEIVED', 'WAITING', 'DONE', 'OUTDATED', 'NOTED')),
    CONSTRAINT provider_events_money CHECK ((amount IS NULL) = (currency IS NULL)),
    CONSTRAINT provider_events_waiting CHECK ((status = 'WAITING') = (retry_at IS NOT NULL)),
    CONSTRAINT provider_events_whose CHECK (customer_id IS NOT NULL OR num_nonnulls(order_id, payment_id) = 0),
    CONSTRAINT provider_events_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT provider_events_amount_scale CHECK (amount_fits(amount, currency))
);
CREATE TABLE provider_posts (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    body bytea NOT NULL,
    headers jsonb NOT NULL DEFAULT '{}',
    account_id uuid NOT NULL
);
ALTER TABLE provider_events ADD CONSTRAINT provider_events_account_id_fkey FOREIGN KEY (account_id) REFERENCES payment_accounts (id);
ALTER TABLE provider_events ADD CONSTRAINT provider_events_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE provider_events ADD CONSTRAINT provider_events_order FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE provider_events ADD CONSTRAINT provider_events_payment FOREIGN KEY (customer_id, payment_id) REFERENCES payments (customer_id, id);
ALTER TABLE provider_posts ADD CONSTRAINT provider_posts_account_id_fkey FOREIGN KEY (account_id) REFERENCES payment_accounts (id);
CREATE INDEX payment_accounts_by_provider ON payment_accounts (provider, id);
CREATE INDEX payment_accounts_created ON payment_accounts (created_at, id);
CREATE UNIQUE INDEX payment_accounts_origin ON payment_accounts (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX payment_accounts_name ON payment_accounts (lower(name));
CREATE INDEX provider_events_names ON provider_events USING gin (names);
CREATE INDEX provider_events_created ON provider_events (created_at, id);
CREATE INDEX provider_events_occurred ON provider_events (occurred_at, id);
CREATE INDEX provider_events_status ON provider_events (status, id);
CREATE INDEX provider_events_due ON provider_events (retry_at, id) WHERE status = 'WAITING';
CREATE INDEX provider_events_of_order ON provider_events (customer_id, order_id, id) WHERE customer_id IS NOT NULL;
CREATE INDEX provider_events_of_payment ON provider_events (customer_id, payment_id, id) WHERE customer_id IS NOT NULL;
CREATE INDEX provider_posts_by_account ON provider_posts (account_id, id);
CREATE INDEX provider_posts_created ON provider_posts (created_at, id);

-- What a provider said stays as it was said, and whose it is once it is booked; what became of it may change. Posts may go.
CREATE FUNCTION provider_event_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (to_jsonb(OLD) - '{status,reason,retry_at,told_at,settled_at,customer_id,order_id,payment_id}'::text[])
            <> (to_jsonb(NEW) - '{status,reason,retry_at,told_at,settled_at,customer_id,order_id,payment_id}'::text[])
        OR (OLD.payment_id IS NOT NULL AND (OLD.customer_id, OLD.payment_id) IS DISTINCT FROM (NEW.customer_id, NEW.payment_id)) THEN
        RAISE EXCEPTION 'provider event % stays as it was said', OLD.id
            USING ERRCODE = 'check_violation', TABLE = 'provider_events', CONSTRAINT = 'provider_events_kept';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER provider_events_kept BEFORE UPDATE ON provider_events FOR EACH ROW EXECUTE FUNCTION provider_event_is_kept();
CREATE TRIGGER provider_events_no_delete BEFORE DELETE ON provider_events FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER provider_events_no_truncate BEFORE TRUNCATE ON provider_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER provider_posts_no_update BEFORE UPDATE ON provider_posts FOR EACH ROW EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE ON provider_events FROM crmgql_app;
GRANT UPDATE (status, reason, retry_at, told_at, settled_at, customer_id, order_id, payment_id) ON provider_events TO crmgql_app;
REVOKE DELETE ON payment_accounts FROM crmgql_app;
