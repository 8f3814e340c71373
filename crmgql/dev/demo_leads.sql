-- The demo company's leads, for crmgql/dev/demo.py: half a year of them, who got them and why, what is to be done. The latest
-- ones have no owner yet: the worker routes them as soon as it runs.

-- name: leads
-- Converted leads are what opportunities began as, one per customer. Of the others the last ones are special: fresh ones
-- without an owner, new ones that wait to be accepted, one too long, and ones in the queue; the first four are in the pool,
-- and 8 to 10 are the same people as 5 to 7.
INSERT INTO demo_leads (k, fate, received_at, status, since, path, name, company, title, email, phone, industry, region,
    country, city, employees, budget, currency, customer_id, contact_id, opportunity_id, owner_id, owner, decided)
SELECT 100000000 + key, 'CONVERTED', came, 'CONVERTED', d.created_at,
       CASE WHEN pg_temp.roll(key, 11) < 0.5 THEN ARRAY['NEW', 'QUALIFIED', 'CONVERTED']
            ELSE ARRAY['NEW', 'NURTURING', 'QUALIFIED', 'CONVERTED'] END,
       t.name, c.name, t.title, t.email, replace(t.phone, ' ', ''), industry, c.region, country, c.city,
       employee_count, amount, d.currency, c.id, t.id, d.id, d.owner_id, u.name,
       CASE WHEN came > c.created_at THEN 'EXISTING_ACCOUNT_OWNER' ELSE 'MANUAL' END
FROM (SELECT DISTINCT ON (customer_id) * FROM demo_deals WHERE created_at < :now - interval '3 days'
      ORDER BY customer_id, key) d
JOIN customers c ON c.id = d.customer_id JOIN contacts t ON t.id = d.contact_id JOIN users u ON u.id = d.owner_id,
    LATERAL (SELECT date_trunc('second',
        d.created_at - interval '1 day' - pg_temp.roll(key, 12) * interval '20 days')) r(came)
ORDER BY pg_temp.roll(key, 13), key LIMIT :leads / 4;

INSERT INTO demo_leads (k, fate, received_at, status, name, company, title, email, phone, industry, region, country, city,
    employees, budget, currency)
SELECT k, fate, came, CASE
           WHEN fate = 'POOL' OR (fate = 'TWIN' AND k % 2 = 0) THEN 'NURTURING'
           WHEN fate <> 'ANY' THEN 'NEW'
           WHEN came > :now - interval '3 days'
               THEN (ARRAY['NEW', 'NEW', 'NEW', 'NURTURING', 'QUALIFIED'])[1 + floor(5 * dice)]
           WHEN came > :now - interval '40 days'
               THEN (ARRAY['NEW', 'NURTURING', 'NURTURING', 'NURTURING', 'NURTURING', 'QUALIFIED', 'QUALIFIED',
                           'QUALIFIED', 'LOST', 'LOST'])[1 + floor(10 * dice)]
           ELSE (ARRAY['NURTURING', 'QUALIFIED', 'LOST', 'LOST', 'LOST', 'LOST', 'LOST', 'LOST'])[1 + floor(8 * dice)]
           END,
       first || ' ' || last, company, pg_temp.pick(titles, person, 24),
       lower(first || '.' || last) || '@' || lower(replace(company, ' ', '-')) || '.example',
       CASE WHEN pg_temp.roll(person, 25) < 0.7 AND fate <> 'TWIN' THEN '+1557' || lpad((k % 10000000)::text, 7, '0') END,
       pg_temp.pick(industries, person, 26), CASE WHEN known THEN p.region END, CASE WHEN known THEN country END,
       CASE WHEN known THEN p.city END, floor(10 ^ (1 + pg_temp.roll(person, 27) * 3))::integer,
       CASE WHEN fate = 'QUEUE' THEN round(180000 * per_dollar, digits)
            WHEN pg_temp.roll(k, 28) < 0.75
                THEN round((10 ^ (1 + pg_temp.roll(k, 29) * CASE WHEN known THEN 1.7 ELSE 1.2 END))::integer * 500
                           * per_dollar, digits) END,
       currency
