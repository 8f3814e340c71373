-- Tables, keys, constraints and indexes of the spine. The models in crmgql/models declare the same; a test compares.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- Digits after the decimal point of an ISO 4217 currency. NULL for an unknown code, so that every CHECK on it refuses.
-- Not STRICT: only so can PostgreSQL write it into the CHECKs that call it, five times as fast.
CREATE FUNCTION currency_scale(currency text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN currency IS NULL OR currency !~ '^[A-Z]{3}$' THEN NULL
        WHEN currency IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV',
                          'XAF', 'XOF', 'XPF') THEN 0
        WHEN currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3
        ELSE 2
    END
$$;

-- True when an amount has exactly its currency's scale and at most 15 digits before the point. A missing amount fits.
CREATE FUNCTION amount_fits(amount numeric, currency text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT amount IS NULL
        OR coalesce(scale(amount) = currency_scale(currency) AND abs(amount) < 1000000000000000, false)
$$;

CREATE SEQUENCE order_numbers START 1001;

CREATE TABLE teams (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(100) NOT NULL,
    region varchar(100),
    manager_id uuid,
    parent_id uuid,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT teams_parent_other CHECK (parent_id <> id)
);

CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(200) NOT NULL,
    email varchar(254),
    roles text[] NOT NULL DEFAULT '{}',
    region varchar(100),
    city varchar(100),
    state varchar(100),
    postal_code varchar(20),
    active boolean NOT NULL DEFAULT true,
    salary_amount numeric,
    salary_currency varchar(3),
    password_hash varchar(200),
    team_id uuid,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_roles CHECK (roles <@ ARRAY['ADMIN','FINANCE','MANAGER','SELLER','SUPPORT','MARKETER','INTEGRATION']::text[]),
    CONSTRAINT users_salary_positive CHECK (salary_amount >= 0),
    CONSTRAINT users_salary_currency CHECK ((salary_amount IS NULL) = (salary_currency IS NULL)),
    CONSTRAINT users_salary_currency_known CHECK (salary_currency IS NULL OR currency_scale(salary_currency) IS NOT NULL),
    CONSTRAINT users_salary_amount_scale CHECK (amount_fits(salary_amount, salary_currency))
);

CREATE TABLE sessions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    family uuid NOT NULL,
    token_hash varchar(64) NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    revoked_at timestamptz,
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sessions_token UNIQUE (token_hash)
);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(100) NOT NULL,
    hint varchar(12) NOT NULL,
    key_hash varchar(64) NOT NULL,
    scopes text[] NOT NULL DEFAULT '{}',
    expires_at timestamptz,
    revoked_at timestamptz,
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT api_keys_hash UNIQUE (key_hash)
);

CREATE TABLE login_attempts (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    key varchar(300) NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    window_ends_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT login_attempts_key UNIQUE (key)
);

CREATE TABLE products (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    sku varchar(64),
    name varchar(200) NOT NULL,
    category varchar(100),
    description text,
    status varchar(20) NOT NULL DEFAULT 'ACTIVE',
    specs jsonb NOT NULL DEFAULT '{}',
    price_amount numeric,
    cost_amount numeric,
    currency varchar(3) NOT NULL DEFAULT 'USD',
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT products_sku UNIQUE (sku),
    CONSTRAINT products_status CHECK (status IN ('DRAFT', 'ACTIVE', 'END_OF_LIFE')),
    CONSTRAINT products_price_positive CHECK (price_amount >= 0),
    CONSTRAINT products_cost_positive CHECK (cost_amount >= 0),
    CONSTRAINT products_description_length CHECK (length(description) <= 20000),
    CONSTRAINT products_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT products_price_amount_scale CHECK (amount_fits(price_amount, currency)),
    CONSTRAINT products_cost_amount_scale CHECK (amount_fits(cost_amount, currency))
);

