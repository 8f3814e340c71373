-- Salaries: each is paid until the day before the next one starts; none is ever changed (docs/commissions.md, "Payroll").

CREATE TABLE salaries (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    amount numeric NOT NULL,
    currency varchar(3) NOT NULL,
    period varchar(10) NOT NULL,
    starts_on date NOT NULL,
    ends_on date,
    days daterange GENERATED ALWAYS AS (CASE WHEN cancelled_at IS NULL THEN daterange(starts_on, ends_on, '[]') END) STORED,
    reason text,
    cancelled_at timestamptz,
    user_id uuid NOT NULL,
    CONSTRAINT salaries_amount_positive CHECK (amount >= 0),
    CONSTRAINT salaries_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT salaries_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT salaries_days CHECK (starts_on <= ends_on),
    CONSTRAINT salaries_period CHECK (period IN ('MONTH', 'YEAR')),
    CONSTRAINT salaries_reason_length CHECK (length(reason) BETWEEN 1 AND 1000),
    CONSTRAINT salaries_apart UNIQUE (user_id, days WITHOUT OVERLAPS)
);
CREATE INDEX salaries_created ON salaries (created_at, id);
CREATE UNIQUE INDEX salaries_origin ON salaries (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX salaries_starts ON salaries (starts_on, id);
CREATE INDEX salaries_user ON salaries (user_id, starts_on, id);
ALTER TABLE salaries ADD CONSTRAINT salaries_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);

-- Of a salary only the last day changes, and once that it was taken back; whoever writes.
CREATE TRIGGER salaries_no_change AFTER UPDATE ON salaries FOR EACH ROW WHEN (
    OLD.cancelled_at IS NOT NULL
    OR to_jsonb(OLD) - '{ends_on,days,cancelled_at,version,updated_at}'::text[] <> to_jsonb(NEW) - '{ends_on,days,cancelled_at,version,updated_at}'::text[]
) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER salaries_no_delete BEFORE DELETE ON salaries FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER salaries_no_truncate BEFORE TRUNCATE ON salaries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE ON salaries FROM crmgql_app;
GRANT UPDATE (ends_on, cancelled_at, version, updated_at) ON salaries TO crmgql_app;

-- What users had as their salary, they have from the day on which they were made. It was the salary of a year.
INSERT INTO salaries (user_id, amount, currency, period, starts_on, created_at, updated_at)
SELECT id, salary_amount, salary_currency, 'YEAR',
       (created_at AT TIME ZONE coalesce((SELECT timezone FROM companies ORDER BY id LIMIT 1), 'UTC'))::date, created_at, created_at
FROM users WHERE salary_amount IS NOT NULL;
ALTER TABLE users DROP COLUMN salary_amount;
ALTER TABLE users DROP COLUMN salary_currency;
ALTER TABLE users DROP CONSTRAINT users_roles;
ALTER TABLE users ADD CONSTRAINT users_roles CHECK (roles <@ ARRAY['ADMIN','FINANCE','MANAGER','SELLER','SUPPORT','MARKETER','INTEGRATION','PAYROLL']::text[]);