FROM (SELECT k, :leads - (SELECT count(*) FROM demo_leads) - k AS left_over
      FROM generate_series(1, :leads - (SELECT count(*) FROM demo_leads)) k) n,
    LATERAL (SELECT CASE WHEN k <= 4 THEN 'POOL' WHEN k <= 10 THEN 'TWIN' WHEN left_over < 6 THEN 'FRESH'
        WHEN left_over < 10 THEN 'WAITING' WHEN left_over = 10 THEN 'LATE' WHEN left_over < 14 THEN 'QUEUE'
        ELSE 'ANY' END) f(fate),
    LATERAL (SELECT CASE WHEN k BETWEEN 8 AND 10 THEN k - 3 ELSE k END) w(person),
    LATERAL (SELECT date_trunc('second', :now - CASE fate
        WHEN 'POOL' THEN (70 + 12 * k) * interval '1 day'
        WHEN 'TWIN' THEN (33 - 3 * k) * interval '1 day'
        WHEN 'FRESH' THEN (left_over + 1) * interval '75 seconds'
        WHEN 'WAITING' THEN (45 * left_over - 250) * interval '1 minute'
        WHEN 'LATE' THEN interval '245 minutes'
        WHEN 'QUEUE' THEN (40 * left_over - 410) * interval '1 minute'
        ELSE interval '5 hours' + interval '170 days' * pg_temp.roll(k, 20) ^ 1.7 END)) r(came),
    LATERAL (SELECT pg_temp.roll(k, 21), fate <> 'QUEUE' AND pg_temp.roll(person, 22) < 0.92) x(dice, known),
    demo_words,
    LATERAL (SELECT pg_temp.pick(firsts, person, 1), pg_temp.pick(lasts, person, 2)) y(first, last),
    LATERAL (SELECT concat_ws(' ', heads[1 + person * 7 / cardinality(middles) % cardinality(heads)],
        middles[1 + person * 7 % cardinality(middles)],
        pg_temp.pick(ARRAY['Group', 'Works', 'Partners', 'Supply', 'Systems'], person, 3),
        nullif(person / (cardinality(heads) * cardinality(middles)), 0))) z(company),
    demo_places p JOIN demo_rates USING (currency)
WHERE place = floor(pg_temp.roll(person, 23) * 12);

UPDATE demo_leads SET id = uuidv7(received_at - clock_timestamp()), source = coalesce(from_source, 'website'),
    campaign_id = from_campaign,
    path = coalesce(path, CASE status
        WHEN 'NEW' THEN ARRAY['NEW']
        WHEN 'NURTURING' THEN ARRAY['NEW', 'NURTURING']
        WHEN 'QUALIFIED' THEN CASE WHEN pg_temp.roll(k, 32) < 0.5 THEN ARRAY['NEW', 'QUALIFIED']
            ELSE ARRAY['NEW', 'NURTURING', 'QUALIFIED'] END
        ELSE CASE WHEN pg_temp.roll(k, 32) < 0.4 THEN ARRAY['NEW', 'LOST']
            WHEN pg_temp.roll(k, 32) < 0.8 THEN ARRAY['NEW', 'NURTURING', 'LOST']
            ELSE ARRAY['NEW', 'NURTURING', 'QUALIFIED', 'LOST'] END END),
    since = CASE WHEN status = 'CONVERTED' THEN since WHEN status = 'NEW' THEN received_at
        WHEN fate = 'POOL' THEN received_at + interval '15 days'
        ELSE date_trunc('second', received_at + (0.2 + 0.7 * pg_temp.roll(k, 33)) * (:now - received_at)) END,
    reason = CASE status WHEN 'LOST' THEN (ARRAY['No budget', 'Chose a competitor', 'Could not be reached',
        'Does not fit', 'Not this year'])[1 + floor(5 * pg_temp.roll(k, 34))] END,
    decision_id = CASE WHEN fate <> 'FRESH' THEN uuidv7(received_at + interval '1 minute' - clock_timestamp()) END,
    decided_at = CASE WHEN fate <> 'FRESH' THEN received_at + interval '3 seconds'
        + interval '40 seconds' * pg_temp.roll(k, 35) END
FROM (SELECT DISTINCT ON (k) k AS of_k, c.id AS from_campaign, c.lead_source AS from_source
      FROM demo_leads LEFT JOIN demo_campaigns c
          ON received_at BETWEEN starts_at AND coalesce(ends_at, :now) AND pg_temp.roll(k, 30) < 0.75
      ORDER BY k, pg_temp.roll(k * 8 + campaign, 31)) origins
WHERE of_k = k;

-- Who of the sellers could have got a lead, by the rules that are active, and who did.
UPDATE demo_leads SET rule = CASE
    WHEN budget * CASE currency WHEN 'EUR' THEN 1.09 WHEN 'JPY' THEN 0.0067 WHEN 'KWD' THEN 3.26 ELSE 1 END >= 100000
        THEN 1
    WHEN source = 'event' THEN 2 WHEN region IS NOT NULL THEN 3 ELSE 4 END
WHERE fate NOT IN ('FRESH', 'CONVERTED');