CREATE TABLE customers (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(200) NOT NULL,
    kind varchar(20) NOT NULL DEFAULT 'COMPANY',
    status varchar(20) NOT NULL DEFAULT 'PROSPECT',
    email varchar(254),
    phone varchar(40),
    website varchar(500),
    industry varchar(100),
    region varchar(100),
    country varchar(100),
    state varchar(100),
    city varchar(100),
    postal_code varchar(20),
    currency varchar(3) NOT NULL DEFAULT 'USD',
    founded_year integer,
    employee_count integer,
    annual_revenue_amount numeric,
    notes text,
    owner_id uuid,
    parent_id uuid,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT customers_kind CHECK (kind IN ('COMPANY', 'PERSON')),
    CONSTRAINT customers_status CHECK (status IN ('PROSPECT', 'CUSTOMER', 'DORMANT', 'CHURNED')),
    CONSTRAINT customers_parent_other CHECK (parent_id <> id),
    CONSTRAINT customers_employee_count CHECK (employee_count >= 0),
    CONSTRAINT customers_founded_year CHECK (founded_year BETWEEN 1000 AND 9999),
    CONSTRAINT customers_notes_length CHECK (length(notes) <= 20000),
    CONSTRAINT customers_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT customers_annual_revenue_amount_scale CHECK (amount_fits(annual_revenue_amount, currency))
);

CREATE TABLE contacts (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(200) NOT NULL,
    title varchar(100),
    email varchar(254),
    phone varchar(40),
    is_primary boolean NOT NULL DEFAULT false,
    customer_id uuid NOT NULL,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT contacts_customer_id UNIQUE (customer_id, id)
);

CREATE TABLE opportunities (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(200) NOT NULL,
    stage varchar(20) NOT NULL DEFAULT 'PROSPECTING',
    amount numeric,
    currency varchar(3) NOT NULL DEFAULT 'USD',
    probability integer,
    engaged_on date,
    expected_close date,
    closed_on date,
    lost_reason varchar(300),
    contact_id uuid,
    customer_id uuid,
    owner_id uuid,
    product_id uuid,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT opportunities_stage CHECK (stage IN ('PROSPECTING', 'ENGAGING', 'PROPOSAL', 'NEGOTIATION', 'WON', 'LOST')),
    CONSTRAINT opportunities_amount_positive CHECK (amount >= 0),
    CONSTRAINT opportunities_contact_needs_customer CHECK (contact_id IS NULL OR customer_id IS NOT NULL),
    CONSTRAINT opportunities_probability CHECK (probability BETWEEN 0 AND 100),
    CONSTRAINT opportunities_closed CHECK ((closed_on IS NOT NULL) = (stage IN ('WON', 'LOST'))),
    CONSTRAINT opportunities_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT opportunities_amount_scale CHECK (amount_fits(amount, currency))
);

CREATE TABLE orders (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    number varchar(64) NOT NULL DEFAULT 'SO-' || nextval('order_numbers'),
    status varchar(20) NOT NULL DEFAULT 'DRAFT',
    currency varchar(3) NOT NULL,
    subtotal_amount numeric NOT NULL,
    shipping_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    total_amount numeric NOT NULL,
    ordered_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    shipped_at timestamptz,
    delivered_at timestamptz,
    cancelled_at timestamptz,
    expected_delivery_at timestamptz,
    note text,
    customer_id uuid NOT NULL,
    opportunity_id uuid,
    seller_id uuid,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT orders_number UNIQUE (number),
    CONSTRAINT orders_customer_id UNIQUE (customer_id, id),
    CONSTRAINT orders_id_currency UNIQUE (id, currency),
    CONSTRAINT orders_status CHECK (status IN ('DRAFT', 'CONFIRMED', 'PROCESSING', 'INVOICED', 'SHIPPED', 'DELIVERED', 'UNAVAILABLE', 'CANCELLED')),
    CONSTRAINT orders_total CHECK (total_amount = subtotal_amount + shipping_amount + tax_amount - discount_amount),
    CONSTRAINT orders_amounts_positive CHECK (subtotal_amount >= 0 AND shipping_amount >= 0 AND tax_amount >= 0 AND discount_amount >= 0 AND total_amount >= 0),
    CONSTRAINT orders_note_length CHECK (length(note) <= 20000),
    CONSTRAINT orders_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT orders_subtotal_amount_scale CHECK (amount_fits(subtotal_amount, currency)),
    CONSTRAINT orders_shipping_amount_scale CHECK (amount_fits(shipping_amount, currency)),
    CONSTRAINT orders_tax_amount_scale CHECK (amount_fits(tax_amount, currency)),
    CONSTRAINT orders_discount_amount_scale CHECK (amount_fits(discount_amount, currency)),
    CONSTRAINT orders_total_amount_scale CHECK (amount_fits(total_amount, currency))
);

