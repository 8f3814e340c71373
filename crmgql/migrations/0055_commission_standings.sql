-- What people have earned and attained in some days, and their quota: as the calculation has it (`domain/compensation`), asked in the statement.

-- What a unit of a currency is in another one on a day; NULL where that is not known.
CREATE FUNCTION rate_between(of_currency text, to_currency text, day date) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN of_currency = to_currency THEN 1 ELSE (
        SELECT one.rate / other.rate FROM
            (SELECT CASE WHEN b.currency = of_currency THEN 1 ELSE (SELECT f.rate FROM fx_rates f
                WHERE f.base_currency = b.currency AND f.currency = of_currency AND f.effective_on <= day
                ORDER BY f.effective_on DESC, f.id DESC LIMIT 1) END AS rate FROM books b LIMIT 1) AS one,
            (SELECT CASE WHEN b.currency = to_currency THEN 1 ELSE (SELECT f.rate FROM fx_rates f
                WHERE f.base_currency = b.currency AND f.currency = to_currency AND f.effective_on <= day
                ORDER BY f.effective_on DESC, f.id DESC LIMIT 1) END AS rate FROM books b LIMIT 1) AS other
    ) END
$$;

-- What plans paid for these days, less what they took back, in a currency at the rates of the days.
CREATE FUNCTION commission_earned(person uuid, from_on date, to_on date, in_currency text) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT round(coalesce(sum(c.amount * rate_between(c.currency, in_currency, c.earned_on)), 0), currency_scale(in_currency))
    FROM commissions c WHERE c.seller_id = person AND c.kind <> 'IMPORTED' AND c.earned_on BETWEEN from_on AND to_on
$$;

-- What was credited in these days: as OWNER one's own, OVERLAY included, as MANAGER the team's. Without a rate it does not count.
CREATE FUNCTION commission_attained(person uuid, as_role text, from_on date, to_on date, of_measure text, on_basis text, in_currency text)
RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT round(coalesce(sum(
        (f.net_amount + CASE on_basis WHEN 'GROSS' THEN f.shipping_amount WHEN 'MARGIN' THEN -f.cost_amount ELSE 0 END)
        * (s.share_to - s.share_from) * rate_between(f.currency, in_currency, c.effective_on)), 0), currency_scale(in_currency))
    FROM commission_credits c
    JOIN commission_facts f ON f.customer_id = c.customer_id AND f.event_id = c.event_id AND f.measure = of_measure
    JOIN commission_shares s ON s.customer_id = c.customer_id AND s.order_id = c.order_id AND s.crediting = f.crediting AND s.user_id = person
        AND coalesce(s.line_id, f.line_id) = f.line_id AND (s.role = 'MANAGER') = (as_role = 'MANAGER')
    WHERE c.user_id = person AND c.effective_on BETWEEN from_on AND to_on
$$;

-- The quota of these days, as MANAGER of the teams that the person leads; NULL without one. A newcomer's own is lowered by the ramp since `ramped_on`.
CREATE FUNCTION commission_quota(
    person uuid, as_role text, from_on date, to_on date, of_measure text, on_basis text, in_currency text, ramped_on date, ramp integer[]
) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT round(sum(q.amount * (common.last_on - common.first_on + 1 - coalesce(lowered.days, 0)) / (q.ends_on - q.starts_on + 1)), currency_scale(in_currency))
    FROM quotas q
    CROSS JOIN LATERAL (SELECT greatest(q.starts_on, from_on) AS first_on, least(q.ends_on, to_on) AS last_on) AS common
    CROSS JOIN LATERAL (
        SELECT sum((least(common.last_on, (ramped_on + make_interval(months => month::integer))::date - 1)
            - greatest(common.first_on, (ramped_on + make_interval(months => month::integer - 1))::date) + 1) * (100 - percent) / 100.0) AS days
        FROM unnest(CASE WHEN as_role = 'OWNER' THEN ramp END) WITH ORDINALITY AS r(percent, month)
        WHERE least(common.last_on, (ramped_on + make_interval(months => month::integer))::date - 1)
            >= greatest(common.first_on, (ramped_on + make_interval(months => month::integer - 1))::date)
    ) AS lowered
    WHERE q.cancelled_at IS NULL AND q.measure = of_measure AND q.basis = on_basis AND q.currency = in_currency
        AND q.starts_on <= to_on AND q.ends_on >= from_on
        AND CASE WHEN as_role = 'OWNER' THEN q.user_id = person ELSE q.team_id IN (SELECT t.id FROM teams t WHERE t.manager_id = person) END
$$;

