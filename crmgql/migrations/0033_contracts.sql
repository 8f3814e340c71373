-- Contracts, their plans of payments, and the orders under them.

CREATE SEQUENCE contract_numbers START 1001;
CREATE TABLE contract_payments (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    n integer NOT NULL,
    due_on date NOT NULL,
    currency varchar(3) NOT NULL,
    amount numeric NOT NULL,
    reminder_days integer,
    contract_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    owner_id uuid,
    CONSTRAINT contract_payments_amount_positive CHECK (amount > 0),
    CONSTRAINT contract_payments_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT contract_payments_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT contract_payments_reminder CHECK (reminder_days BETWEEN 0 AND 365),
    CONSTRAINT contract_payments_n UNIQUE (customer_id, contract_id, n)
);
CREATE TABLE contracts (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    number varchar(64) NOT NULL DEFAULT ('CT-'::text || nextval('contract_numbers'::regclass)),
    title varchar(200) NOT NULL,
    parties text,
    status varchar(20) NOT NULL DEFAULT 'DRAFT',
    starts_on date NOT NULL,
    ends_on date,
    currency varchar(3) NOT NULL,
    value_amount numeric NOT NULL,
    activated_at timestamptz,
    ended_at timestamptz,
    customer_id uuid NOT NULL,
    owner_id uuid,
    CONSTRAINT contracts_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT contracts_days CHECK (starts_on <= ends_on),
    CONSTRAINT contracts_parties_length CHECK (length(parties) <= 2000),
    CONSTRAINT contracts_status CHECK (status IN ('DRAFT', 'ACTIVE', 'ENDED', 'TERMINATED')),
    CONSTRAINT contracts_value_amount_scale CHECK (amount_fits(value_amount, currency)),
    CONSTRAINT contracts_value_positive CHECK (value_amount >= 0),
    CONSTRAINT contracts_customer_id UNIQUE (customer_id, id),
    CONSTRAINT contracts_id_currency UNIQUE (id, currency),
    CONSTRAINT contracts_number UNIQUE (number)
);
ALTER TABLE orders ADD COLUMN contract_id uuid;
CREATE INDEX contract_payments_contract ON contract_payments (customer_id, contract_id, n, id);
CREATE INDEX contract_payments_created ON contract_payments (created_at, id);
CREATE INDEX contract_payments_due ON contract_payments (due_on, id);
CREATE INDEX contract_payments_owner ON contract_payments (owner_id, due_on, id);
CREATE INDEX contracts_created ON contracts (created_at, id);
CREATE INDEX contracts_customer ON contracts (customer_id, starts_on, id);
CREATE UNIQUE INDEX contracts_origin ON contracts (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX contracts_owner ON contracts (owner_id, starts_on, id);
CREATE INDEX contracts_starts ON contracts (starts_on, id);
CREATE INDEX orders_contract ON orders (customer_id, contract_id, ordered_at, id);
ALTER TABLE contract_payments ADD CONSTRAINT contract_payments_contract_currency FOREIGN KEY (contract_id, currency) REFERENCES contracts (id, currency);
ALTER TABLE contract_payments ADD CONSTRAINT contract_payments_contract_customer FOREIGN KEY (customer_id, contract_id) REFERENCES contracts (customer_id, id);
ALTER TABLE contract_payments ADD CONSTRAINT contract_payments_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE contract_payments ADD CONSTRAINT contract_payments_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users (id);
ALTER TABLE contracts ADD CONSTRAINT contracts_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE contracts ADD CONSTRAINT contracts_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users (id);
ALTER TABLE orders ADD CONSTRAINT orders_contract_customer FOREIGN KEY (customer_id, contract_id) REFERENCES contracts (customer_id, id);