CREATE TABLE order_lines (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    position integer NOT NULL,
    description varchar(300) NOT NULL,
    quantity numeric(14,3) NOT NULL DEFAULT 1,
    currency varchar(3) NOT NULL,
    unit_price_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    shipping_amount numeric NOT NULL,
    line_amount numeric NOT NULL,
    unit_cost_amount numeric,
    customer_id uuid NOT NULL,
    order_id uuid NOT NULL,
    product_id uuid,
    seller_id uuid,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT order_lines_position UNIQUE (customer_id, order_id, position),
    CONSTRAINT order_lines_quantity_positive CHECK (quantity > 0),
    CONSTRAINT order_lines_amount CHECK (line_amount = round(quantity * unit_price_amount, currency_scale(currency)) - discount_amount),
    CONSTRAINT order_lines_amounts_positive CHECK (unit_price_amount >= 0 AND discount_amount >= 0 AND shipping_amount >= 0 AND line_amount >= 0 AND (unit_cost_amount IS NULL OR unit_cost_amount >= 0)),
    CONSTRAINT order_lines_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT order_lines_unit_price_amount_scale CHECK (amount_fits(unit_price_amount, currency)),
    CONSTRAINT order_lines_discount_amount_scale CHECK (amount_fits(discount_amount, currency)),
    CONSTRAINT order_lines_shipping_amount_scale CHECK (amount_fits(shipping_amount, currency)),
    CONSTRAINT order_lines_line_amount_scale CHECK (amount_fits(line_amount, currency)),
    CONSTRAINT order_lines_unit_cost_amount_scale CHECK (amount_fits(unit_cost_amount, currency))
);

CREATE TABLE payments (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    amount numeric NOT NULL,
    currency varchar(3) NOT NULL,
    method varchar(20) NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'RECEIVED',
    installments integer NOT NULL DEFAULT 1,
    received_at timestamptz,
    reference varchar(100),
    provider varchar(50),
    provider_reference varchar(200),
    customer_id uuid NOT NULL,
    order_id uuid,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payments_provider_reference UNIQUE (provider, provider_reference),
    CONSTRAINT payments_customer_id UNIQUE (customer_id, id),
    CONSTRAINT payments_amount_positive CHECK (amount >= 0),
    CONSTRAINT payments_method CHECK (method IN ('CREDIT_CARD', 'DEBIT_CARD', 'BANK_TRANSFER', 'DIRECT_DEBIT', 'BOLETO', 'VOUCHER', 'WALLET', 'CASH', 'CHECK', 'OTHER')),
    CONSTRAINT payments_status CHECK (status IN ('PENDING', 'RECEIVED', 'FAILED', 'CANCELLED')),
    CONSTRAINT payments_received CHECK (status <> 'RECEIVED' OR received_at IS NOT NULL),
    CONSTRAINT payments_installments CHECK (installments BETWEEN 0 AND 360),
    CONSTRAINT payments_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT payments_amount_scale CHECK (amount_fits(amount, currency))
);

CREATE TABLE commissions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    base_amount numeric NOT NULL,
    rate numeric(9,6) NOT NULL,
    amount numeric NOT NULL,
    currency varchar(3) NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'PENDING',
    earned_at timestamptz NOT NULL,
    customer_id uuid NOT NULL,
    order_id uuid,
    payment_id uuid,
    seller_id uuid NOT NULL,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT commissions_status CHECK (status IN ('PENDING', 'EARNED', 'PAID', 'CANCELLED')),
    CONSTRAINT commissions_rate CHECK (rate BETWEEN 0 AND 1),
    CONSTRAINT commissions_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT commissions_base_amount_scale CHECK (amount_fits(base_amount, currency)),
    CONSTRAINT commissions_amount_scale CHECK (amount_fits(amount, currency))
);

CREATE TABLE interactions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    kind varchar(20) NOT NULL,
    subject varchar(200) NOT NULL,
    body text,
    occurred_at timestamptz NOT NULL,
    author_id uuid,
    contact_id uuid,
    customer_id uuid NOT NULL,
    opportunity_id uuid,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT interactions_kind CHECK (kind IN ('CALL', 'EMAIL', 'MEETING', 'CHAT', 'NOTE')),
    CONSTRAINT interactions_body_length CHECK (length(body) <= 20000)
);

CREATE TABLE tickets (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    subject varchar(200) NOT NULL,
    description text,
    status varchar(20) NOT NULL DEFAULT 'OPEN',
    priority varchar(20) NOT NULL DEFAULT 'NORMAL',
    resolved_at timestamptz,
    assignee_id uuid,
    contact_id uuid,
    customer_id uuid NOT NULL,
    order_id uuid,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tickets_status CHECK (status IN ('OPEN', 'PENDING', 'RESOLVED', 'CLOSED')),
    CONSTRAINT tickets_priority CHECK (priority IN ('LOW', 'NORMAL', 'HIGH', 'URGENT')),
    CONSTRAINT tickets_resolved CHECK ((resolved_at IS NOT NULL) = (status IN ('RESOLVED', 'CLOSED'))),
    CONSTRAINT tickets_description_length CHECK (length(description) <= 20000)
);

