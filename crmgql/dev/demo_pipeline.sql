-- The demo company's pipeline, for crmgql/dev/demo.py: settings, how each opportunity came to where it stands, what was done.
-- Alerts, scores and risks are left to the worker.

-- name: pipeline
CREATE TEMP TABLE demo_deals (key bigint PRIMARY KEY, id uuid, customer_id uuid, owner_id uuid, contact_id uuid,
    amount numeric,
    currency text, expected_close date, created_at timestamptz, status text, moves integer, ended_at timestamptz)
    ON COMMIT DROP;
CREATE TEMP TABLE demo_moves (key bigint, i integer, stage_id uuid, position integer, at timestamptz, left_at timestamptz,
    amount numeric) ON COMMIT DROP;

UPDATE stages SET conversion_goal = goal
FROM pipelines, (VALUES (1, 70), (2, 60), (3, 50), (4, 60)) AS goals (step, goal)
WHERE pipelines.id = pipeline_id AND is_default AND position = step;

INSERT INTO key_actions (id, position, name, required, stage_id, created_at, updated_at)
SELECT uuidv7(:founded - clock_timestamp()), nth, action, required, stages.id, :founded, :founded
FROM stages JOIN pipelines ON pipelines.id = pipeline_id AND is_default
JOIN (VALUES (1, 1, 'Find out who decides', true), (1, 2, 'Check that it fits', true),
             (2, 1, 'First meeting held', true), (2, 2, 'Needs written down', true), (2, 3, 'Demo given', false),
             (3, 1, 'Proposal sent', true), (3, 2, 'Budget confirmed', true), (3, 3, 'Reference call', false),
             (4, 1, 'Terms agreed', true), (4, 2, 'Contract checked by the lawyers', false))
    AS actions (step, nth, action, required) ON step = stages.position
ORDER BY step, nth;

INSERT INTO score_rules (id, name, field, operator, value, points, created_at, updated_at)
SELECT uuidv7(:founded - clock_timestamp()), name, field, operator, value::jsonb, points, :founded, :founded
FROM (VALUES ('A large deal', 'amount', 'GTE', '{"value": "25000", "currency": "USD"}', 30),
             ('Closes within three weeks', 'expectedCloseInDays', 'LTE', '{"value": 21}', 20),
             ('Past the middle of the pipeline', 'stagePosition', 'GTE', '{"value": 3}', 30),
             ('In talks with who decides', 'contactTitle', 'IN',
              '{"values": ["Head of Purchasing", "Operations Director", "Chief Financial Officer"]}', 20))
    AS rules (name, field, operator, value, points);

-- An opportunity's number is its place in time: its id has a random part. One that was lost went as far as its dice say.
INSERT INTO demo_deals
SELECT key, id, customer_id, owner_id, contact_id, amount, currency, expected_close, created_at, status,
       CASE status WHEN 'LOST' THEN 2 + floor(4 * pg_temp.roll(key, 1))::integer ELSE position END,
       CASE WHEN status <> 'OPEN' THEN least(:now, greatest(created_at + interval '1 hour' * pg_temp.roll(key, 2),
                closed_on + interval '9 hours' + interval '8 hours' * pg_temp.roll(key, 2)))
            WHEN position > 1 THEN created_at + (0.3 + 0.6 * pg_temp.roll(key, 2)) * (:now - created_at)
            ELSE created_at END
FROM (SELECT o.*, position, row_number() OVER (ORDER BY o.created_at, o.name) AS key
      FROM opportunities o JOIN stages ON stages.id = stage_id) o
ORDER BY key;

INSERT INTO demo_moves
SELECT key, i, stages.id, position, at, lead(at) OVER (PARTITION BY key ORDER BY i),
       CASE WHEN i < least(moves, 3) AND pg_temp.roll(key, 3) < 0.3
            THEN round(amount * CASE WHEN pg_temp.roll(key, 3) < 0.15 THEN 0.8 ELSE 1.25 END, currency_scale(currency))
            ELSE amount END
FROM demo_deals d, LATERAL generate_series(1, moves) i,
    LATERAL (SELECT CASE WHEN status = 'LOST' AND i = moves THEN 6 ELSE i END) s(step),
    LATERAL (SELECT created_at + (ended_at - created_at) * CASE WHEN i = 1 THEN 0 WHEN i = moves THEN 1
        ELSE (i - 1.3 + 0.6 * pg_temp.roll(key * 8 + i, 4)) / (moves - 1) END) t(at),
    stages JOIN pipelines ON pipelines.id = pipeline_id AND is_default
WHERE position = step;

INSERT INTO stage_transitions (id, seconds_in_stage, amount_before, amount_after, currency, expected_close_before,
    expected_close_after, occurred_at, actor_id, customer_id, from_stage_id, opportunity_id, to_stage_id, created_at)
SELECT uuidv7(at - clock_timestamp()), floor(extract(epoch FROM at - came_at)), before, m.amount, currency,
       CASE WHEN i > 1 THEN expected_close END, expected_close, at, owner_id, customer_id, came_from, id, stage_id, at
FROM (SELECT *, lag(at) OVER w AS came_at, lag(stage_id) OVER w AS came_from, lag(amount) OVER w AS before
      FROM demo_moves WINDOW w AS (PARTITION BY key ORDER BY i)) m
JOIN demo_deals d USING (key) ORDER BY at, key, i;

INSERT INTO opportunity_actions (id, done_at, customer_id, done_by_id, key_action_id, opportunity_id, created_at)
SELECT uuidv7(done_at - clock_timestamp()), done_at, customer_id, owner_id, a.id, d.id, done_at
FROM demo_deals d JOIN demo_moves m USING (key) JOIN key_actions a ON a.stage_id = m.stage_id,
    LATERAL (SELECT key * 64 + m.position * 8 + a.position) k(action),
    LATERAL (SELECT at + (coalesce(left_at, :now) - at) * (0.2 + 0.7 * pg_temp.roll(action, 5))) t(done_at)
WHERE CASE WHEN left_at IS NULL OR (status = 'LOST' AND i = moves - 1) THEN pg_temp.roll(action, 6) < 0.4
           ELSE required OR pg_temp.roll(action, 6) < 0.6 END
ORDER BY done_at, key, a.position;

-- What was talked about with a customer since its open opportunity came up was about that.
UPDATE interactions i SET opportunity_id = d.id
FROM (SELECT DISTINCT ON (customer_id) * FROM demo_deals WHERE status = 'OPEN' ORDER BY customer_id, key DESC) d
WHERE i.customer_id = d.customer_id AND i.occurred_at >= d.created_at;

-- Most were heard of within two days, which is as long as nobody is alerted; some were not for days.
UPDATE opportunities o SET stage_since = ended_at, last_activity_at = greatest(ended_at,
    (SELECT max(done_at) FROM opportunity_actions a WHERE a.opportunity_id = o.id),
    (SELECT max(occurred_at) FROM interactions i WHERE i.opportunity_id = o.id),
    CASE WHEN d.status <> 'OPEN' THEN NULL WHEN pg_temp.roll(key, 7) < 0.7
        THEN :now - interval '44 hours' * pg_temp.roll(key, 8)
         ELSE :now - interval '50 hours' - interval '9 days' * pg_temp.roll(key, 8) ^ 2 END)
FROM demo_deals d WHERE d.id = o.id;
