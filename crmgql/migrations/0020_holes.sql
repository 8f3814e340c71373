-- What refers to an opportunity is of the opportunity's customer, and a commission is in its payment's currency, whoever writes them.
-- An opportunity without a customer gets that of what refers to it, if that is one. Transitions and alerts keep the customer of their time.

CREATE TEMPORARY TABLE referring ON COMMIT DROP AS
SELECT * FROM (
    SELECT 'orders' AS "table", id, opportunity_id, customer_id FROM orders
    UNION ALL SELECT 'interactions', id, opportunity_id, customer_id FROM interactions
    UNION ALL SELECT 'leads', id, opportunity_id, customer_id FROM leads
    UNION ALL SELECT 'tasks', id, opportunity_id, customer_id FROM tasks
    UNION ALL SELECT 'opportunity_actions', id, opportunity_id, customer_id FROM opportunity_actions
) AS each WHERE opportunity_id IS NOT NULL AND customer_id IS NOT NULL;
CREATE TEMPORARY TABLE given ON COMMIT DROP AS
SELECT opportunity_id AS id, (array_agg(referring.customer_id))[1] AS customer_id
FROM referring JOIN opportunities o ON o.id = opportunity_id
WHERE o.customer_id IS NULL GROUP BY opportunity_id HAVING count(DISTINCT referring.customer_id) = 1;

DO $$
DECLARE
    wrong record;
BEGIN
    SELECT count(*) AS rows, string_agg(line, E'\n  ' ORDER BY place) FILTER (WHERE place <= 10) AS lines INTO wrong FROM (
        SELECT format('%s %s of customer %s: opportunity %s %s', "table", r.id, r.customer_id, o.id,
            coalesce('of customer ' || o.customer_id, 'that several customers name')) AS line,
            row_number() OVER (ORDER BY o.id, "table", r.id) AS place
        FROM referring r JOIN opportunities o ON o.id = r.opportunity_id
        WHERE o.customer_id IS DISTINCT FROM r.customer_id AND NOT EXISTS (SELECT FROM given WHERE given.id = o.id)
    ) AS each;
    IF wrong.rows > 0 THEN
        RAISE EXCEPTION E'rows that name an opportunity of another customer: %\n  %\n%by SQL, set opportunity_id of each to null or to an opportunity of its customer, or correct customer_id here or there, and migrate again',
            wrong.rows, wrong.lines, CASE WHEN wrong.rows > 10 THEN E'  and others\n' ELSE '' END;
    END IF;
    SELECT count(*) AS rows, string_agg(line, E'\n  ' ORDER BY place) FILTER (WHERE place <= 10) AS lines INTO wrong FROM (
        SELECT format('commission %s in %s: payment %s in %s', c.id, c.currency, p.id, p.currency) AS line,
            row_number() OVER (ORDER BY c.id) AS place
        FROM commissions c JOIN payments p ON p.id = c.payment_id WHERE p.currency <> c.currency
    ) AS each;
    IF wrong.rows > 0 THEN
        RAISE EXCEPTION E'commissions in another currency than their payment: %\n  %\n%by SQL, give each base amount, amount and currency as its payment has it, or set payment_id to null, and migrate again',
            wrong.rows, wrong.lines, CASE WHEN wrong.rows > 10 THEN E'  and others\n' ELSE '' END;
    END IF;
END
$$;

UPDATE opportunities o SET customer_id = given.customer_id, version = version + 1, updated_at = now(), stale_known = false
FROM given WHERE o.id = given.id;
SELECT record_gap('Opportunity', 'opp', first.first, last.last, 'Opportunities without a customer got that of their orders and interactions.')
FROM (SELECT id AS first FROM given ORDER BY id LIMIT 1) AS first, (SELECT id AS last FROM given ORDER BY id DESC LIMIT 1) AS last;

SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE interactions DROP CONSTRAINT interactions_opportunity_id_fkey;
ALTER TABLE orders DROP CONSTRAINT orders_opportunity_id_fkey;
ALTER TABLE opportunities ADD CONSTRAINT opportunities_customer_id UNIQUE (customer_id, id);
ALTER TABLE payments ADD CONSTRAINT payments_id_currency UNIQUE (id, currency);
ALTER TABLE commissions ADD CONSTRAINT commissions_payment_currency FOREIGN KEY (payment_id, currency) REFERENCES payments (id, currency);
ALTER TABLE interactions ADD CONSTRAINT interactions_opportunity_customer FOREIGN KEY (customer_id, opportunity_id) REFERENCES opportunities (customer_id, id);
ALTER TABLE leads ADD CONSTRAINT leads_opportunity_customer FOREIGN KEY (opportunity_id, customer_id) REFERENCES opportunities (id, customer_id);
ALTER TABLE opportunity_actions ADD CONSTRAINT opportunity_actions_opportunity_customer FOREIGN KEY (opportunity_id, customer_id) REFERENCES opportunities (id, customer_id);
ALTER TABLE orders ADD CONSTRAINT orders_opportunity_customer FOREIGN KEY (customer_id, opportunity_id) REFERENCES opportunities (customer_id, id);
ALTER TABLE tasks ADD CONSTRAINT tasks_opportunity_customer FOREIGN KEY (opportunity_id, customer_id) REFERENCES opportunities (id, customer_id);
