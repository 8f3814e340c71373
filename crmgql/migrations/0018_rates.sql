-- Exchange rates: what a unit of a currency is worth in the base currency, from a day on (docs/ledger.md).

CREATE TABLE fx_rates (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    currency varchar(3) NOT NULL,
    base_currency varchar(3) NOT NULL,
    effective_on date NOT NULL,
    rate numeric NOT NULL,
    source varchar(50) NOT NULL,
    CONSTRAINT fx_rates_base_currency_known CHECK (base_currency IS NULL OR currency_scale(base_currency) IS NOT NULL),
    CONSTRAINT fx_rates_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT fx_rates_pair CHECK (currency <> base_currency),
    CONSTRAINT fx_rates_rate CHECK (rate > 0 AND rate < 1e12 AND scale(rate) <= 12)
);
CREATE INDEX fx_rates_effective ON fx_rates (effective_on, id);
CREATE INDEX fx_rates_newest ON fx_rates (base_currency, currency, effective_on DESC, id DESC);

CREATE TRIGGER fx_rates_no_change BEFORE UPDATE OR DELETE ON fx_rates FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER fx_rates_no_truncate BEFORE TRUNCATE ON fx_rates FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE ON fx_rates FROM crmgql_app;
