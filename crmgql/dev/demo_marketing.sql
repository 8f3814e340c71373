-- Where the demo company's leads come from and who gets them, for crmgql/dev/demo.py: campaigns, rules, sellers, queue, pools.

-- name: marketing
CREATE TEMP TABLE demo_campaigns (campaign integer, id uuid, lead_source text, starts_at timestamptz, ends_at timestamptz)
    ON COMMIT DROP;
CREATE TEMP TABLE demo_desk (seller bigint, id uuid, name text, regions text[], sells boolean, weight integer,
    timezone text, away_from timestamptz) ON COMMIT DROP;
CREATE TEMP TABLE demo_leads (k bigint PRIMARY KEY, fate text, id uuid, received_at timestamptz, status text,
    since timestamptz, path text[], reason text, source text, campaign_id uuid, name text, company text, title text,
    email text, phone text, industry text, region text, country text, city text, employees integer, budget numeric,
    currency text, customer_id uuid, contact_id uuid, opportunity_id uuid, decision_id uuid, decided_at timestamptz,
    rule integer, decided text, owner_id uuid, owner text, of integer) ON COMMIT DROP;
CREATE TEMP TABLE demo_candidates (k bigint, seller bigint, id uuid, name text, weight integer, standing text)
    ON COMMIT DROP;

INSERT INTO demo_campaigns
SELECT campaign, uuidv7(:now + starts * interval '1 day' - clock_timestamp()), lead_source,
       :now + starts * interval '1 day', :now + ends * interval '1 day'
FROM (VALUES (1, 'event', -170, -90), (2, 'search', -720, NULL), (3, 'newsletter', -300, NULL), (4, 'social', -150, -20),
             (5, 'event', -45, 30), (6, 'referral', -500, NULL)) AS campaigns (campaign, lead_source, starts, ends);

INSERT INTO campaigns (id, name, channel, status, currency, budget_amount, spend_amount, starts_on, ends_on, owner_id,
    created_at, updated_at)
SELECT id, name, channel, CASE WHEN ends_at < :now THEN 'ENDED' ELSE 'ACTIVE' END, currency, budget, spend, starts_at::date,
       ends_at::date, (SELECT u.id FROM users u WHERE email = 'marketing@demo.example'), starts_at, starts_at
FROM demo_campaigns JOIN (VALUES
    (1, 'Spring webinars', 'EVENT', 'EUR', 3000.00, 2480.50),
    (2, 'Search: our own name', 'SEARCH', 'USD', 12000.00, 8350.75),
    (3, 'Monthly newsletter', 'EMAIL', 'USD', 2400.00, 1620.00),
    (4, 'Logistics on social media', 'SOCIAL', 'USD', 3500.00, 3712.30),
    (5, 'Trade fairs in autumn', 'EVENT', 'EUR', 9000.00, 6890.00),
    (6, 'Partners refer', 'REFERRAL', 'EUR', 4000.00, 1400.00))
    AS named (campaign, name, channel, currency, budget, spend) USING (campaign)
ORDER BY campaign;

INSERT INTO follow_up_rules (id, name, lead_status, after_h, action, subject, body, created_at, updated_at)
SELECT uuidv7(:founded - clock_timestamp()), rule, lead_status, after_h, action, subject, body, :founded, :founded
FROM (VALUES
    ('Call within a day', 'NEW', 24, 'TASK', 'Call {{ lead.name }}', 'Nobody has spoken with {{ lead.name }} yet.'),
    ('Stay in touch', 'NURTURING', 72, 'EMAIL', 'Anything we can help with, {{ lead.first_name }}?',
     'Dear {{ lead.name }},' || chr(10) || chr(10) || 'is there anything you would like to know? Just answer this e-mail.'
     || chr(10) || chr(10) || '{{ owner.name }}' || chr(10) || chr(10) || 'No more e-mails: {{ unsubscribe }}'),
    ('Make an offer', 'QUALIFIED', 48, 'TASK', 'Make {{ lead.company | default(lead.name, true) }} an offer',
     'The lead is qualified for two days now.'))
    AS rules (rule, lead_status, after_h, action, subject, body);

-- Sellers in the order of their numbers, then the managers, who leave leads to them.
INSERT INTO demo_desk
SELECT seller, id, name,
       CASE WHEN sells THEN array_remove(ARRAY[region, CASE WHEN seller % 4 = 1 THEN 'Americas' END], NULL) END, sells,
       CASE WHEN sells THEN (ARRAY[3, 2, 2, 1, 3])[1 + seller % 5] ELSE 1 END,
       CASE seller WHEN 4 THEN 'Europe/Berlin' WHEN 5 THEN 'Asia/Singapore' END,
       CASE seller WHEN 3 THEN date_trunc('hour', :now - interval '2 days') END