CREATE TABLE events (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    position bigint,
    kind varchar(60) NOT NULL,
    subject_id uuid NOT NULL,
    subject_type varchar(40) NOT NULL,
    payload jsonb NOT NULL DEFAULT '{}',
    occurred_at timestamptz NOT NULL,
    actor_id uuid,
    customer_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT events_position UNIQUE (position)
);

CREATE TABLE audit_entries (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    action varchar(60) NOT NULL,
    subject_id uuid NOT NULL,
    subject_type varchar(40) NOT NULL,
    changes jsonb NOT NULL DEFAULT '{}',
    occurred_at timestamptz NOT NULL,
    actor_id uuid,
    api_key_id uuid,
    customer_id uuid,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE idempotency_records (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    key varchar(200) NOT NULL,
    mutation varchar(60) NOT NULL,
    request_hash varchar(64) NOT NULL,
    result jsonb NOT NULL,
    actor_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_records_key UNIQUE (actor_id, key)
);

CREATE TABLE import_runs (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    step varchar(100) NOT NULL,
    fingerprint varchar(64) NOT NULL,
    status varchar(20) NOT NULL,
    lines_done bigint NOT NULL DEFAULT 0,
    accepted bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    finished_at timestamptz,
    source varchar(50) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT import_runs_step UNIQUE (source, step, fingerprint),
    CONSTRAINT import_runs_status CHECK (status IN ('RUNNING', 'DONE'))
);

-- Foreign keys.
ALTER TABLE teams ADD CONSTRAINT teams_manager_id_fkey FOREIGN KEY (manager_id) REFERENCES users (id);
ALTER TABLE teams ADD CONSTRAINT teams_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES teams (id);
ALTER TABLE users ADD CONSTRAINT users_team_id_fkey FOREIGN KEY (team_id) REFERENCES teams (id);
ALTER TABLE sessions ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);
ALTER TABLE api_keys ADD CONSTRAINT api_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);
ALTER TABLE customers ADD CONSTRAINT customers_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users (id);
ALTER TABLE customers ADD CONSTRAINT customers_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES customers (id);
ALTER TABLE contacts ADD CONSTRAINT contacts_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE opportunities ADD CONSTRAINT opportunities_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE opportunities ADD CONSTRAINT opportunities_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users (id);
ALTER TABLE opportunities ADD CONSTRAINT opportunities_product_id_fkey FOREIGN KEY (product_id) REFERENCES products (id);
ALTER TABLE orders ADD CONSTRAINT orders_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE orders ADD CONSTRAINT orders_seller_id_fkey FOREIGN KEY (seller_id) REFERENCES users (id);
ALTER TABLE orders ADD CONSTRAINT orders_opportunity_id_fkey FOREIGN KEY (opportunity_id) REFERENCES opportunities (id);
ALTER TABLE order_lines ADD CONSTRAINT order_lines_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE order_lines ADD CONSTRAINT order_lines_product_id_fkey FOREIGN KEY (product_id) REFERENCES products (id);
ALTER TABLE order_lines ADD CONSTRAINT order_lines_seller_id_fkey FOREIGN KEY (seller_id) REFERENCES users (id);
ALTER TABLE payments ADD CONSTRAINT payments_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE commissions ADD CONSTRAINT commissions_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE commissions ADD CONSTRAINT commissions_seller_id_fkey FOREIGN KEY (seller_id) REFERENCES users (id);
ALTER TABLE interactions ADD CONSTRAINT interactions_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE interactions ADD CONSTRAINT interactions_opportunity_id_fkey FOREIGN KEY (opportunity_id) REFERENCES opportunities (id);
ALTER TABLE interactions ADD CONSTRAINT interactions_author_id_fkey FOREIGN KEY (author_id) REFERENCES users (id);
ALTER TABLE tickets ADD CONSTRAINT tickets_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE tickets ADD CONSTRAINT tickets_assignee_id_fkey FOREIGN KEY (assignee_id) REFERENCES users (id);
ALTER TABLE events ADD CONSTRAINT events_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE events ADD CONSTRAINT events_actor_id_fkey FOREIGN KEY (actor_id) REFERENCES users (id);
ALTER TABLE audit_entries ADD CONSTRAINT audit_entries_actor_id_fkey FOREIGN KEY (actor_id) REFERENCES users (id);
ALTER TABLE audit_entries ADD CONSTRAINT audit_entries_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES api_keys (id);
ALTER TABLE audit_entries ADD CONSTRAINT audit_entries_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE idempotency_records ADD CONSTRAINT idempotency_records_actor_id_fkey FOREIGN KEY (actor_id) REFERENCES users (id);

