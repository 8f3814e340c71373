-- Leads: where they come from, who gets them and why, the public pool; what people are told and asked to do.

CREATE TABLE campaigns (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(200) NOT NULL,
    channel varchar(20) NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'PLANNED',
    currency varchar(3) NOT NULL DEFAULT 'USD',
    budget_amount numeric,
    spend_amount numeric,
    starts_on date,
    ends_on date,
    owner_id uuid REFERENCES users (id),
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT campaigns_channel CHECK (channel IN ('EMAIL', 'SEARCH', 'SOCIAL', 'DISPLAY', 'EVENT', 'REFERRAL', 'CONTENT', 'PARTNER', 'OTHER')),
    CONSTRAINT campaigns_status CHECK (status IN ('PLANNED', 'ACTIVE', 'ENDED')),
    CONSTRAINT campaigns_amounts_positive CHECK (budget_amount >= 0 AND spend_amount >= 0),
    CONSTRAINT campaigns_period CHECK (ends_on >= starts_on),
    CONSTRAINT campaigns_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT campaigns_budget_amount_scale CHECK (amount_fits(budget_amount, currency)),
    CONSTRAINT campaigns_spend_amount_scale CHECK (amount_fits(spend_amount, currency))
);

CREATE TABLE intake_sources (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(100) NOT NULL,
    key_hash varchar(64) NOT NULL,
    hint varchar(12) NOT NULL,
    active boolean NOT NULL DEFAULT true,
    rate_per_minute integer NOT NULL DEFAULT 30,
    allowed_origins text[] NOT NULL DEFAULT '{}',
    lead_source varchar(50),
    campaign_id uuid REFERENCES campaigns (id),
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT intake_sources_rate CHECK (rate_per_minute BETWEEN 1 AND 6000)
);

CREATE TABLE follow_up_rules (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(100) NOT NULL,
    lead_status varchar(20) NOT NULL,
    after_h integer NOT NULL,
    action varchar(10) NOT NULL,
    subject varchar(200) NOT NULL,
    body text,
    active boolean NOT NULL DEFAULT true,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT follow_up_rules_status CHECK (lead_status IN ('NEW', 'NURTURING', 'QUALIFIED')),
    CONSTRAINT follow_up_rules_action CHECK (action IN ('TASK', 'EMAIL')),
    CONSTRAINT follow_up_rules_after CHECK (after_h >= 0),
    CONSTRAINT follow_up_rules_body CHECK (action <> 'EMAIL' OR body IS NOT NULL),
    CONSTRAINT follow_up_rules_body_length CHECK (length(body) <= 20000)
);

CREATE TABLE lead_queues (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(100) NOT NULL,
    deadline_min integer NOT NULL DEFAULT 240,
    owner_id uuid REFERENCES users (id),
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lead_queues_deadline CHECK (deadline_min > 0)
);

CREATE TABLE routing_rulesets (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(100) NOT NULL,
    number integer NOT NULL,
    status varchar(10) NOT NULL DEFAULT 'DRAFT',
    currency varchar(3) NOT NULL DEFAULT 'USD',
    rates jsonb NOT NULL DEFAULT '{}',
    account_owner_first boolean NOT NULL DEFAULT true,
    accept_within_min integer,
    max_reroutes integer NOT NULL DEFAULT 3,
    activated_at timestamptz,
    fallback_queue_id uuid REFERENCES lead_queues (id),
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT routing_rulesets_status CHECK (status IN ('DRAFT', 'ACTIVE', 'RETIRED')),
    CONSTRAINT routing_rulesets_accept CHECK (accept_within_min > 0),
    CONSTRAINT routing_rulesets_reroutes CHECK (max_reroutes >= 0),
    CONSTRAINT routing_rulesets_currency_known CHECK (currency_scale(currency) IS NOT NULL)
);