FROM (SELECT row_number() OVER (ORDER BY role <> 'SELLER', person) - 1 AS seller, role = 'SELLER' AS sells, u.*
      FROM demo_people p JOIN users u ON u.email = mailbox || '@demo.example' WHERE role IN ('SELLER', 'MANAGER')) u;

INSERT INTO seller_profiles (id, attributes, max_open, max_per_day, weight, hours, opted_out, user_id, created_at,
    updated_at)
SELECT uuidv7(:founded - clock_timestamp()),
       CASE WHEN sells THEN jsonb_build_object('regions', regions, 'industries',
           (SELECT jsonb_agg(DISTINCT industries[1 + (seller * 3 + i) % cardinality(industries)])
            FROM generate_series(0, 3) i))
           ELSE '{}' END,
       CASE WHEN sells THEN 20 + :leads / :sellers END, CASE WHEN sells THEN 25 + :leads / 100 END, weight,
       CASE WHEN timezone IS NULL THEN '{}' ELSE jsonb_build_object('timezone', timezone) || (
           SELECT jsonb_object_agg(day, '["09:00-12:30", "13:15-17:30"]'::jsonb)
           FROM unnest(ARRAY['mon', 'tue', 'wed', 'thu', 'fri']) day) END,
       NOT sells, id, :founded, :founded
FROM demo_words, demo_desk ORDER BY seller;

INSERT INTO absences (id, starts_at, ends_at, reason, user_id, created_at, updated_at)
SELECT uuidv7(away_from - clock_timestamp()), away_from, away_from + interval '9 days', 'Holiday', id,
       away_from - interval '20 days', away_from - interval '20 days'
FROM demo_desk WHERE away_from IS NOT NULL;

INSERT INTO lead_queues (id, name, deadline_min, owner_id, created_at, updated_at)
SELECT uuidv7(:founded - clock_timestamp()), 'Front desk', 240, id, :founded, :founded
FROM users WHERE email = 'director@demo.example';

INSERT INTO routing_rulesets (id, name, number, status, rates, accept_within_min, activated_at, fallback_queue_id,
    created_at, updated_at)
SELECT uuidv7(since - clock_timestamp()), s.name, number, status, '{"EUR": "1.09", "JPY": "0.0067", "KWD": "3.26"}', 240,
       CASE status WHEN 'ACTIVE' THEN since END, q.id, since, since
FROM lead_queues q, (VALUES (1, 'Regions', 'ACTIVE', :founded), (2, 'Least loaded', 'DRAFT', :now - interval '6 days'))
    AS s (number, name, status, since)
ORDER BY number;

INSERT INTO routing_rules (id, position, name, conditions, target, seller_match, distribution, ruleset_id, target_queue_id,
    created_at, updated_at)
SELECT uuidv7(s.created_at - clock_timestamp()), r.position, rule, conditions::jsonb, target,
       CASE WHEN match
            THEN '{"match": [{"seller": "attributes.regions", "op": "contains", "lead": "region"}]}'
            ELSE '{}' END ::jsonb,
       distribution, s.id, CASE target WHEN 'QUEUE' THEN s.fallback_queue_id END, s.created_at, s.created_at
FROM routing_rulesets s JOIN (VALUES
    (1, 1, 'Enterprise', '{"field": "budget", "op": "gte", "value": {"amount": "100000", "currency": "USD"}}',
     'MATCHING', true, 'LEAST_LOADED'),
    (1, 2, 'Events', '{"field": "leadSource", "op": "eq", "value": "event"}', 'MATCHING', false, 'ROUND_ROBIN'),
    (1, 3, 'By region', '{"field": "region", "op": "isSet", "value": true}', 'MATCHING', true, 'WEIGHTED'),
    (1, 4, 'The rest', '{}', 'MATCHING', false, 'ROUND_ROBIN'),
    (2, 1, 'Enterprise', '{"field": "budget", "op": "gte", "value": {"amount": "50000", "currency": "USD"}}',
     'MATCHING', true, 'LEAST_LOADED'),
    (2, 2, 'Events', '{"field": "leadSource", "op": "eq", "value": "event"}', 'QUEUE', false, 'ROUND_ROBIN'),
    (2, 3, 'The rest', '{}', 'MATCHING', false, 'LEAST_LOADED'))
    AS r (number, position, rule, conditions, target, match, distribution) USING (number)
ORDER BY number, r.position;

INSERT INTO pools (id, name, kind, reclaim_after_d, warn_before_d, claim_limit_per_day, holding_limit, protection_h,
    cooldown_h, shows, created_at, updated_at)
SELECT uuidv7(:founded - clock_timestamp()), p.*, :founded, :founded
FROM (VALUES
    ('Open leads', 'LEAD', 30, 5, 5, 10, 72, 48, ARRAY['company', 'industry', 'region', 'segment', 'budget', 'leadSource']),
    ('Sleeping customers', 'CUSTOMER', 365, 14, 3, 20, 168, 168,
     ARRAY['name', 'industry', 'region', 'country', 'city', 'employeeCount', 'status'])) p;