-- A child can not hang under another customer's record, nor carry another currency than its order.
ALTER TABLE opportunities ADD CONSTRAINT opportunities_contact_customer FOREIGN KEY (customer_id, contact_id) REFERENCES contacts (customer_id, id);
ALTER TABLE order_lines ADD CONSTRAINT order_lines_order_customer FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE order_lines ADD CONSTRAINT order_lines_order_currency FOREIGN KEY (order_id, currency) REFERENCES orders (id, currency);
ALTER TABLE payments ADD CONSTRAINT payments_order_customer FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE payments ADD CONSTRAINT payments_order_currency FOREIGN KEY (order_id, currency) REFERENCES orders (id, currency);
ALTER TABLE commissions ADD CONSTRAINT commissions_order_customer FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE commissions ADD CONSTRAINT commissions_payment_customer FOREIGN KEY (customer_id, payment_id) REFERENCES payments (customer_id, id);
ALTER TABLE interactions ADD CONSTRAINT interactions_contact_customer FOREIGN KEY (customer_id, contact_id) REFERENCES contacts (customer_id, id);
ALTER TABLE tickets ADD CONSTRAINT tickets_contact_customer FOREIGN KEY (customer_id, contact_id) REFERENCES contacts (customer_id, id);
ALTER TABLE tickets ADD CONSTRAINT tickets_order_customer FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);