CREATE TABLE routing_rules (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    position integer NOT NULL,
    name varchar(100) NOT NULL,
    conditions jsonb NOT NULL DEFAULT '{}',
    target varchar(20) NOT NULL,
    seller_match jsonb NOT NULL DEFAULT '{}',
    distribution varchar(20) NOT NULL DEFAULT 'ROUND_ROBIN',
    max_lead_age_h integer,
    respect_capacity boolean NOT NULL DEFAULT true,
    ruleset_id uuid NOT NULL REFERENCES routing_rulesets (id),
    target_queue_id uuid REFERENCES lead_queues (id),
    target_team_id uuid REFERENCES teams (id),
    target_user_id uuid REFERENCES users (id),
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT routing_rules_target CHECK (target IN ('USER', 'MATCHING', 'TEAM', 'QUEUE', 'ACCOUNT_OWNER')),
    CONSTRAINT routing_rules_distribution CHECK (distribution IN ('FIXED', 'ROUND_ROBIN', 'WEIGHTED', 'LEAST_LOADED')),
    CONSTRAINT routing_rules_age CHECK (max_lead_age_h > 0),
    CONSTRAINT routing_rules_aim CHECK ((target = 'USER') = (target_user_id IS NOT NULL) AND (target = 'TEAM') = (target_team_id IS NOT NULL) AND (target = 'QUEUE') = (target_queue_id IS NOT NULL))
);

