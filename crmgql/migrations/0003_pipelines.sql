-- Pipelines: stages with key actions, the history of moves, scoring, stale alerts.

CREATE TABLE business_calendars (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(100) NOT NULL,
    timezone varchar(60) NOT NULL DEFAULT 'UTC',
    working_days jsonb NOT NULL DEFAULT '{"days": [1, 2, 3, 4, 5]}',
    holidays jsonb NOT NULL DEFAULT '{"dates": []}',
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pipelines (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(100) NOT NULL,
    is_default boolean NOT NULL DEFAULT false,
    calendar_id uuid REFERENCES business_calendars (id),
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE stages (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(60) NOT NULL,
    position integer NOT NULL,
    status varchar(10) NOT NULL DEFAULT 'OPEN',
    probability integer,
    conversion_goal integer,
    stale_after_h integer,
    escalate_after_h integer,
    archived_at timestamptz,
    pipeline_id uuid NOT NULL REFERENCES pipelines (id),
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stages_status CHECK (status IN ('OPEN', 'WON', 'LOST')),
    CONSTRAINT stages_probability CHECK (probability BETWEEN 0 AND 100),
    CONSTRAINT stages_conversion_goal CHECK (conversion_goal BETWEEN 0 AND 100),
    CONSTRAINT stages_stale_after CHECK (stale_after_h > 0),
    CONSTRAINT stages_escalate_after CHECK (escalate_after_h > 0 AND (escalate_after_h IS NULL OR stale_after_h > 0))
);

CREATE TABLE key_actions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    position integer NOT NULL,
    name varchar(200) NOT NULL,
    required boolean NOT NULL DEFAULT true,
    archived_at timestamptz,
    stage_id uuid NOT NULL REFERENCES stages (id),
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE opportunity_actions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    done_at timestamptz NOT NULL,
    customer_id uuid REFERENCES customers (id),
    done_by_id uuid REFERENCES users (id),
    key_action_id uuid NOT NULL REFERENCES key_actions (id),
    opportunity_id uuid NOT NULL REFERENCES opportunities (id),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE stage_transitions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    seconds_in_stage bigint,
    amount_before numeric,
    amount_after numeric,
    currency varchar(3),
    expected_close_before date,
    expected_close_after date,
    occurred_at timestamptz NOT NULL,
    actor_id uuid REFERENCES users (id),
    customer_id uuid REFERENCES customers (id),
    from_stage_id uuid REFERENCES stages (id),
    opportunity_id uuid NOT NULL REFERENCES opportunities (id),
    to_stage_id uuid NOT NULL REFERENCES stages (id),
    source varchar(50),
    external_id varchar(200),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stage_transitions_seconds CHECK (seconds_in_stage >= 0)
);

CREATE TABLE score_rules (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(100) NOT NULL,
    field varchar(60) NOT NULL,
    operator varchar(10) NOT NULL,
    value jsonb NOT NULL DEFAULT '{}',
    points integer NOT NULL,
    active boolean NOT NULL DEFAULT true,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT score_rules_operator CHECK (operator IN ('EQ', 'IN', 'GTE', 'LTE', 'IS_SET')),
    CONSTRAINT score_rules_points CHECK (points BETWEEN -100 AND 100)
);

CREATE TABLE stale_alerts (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    episode integer NOT NULL,
    threshold varchar(10) NOT NULL,
    due_at timestamptz NOT NULL,
    alerted_at timestamptz NOT NULL,
    customer_id uuid REFERENCES customers (id),
    opportunity_id uuid NOT NULL REFERENCES opportunities (id),
    user_id uuid REFERENCES users (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stale_alerts_threshold CHECK (threshold IN ('OWNER', 'MANAGER'))
);

CREATE UNIQUE INDEX business_calendars_origin ON business_calendars (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX business_calendars_name ON business_calendars (name);
CREATE INDEX business_calendars_created ON business_calendars (created_at, id);
CREATE UNIQUE INDEX pipelines_origin ON pipelines (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX pipelines_name ON pipelines (name);
CREATE UNIQUE INDEX pipelines_one_default ON pipelines (is_default) WHERE is_default;
CREATE INDEX pipelines_calendar ON pipelines (calendar_id, id);
CREATE INDEX pipelines_created ON pipelines (created_at, id);
CREATE UNIQUE INDEX stages_origin ON stages (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX stages_position ON stages (pipeline_id, position);
CREATE UNIQUE INDEX stages_name ON stages (pipeline_id, lower(name));
CREATE UNIQUE INDEX stages_place ON stages (id, pipeline_id, status);
CREATE UNIQUE INDEX stages_one_won ON stages (pipeline_id, status) WHERE status <> 'OPEN';
CREATE INDEX stages_created ON stages (created_at, id);
CREATE UNIQUE INDEX key_actions_origin ON key_actions (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX key_actions_position ON key_actions (stage_id, position);
CREATE INDEX key_actions_created ON key_actions (created_at, id);
CREATE UNIQUE INDEX opportunity_actions_once ON opportunity_actions (opportunity_id, key_action_id);
CREATE INDEX opportunity_actions_customer ON opportunity_actions (customer_id, id);
CREATE INDEX opportunity_actions_key_action ON opportunity_actions (key_action_id, id);
CREATE INDEX opportunity_actions_done_by ON opportunity_actions (done_by_id, id);
CREATE INDEX opportunity_actions_created ON opportunity_actions (created_at, id);
CREATE UNIQUE INDEX stage_transitions_origin ON stage_transitions (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX stage_transitions_opportunity ON stage_transitions (opportunity_id, occurred_at, id);
CREATE INDEX stage_transitions_customer ON stage_transitions (customer_id, id);
CREATE INDEX stage_transitions_from ON stage_transitions (from_stage_id, occurred_at, id);
CREATE INDEX stage_transitions_to ON stage_transitions (to_stage_id, occurred_at, id);
CREATE INDEX stage_transitions_actor ON stage_transitions (actor_id, id);
CREATE INDEX stage_transitions_occurred ON stage_transitions (occurred_at, id);
CREATE UNIQUE INDEX score_rules_origin ON score_rules (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX score_rules_name ON score_rules (name);
CREATE INDEX score_rules_created ON score_rules (created_at, id);
CREATE UNIQUE INDEX stale_alerts_once ON stale_alerts (opportunity_id, episode, threshold);
CREATE INDEX stale_alerts_customer ON stale_alerts (customer_id, id);
CREATE INDEX stale_alerts_user ON stale_alerts (user_id, id);
CREATE INDEX stale_alerts_alerted ON stale_alerts (alerted_at, id);

-- A pipeline to start with; nobody has to set one up.
INSERT INTO pipelines (name, is_default) VALUES ('Sales', true);
INSERT INTO stages (pipeline_id, name, position, status, probability, stale_after_h, escalate_after_h)
SELECT pipelines.id, stage.name, stage.position, stage.status, stage.probability, stage.stale_after_h, stage.escalate_after_h
FROM pipelines, (VALUES
    ('Prospecting', 1, 'OPEN', 10, 48, 48),
    ('Engaging', 2, 'OPEN', 25, 48, 48),
    ('Proposal', 3, 'OPEN', 50, 48, 48),
    ('Negotiation', 4, 'OPEN', 75, 48, 48),
    ('Won', 5, 'WON', 100, NULL, NULL),
    ('Lost', 6, 'LOST', 0, NULL, NULL)
) AS stage (name, position, status, probability, stale_after_h, escalate_after_h);

-- An opportunity stands in a stage of a pipeline; the text it had becomes the stage of that name.
ALTER TABLE opportunities
    ADD COLUMN pipeline_id uuid REFERENCES pipelines (id),
    ADD COLUMN stage_id uuid REFERENCES stages (id),
    ADD COLUMN status varchar(10),
    ADD COLUMN stage_since timestamptz,
    ADD COLUMN last_activity_at timestamptz,
    ADD COLUMN stale_at timestamptz,
    ADD COLUMN stale_known boolean NOT NULL DEFAULT false,
    ADD COLUMN stale_since timestamptz,
    ADD COLUMN stale_level integer NOT NULL DEFAULT 0,
    ADD COLUMN stale_episode integer NOT NULL DEFAULT 1,
    ADD COLUMN snoozed_until timestamptz,
    ADD COLUMN score integer NOT NULL DEFAULT 0,
    ADD COLUMN score_factors jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN risk varchar(10) NOT NULL DEFAULT 'LOW',
    ADD COLUMN risk_factors jsonb NOT NULL DEFAULT '[]';
UPDATE opportunities SET
    stage_id = stages.id,
    pipeline_id = stages.pipeline_id,
    status = stages.status,
    stage_since = coalesce(closed_on::timestamp AT TIME ZONE 'UTC', opportunities.created_at)
FROM stages WHERE lower(stages.name) = lower(opportunities.stage);
ALTER TABLE opportunities
    DROP COLUMN stage,
    ALTER COLUMN pipeline_id SET NOT NULL,
    ALTER COLUMN stage_id SET NOT NULL,
    ALTER COLUMN status SET NOT NULL,
    ALTER COLUMN stage_since SET NOT NULL,
    ADD CONSTRAINT opportunities_status CHECK (status IN ('OPEN', 'WON', 'LOST')),
    ADD CONSTRAINT opportunities_risk CHECK (risk IN ('LOW', 'MEDIUM', 'HIGH')),
    ADD CONSTRAINT opportunities_stale_level CHECK (stale_level BETWEEN 0 AND 2),
    ADD CONSTRAINT opportunities_closed CHECK ((closed_on IS NOT NULL) = (status <> 'OPEN')),
    ADD CONSTRAINT opportunities_place FOREIGN KEY (stage_id, pipeline_id, status)
        REFERENCES stages (id, pipeline_id, status);
CREATE INDEX opportunities_pipeline ON opportunities (pipeline_id, id);
CREATE INDEX opportunities_stage ON opportunities (stage_id, id);
CREATE INDEX opportunities_stale ON opportunities (stale_at, id) WHERE status = 'OPEN' AND stale_at IS NOT NULL;
CREATE INDEX opportunities_stale_unknown ON opportunities (id) WHERE status = 'OPEN' AND NOT stale_known;

-- The stage says pipeline and status, whoever writes it; without a stage it is the first one of the pipeline.
CREATE FUNCTION place_opportunity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.stage_id IS NULL THEN
        SELECT stages.id INTO NEW.stage_id FROM stages JOIN pipelines ON pipelines.id = stages.pipeline_id
        WHERE stages.status = 'OPEN' AND stages.archived_at IS NULL
            AND CASE WHEN NEW.pipeline_id IS NULL THEN pipelines.is_default ELSE pipelines.id = NEW.pipeline_id END
        ORDER BY stages.position LIMIT 1;
    END IF;
    SELECT pipeline_id, status INTO NEW.pipeline_id, NEW.status FROM stages WHERE id = NEW.stage_id;
    NEW.stage_since := coalesce(
        NEW.stage_since, NEW.closed_on::timestamp AT TIME ZONE 'UTC', NEW.engaged_on::timestamp AT TIME ZONE 'UTC',
        NEW.created_at
    );
    RETURN NEW;
END
$$;
CREATE TRIGGER opportunities_place BEFORE INSERT OR UPDATE OF stage_id, pipeline_id, status ON opportunities
    FOR EACH ROW EXECUTE FUNCTION place_opportunity();

-- What happened stays.
CREATE TRIGGER stage_transitions_no_change BEFORE UPDATE OR DELETE ON stage_transitions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER stage_transitions_no_truncate BEFORE TRUNCATE ON stage_transitions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER stale_alerts_no_change BEFORE UPDATE OR DELETE ON stale_alerts
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER stale_alerts_no_truncate BEFORE TRUNCATE ON stale_alerts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