INSERT INTO demo_candidates
SELECT k, seller, d.id, d.name, d.weight,
       CASE WHEN rule IN (1, 3) AND l.region = ANY (regions) IS NOT TRUE THEN 'NO_MATCH' WHEN NOT sells THEN 'OPTED_OUT'
            WHEN decided_at >= away_from THEN 'ABSENT'
            WHEN extract(isodow FROM local) > 5 OR NOT (local::time >= '09:00' AND local::time < '12:30'
                OR local::time >= '13:15' AND local::time < '17:30') THEN 'OUTSIDE_HOURS'
            ELSE 'ELIGIBLE' END
FROM demo_leads l CROSS JOIN demo_desk d, LATERAL (SELECT decided_at AT TIME ZONE timezone) t(local)
WHERE rule IS NOT NULL;

UPDATE demo_leads l SET decided = 'MATCHED', owner_id = c.id, owner = c.name, of = c.of
FROM (SELECT DISTINCT ON (k) *, count(*) OVER (PARTITION BY k) AS of FROM demo_candidates WHERE standing = 'ELIGIBLE'
      ORDER BY k, -ln(1 - pg_temp.roll(k * 64 + seller, 40)) / weight, seller) c
WHERE c.k = l.k AND fate <> 'QUEUE';

INSERT INTO leads (id, name, company, title, email, phone, website, industry, region, country, city, segment,
    employee_count, budget_amount, currency, lead_source, score, email_opt_out, normal_email, normal_phone, domain, status,
    status_since, lost_reason, received_at, last_activity_at, assigned_at, accepted_at, accept_by, queue_deadline,
    converted_at, campaign_id, contact_id, customer_id, opportunity_id, owner_id, pool_id, queue_id, created_at, updated_at)
SELECT id, name, company, title, email, phone, 'https://www.' || split_part(email, '@', 2), industry, region, country, city,
       CASE WHEN employees < 50 THEN 'small' WHEN employees < 500 THEN 'mid-market' ELSE 'enterprise' END, employees,
       budget, currency, source, floor(100 * pg_temp.roll(k, 41))::integer, pg_temp.roll(k, 42) < 0.04, lower(email), phone,
       split_part(email, '@', 2), status, since, reason, received_at, active_at,
       CASE WHEN owned THEN decided_at END, CASE WHEN owned AND NOT waits THEN accepted_at END,
       CASE WHEN owned AND waits THEN decided_at + interval '240 minutes' END,
       CASE WHEN fate = 'QUEUE' THEN decided_at + interval '240 minutes' END,
       CASE status WHEN 'CONVERTED' THEN since END, campaign_id, contact_id, customer_id, opportunity_id,
       CASE WHEN owned THEN owner_id END,
       CASE fate WHEN 'POOL' THEN (SELECT id FROM pools WHERE kind = 'LEAD') END,
       CASE fate WHEN 'QUEUE' THEN (SELECT id FROM lead_queues) END, received_at,
       greatest(active_at, CASE WHEN owned AND NOT waits THEN accepted_at END)
FROM demo_leads,
    LATERAL (SELECT fate NOT IN ('FRESH', 'QUEUE', 'POOL'), fate IN ('WAITING', 'LATE')) f(owned, waits),
    LATERAL (SELECT decided_at
        + (CASE status WHEN 'NEW' THEN least(:now, received_at + interval '1 day') ELSE since END - decided_at)
        * 0.8 * pg_temp.roll(k, 43)) a(accepted_at),
    LATERAL (SELECT CASE WHEN fate = 'POOL' THEN since + interval '5 days'
        WHEN status IN ('CONVERTED', 'LOST') THEN since
        WHEN waits OR NOT owned THEN received_at
        ELSE greatest(accepted_at, :now - (:now - since) * 0.7 * pg_temp.roll(k, 44) ^ 2) END) t(active_at)
ORDER BY received_at, k;

INSERT INTO lead_transitions (id, from_status, to_status, reason, seconds_in_status, occurred_at, actor_id, lead_id,
    created_at)
SELECT uuidv7(at - clock_timestamp()), came_from, to_status, CASE to_status WHEN 'LOST' THEN reason END,
       floor(extract(epoch FROM at - came_at)), at, CASE WHEN i > 1 THEN owner_id END, id, at
FROM (SELECT *, lag(at) OVER w AS came_at, lag(to_status) OVER w AS came_from
      FROM demo_leads, LATERAL unnest(path) WITH ORDINALITY AS p(to_status, i),
          LATERAL (SELECT received_at + (since - received_at) * (i - 1) / greatest(1, cardinality(path) - 1)) t(at)
      WINDOW w AS (PARTITION BY k ORDER BY i)) t
