-- Entries of pay that hang on no deal: append-only; each is reversed once, by one of the same amount with the other sign (docs/commissions.md).

CREATE TABLE pay_entries (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    kind varchar(10) NOT NULL,
    amount numeric NOT NULL,
    currency varchar(3) NOT NULL,
    effective_on date NOT NULL,
    reason text NOT NULL,
    reversed_amount numeric GENERATED ALWAYS AS (-amount) STORED,
    is_reversal boolean GENERATED ALWAYS AS (reverses_id IS NOT NULL) STORED,
    reverses_reversal boolean GENERATED ALWAYS AS (CASE WHEN reverses_id IS NOT NULL THEN false END) STORED,
    reverses_id uuid,
    user_id uuid NOT NULL,
    CONSTRAINT pay_entries_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT pay_entries_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT pay_entries_kind CHECK (kind IN ('SALARY', 'BONUS', 'DRAW', 'RECOVERY', 'GUARANTEE', 'MANUAL')),
    CONSTRAINT pay_entries_reason_length CHECK (length(reason) BETWEEN 1 AND 1000),
    CONSTRAINT pay_entries_signed CHECK (amount <> 0 AND (kind = 'MANUAL' OR (amount < 0) = ((kind = 'RECOVERY') = (reverses_id IS NULL)))),
    CONSTRAINT pay_entries_as_reversed UNIQUE (id, user_id, kind, currency, effective_on, amount, is_reversal),
    CONSTRAINT pay_entries_reversed_once UNIQUE (reverses_id)
);
CREATE INDEX pay_entries_created ON pay_entries (created_at, id);
CREATE INDEX pay_entries_effective ON pay_entries (effective_on, id);
CREATE INDEX pay_entries_user ON pay_entries (user_id, effective_on, id);
ALTER TABLE pay_entries ADD CONSTRAINT pay_entries_reversal FOREIGN KEY (reverses_id, user_id, kind, currency, effective_on, reversed_amount, reverses_reversal)
    REFERENCES pay_entries (id, user_id, kind, currency, effective_on, amount, is_reversal);
ALTER TABLE pay_entries ADD CONSTRAINT pay_entries_reverses_id_fkey FOREIGN KEY (reverses_id) REFERENCES pay_entries (id);
ALTER TABLE pay_entries ADD CONSTRAINT pay_entries_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);

CREATE TRIGGER pay_entries_no_change BEFORE UPDATE OR DELETE ON pay_entries FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER pay_entries_no_truncate BEFORE TRUNCATE ON pay_entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE ON pay_entries FROM crmgql_app;