-- Indexes.
CREATE UNIQUE INDEX teams_origin ON teams (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX teams_manager ON teams (manager_id, id);
CREATE INDEX teams_parent ON teams (parent_id, id);
CREATE UNIQUE INDEX users_origin ON users (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX users_email ON users (lower(email));
CREATE INDEX users_team ON users (team_id, id);
CREATE INDEX users_name ON users (name, id);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_family ON sessions (family);
CREATE INDEX sessions_live ON sessions (family) WHERE used_at IS NULL AND revoked_at IS NULL;
CREATE INDEX api_keys_user ON api_keys (user_id, id);
CREATE UNIQUE INDEX products_origin ON products (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX products_name ON products (name, id);
CREATE INDEX products_category ON products (category, id);
CREATE INDEX products_created ON products (created_at, id);
CREATE UNIQUE INDEX customers_origin ON customers (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX customers_owner ON customers (owner_id, id);
CREATE INDEX customers_owner_created ON customers (owner_id, created_at, id);
CREATE INDEX customers_owner_name ON customers (owner_id, name, id);
CREATE INDEX customers_created ON customers (created_at, id);
CREATE INDEX customers_name ON customers (name, id);
CREATE INDEX customers_parent ON customers (parent_id, id);
CREATE INDEX customers_email ON customers (email, id);
CREATE UNIQUE INDEX contacts_origin ON contacts (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX contacts_one_primary ON contacts (customer_id) WHERE is_primary;
CREATE INDEX contacts_name ON contacts (name, id);
CREATE INDEX contacts_created ON contacts (created_at, id);
CREATE UNIQUE INDEX opportunities_origin ON opportunities (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX opportunities_customer ON opportunities (customer_id, id);
CREATE INDEX opportunities_contact ON opportunities (contact_id, id);
CREATE INDEX opportunities_owner ON opportunities (owner_id, id);
CREATE INDEX opportunities_product ON opportunities (product_id, id);
CREATE INDEX opportunities_expected_close ON opportunities (expected_close, id);
CREATE INDEX opportunities_created ON opportunities (created_at, id);
CREATE UNIQUE INDEX orders_origin ON orders (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX orders_customer_ordered ON orders (customer_id, ordered_at, id);
CREATE INDEX orders_seller ON orders (seller_id, ordered_at, id);
CREATE INDEX orders_opportunity ON orders (opportunity_id, ordered_at, id);
CREATE INDEX orders_ordered ON orders (ordered_at, id);
CREATE INDEX orders_created ON orders (created_at, id);
CREATE UNIQUE INDEX order_lines_origin ON order_lines (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX order_lines_order ON order_lines (customer_id, order_id, position, id);
CREATE INDEX order_lines_product ON order_lines (product_id, id);
CREATE INDEX order_lines_seller ON order_lines (seller_id, id);
CREATE INDEX order_lines_created ON order_lines (created_at, id);
CREATE UNIQUE INDEX payments_origin ON payments (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX payments_customer_received ON payments (customer_id, received_at, id);
CREATE INDEX payments_order ON payments (customer_id, order_id, received_at, id);
CREATE INDEX payments_received ON payments (received_at, id);
CREATE INDEX payments_created ON payments (created_at, id);
CREATE UNIQUE INDEX commissions_origin ON commissions (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX commissions_customer_earned ON commissions (customer_id, earned_at, id);
CREATE INDEX commissions_order ON commissions (customer_id, order_id, earned_at, id);
CREATE INDEX commissions_payment ON commissions (customer_id, payment_id, earned_at, id);
CREATE INDEX commissions_seller ON commissions (seller_id, earned_at, id);
CREATE INDEX commissions_earned ON commissions (earned_at, id);
CREATE INDEX commissions_created ON commissions (created_at, id);
CREATE UNIQUE INDEX interactions_origin ON interactions (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX interactions_customer_occurred ON interactions (customer_id, occurred_at, id);
CREATE INDEX interactions_contact ON interactions (contact_id, occurred_at, id);
CREATE INDEX interactions_opportunity ON interactions (opportunity_id, occurred_at, id);
CREATE INDEX interactions_author ON interactions (author_id, occurred_at, id);
CREATE INDEX interactions_occurred ON interactions (occurred_at, id);
CREATE UNIQUE INDEX tickets_origin ON tickets (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX tickets_customer ON tickets (customer_id, id);
CREATE INDEX tickets_contact ON tickets (contact_id, id);
CREATE INDEX tickets_order ON tickets (order_id, id);
CREATE INDEX tickets_assignee ON tickets (assignee_id, id);
CREATE INDEX tickets_created ON tickets (created_at, id);
CREATE INDEX events_customer ON events (customer_id, id);
CREATE INDEX events_subject ON events (subject_id, id);
CREATE INDEX events_actor ON events (actor_id, id);
CREATE INDEX audit_entries_customer ON audit_entries (customer_id, id);
CREATE INDEX audit_entries_subject ON audit_entries (subject_id, id);
CREATE INDEX audit_entries_actor ON audit_entries (actor_id, id);
CREATE INDEX audit_entries_api_key ON audit_entries (api_key_id, id);
-- A child is looked up by its customer and its parent together; without these the planner multiplies the two
-- conditions' selectivities, expects one row and chooses nested loops.
CREATE STATISTICS payments_keys (dependencies) ON customer_id, order_id FROM payments;
CREATE STATISTICS commissions_payment_keys (dependencies) ON customer_id, payment_id FROM commissions;
CREATE STATISTICS commissions_order_keys (dependencies) ON customer_id, order_id FROM commissions;
CREATE STATISTICS order_lines_keys (dependencies) ON customer_id, order_id FROM order_lines;

CREATE INDEX customers_name_trigrams ON customers USING gin (name gin_trgm_ops);

-- Events and the audit trail are append-only: an event may only receive its position, once.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER events_no_delete BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_no_update BEFORE UPDATE ON events FOR EACH ROW
    WHEN (OLD.position IS NOT NULL
          OR ROW(OLD.id, OLD.kind, OLD.customer_id, OLD.subject_id, OLD.subject_type, OLD.actor_id, OLD.payload,
                 OLD.occurred_at, OLD.created_at)
             IS DISTINCT FROM
             ROW(NEW.id, NEW.kind, NEW.customer_id, NEW.subject_id, NEW.subject_type, NEW.actor_id, NEW.payload,
                 NEW.occurred_at, NEW.created_at))
    EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_entries_no_change BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The users a manager answers for: the manager, all members of the teams under them, and those teams' managers.
CREATE FUNCTION team_reach(manager uuid) RETURNS uuid[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH RECURSIVE tree AS (
        SELECT id, manager_id FROM teams WHERE manager_id = manager
        UNION
        SELECT teams.id, teams.manager_id FROM teams JOIN tree ON teams.parent_id = tree.id
    )
    SELECT array_agg(id) FROM (
        SELECT manager AS id
        UNION SELECT users.id FROM users JOIN tree ON users.team_id = tree.id
        UNION SELECT manager_id FROM tree WHERE manager_id IS NOT NULL
    ) reach
$$;