ORDER BY at, k, i;

-- In the words of the routing: what was found of the lead, who was next of how many, who was looked at.
INSERT INTO assignment_decisions (id, reason, candidates, explanation, decided_at, actor_id, chosen_id, lead_id,
    queue_id, rule_id, ruleset_id, created_at)
SELECT decision_id, coalesce(decided, 'NO_ELIGIBLE_SELLER'),
       CASE decided WHEN 'MANUAL' THEN '{}'
           WHEN 'EXISTING_ACCOUNT_OWNER' THEN jsonb_build_object(spoken, 'ELIGIBLE') ELSE looked_at END,
       CASE decided WHEN 'MANUAL' THEN 'Came with its owner.'
           WHEN 'EXISTING_ACCOUNT_OWNER' THEN owner || ' owns the account found by a contact''s e-mail.'
           ELSE format('Rule “%s”: %s. ', r.name, CASE r.position
                   WHEN 1 THEN format('budget is %s %s', budget, l.currency) WHEN 2 THEN 'leadSource is event'
                   WHEN 3 THEN 'region is set' ELSE 'every lead' END)
               || CASE WHEN owner IS NOT NULL THEN format('%s is next of %s (%s).', owner, of, distribution)
               ELSE format('None of its %s sellers can take it. It waits in the queue “Front desk”.', sellers) END END,
       decided_at, CASE decided WHEN 'MANUAL' THEN owner_id END, owner_id, l.id,
       CASE WHEN owner IS NULL THEN fallback_queue_id END, r.id,
       CASE WHEN decided IS DISTINCT FROM 'MANUAL' THEN s.id END, decided_at
FROM demo_leads l JOIN routing_rulesets s ON s.status = 'ACTIVE'
LEFT JOIN routing_rules r ON r.ruleset_id = s.id AND r.position = rule
LEFT JOIN (SELECT k, count(*) AS sellers, jsonb_object_agg('usr_' || replace(id::text, '-', ''), standing) AS looked_at
           FROM demo_candidates GROUP BY k) c USING (k),
    LATERAL (SELECT 'usr_' || replace(owner_id::text, '-', '')) u(spoken)
WHERE decision_id IS NOT NULL ORDER BY decided_at, k;

UPDATE leads SET routing_id = decision_id FROM demo_leads l WHERE l.id = leads.id AND decision_id IS NOT NULL;

INSERT INTO lead_duplicates (id, reasons, similarity, lead_id, other_id, created_at)
SELECT uuidv7(l.received_at + interval '1 minute' - clock_timestamp()), jsonb_build_object('reasons', jsonb_build_array(
           jsonb_build_object('field', 'email', 'value', l.email, 'similarity', 100),
           jsonb_build_object('field', 'domain', 'value', split_part(l.email, '@', 2), 'name', other.name,
                              'similarity', 90))),
       100, l.id, other.id, l.received_at + interval '1 minute'
FROM demo_leads l JOIN demo_leads other ON other.k = l.k - 3 WHERE l.fate = 'TWIN' AND l.k > 7 ORDER BY l.k;

INSERT INTO jobs (id, kind, queue, arguments, priority, due_at, max_failures, unique_key, created_at)
SELECT uuidv7(received_at - clock_timestamp()), 'lead.route', 'routing', jsonb_build_object('lead_id', id), 10,
       received_at, 10, id::text, received_at
FROM demo_leads WHERE fate = 'FRESH' ORDER BY received_at;

-- name: work
-- What is in the pools, and what is to be done.
UPDATE customers c SET owner_id = NULL, pool_id = p.id
FROM pools p, (SELECT n, id FROM demo_customers d WHERE n < :customers
    AND (SELECT status FROM customers WHERE customers.id = d.id) IN ('DORMANT', 'CHURNED')
    AND NOT EXISTS (SELECT FROM opportunities o WHERE o.customer_id = d.id AND o.status = 'OPEN')
    ORDER BY n LIMIT 3) sleeping
WHERE p.kind = 'CUSTOMER' AND sleeping.id = c.id;