-- What pays a person on which days; a run is where attainment goes on from one version to the next, but for periods.
CREATE FUNCTION commission_runs(person uuid) RETURNS TABLE (
    first_on date, last_on date, version_id uuid, run_first_on date, run_last_on date, ramped_on date, ramp integer[]
) LANGUAGE sql STABLE AS $$
    WITH held AS (
        SELECT greatest(a.starts_on, v.starts_on) AS first_on, coalesce(least(a.ends_on, v.ends_on), 'infinity'::date) AS last_on, v.id,
            a.starts_on, a.ramp, concat_ws(' ', v.plan_id, v.currency, v.attains_measure, v.attains_basis, v.period) AS counts
        FROM comp_assignments a JOIN comp_plan_versions v ON v.plan_id = a.plan_id AND v.days && a.days WHERE a.user_id = person
    ), marked AS (
        SELECT h.*, lag(h.last_on) OVER w + 1 IS DISTINCT FROM h.first_on OR lag(h.counts) OVER w IS DISTINCT FROM h.counts AS begins
        FROM held h WINDOW w AS (ORDER BY h.first_on)
    ), numbered AS (SELECT m.*, count(*) FILTER (WHERE m.begins) OVER (ORDER BY m.first_on) AS run FROM marked m)
    SELECT n.first_on, n.last_on, n.id, min(n.first_on) OVER (PARTITION BY n.run), max(n.last_on) OVER (PARTITION BY n.run), n.starts_on, n.ramp
    FROM numbered n
$$;

-- The period of a kind in which a day lies: a month, or a quarter or year of the company's fiscal year.
CREATE FUNCTION commission_period(kind text, day date, OUT first_on date, OUT last_on date) LANGUAGE sql STABLE AS $$
    SELECT CASE kind WHEN 'MONTH' THEN date_trunc('month', day)::date ELSE (f.began + make_interval(months => p.at))::date END,
        CASE kind WHEN 'MONTH' THEN (date_trunc('month', day) + interval '1 month')::date ELSE (f.began + make_interval(months => p.at + p.months))::date END - 1
    FROM (
        SELECT CASE WHEN starts <= day THEN starts ELSE (starts - interval '1 year')::date END AS began FROM (
            SELECT make_date(extract(year FROM day)::integer, coalesce(min(c.fiscal_year_start_month), 1), coalesce(min(c.fiscal_year_start_day), 1)) AS starts
            FROM (SELECT fiscal_year_start_month, fiscal_year_start_day FROM companies LIMIT 1) AS c
        ) AS of_year
    ) AS f
    CROSS JOIN LATERAL (
        SELECT max(at) AS at, m.months FROM (SELECT CASE kind WHEN 'QUARTER' THEN 3 ELSE 12 END AS months) AS m,
            generate_series(0, 12 - m.months, m.months) AS at
        WHERE (f.began + make_interval(months => at))::date <= day GROUP BY m.months
    ) AS p
$$;

-- As whom a version counts a person's attainment: the team's where all its rules pay for the team, else one's own.
CREATE FUNCTION commission_counted_as(version uuid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN bool_and(u.role = 'MANAGER') THEN 'MANAGER' ELSE 'OWNER' END FROM comp_rules u WHERE u.plan_version_id = version
$$;

-- How a person stands on a day in the period of the plan that pays them; no row without a plan. What counts is one's own, or the team's where the plan pays for that alone.
CREATE FUNCTION commission_standing(person uuid, day date) RETURNS TABLE (
    version_id uuid, starts_on date, ends_on date, currency text, earned numeric, attained numeric, quota numeric,
    next_rule text, next_rate numeric, missing numeric
) LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT v.id, stint.first_on, stint.last_on, v.currency::text, commission_earned(person, stint.first_on, stint.last_on, v.currency),
        now.attained, now.quota, higher.name::text, higher.rate, higher.missing
    FROM commission_runs(person) r
    JOIN comp_plan_versions v ON v.id = r.version_id
    CROSS JOIN LATERAL commission_period(v.period, day) AS p
    CROSS JOIN LATERAL (SELECT greatest(p.first_on, r.run_first_on) AS first_on, least(p.last_on, r.run_last_on) AS last_on) AS stint
    CROSS JOIN LATERAL commission_counted_as(v.id) AS counted(role)
    CROSS JOIN LATERAL (
        SELECT o.ramped_on AS starts_on, o.ramp FROM commission_runs(person) o WHERE stint.first_on BETWEEN o.first_on AND o.last_on
    ) AS ramped
    CROSS JOIN LATERAL (
        SELECT commission_attained(person, counted.role, stint.first_on, stint.last_on, v.attains_measure, v.attains_basis, v.currency) AS attained,
            commission_quota(person, counted.role, stint.first_on, stint.last_on, v.attains_measure, v.attains_basis, v.currency, ramped.starts_on, ramped.ramp) AS quota
    ) AS now
    LEFT JOIN LATERAL (
        SELECT u.name, t.rate, round(t.from_value * CASE u.tier_unit WHEN 'QUOTA' THEN now.quota ELSE 1 END - now.attained, currency_scale(v.currency)) AS missing
        FROM comp_rules u JOIN comp_tiers t ON t.rule_id = u.id
        WHERE u.plan_version_id = v.id AND (u.role = 'MANAGER') = (counted.role = 'MANAGER') AND t.from_value > 0
            AND t.from_value * CASE u.tier_unit WHEN 'QUOTA' THEN now.quota ELSE 1 END > now.attained
        ORDER BY 3, u.position LIMIT 1
    ) AS higher ON true
    WHERE day BETWEEN r.first_on AND r.last_on
$$;
