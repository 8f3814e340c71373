-- Commissions by plans. Those that are there came from elsewhere, and stay as they are.

ALTER TABLE commissions DROP CONSTRAINT commissions_rate;
CREATE TABLE commission_problems (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    created_at timestamptz NOT NULL DEFAULT now(),
    code varchar(20) NOT NULL,
    starts_on date NOT NULL,
    ends_on date NOT NULL,
    message varchar(1000) NOT NULL,
    user_id uuid NOT NULL,
    CONSTRAINT commission_problems_code CHECK (code IN ('QUOTA_MISSING', 'RATE_MISSING'))
);
ALTER TABLE commissions ADD COLUMN kind varchar(10) NOT NULL DEFAULT 'IMPORTED';
ALTER TABLE commissions ADD COLUMN earned_on date;
ALTER TABLE commissions ADD COLUMN event_id uuid;
ALTER TABLE commissions ADD COLUMN role varchar(10);
ALTER TABLE commissions ADD COLUMN share numeric;
ALTER TABLE commissions ADD COLUMN whole_amount numeric;
ALTER TABLE commissions ADD COLUMN attained_before numeric;
ALTER TABLE commissions ADD COLUMN attained_after numeric;
ALTER TABLE commissions ADD COLUMN parts jsonb;
ALTER TABLE commissions ADD COLUMN plan_version_id uuid;
ALTER TABLE commissions ADD COLUMN rule_id uuid;
CREATE INDEX commission_problems_created ON commission_problems (created_at, id);
CREATE INDEX commission_problems_user ON commission_problems (user_id, starts_on, id);
ALTER TABLE commissions ADD CONSTRAINT commissions_by_plan CHECK (kind = 'IMPORTED' OR num_nulls(event_id, plan_version_id, rule_id, role, share, whole_amount, attained_before, attained_after, earned_on, parts, order_id) = 0);
ALTER TABLE commissions ADD CONSTRAINT commissions_imported CHECK (kind <> 'IMPORTED' OR num_nonnulls(event_id, plan_version_id, rule_id, role, share, whole_amount, attained_before, attained_after, earned_on, parts) = 0);
ALTER TABLE commissions ADD CONSTRAINT commissions_kind CHECK (kind IN ('EARN', 'CLAWBACK', 'ADJUST', 'IMPORTED'));
ALTER TABLE commissions ADD CONSTRAINT commissions_rate CHECK (rate BETWEEN 0 AND 10);
ALTER TABLE commissions ADD CONSTRAINT commissions_role CHECK (role IN ('OWNER', 'OVERLAY', 'MANAGER'));
ALTER TABLE commissions ADD CONSTRAINT commissions_whole_amount_scale CHECK (amount_fits(whole_amount, currency));
CREATE INDEX commissions_by_event ON commissions (customer_id, event_id, id);
CREATE INDEX commissions_by_plan_of ON commissions (seller_id, earned_on, id) WHERE kind <> 'IMPORTED';
CREATE INDEX commissions_rule ON commissions (rule_id, id);
CREATE INDEX commissions_version ON commissions (plan_version_id, id);
ALTER TABLE commission_problems ADD CONSTRAINT commission_problems_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);
ALTER TABLE commissions ADD CONSTRAINT commissions_event FOREIGN KEY (customer_id, event_id) REFERENCES commission_events (customer_id, id);
ALTER TABLE commissions ADD CONSTRAINT commissions_order_currency FOREIGN KEY (order_id, currency) REFERENCES orders (id, currency);
ALTER TABLE commissions ADD CONSTRAINT commissions_plan_version_id_fkey FOREIGN KEY (plan_version_id) REFERENCES comp_plan_versions (id);
ALTER TABLE commissions ADD CONSTRAINT commissions_rule_id_fkey FOREIGN KEY (rule_id) REFERENCES comp_rules (id);

-- What a plan pays never changes; only its status does, and only so far as to say that it was paid.
CREATE TRIGGER commissions_no_change BEFORE UPDATE ON commissions FOR EACH ROW WHEN (
    OLD.kind <> 'IMPORTED' AND to_jsonb(OLD) - '{status,version,updated_at}'::text[] <> to_jsonb(NEW) - '{status,version,updated_at}'::text[]
    OR OLD.kind <> NEW.kind
) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER commissions_no_delete BEFORE DELETE ON commissions FOR EACH ROW WHEN (OLD.kind <> 'IMPORTED') EXECUTE FUNCTION refuse_change();

-- People who have to be calculated anew from a day on, as something that pays them changed. Who was never credited has nothing to calculate.
CREATE FUNCTION commission_dirty(users uuid[], day date) RETURNS void LANGUAGE sql AS $$
    UPDATE commission_accounts SET dirty_on = least(dirty_on, day)
    WHERE user_id IN (SELECT a.user_id FROM commission_accounts a WHERE a.user_id = ANY (users) ORDER BY a.user_id FOR UPDATE)
$$;
CREATE FUNCTION comp_assignments_dirty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM commission_dirty(array_agg(user_id), starts_on) FROM changed GROUP BY starts_on ORDER BY starts_on;
    RETURN NULL;
END
$$;
CREATE TRIGGER comp_assignments_made_dirty AFTER INSERT ON comp_assignments REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION comp_assignments_dirty();
CREATE TRIGGER comp_assignments_changed_dirty AFTER UPDATE ON comp_assignments REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION comp_assignments_dirty();

CREATE FUNCTION comp_plan_versions_dirty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM commission_dirty(array_agg(a.user_id), NEW.starts_on) FROM comp_assignments a WHERE a.plan_id = NEW.plan_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER comp_plan_versions_dirty AFTER UPDATE OF status, ends_on ON comp_plan_versions FOR EACH ROW
    WHEN (NEW.status <> 'DRAFT') EXECUTE FUNCTION comp_plan_versions_dirty();

-- A team's quota is its manager's.
CREATE FUNCTION quotas_dirty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM commission_dirty(array_agg(coalesce(q.user_id, t.manager_id)), q.starts_on)
    FROM changed q LEFT JOIN teams t ON t.id = q.team_id GROUP BY q.starts_on ORDER BY q.starts_on;
    RETURN NULL;
END
$$;
CREATE TRIGGER quotas_made_dirty AFTER INSERT ON quotas REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION quotas_dirty();
CREATE TRIGGER quotas_changed_dirty AFTER UPDATE ON quotas REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION quotas_dirty();

CREATE FUNCTION fx_rates_dirty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM commission_dirty(array_agg(user_id), starts_on) FROM commission_problems WHERE code = 'RATE_MISSING' GROUP BY starts_on ORDER BY starts_on;
    RETURN NULL;
END
$$;
CREATE TRIGGER fx_rates_dirty AFTER INSERT ON fx_rates FOR EACH STATEMENT EXECUTE FUNCTION fx_rates_dirty();
