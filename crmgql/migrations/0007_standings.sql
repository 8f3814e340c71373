-- The day on which time alone changes an opportunity's risk: the one after its close date. What has passed already is due.

ALTER TABLE opportunities ADD COLUMN reassess_on date;
UPDATE opportunities SET reassess_on = expected_close + 1 WHERE status = 'OPEN' AND expected_close < '2300-01-01';
CREATE INDEX opportunities_reassess ON opportunities (reassess_on, id) WHERE status = 'OPEN' AND reassess_on IS NOT NULL;

-- What an opportunity was worth at most, in the currency that it has, and how often its close date was put off: columns
-- that the verbs keep, filled this once from what the audit trail says of the changes so far.
ALTER TABLE opportunities
    ADD COLUMN highest_amount numeric,
    ADD COLUMN close_pushes integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT opportunities_close_pushes CHECK (close_pushes >= 0);
WITH trail AS (
    SELECT subject_id, changes,
        count(*) FILTER (WHERE changes ? 'currency') OVER (PARTITION BY subject_id ORDER BY id DESC) AS later_currencies
    FROM audit_entries
    WHERE subject_type = 'Opportunity' AND changes ?| ARRAY['amount', 'currency', 'expected_close']
), told AS (
    SELECT subject_id,
        max(greatest((changes -> 'amount' ->> 0)::numeric, (changes -> 'amount' ->> 1)::numeric))
            FILTER (WHERE later_currencies = 0) AS highest,
        count(*) FILTER (
            WHERE (changes -> 'expected_close' ->> 1)::date > (changes -> 'expected_close' ->> 0)::date) AS pushes
    FROM trail GROUP BY subject_id
)
UPDATE opportunities o SET highest_amount = greatest(o.amount, told.highest), close_pushes = told.pushes
FROM told WHERE o.id = told.subject_id;
UPDATE opportunities SET highest_amount = amount WHERE highest_amount IS NULL AND amount IS NOT NULL;
