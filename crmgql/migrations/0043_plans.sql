-- Plans by which people are paid: versions with rules and tiers, whom a plan pays, who signed it, quotas (docs/commissions.md).

CREATE TABLE comp_assignments (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    starts_on date NOT NULL,
    ends_on date,
    days daterange GENERATED ALWAYS AS (CASE WHEN cancelled_at IS NULL THEN daterange(starts_on, ends_on, '[]') END) STORED,
    ramp integer[],
    cancelled_at timestamptz,
    plan_id uuid NOT NULL,
    user_id uuid NOT NULL,
    CONSTRAINT comp_assignments_days CHECK (starts_on <= ends_on),
    CONSTRAINT comp_assignments_ramp CHECK (0 <= ALL (ramp) AND 100 >= ALL (ramp) AND cardinality(ramp) BETWEEN 1 AND 60 AND array_position(ramp, NULL) IS NULL),
    CONSTRAINT comp_assignments_apart UNIQUE (user_id, days WITHOUT OVERLAPS)
);
CREATE TABLE comp_plan_versions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    n integer NOT NULL,
    status varchar(10) NOT NULL DEFAULT 'DRAFT',
    starts_on date NOT NULL,
    ends_on date,
    days daterange GENERATED ALWAYS AS (CASE WHEN status <> 'DRAFT' THEN daterange(starts_on, ends_on, '[]') END) STORED,
    currency varchar(3) NOT NULL,
    measure varchar(10) NOT NULL,
    basis varchar(10) NOT NULL,
    attains_measure varchar(10) NOT NULL,
    attains_basis varchar(10) NOT NULL,
    period varchar(10) NOT NULL DEFAULT 'MONTH',
    tier_mode varchar(10) NOT NULL DEFAULT 'MARGINAL',
    cap_amount numeric,
    clawback_months integer,
    text text NOT NULL,
    approved_at timestamptz,
    approved_by_id uuid,
    made_by_id uuid NOT NULL,
    plan_id uuid NOT NULL,
    CONSTRAINT comp_plan_versions_approved CHECK ((status = 'DRAFT') = (approved_by_id IS NULL) AND (status = 'DRAFT') = (approved_at IS NULL)),
    CONSTRAINT comp_plan_versions_attains_basis CHECK (attains_basis IN ('GROSS', 'NET', 'MARGIN')),
    CONSTRAINT comp_plan_versions_attains_measure CHECK (attains_measure IN ('BOOKED', 'INVOICED', 'COLLECTED')),
    CONSTRAINT comp_plan_versions_basis CHECK (basis IN ('GROSS', 'NET', 'MARGIN')),
    CONSTRAINT comp_plan_versions_cap_amount_scale CHECK (amount_fits(cap_amount, currency)),
    CONSTRAINT comp_plan_versions_cap_positive CHECK (cap_amount > 0),
    CONSTRAINT comp_plan_versions_checked CHECK (approved_by_id <> made_by_id),
    CONSTRAINT comp_plan_versions_clawback CHECK (clawback_months BETWEEN 0 AND 120),
    CONSTRAINT comp_plan_versions_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT comp_plan_versions_days CHECK (starts_on <= ends_on),
    CONSTRAINT comp_plan_versions_measure CHECK (measure IN ('BOOKED', 'INVOICED', 'COLLECTED')),
    CONSTRAINT comp_plan_versions_period CHECK (period IN ('MONTH', 'QUARTER', 'YEAR')),
    CONSTRAINT comp_plan_versions_retired CHECK (status <> 'RETIRED' OR ends_on IS NOT NULL),
    CONSTRAINT comp_plan_versions_status CHECK (status IN ('DRAFT', 'APPROVED', 'RETIRED')),
    CONSTRAINT comp_plan_versions_text_length CHECK (length(text) BETWEEN 1 AND 20000),
    CONSTRAINT comp_plan_versions_tier_mode CHECK (tier_mode IN ('MARGINAL', 'SLAB')),
    CONSTRAINT comp_plan_versions_apart UNIQUE (plan_id, days WITHOUT OVERLAPS),
    CONSTRAINT comp_plan_versions_id_currency UNIQUE (id, currency),
    CONSTRAINT comp_plan_versions_n UNIQUE (plan_id, n)
);
CREATE TABLE comp_plans (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    name varchar(200) NOT NULL,
    description text,
    CONSTRAINT comp_plans_description_length CHECK (length(description) <= 20000)
);
CREATE TABLE comp_rules (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    position integer NOT NULL,
    name varchar(200) NOT NULL,
    kind varchar(10) NOT NULL,
    role varchar(10) NOT NULL DEFAULT 'OWNER',
    group_name varchar(50) NOT NULL DEFAULT 'main',
    product_ids uuid[],
    categories text[],
    segments text[],
    customers varchar(10) NOT NULL DEFAULT 'ANY',
    currency varchar(3) NOT NULL,
    least_deal_amount numeric,
    amount numeric,
    tier_unit varchar(10),
    sentence text,
    tiers_from numeric GENERATED ALWAYS AS (CASE WHEN kind = 'PERCENT' THEN 0::numeric END) STORED,
    plan_version_id uuid NOT NULL,
    CONSTRAINT comp_rules_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT comp_rules_categories CHECK (cardinality(categories) > 0),
    CONSTRAINT comp_rules_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT comp_rules_customers CHECK (customers IN ('ANY', 'NEW', 'REPEAT')),
    CONSTRAINT comp_rules_kind CHECK (kind IN ('PERCENT', 'FIXED')),
    CONSTRAINT comp_rules_kinds CHECK (CASE kind WHEN 'PERCENT' THEN tier_unit IS NOT NULL AND amount IS NULL ELSE tier_unit IS NULL AND amount IS NOT NULL AND amount > 0 END),
    CONSTRAINT comp_rules_least_deal_amount_scale CHECK (amount_fits(least_deal_amount, currency)),
    CONSTRAINT comp_rules_least_deal_positive CHECK (least_deal_amount > 0),
    CONSTRAINT comp_rules_products CHECK (cardinality(product_ids) > 0),
    CONSTRAINT comp_rules_role CHECK (role IN ('OWNER', 'OVERLAY', 'MANAGER')),
    CONSTRAINT comp_rules_segments CHECK (cardinality(segments) > 0),
    CONSTRAINT comp_rules_sentence_length CHECK (length(sentence) BETWEEN 1 AND 20000),
    CONSTRAINT comp_rules_tier_unit CHECK (tier_unit IN ('AMOUNT', 'QUOTA')),
    CONSTRAINT comp_rules_id_kind UNIQUE (id, kind),
    CONSTRAINT comp_rules_position UNIQUE (plan_version_id, position)
);
CREATE TABLE comp_signatures (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    signed_at timestamptz NOT NULL,
    text_hash varchar(64) NOT NULL,
    plan_version_id uuid NOT NULL,
    user_id uuid NOT NULL,
    CONSTRAINT comp_signatures_once UNIQUE (plan_version_id, user_id)
);
CREATE TABLE comp_tiers (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    from_value numeric NOT NULL,
    to_value numeric,
    rate numeric NOT NULL,
    after_value numeric GENERATED ALWAYS AS (nullif(from_value, 0)) STORED,
    rule_kind varchar(10) GENERATED ALWAYS AS ('PERCENT') STORED,
    rule_id uuid NOT NULL,
    CONSTRAINT comp_tiers_rate CHECK (rate BETWEEN 0 AND 10 AND scale(rate) <= 12),
    CONSTRAINT comp_tiers_scale CHECK (scale(from_value) <= 12 AND scale(to_value) <= 12),
    CONSTRAINT comp_tiers_size CHECK (from_value < 1e15 AND to_value < 1e15),
    CONSTRAINT comp_tiers_values CHECK (from_value >= 0 AND from_value < to_value),
    CONSTRAINT comp_tiers_from UNIQUE (rule_id, from_value),
    CONSTRAINT comp_tiers_to UNIQUE (rule_id, to_value)
);
CREATE TABLE quotas (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    source varchar(50),
    external_id varchar(200),
    starts_on date NOT NULL,
    ends_on date NOT NULL,
    days daterange GENERATED ALWAYS AS (CASE WHEN cancelled_at IS NULL THEN daterange(starts_on, ends_on, '[]') END) STORED,
    measure varchar(10) NOT NULL,
    basis varchar(10) NOT NULL,
    currency varchar(3) NOT NULL,
    amount numeric NOT NULL,
    cancelled_at timestamptz,
    team_id uuid,
    user_id uuid,
    CONSTRAINT quotas_amount_positive CHECK (amount > 0),
    CONSTRAINT quotas_amount_scale CHECK (amount_fits(amount, currency)),
    CONSTRAINT quotas_basis CHECK (basis IN ('GROSS', 'NET', 'MARGIN')),
    CONSTRAINT quotas_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT quotas_days CHECK (starts_on <= ends_on),
    CONSTRAINT quotas_measure CHECK (measure IN ('BOOKED', 'INVOICED', 'COLLECTED')),
    CONSTRAINT quotas_owner CHECK (num_nonnulls(user_id, team_id) = 1),
    CONSTRAINT quotas_team_apart UNIQUE (team_id, measure, basis, days WITHOUT OVERLAPS),
    CONSTRAINT quotas_user_apart UNIQUE (user_id, measure, basis, days WITHOUT OVERLAPS)
);
CREATE INDEX comp_assignments_created ON comp_assignments (created_at, id);
CREATE UNIQUE INDEX comp_assignments_origin ON comp_assignments (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX comp_assignments_plan ON comp_assignments (plan_id, starts_on, id);
CREATE INDEX comp_assignments_starts ON comp_assignments (starts_on, id);
CREATE INDEX comp_assignments_user ON comp_assignments (user_id, starts_on, id);
CREATE INDEX comp_plan_versions_approved_by ON comp_plan_versions (approved_by_id, id);
CREATE INDEX comp_plan_versions_created ON comp_plan_versions (created_at, id);
CREATE INDEX comp_plan_versions_made_by ON comp_plan_versions (made_by_id, id);
CREATE UNIQUE INDEX comp_plan_versions_origin ON comp_plan_versions (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX comp_plan_versions_plan ON comp_plan_versions (plan_id, starts_on, id);
CREATE INDEX comp_plan_versions_starts ON comp_plan_versions (starts_on, id);
CREATE INDEX comp_plans_by_name ON comp_plans (name, id);
CREATE INDEX comp_plans_created ON comp_plans (created_at, id);
CREATE UNIQUE INDEX comp_plans_name ON comp_plans (lower(name));
CREATE UNIQUE INDEX comp_plans_origin ON comp_plans (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX comp_rules_created ON comp_rules (created_at, id);
CREATE INDEX comp_signatures_created ON comp_signatures (created_at, id);
CREATE INDEX comp_signatures_user ON comp_signatures (user_id, id);
CREATE INDEX comp_tiers_created ON comp_tiers (created_at, id);
CREATE INDEX quotas_created ON quotas (created_at, id);
CREATE UNIQUE INDEX quotas_origin ON quotas (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX quotas_starts ON quotas (starts_on, id);
CREATE INDEX quotas_team ON quotas (team_id, starts_on, id);
CREATE INDEX quotas_user ON quotas (user_id, starts_on, id);
ALTER TABLE comp_assignments ADD CONSTRAINT comp_assignments_plan_id_fkey FOREIGN KEY (plan_id) REFERENCES comp_plans (id);
ALTER TABLE comp_assignments ADD CONSTRAINT comp_assignments_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);
ALTER TABLE comp_plan_versions ADD CONSTRAINT comp_plan_versions_approved_by_id_fkey FOREIGN KEY (approved_by_id) REFERENCES users (id);
ALTER TABLE comp_plan_versions ADD CONSTRAINT comp_plan_versions_made_by_id_fkey FOREIGN KEY (made_by_id) REFERENCES users (id);
ALTER TABLE comp_plan_versions ADD CONSTRAINT comp_plan_versions_plan_id_fkey FOREIGN KEY (plan_id) REFERENCES comp_plans (id);
ALTER TABLE comp_rules ADD CONSTRAINT comp_rules_currency FOREIGN KEY (plan_version_id, currency) REFERENCES comp_plan_versions (id, currency);
ALTER TABLE comp_rules ADD CONSTRAINT comp_rules_plan_version_id_fkey FOREIGN KEY (plan_version_id) REFERENCES comp_plan_versions (id);
ALTER TABLE comp_rules ADD CONSTRAINT comp_rules_tiers FOREIGN KEY (id, tiers_from) REFERENCES comp_tiers (rule_id, from_value) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE comp_signatures ADD CONSTRAINT comp_signatures_plan_version_id_fkey FOREIGN KEY (plan_version_id) REFERENCES comp_plan_versions (id);
ALTER TABLE comp_signatures ADD CONSTRAINT comp_signatures_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);
ALTER TABLE comp_tiers ADD CONSTRAINT comp_tiers_followed FOREIGN KEY (rule_id, to_value) REFERENCES comp_tiers (rule_id, from_value) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE comp_tiers ADD CONSTRAINT comp_tiers_follows FOREIGN KEY (rule_id, after_value) REFERENCES comp_tiers (rule_id, to_value) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE comp_tiers ADD CONSTRAINT comp_tiers_of_percent FOREIGN KEY (rule_id, rule_kind) REFERENCES comp_rules (id, kind);
ALTER TABLE comp_tiers ADD CONSTRAINT comp_tiers_rule_id_fkey FOREIGN KEY (rule_id) REFERENCES comp_rules (id);
ALTER TABLE quotas ADD CONSTRAINT quotas_team_id_fkey FOREIGN KEY (team_id) REFERENCES teams (id);
ALTER TABLE quotas ADD CONSTRAINT quotas_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);

-- What was approved never changes, whoever writes: of a version only its last day, when it is retired; of its rules and tiers nothing.
CREATE FUNCTION comp_version_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before comp_plan_versions := OLD;
    after comp_plan_versions;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status = 'APPROVED' AND NEW.status = 'RETIRED'
       AND NEW.ends_on <= coalesce(OLD.ends_on, 'infinity') THEN
        after := NEW;
        after.status := OLD.status;
        after.ends_on := OLD.ends_on;
        after.days := OLD.days;
        after.version := OLD.version;
        after.updated_at := OLD.updated_at;
        IF NOT (before *<> after) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'what was approved of a plan never changes: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER comp_plan_versions_kept BEFORE UPDATE OR DELETE ON comp_plan_versions FOR EACH ROW WHEN (OLD.status <> 'DRAFT')
    EXECUTE FUNCTION comp_version_is_kept();
CREATE TRIGGER comp_plan_versions_no_truncate BEFORE TRUNCATE ON comp_plan_versions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A version is a draft first, and is approved when it says something: it has rules, and each sentence that they name is in its text.
CREATE FUNCTION comp_version_is_complete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'APPROVED' AND EXISTS (SELECT FROM comp_rules WHERE plan_version_id = NEW.id) AND NOT EXISTS (
        SELECT FROM comp_rules WHERE plan_version_id = NEW.id AND position(sentence IN NEW.text) = 0) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a version that is % has rules, and their sentences are in its text', NEW.status
        USING ERRCODE = 'check_violation', TABLE = 'comp_plan_versions', CONSTRAINT = 'comp_plan_versions_complete';
END
$$;
CREATE TRIGGER comp_plan_versions_made BEFORE INSERT ON comp_plan_versions FOR EACH ROW WHEN (NEW.status <> 'DRAFT')
    EXECUTE FUNCTION comp_version_is_complete();
CREATE TRIGGER comp_plan_versions_complete BEFORE UPDATE ON comp_plan_versions FOR EACH ROW
    WHEN (OLD.status = 'DRAFT' AND NEW.status <> 'DRAFT') EXECUTE FUNCTION comp_version_is_complete();

-- FOR SHARE waits for whoever approves the version at the same time.
CREATE FUNCTION comp_terms_are_drafted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    drafted uuid;
BEGIN
    IF TG_OP = 'DELETE' THEN
        NEW := OLD;
    END IF;
    IF TG_TABLE_NAME = 'comp_rules' THEN
        drafted := NEW.plan_version_id;
    ELSE
        SELECT plan_version_id INTO drafted FROM comp_rules WHERE id = NEW.rule_id;
    END IF;
    PERFORM FROM comp_plan_versions WHERE id = drafted AND status = 'DRAFT' FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'only the rules and tiers of a draft change: % of % is refused', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER comp_rules_drafted BEFORE INSERT OR DELETE ON comp_rules FOR EACH ROW EXECUTE FUNCTION comp_terms_are_drafted();
CREATE TRIGGER comp_tiers_drafted BEFORE INSERT OR DELETE ON comp_tiers FOR EACH ROW EXECUTE FUNCTION comp_terms_are_drafted();
CREATE TRIGGER comp_rules_no_update BEFORE UPDATE ON comp_rules FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER comp_tiers_no_update BEFORE UPDATE ON comp_tiers FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER comp_rules_no_truncate BEFORE TRUNCATE ON comp_rules FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER comp_tiers_no_truncate BEFORE TRUNCATE ON comp_tiers FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Who is paid by a plan signs what of it is approved, by its text; once, and for good.
CREATE FUNCTION comp_signature_fits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM comp_plan_versions v WHERE v.id = NEW.plan_version_id AND v.status = 'APPROVED'
        AND NEW.text_hash = encode(sha256(convert_to(v.text, 'UTF8')), 'hex')
        AND EXISTS (SELECT FROM comp_assignments a WHERE a.plan_id = v.plan_id AND a.user_id = NEW.user_id AND a.cancelled_at IS NULL)
        FOR SHARE OF v;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a signature is of the text of an approved version, by somebody whom its plan pays'
            USING ERRCODE = 'check_violation', TABLE = 'comp_signatures', CONSTRAINT = 'comp_signatures_fit';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER comp_signatures_fit BEFORE INSERT ON comp_signatures FOR EACH ROW EXECUTE FUNCTION comp_signature_fits();
CREATE TRIGGER comp_signatures_no_change BEFORE UPDATE OR DELETE ON comp_signatures FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER comp_signatures_no_truncate BEFORE TRUNCATE ON comp_signatures FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

REVOKE DELETE ON comp_plans, comp_plan_versions, comp_assignments, quotas FROM crmgql_app;
REVOKE UPDATE ON comp_rules, comp_tiers FROM crmgql_app;
REVOKE UPDATE, DELETE ON comp_signatures FROM crmgql_app;