CREATE TABLE routing_shares (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    turns numeric(30,12) NOT NULL,
    last_at timestamptz,
    rule_id uuid NOT NULL REFERENCES routing_rules (id),
    user_id uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE seller_profiles (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    attributes jsonb NOT NULL DEFAULT '{}',
    max_open integer,
    max_per_day integer,
    weight integer NOT NULL DEFAULT 1,
    hours jsonb NOT NULL DEFAULT '{}',
    opted_out boolean NOT NULL DEFAULT false,
    user_id uuid NOT NULL REFERENCES users (id),
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT seller_profiles_open CHECK (max_open >= 0),
    CONSTRAINT seller_profiles_day CHECK (max_per_day >= 0),
    CONSTRAINT seller_profiles_weight CHECK (weight BETWEEN 1 AND 1000)
);

CREATE TABLE absences (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    reason varchar(200),
    cancelled_at timestamptz,
    user_id uuid NOT NULL REFERENCES users (id),
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT absences_period CHECK (ends_at > starts_at)
);

CREATE TABLE pools (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(100) NOT NULL,
    kind varchar(10) NOT NULL,
    reclaim_after_d integer,
    warn_before_d integer,
    claim_limit_per_day integer,
    holding_limit integer,
    protection_h integer NOT NULL DEFAULT 0,
    cooldown_h integer NOT NULL DEFAULT 24,
    shows text[] NOT NULL DEFAULT '{}',
    active boolean NOT NULL DEFAULT true,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pools_kind CHECK (kind IN ('LEAD', 'CUSTOMER')),
    CONSTRAINT pools_reclaim CHECK (reclaim_after_d > 0),
    CONSTRAINT pools_warn CHECK (warn_before_d >= 0 AND (warn_before_d IS NULL OR warn_before_d < reclaim_after_d)),
    CONSTRAINT pools_limits CHECK (claim_limit_per_day > 0 AND holding_limit > 0),
    CONSTRAINT pools_times CHECK (protection_h >= 0 AND cooldown_h >= 0)
);

CREATE TABLE leads (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name varchar(200) NOT NULL,
    company varchar(200),
    title varchar(100),
    email varchar(254),
    phone varchar(40),
    website varchar(500),
    industry varchar(100),
    region varchar(100),
    country varchar(100),
    city varchar(100),
    segment varchar(100),
    employee_count integer,
    budget_amount numeric,
    currency varchar(3) NOT NULL DEFAULT 'USD',
    message text,
    attributes jsonb NOT NULL DEFAULT '{}',
    lead_source varchar(50),
    score integer NOT NULL DEFAULT 0,
    email_opt_out boolean NOT NULL DEFAULT false,
    normal_email varchar(254),
    normal_phone varchar(40),
    domain varchar(254),
    status varchar(20) NOT NULL DEFAULT 'NEW',
    status_since timestamptz NOT NULL,
    lost_reason varchar(300),
    received_at timestamptz NOT NULL,
    last_activity_at timestamptz NOT NULL,
    assigned_at timestamptz,
    accepted_at timestamptz,
    accept_by timestamptz,
    queue_deadline timestamptz,
    protected_until timestamptz,
    reclaim_warned_at timestamptz,
    converted_at timestamptz,
    campaign_id uuid REFERENCES campaigns (id),
    contact_id uuid REFERENCES contacts (id),
    customer_id uuid REFERENCES customers (id),
    intake_source_id uuid REFERENCES intake_sources (id),
    merged_into_id uuid REFERENCES leads (id),
    opportunity_id uuid REFERENCES opportunities (id),
    owner_id uuid REFERENCES users (id),
    pool_id uuid REFERENCES pools (id),
    queue_id uuid REFERENCES lead_queues (id),
    routing_id uuid,
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT leads_status CHECK (status IN ('NEW', 'NURTURING', 'QUALIFIED', 'CONVERTED', 'LOST', 'MERGED')),
    CONSTRAINT leads_lost CHECK (status <> 'LOST' OR lost_reason IS NOT NULL),
    CONSTRAINT leads_converted CHECK ((converted_at IS NOT NULL) = (status = 'CONVERTED')),
    CONSTRAINT leads_merged CHECK ((merged_into_id IS NOT NULL) = (status = 'MERGED')),
    CONSTRAINT leads_merged_other CHECK (merged_into_id <> id),
    CONSTRAINT leads_one_place CHECK (num_nonnulls(owner_id, queue_id, pool_id) <= 1),
    CONSTRAINT leads_queue_deadline CHECK (queue_id IS NOT NULL OR queue_deadline IS NULL),
    CONSTRAINT leads_message_length CHECK (length(message) <= 20000),
    CONSTRAINT leads_budget_positive CHECK (budget_amount >= 0),
    CONSTRAINT leads_employees CHECK (employee_count >= 0),
    CONSTRAINT leads_currency_known CHECK (currency IS NULL OR currency_scale(currency) IS NOT NULL),
    CONSTRAINT leads_budget_amount_scale CHECK (amount_fits(budget_amount, currency))
);

CREATE TABLE lead_transitions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    from_status varchar(20),
    to_status varchar(20) NOT NULL,
    reason varchar(300),
    seconds_in_status bigint,
    occurred_at timestamptz NOT NULL,
    actor_id uuid REFERENCES users (id),
    lead_id uuid NOT NULL REFERENCES leads (id),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE lead_duplicates (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    reasons jsonb NOT NULL DEFAULT '{}',
    similarity integer NOT NULL,
    status varchar(10) NOT NULL DEFAULT 'OPEN',
    settled_at timestamptz,
    lead_id uuid NOT NULL REFERENCES leads (id),
    other_id uuid NOT NULL REFERENCES leads (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lead_duplicates_status CHECK (status IN ('OPEN', 'MERGED', 'DISMISSED')),
    CONSTRAINT lead_duplicates_other CHECK (lead_id <> other_id),
    CONSTRAINT lead_duplicates_similarity CHECK (similarity BETWEEN 0 AND 100)
);

CREATE TABLE assignment_decisions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    reason varchar(30) NOT NULL,
    candidates jsonb DEFAULT '{}',
    explanation varchar(1000) NOT NULL,
    attempt integer NOT NULL DEFAULT 1,
    decided_at timestamptz NOT NULL,
    actor_id uuid REFERENCES users (id),
    chosen_id uuid REFERENCES users (id),
    lead_id uuid NOT NULL REFERENCES leads (id),
    previous_id uuid REFERENCES users (id),
    queue_id uuid REFERENCES lead_queues (id),
    rule_id uuid REFERENCES routing_rules (id),
    ruleset_id uuid REFERENCES routing_rulesets (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT assignment_decisions_reason CHECK (reason IN ('MATCHED', 'EXISTING_ACCOUNT_OWNER', 'NO_RULE', 'NO_ELIGIBLE_SELLER', 'NO_AVAILABILITY', 'NO_CAPACITY', 'TOO_OLD', 'NOT_ACCEPTED', 'ESCALATED', 'MANUAL', 'ERROR'))
);

CREATE TABLE pool_items (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    shown jsonb NOT NULL DEFAULT '{}',
    entered_at timestamptz NOT NULL,
    left_at timestamptz,
    claimed_by_id uuid REFERENCES users (id),
    customer_id uuid REFERENCES customers (id),
    last_owner_id uuid REFERENCES users (id),
    lead_id uuid REFERENCES leads (id),
    pool_id uuid NOT NULL REFERENCES pools (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pool_items_one CHECK (num_nonnulls(lead_id, customer_id) = 1),
    CONSTRAINT pool_items_claimed CHECK (claimed_by_id IS NULL OR left_at IS NOT NULL)
);

CREATE TABLE pool_moves (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    kind varchar(10) NOT NULL,
    reason varchar(300),
    occurred_at timestamptz NOT NULL,
    customer_id uuid REFERENCES customers (id),
    lead_id uuid REFERENCES leads (id),
    pool_id uuid NOT NULL REFERENCES pools (id),
    user_id uuid REFERENCES users (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pool_moves_kind CHECK (kind IN ('WARNED', 'RECLAIMED', 'RELEASED', 'CLAIMED', 'WITHDRAWN')),
    CONSTRAINT pool_moves_one CHECK (num_nonnulls(lead_id, customer_id) = 1)
);

CREATE TABLE tasks (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    subject varchar(200) NOT NULL,
    description varchar(2000),
    status varchar(10) NOT NULL DEFAULT 'OPEN',
    due_at timestamptz,
    done_at timestamptz,
    dedupe_key varchar(200),
    assignee_id uuid REFERENCES users (id),
    customer_id uuid REFERENCES customers (id),
    lead_id uuid REFERENCES leads (id),
    opportunity_id uuid REFERENCES opportunities (id),
    source varchar(50),
    external_id varchar(200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tasks_status CHECK (status IN ('OPEN', 'DONE', 'CANCELLED')),
    CONSTRAINT tasks_done CHECK ((done_at IS NOT NULL) = (status = 'DONE'))
);

CREATE TABLE email_messages (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    to_address varchar(254) NOT NULL,
    subject varchar(300) NOT NULL,
    body text NOT NULL,
    status varchar(10) NOT NULL DEFAULT 'PENDING',
    error varchar(500),
    dedupe_key varchar(200),
    sent_at timestamptz,
    lead_id uuid REFERENCES leads (id),
    user_id uuid REFERENCES users (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT email_messages_status CHECK (status IN ('PENDING', 'SENT', 'FAILED', 'SKIPPED')),
    CONSTRAINT email_messages_sent CHECK ((sent_at IS NOT NULL) = (status = 'SENT')),
    CONSTRAINT email_messages_body_length CHECK (length(body) <= 100000)
);

CREATE TABLE notifications (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    kind varchar(60) NOT NULL,
    title varchar(200) NOT NULL,
    body varchar(2000),
    dedupe_key varchar(200),
    occurred_at timestamptz NOT NULL,
    read_at timestamptz,
    emailed_at timestamptz,
    customer_id uuid REFERENCES customers (id),
    lead_id uuid REFERENCES leads (id),
    opportunity_id uuid REFERENCES opportunities (id),
    user_id uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX campaigns_origin ON campaigns (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX campaigns_name ON campaigns (lower(name));
CREATE INDEX campaigns_owner ON campaigns (owner_id, id);
CREATE INDEX campaigns_created ON campaigns (created_at, id);
CREATE UNIQUE INDEX intake_sources_origin ON intake_sources (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX intake_sources_name ON intake_sources (lower(name));
CREATE UNIQUE INDEX intake_sources_key ON intake_sources (key_hash);
CREATE INDEX intake_sources_campaign ON intake_sources (campaign_id, id);
CREATE INDEX intake_sources_created ON intake_sources (created_at, id);
CREATE UNIQUE INDEX follow_up_rules_origin ON follow_up_rules (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX follow_up_rules_name ON follow_up_rules (lower(name));
CREATE INDEX follow_up_rules_created ON follow_up_rules (created_at, id);
CREATE UNIQUE INDEX lead_queues_origin ON lead_queues (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX lead_queues_name ON lead_queues (lower(name));
CREATE INDEX lead_queues_owner ON lead_queues (owner_id, id);
CREATE INDEX lead_queues_created ON lead_queues (created_at, id);
CREATE UNIQUE INDEX routing_rulesets_origin ON routing_rulesets (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX routing_rulesets_number ON routing_rulesets (number);
CREATE UNIQUE INDEX routing_rulesets_one_active ON routing_rulesets (status) WHERE status = 'ACTIVE';
CREATE INDEX routing_rulesets_queue ON routing_rulesets (fallback_queue_id, id);
CREATE INDEX routing_rulesets_created ON routing_rulesets (created_at, id);
CREATE UNIQUE INDEX routing_rules_origin ON routing_rules (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX routing_rules_position ON routing_rules (ruleset_id, position);
CREATE INDEX routing_rules_user ON routing_rules (target_user_id, id);
CREATE INDEX routing_rules_team ON routing_rules (target_team_id, id);
CREATE INDEX routing_rules_queue ON routing_rules (target_queue_id, id);
CREATE INDEX routing_rules_created ON routing_rules (created_at, id);
CREATE UNIQUE INDEX routing_shares_seller ON routing_shares (rule_id, user_id);
CREATE INDEX routing_shares_user ON routing_shares (user_id);
CREATE UNIQUE INDEX seller_profiles_origin ON seller_profiles (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX seller_profiles_user ON seller_profiles (user_id);
CREATE INDEX seller_profiles_created ON seller_profiles (created_at, id);
CREATE UNIQUE INDEX absences_origin ON absences (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX absences_user ON absences (user_id, ends_at);
CREATE INDEX absences_live ON absences (ends_at) WHERE cancelled_at IS NULL;
CREATE INDEX absences_created ON absences (created_at, id);
CREATE UNIQUE INDEX pools_origin ON pools (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX pools_name ON pools (lower(name));
CREATE UNIQUE INDEX pools_one_reclaiming ON pools (kind) WHERE active AND reclaim_after_d IS NOT NULL;
CREATE INDEX pools_created ON pools (created_at, id);
CREATE UNIQUE INDEX leads_origin ON leads (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX leads_owner ON leads (owner_id, received_at, id);
CREATE INDEX leads_open_owner ON leads (owner_id, last_activity_at) WHERE status IN ('NEW', 'NURTURING', 'QUALIFIED');
CREATE INDEX leads_to_accept ON leads (accept_by) WHERE accept_by IS NOT NULL AND accepted_at IS NULL;
CREATE INDEX leads_queue_due ON leads (queue_deadline) WHERE queue_deadline IS NOT NULL;
CREATE INDEX leads_placeless ON leads (received_at) WHERE status IN ('NEW', 'NURTURING', 'QUALIFIED') AND owner_id IS NULL AND queue_id IS NULL AND pool_id IS NULL;
CREATE INDEX leads_campaign ON leads (campaign_id, received_at, id);
CREATE INDEX leads_intake_source ON leads (intake_source_id, received_at, id);
CREATE INDEX leads_routing ON leads (routing_id);
CREATE INDEX leads_queue ON leads (queue_id, received_at, id);
CREATE INDEX leads_pool ON leads (pool_id, id);
CREATE INDEX leads_customer ON leads (customer_id, id);
CREATE INDEX leads_contact ON leads (contact_id, id);
CREATE INDEX leads_opportunity ON leads (opportunity_id, id);
CREATE INDEX leads_merged ON leads (merged_into_id, id);
CREATE INDEX leads_email ON leads (normal_email, id);
CREATE INDEX leads_phone ON leads (normal_phone, id);
CREATE INDEX leads_domain ON leads (domain, id);
CREATE INDEX leads_received ON leads (received_at, id);
CREATE INDEX leads_created ON leads (created_at, id);
CREATE INDEX lead_transitions_lead ON lead_transitions (lead_id, occurred_at, id);
CREATE INDEX lead_transitions_actor ON lead_transitions (actor_id, id);
CREATE INDEX lead_transitions_to ON lead_transitions (to_status, occurred_at);
CREATE INDEX lead_transitions_occurred ON lead_transitions (occurred_at, id);
CREATE UNIQUE INDEX lead_duplicates_pair ON lead_duplicates (least(lead_id, other_id), greatest(lead_id, other_id));
CREATE INDEX lead_duplicates_lead ON lead_duplicates (lead_id, id);
CREATE INDEX lead_duplicates_other_lead ON lead_duplicates (other_id, id);
CREATE INDEX lead_duplicates_created ON lead_duplicates (created_at, id);
CREATE INDEX assignment_decisions_lead ON assignment_decisions (lead_id, decided_at, id);
CREATE INDEX assignment_decisions_ruleset ON assignment_decisions (ruleset_id, id);
CREATE INDEX assignment_decisions_rule ON assignment_decisions (rule_id, decided_at, id);
CREATE INDEX assignment_decisions_chosen ON assignment_decisions (chosen_id, decided_at);
CREATE INDEX assignment_decisions_previous ON assignment_decisions (previous_id);
CREATE INDEX assignment_decisions_queue ON assignment_decisions (queue_id);
CREATE INDEX assignment_decisions_actor ON assignment_decisions (actor_id);
CREATE INDEX assignment_decisions_decided ON assignment_decisions (decided_at, id);
CREATE UNIQUE INDEX pool_items_lead_once ON pool_items (lead_id) WHERE lead_id IS NOT NULL AND left_at IS NULL;
CREATE UNIQUE INDEX pool_items_customer_once ON pool_items (customer_id) WHERE customer_id IS NOT NULL AND left_at IS NULL;
CREATE INDEX pool_items_pool ON pool_items (pool_id, entered_at, id);
CREATE INDEX pool_items_here ON pool_items (pool_id, entered_at, id) WHERE left_at IS NULL;
CREATE INDEX pool_items_lead ON pool_items (lead_id, id);
CREATE INDEX pool_items_customer ON pool_items (customer_id, id);
CREATE INDEX pool_items_last_owner ON pool_items (last_owner_id);
CREATE INDEX pool_items_claimed_by ON pool_items (claimed_by_id, left_at);
CREATE INDEX pool_items_entered ON pool_items (entered_at, id);
CREATE INDEX pool_moves_pool ON pool_moves (pool_id, id);
CREATE INDEX pool_moves_lead ON pool_moves (lead_id, id);
CREATE INDEX pool_moves_customer ON pool_moves (customer_id, id);
CREATE INDEX pool_moves_user ON pool_moves (user_id, occurred_at);
CREATE INDEX pool_moves_occurred ON pool_moves (occurred_at, id);
CREATE UNIQUE INDEX tasks_origin ON tasks (source, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX tasks_once ON tasks (dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX tasks_assignee ON tasks (assignee_id, due_at, id);
CREATE INDEX tasks_customer ON tasks (customer_id, id);
CREATE INDEX tasks_lead ON tasks (lead_id, id);
CREATE INDEX tasks_opportunity ON tasks (opportunity_id, id);
CREATE INDEX tasks_due ON tasks (due_at, id);
CREATE INDEX tasks_created ON tasks (created_at, id);
CREATE UNIQUE INDEX email_messages_once ON email_messages (dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX email_messages_lead ON email_messages (lead_id, id);
CREATE INDEX email_messages_user ON email_messages (user_id, id);
CREATE INDEX email_messages_created ON email_messages (created_at, id);
CREATE UNIQUE INDEX notifications_once ON notifications (user_id, dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX notifications_user ON notifications (user_id, id);
CREATE INDEX notifications_customer ON notifications (customer_id, id);
CREATE INDEX notifications_lead ON notifications (lead_id, id);
CREATE INDEX notifications_opportunity ON notifications (opportunity_id, id);
CREATE INDEX notifications_unread ON notifications (user_id, id) WHERE read_at IS NULL;
CREATE INDEX notifications_to_email ON notifications (occurred_at) WHERE emailed_at IS NULL AND read_at IS NULL;
CREATE INDEX notifications_created ON notifications (created_at, id);

ALTER TABLE leads ADD CONSTRAINT leads_routing_id_fkey FOREIGN KEY (routing_id) REFERENCES assignment_decisions (id);

ALTER TABLE customers
    ADD COLUMN pool_id uuid REFERENCES pools (id),
    ADD COLUMN protected_until timestamptz,
    ADD COLUMN reclaim_warned_at timestamptz,
    ADD CONSTRAINT customers_pooled CHECK (pool_id IS NULL OR owner_id IS NULL);
CREATE INDEX customers_pool ON customers (pool_id, id);
CREATE INDEX customers_lower_email ON customers (lower(email));
CREATE INDEX customers_lower_name ON customers (lower(name));
CREATE INDEX customers_domain ON customers (lower(split_part(email, '@', 2)));
CREATE INDEX contacts_lower_email ON contacts (lower(email));

-- Names that are alike, for duplicates.
CREATE INDEX leads_name_trigrams ON leads USING gin (name gin_trgm_ops);

-- What happened stays.
CREATE TRIGGER lead_transitions_no_change BEFORE UPDATE OR DELETE ON lead_transitions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER lead_transitions_no_truncate BEFORE TRUNCATE ON lead_transitions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER assignment_decisions_no_change BEFORE UPDATE OR DELETE ON assignment_decisions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER assignment_decisions_no_truncate BEFORE TRUNCATE ON assignment_decisions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER pool_moves_no_change BEFORE UPDATE OR DELETE ON pool_moves
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER pool_moves_no_truncate BEFORE TRUNCATE ON pool_moves
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