INSERT INTO pool_items (id, shown, entered_at, last_owner_id, customer_id, lead_id, pool_id, created_at)
SELECT uuidv7(entered_at - clock_timestamp()), shown, entered_at, owner_id, customer_id, lead_id, pool_id, entered_at
FROM (SELECT leads.pool_id, since + interval '35 days 1 hour' AS entered_at, l.owner_id, NULL::uuid AS customer_id,
             leads.id AS lead_id,
             jsonb_build_object('company', leads.company, 'industry', leads.industry, 'region', leads.region,
                 'segment', segment, 'budget', CASE WHEN budget IS NOT NULL
                     THEN jsonb_build_object('amount', budget::text, 'currency', leads.currency) END,
                 'leadSource', lead_source) AS shown
      FROM demo_leads l JOIN leads USING (id) WHERE leads.pool_id IS NOT NULL
      UNION ALL
      SELECT pool_id, :now - (c.employee_count % 20 + 1) * interval '1 day', d.seller_id, c.id, NULL,
             jsonb_build_object('name', c.name, 'industry', c.industry, 'region', region, 'country', country, 'city', city,
                 'employeeCount', employee_count, 'status', status)
      FROM demo_customers d JOIN customers c USING (id) WHERE pool_id IS NOT NULL) items
ORDER BY entered_at, shown;

INSERT INTO pool_moves (id, kind, reason, occurred_at, customer_id, lead_id, pool_id, user_id, created_at)
SELECT uuidv7(at - clock_timestamp()), move, 'no activity for ' || reclaim_after_d || ' days', at, customer_id, lead_id,
       pool_id, last_owner_id, at
FROM pool_items JOIN pools ON pools.id = pool_id,
    LATERAL (VALUES ('WARNED', entered_at - warn_before_d * interval '1 day'), ('RECLAIMED', entered_at)) m(move, at)
ORDER BY at, shown;

INSERT INTO tasks (id, subject, description, status, due_at, done_at, assignee_id, customer_id, lead_id, opportunity_id,
    created_at, updated_at)
SELECT uuidv7(came - clock_timestamp()), subject, description, CASE WHEN done_at IS NULL THEN 'OPEN' ELSE 'DONE' END,
       date_trunc('hour', coalesce(done_at, :now + (nth * 7 % 60 - 24) * interval '1 hour')), done_at, assignee_id,
       customer_id, lead_id, opportunity_id, came, coalesce(done_at, came)
FROM (SELECT *, row_number() OVER (ORDER BY subject, came) AS nth FROM (
    SELECT left((ARRAY['Call ', 'Send the price list to ', 'Call back '])[1 + k % 3] || name || ' of ' || company, 200)
               AS subject, NULL AS description, CASE WHEN nth = 3 THEN active_at END AS done_at,
           owner_id AS assignee_id, NULL::uuid AS customer_id, id AS lead_id, NULL::uuid AS opportunity_id,
           decided_at AS came
    FROM (SELECT l.*, leads.last_activity_at AS active_at,
                 row_number() OVER (PARTITION BY l.owner_id ORDER BY leads.last_activity_at DESC, k) AS nth
          FROM demo_leads l JOIN leads USING (id) WHERE leads.owner_id IS NOT NULL AND leads.accepted_at IS NOT NULL
              AND leads.status IN ('NEW', 'NURTURING', 'QUALIFIED')) l WHERE nth <= 3
    UNION ALL
    SELECT left('Send the offer: ' || name, 200), 'As discussed on the phone.', NULL, owner_id, customer_id, NULL, id,
           stage_since
    FROM (SELECT o.*, row_number() OVER (PARTITION BY owner_id ORDER BY stage_since, o.name) AS nth FROM opportunities o
          WHERE status = 'OPEN' AND owner_id IS NOT NULL) o WHERE nth = 1
    UNION ALL
    SELECT left('Go through with its seller: ' || name, 200), NULL, NULL, manager_id, customer_id, NULL, id,
           last_activity_at
    FROM (SELECT o.*, manager_id, row_number() OVER (PARTITION BY manager_id ORDER BY amount DESC, o.name) AS nth
          FROM opportunities o JOIN users u ON u.id = o.owner_id JOIN teams t ON t.id = u.team_id WHERE o.status = 'OPEN') o
    WHERE nth = 1
    UNION ALL
    SELECT 'Find a seller for ' || leads.name || ' of ' || company, 'It came without a region.', NULL, q.owner_id, NULL,
           leads.id, NULL, received_at
    FROM leads JOIN lead_queues q ON q.id = queue_id
    UNION ALL
    SELECT subject, NULL, NULL, id, NULL, NULL, NULL, :now - interval '1 day'
    FROM users JOIN (VALUES
        ('admin@demo.example', 'Look at the draft of the routing rules'),
        ('finance@demo.example', 'Compare what the campaigns cost with their budgets'),
        ('support@demo.example', 'Answer what is urgent'),
        ('marketing@demo.example', 'Plan the winter campaign')) AS own (address, subject) ON email = address) t) numbered
ORDER BY came, nth;
