-- The statements of crmgql/dev/demo.py. `:name` is a literal filled in there; demo_* are temporary tables.
-- roll(key, salt) is a number in [0, 1) that depends on nothing but the seed, the row's key and the salt.

-- name: functions
CREATE OR REPLACE FUNCTION pg_temp.roll(key bigint, salt integer) RETURNS double precision LANGUAGE sql IMMUTABLE AS
$$ SELECT (hashint8extended(key * 64 + salt, :seed) & 1048575)::double precision / 1048576 $$;

CREATE OR REPLACE FUNCTION pg_temp.pick(words text[], key bigint, salt integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT words[1 + floor(pg_temp.roll(key, salt) * cardinality(words))::integer] $$;

-- name: tables
CREATE TEMP TABLE demo_words (heads text[], middles text[], trades text[], industries text[], firsts text[], lasts text[],
    titles text[]) ON COMMIT DROP;
CREATE TEMP TABLE demo_places (place integer, region text, country text, state text, city text, postal_code text,
    currency text) ON COMMIT DROP;
CREATE TEMP TABLE demo_rates (currency text, digits integer, per_dollar numeric) ON COMMIT DROP;
CREATE TEMP TABLE demo_plans (plan text, position integer, before numeric, after numeric, status text) ON COMMIT DROP;
CREATE TEMP TABLE demo_people (person bigint, mailbox text, role text, region integer, salary numeric) ON COMMIT DROP;
CREATE TEMP TABLE demo_sellers (seller integer, seller_id uuid, rate numeric) ON COMMIT DROP;
CREATE TEMP TABLE demo_products (product integer, product_id uuid, name text, category text, price numeric, cost numeric)
    ON COMMIT DROP;
CREATE TEMP TABLE demo_customers (n bigint PRIMARY KEY, id uuid, created_at timestamptz, seller_id uuid, rate numeric,
    place integer, currency text, digits integer, per_dollar numeric, orders integer, name text, slug text, industry text)
    ON COMMIT DROP;
CREATE TEMP TABLE demo_lines (key bigint, position integer, product_id uuid, description text, quantity integer,
    unit_price numeric, unit_cost numeric, discount numeric, shipping numeric) ON COMMIT DROP;
CREATE TEMP TABLE demo_orders (key bigint, id uuid, customer_id uuid, seller_id uuid, rate numeric, currency text,
    digits integer, per_dollar numeric, ordered_at timestamptz, status text, plan text, subtotal numeric,
    shipping numeric, tax numeric, discount numeric) ON COMMIT DROP;
CREATE TEMP TABLE demo_payments (key bigint, id uuid, customer_id uuid, order_id uuid, seller_id uuid, rate numeric,
    currency text, digits integer, amount numeric, status text, received_at timestamptz, created_at timestamptz,
    method text) ON COMMIT DROP;

-- name: words
INSERT INTO demo_words SELECT string_to_array(
    'Alder Amber Anchor Apex Aurora Beacon Birch Bluewater Bright Cascade Cedar Cobalt Copper Coral Crescent Delta Eastgate '
    'Ember Evergreen Falcon Granite Harbor Horizon Ironwood Juniper Keystone Lakeside Lumen Maple Meridian Northwind '
    'Oakridge Orchard Pinnacle Quarry Redwood Silverline Summit Tidewater Vertex', ' '), string_to_array(
    'Point Field Bridge Creek Hill Gate Star Stone Wave Crest Line Path Peak River Root Side', ' '),
    ARRAY['Logistics', 'Foods', 'Health', 'Robotics', 'Retail', 'Energy', 'Software', 'Builders', 'Textiles', 'Capital',
        'Media', 'Labs'],
    ARRAY['Transport', 'Food and beverage', 'Health care', 'Manufacturing', 'Retail', 'Energy', 'Technology',
        'Construction', 'Manufacturing', 'Finance', 'Media', 'Life sciences'], string_to_array(
    'Ada Amara Anders Bianca Carlos Chidi Clara Daniel Elena Emre Fatima Felix Grace Hana Hugo Ines Ivan Jamal Jia Joana '
    'Kenji Lars Leila Lucas Mara Mateo Mei Nadia Noah Olga Omar Priya Quinn Rafael Rosa Samir Sofia Tariq Uma Wei', ' '),
    string_to_array(
    'Abbott Almeida Bauer Becker Chen Costa Diaz Dubois Eriksen Fischer Garcia Haddad Hughes Ito Jansen Kaya Khan Kim '
    'Kowalski Kumar Larsen Lopez Martin Mbeki Meyer Moreau Nakamura Novak Okafor Olsen Park Patel Petrov Reyes Rossi Sato '
    'Silva Tanaka Weber Young', ' '),
    ARRAY['Head of Purchasing', 'Operations Director', 'IT Manager', 'Chief Financial Officer', 'Buyer', 'Office Manager'];

INSERT INTO demo_places VALUES
    (0, 'Americas', 'United States', 'NY', 'New York', '10001', 'USD'),
    (1, 'Americas', 'United States', 'IL', 'Chicago', '60601', 'USD'),
    (2, 'Americas', 'United States', 'TX', 'Austin', '73301', 'USD'),
    (3, 'Americas', 'Canada', 'ON', 'Toronto', 'M5H 2N2', 'USD'),
    (4, 'EMEA', 'Germany', 'Berlin', 'Berlin', '10115', 'EUR'),
    (5, 'EMEA', 'France', 'Île-de-France', 'Paris', '75001', 'EUR'),
    (6, 'EMEA', 'Kuwait', 'Al Asimah', 'Kuwait City', '13001', 'KWD'),
    (7, 'EMEA', 'United Arab Emirates', 'Dubai', 'Dubai', NULL, 'USD'),
    (8, 'Asia Pacific', 'Singapore', NULL, 'Singapore', '018956', 'USD'),
    (9, 'Asia Pacific', 'Japan', 'Tokyo', 'Tokyo', '100-0001', 'JPY'),
    (10, 'Asia Pacific', 'Australia', 'NSW', 'Sydney', '2000', 'USD'),
    (11, 'Asia Pacific', 'India', 'Maharashtra', 'Mumbai', '400001', 'USD');

INSERT INTO demo_rates VALUES ('USD', 2, 1), ('EUR', 2, 0.92), ('JPY', 0, 150), ('KWD', 3, 0.307);

INSERT INTO demo_plans VALUES
    ('SPLIT', 1, 0, 0.5, 'RECEIVED'), ('SPLIT', 2, 0.5, 1, 'RECEIVED'), ('FULL', 1, 0, 1, 'RECEIVED'),
    ('DEPOSIT', 1, 0, 0.3, 'RECEIVED'), ('DEPOSIT', 2, 0.3, 1, 'PENDING'), ('DUE', 1, 0, 1, 'PENDING'),
    ('FAILED', 1, 0, 1, 'FAILED');

-- name: rates
-- In the currency of the books: from the first day on, and another one each month where the company is to be seen as a whole.
INSERT INTO fx_rates (id, created_at, currency, base_currency, effective_on, rate, source)
SELECT uuidv7(:founded - clock_timestamp()), :founded, r.currency, own.currency, (:founded)::date,
       trim_scale(round(own.per_dollar / r.per_dollar, 6)), 'DEMO'
FROM books JOIN demo_rates own USING (currency), demo_rates r WHERE r.currency <> own.currency;

INSERT INTO fx_rates (id, created_at, currency, base_currency, effective_on, rate, source)
SELECT uuidv7(first - clock_timestamp()), first, r.currency, own.currency, first::date,
       trim_scale(round(own.per_dollar / r.per_dollar * (0.97 + 0.06 * pg_temp.roll(hashtext(r.currency), i))::numeric, 6)), 'DEMO'
FROM books JOIN demo_rates own USING (currency), demo_rates r, generate_series(0, 24) i,
    LATERAL (SELECT date_trunc('month', :since) + i * interval '1 month') m(first)
WHERE r.currency <> own.currency AND :orders < 0 AND first <= :now
ORDER BY m.first, r.currency;

-- name: people
-- A sales director over one manager per region; sellers and their region's manager are its team.
INSERT INTO demo_people
SELECT row_number() OVER (ORDER BY rank, i), concat(mailbox, nullif(i, 1)), role, region,
       salary + 500 * floor(20 * pg_temp.roll(i, rank))
FROM (VALUES (1, 'admin', 'ADMIN', 1, 96000), (2, 'finance', 'FINANCE', 1, 88000), (3, 'director', 'MANAGER', 1, 140000),
             (4, 'manager', 'MANAGER', 3, 104000), (5, 'support', 'SUPPORT', 2, 51000), (6, 'marketing', 'MARKETER', 1, 64000),
             (7, 'seller', 'SELLER', :sellers, 48000), (8, 'payroll', 'PAYROLL', 1, 72000)) p(rank, mailbox, role, count, salary),
    LATERAL generate_series(1, count) i,
    LATERAL (SELECT CASE WHEN rank IN (4, 7) THEN (i - 1) % 3 END) r(region);

INSERT INTO users (id, name, email, roles, region, state, city, postal_code, created_at,
    updated_at)
SELECT uuidv7(:founded - clock_timestamp()),
       firsts[1 + (abs(:seed % 1000) + p.person * 7) % cardinality(firsts)] || ' ' || pg_temp.pick(lasts, p.person, 1),
       mailbox || '@demo.example', ARRAY[role], CASE WHEN p.region IS NOT NULL THEN l.region END, state, city, postal_code,
       :founded, :founded
FROM demo_words, demo_people p JOIN demo_places l ON place = coalesce(p.region * 4 + person % 4, 0)
ORDER BY person;

INSERT INTO salaries (id, user_id, amount, currency, period, starts_on, created_at, updated_at)
SELECT uuidv7(:founded - clock_timestamp()), u.id, round(salary, 2), 'USD', 'YEAR', (:founded)::date, :founded, :founded
FROM demo_people p JOIN users u ON u.email = mailbox || '@demo.example' ORDER BY person;

INSERT INTO teams (id, name, manager_id, created_at, updated_at)
SELECT uuidv7(:founded - clock_timestamp()), 'Sales', id, :founded, :founded FROM users WHERE email = 'director@demo.example';

INSERT INTO teams (id, name, region, manager_id, parent_id, created_at, updated_at)
SELECT uuidv7(:founded - clock_timestamp()), 'Sales ' || u.region, u.region, u.id, root.id, :founded, :founded
FROM demo_people p JOIN users u ON u.email = mailbox || '@demo.example',
    (SELECT t.id FROM teams t JOIN users d ON d.id = t.manager_id AND d.email = 'director@demo.example') root
WHERE mailbox LIKE 'manager%' ORDER BY person;

UPDATE users u SET team_id = t.id FROM demo_people p, teams t JOIN users m ON m.id = t.manager_id
WHERE u.email = p.mailbox || '@demo.example' AND m.email LIKE '%@demo.example'
  AND (t.region = u.region OR t.manager_id = u.id);

INSERT INTO demo_sellers
SELECT row_number() OVER (ORDER BY person) - 1, u.id, (8 + floor(9 * pg_temp.roll(person, 2))::integer) * 0.005
FROM demo_people p JOIN users u ON u.email = mailbox || '@demo.example' WHERE role = 'SELLER';

-- name: catalog
INSERT INTO demo_products VALUES
    (0, NULL, 'Rack Server R2', 'Hardware', 4800.00, 3100.00),
    (1, NULL, 'Rack Server R4', 'Hardware', 8900.00, 5900.00),
    (2, NULL, 'Edge Gateway', 'Hardware', 640.00, 380.00),
    (3, NULL, 'Storage Shelf 48T', 'Hardware', 7200.00, 5100.00),
    (4, NULL, 'Core Switch 48', 'Hardware', 3300.00, 2050.00),
    (5, NULL, 'Access Point AX', 'Hardware', 290.00, 150.00),
    (6, NULL, 'Firewall F200', 'Hardware', 2150.00, 1240.00),
    (7, NULL, 'Barcode Scanner', 'Hardware', 310.00, 170.00),
    (8, NULL, 'Label Printer', 'Hardware', 420.00, 260.00),
    (9, NULL, 'Rugged Tablet', 'Hardware', 980.00, 640.00),
    (10, NULL, 'Sensor Kit', 'Hardware', 185.50, 92.25),
    (11, NULL, 'Backup Battery', 'Hardware', 540.00, 330.00),
    (12, NULL, 'Inventory Cloud, year', 'Software', 2400.00, 410.00),
    (13, NULL, 'Fleet Tracker, year', 'Software', 1800.00, 350.00),
    (14, NULL, 'Analytics Studio, year', 'Software', 3600.00, 620.00),
    (15, NULL, 'Compliance Pack, year', 'Software', 1250.00, 190.00),
    (16, NULL, 'Mobile Seats ×10, year', 'Software', 990.00, 140.00),
    (17, NULL, 'Data Archive, year', 'Software', 760.00, 260.00),
    (18, NULL, 'Route Planner, year', 'Software', 1490.00, 280.00),
    (19, NULL, 'Integration Hub, year', 'Software', 2990.00, 540.00),
    (20, NULL, 'Installation, day', 'Services', 1200.00, 760.00),
    (21, NULL, 'Training, day', 'Services', 950.00, 520.00),
    (22, NULL, 'Migration, project', 'Services', 8500.00, 5200.00),
    (23, NULL, 'Premium Support, year', 'Services', 3900.00, 2100.00),
    (24, NULL, 'Standard Support, year', 'Services', 1600.00, 880.00),
    (25, NULL, 'Site Survey', 'Services', 675.00, 390.00),
    (26, NULL, 'Security Review', 'Services', 2750.00, 1600.00),
    (27, NULL, 'Custom Report', 'Services', 480.00, 240.00),
    (28, NULL, 'Health Check', 'Services', 825.00, 430.00),
    (29, NULL, 'On-call Engineer, month', 'Services', 2300.00, 1450.00);

UPDATE demo_products SET product_id = uuidv7(:founded - clock_timestamp());

INSERT INTO products (id, sku, name, category, description, status, price_amount, cost_amount, currency, created_at,
    updated_at)
SELECT product_id, upper(left(category, 2)) || '-' || 1001 + product, name, category,
       name || '. Delivered and set up by our own people.', CASE WHEN product % 10 = 9 THEN 'END_OF_LIFE' ELSE 'ACTIVE' END,
       price, cost, 'USD', :founded, :founded
FROM demo_products ORDER BY product;

-- name: customers
-- Customer n belongs to a seller of its region; the newest one to the first seller. Names repeat only beyond the words.
INSERT INTO demo_customers
SELECT n, uuidv7(created_at - clock_timestamp()), created_at, seller_id, s.rate, place, currency, digits, per_dollar,
       CASE WHEN :orders >= 0 THEN :orders WHEN n = :customers THEN 6 ELSE floor(26 * pg_temp.roll(n, 2) ^ 2.2) END,
       name, lower(replace(name, ' ', '-')), industries[trade]
FROM demo_words, LATERAL (
    SELECT n, created_at, trade, concat_ws(' ', heads[1 + word / (cardinality(middles) * cardinality(trades))],
        middles[1 + word / cardinality(trades) % cardinality(middles)], trades[trade], nullif(lap, 0)) AS name
    FROM generate_series(:first::bigint, :last) n,
        LATERAL (SELECT cardinality(heads) * cardinality(middles) * cardinality(trades)) all_names(count),
        LATERAL (SELECT (n * 4747 + abs(:seed % 1000003)) % count, (n - 1) / count) w(word, lap),
        LATERAL (SELECT 1 + word % cardinality(trades)) t(trade),
        LATERAL (SELECT date_trunc('second', :joined + (n - 1 + pg_temp.roll(n, 1)) / :customers * interval '700 days'))
            c(created_at)) c
JOIN demo_sellers s ON s.seller = (:customers - n) % :sellers
JOIN demo_places ON place = s.seller % 3 * 4 + floor(pg_temp.roll(n, 3) * 4)
JOIN demo_rates USING (currency);

INSERT INTO customers (id, name, kind, status, email, phone, website, industry, region, country, state, city, postal_code,
    currency, founded_year, employee_count, annual_revenue_amount, owner_id, created_at, updated_at)
SELECT id, name, 'COMPANY',
       CASE WHEN orders = 0 THEN 'PROSPECT' WHEN n = :customers OR pg_temp.roll(n, 4) < 0.8 THEN 'CUSTOMER'
            WHEN pg_temp.roll(n, 4) < 0.92 THEN 'DORMANT' ELSE 'CHURNED' END,
       'info@' || slug || '.example', '+1 555 ' || lpad((n % 10000000)::text, 7, '0'), 'https://' || slug || '.example',
       industry, region, country, state, city, postal_code, c.currency, 1950 + floor(pg_temp.roll(n, 5) * 72)::integer,
       floor(10 ^ (1 + pg_temp.roll(n, 6) * 3))::integer,
       round((10 ^ (1 + pg_temp.roll(n, 6) * 3) * 150)::integer * 1000 * per_dollar, digits),
       seller_id, created_at, created_at
FROM demo_customers c JOIN demo_places USING (place) WHERE n BETWEEN :first AND :last ORDER BY n;

INSERT INTO contacts (id, name, title, email, phone, is_primary, customer_id, created_at, updated_at)
SELECT uuidv7(created_at - clock_timestamp()), p.first || ' ' || p.last, pg_temp.pick(titles, key, 3),
       lower(p.first || '.' || p.last) || '@' || slug || '.example',
       '+1 556 ' || lpad((key % 10000000)::text, 7, '0'), i = 1, c.id, created_at, created_at
FROM demo_words, demo_customers c,
    LATERAL generate_series(1, CASE WHEN :orders >= 0 THEN 1 ELSE 1 + floor(pg_temp.roll(n, 7) * 3)::integer END) i,
    LATERAL (SELECT n * 10 + i) k(key),
    LATERAL (SELECT pg_temp.pick(firsts, key, 1), pg_temp.pick(lasts, key, 2)) p(first, last)
WHERE n BETWEEN :first AND :last ORDER BY n, i;

-- name: orders
-- One batch: orders :low to :high of customers :first to :last. With a fixed number, order i of every customer falls into
-- the i-th slice of the two years, so that later batches are later; otherwise any time since the customer came.
TRUNCATE demo_lines, demo_orders, demo_payments;

INSERT INTO demo_orders (key, customer_id, seller_id, rate, currency, digits, per_dollar, ordered_at, status, plan)
SELECT key, c.id, seller_id, c.rate, currency, digits, per_dollar, ordered_at, status,
       CASE WHEN :orders >= 0 THEN 'SPLIT' WHEN status = 'DRAFT' THEN 'NONE' WHEN status = 'CANCELLED' THEN 'FAILED'
            WHEN status IN ('CONFIRMED', 'PROCESSING') AND n < :customers
                THEN CASE WHEN pg_temp.roll(key, 4) < 0.5 THEN 'DEPOSIT' ELSE 'DUE' END
            WHEN pg_temp.roll(key, 4) < 0.6 THEN 'FULL' ELSE 'SPLIT' END
FROM demo_customers c,
    LATERAL generate_series(:low, least(:high, c.orders)) i,
    LATERAL (SELECT n * 1000 + i) k(key),
    LATERAL (SELECT date_trunc('second', CASE
        WHEN :orders > 0 THEN :since + (i - 1 + (:batch + pg_temp.roll(key, 1)) / :batches) / :orders * interval '729 days'
        ELSE c.created_at + pg_temp.roll(key, 1) * (:now - c.created_at) END)) o(ordered_at),
    LATERAL (SELECT CASE
        WHEN :orders < 0 AND n < :customers AND pg_temp.roll(key, 2) < 0.05 THEN 'CANCELLED'
        WHEN ordered_at < :now - interval '25 days' THEN 'DELIVERED'
        WHEN :orders >= 0 OR n = :customers OR ordered_at < :now - interval '12 days' THEN 'SHIPPED'
        WHEN pg_temp.roll(key, 3) < 0.2 THEN 'DRAFT' WHEN pg_temp.roll(key, 3) < 0.5 THEN 'CONFIRMED'
        WHEN pg_temp.roll(key, 3) < 0.8 THEN 'PROCESSING' ELSE 'INVOICED' END) s(status)
WHERE n BETWEEN :first AND :last;

INSERT INTO demo_lines
SELECT o.key, position, product_id, p.name, quantity, unit_price, round(p.cost * per_dollar, digits),
       round(CASE WHEN pg_temp.roll(line, 3) < 0.15 THEN quantity * unit_price * 0.1 ELSE 0 END, digits),
       round(CASE WHEN category = 'Hardware' THEN quantity * 9.5 * per_dollar ELSE 0 END, digits)
FROM demo_orders o,
    LATERAL generate_series(1, CASE WHEN :orders >= 0 THEN 1 ELSE 1 + floor(4 * pg_temp.roll(o.key, 5) ^ 2)::integer END)
        position,
    LATERAL (SELECT o.key * 10 + position) k(line)
    JOIN demo_products p ON p.product = floor(pg_temp.roll(line, 1) * :products),
    LATERAL (SELECT 1 + floor(19 * pg_temp.roll(line, 2) ^ 3)::integer, round(p.price * per_dollar, digits))
        q(quantity, unit_price);

-- name: sold
-- The orders and lines of the batch.
UPDATE demo_orders o SET (id, subtotal, shipping, tax, discount) = (uuidv7(ordered_at - clock_timestamp()), l.subtotal,
    l.shipping, round(l.subtotal * 0.08, digits),
    round(CASE WHEN pg_temp.roll(key, 6) < 0.1 THEN l.subtotal * 0.05 ELSE 0 END, digits))
FROM (SELECT key AS of, sum(quantity * unit_price - discount) AS subtotal, sum(shipping) AS shipping
      FROM demo_lines GROUP BY key) l
WHERE of = key;

INSERT INTO orders (id, status, currency, subtotal_amount, shipping_amount, tax_amount, discount_amount, total_amount,
    ordered_at, confirmed_at, shipped_at, delivered_at, cancelled_at, expected_delivery_at, customer_id, seller_id,
    created_at, updated_at)
SELECT id, status, currency, subtotal, shipping, tax, discount, subtotal + shipping + tax - discount, ordered_at,
       CASE WHEN status <> 'DRAFT' THEN least(ordered_at + interval '2 hours', :now) END,
       CASE WHEN status IN ('SHIPPED', 'DELIVERED') THEN least(ordered_at + interval '2 days', :now) END,
       CASE WHEN status = 'DELIVERED' THEN least(ordered_at + interval '6 days', :now) END,
       CASE WHEN status = 'CANCELLED' THEN least(ordered_at + interval '1 day', :now) END,
       CASE WHEN status NOT IN ('DRAFT', 'CANCELLED') THEN ordered_at + interval '7 days' END,
       customer_id, seller_id, ordered_at, ordered_at
FROM demo_orders ORDER BY ordered_at, key;

INSERT INTO order_lines (id, position, description, quantity, currency, unit_price_amount, discount_amount,
    shipping_amount, line_amount, unit_cost_amount, customer_id, order_id, product_id, seller_id, created_at, updated_at)
SELECT uuidv7(ordered_at - clock_timestamp()), position, description, quantity, currency, unit_price, l.discount,
       l.shipping, quantity * unit_price - l.discount, unit_cost, customer_id, o.id, product_id, seller_id, ordered_at,
       ordered_at
FROM demo_orders o JOIN demo_lines l USING (key) ORDER BY ordered_at, key, position;

-- name: plans
INSERT INTO demo_payments
SELECT key, uuidv7(at - clock_timestamp()), customer_id, id, seller_id, rate, currency, digits,
       round(total * after, digits) - round(total * before, digits), p.status,
       CASE WHEN p.status = 'RECEIVED' THEN at END, at,
       (ARRAY['BANK_TRANSFER', 'CREDIT_CARD', 'DIRECT_DEBIT', 'CHECK'])[1 + floor(4 * pg_temp.roll(key, 9) ^ 2)::integer]
FROM (SELECT *, subtotal + shipping + tax - discount AS total FROM demo_orders) o JOIN demo_plans p USING (plan),
    LATERAL (SELECT date_trunc('second', ordered_at + CASE WHEN p.status = 'PENDING' THEN interval '0' ELSE
        (before::float8 + pg_temp.roll(key, 6 + position) * 0.45) * least(:now - ordered_at, interval '45 days') END)) t(at);

-- name: paid
INSERT INTO payments (id, amount, currency, method, status, received_at, reference, customer_id, order_id, created_at,
    updated_at)
SELECT id, amount, currency, method, status, received_at, 'REF-' || key, customer_id, order_id, created_at, created_at
FROM demo_payments ORDER BY created_at, key, status;

INSERT INTO commissions (id, base_amount, rate, amount, currency, status, earned_at, customer_id, order_id, payment_id,
    seller_id, created_at, updated_at)
SELECT uuidv7(received_at - clock_timestamp()), amount, rate, round(amount * rate, digits), currency,
       CASE WHEN received_at < :now - interval '40 days' THEN 'PAID' ELSE 'EARNED' END, received_at, customer_id, order_id,
       id, seller_id, received_at, received_at
FROM demo_payments WHERE status = 'RECEIVED' AND order_id IS NOT NULL ORDER BY received_at, key;

-- name: activity
-- What else goes on with a customer: opportunities in every stage, the time line, service tickets.
INSERT INTO opportunities (id, name, stage_id, amount, currency, probability, engaged_on, expected_close, closed_on,
    lost_reason, last_activity_at, contact_id, customer_id, owner_id, product_id, created_at, updated_at)
SELECT uuidv7(came - clock_timestamp()), left(c.name || ': ' || p.name, 200), g.id,
       round(p.price * (1 + floor(pg_temp.roll(key, 2) * 12)::integer) * per_dollar, digits), c.currency,
       (ARRAY[10, 25, 50, 75, 100, 0])[step], came::date, (came + interval '75 days')::date,
       CASE WHEN step > 4 THEN least(came + interval '1 day' * (5 + 60 * pg_temp.roll(key, 3)), :now)::date END,
       CASE WHEN step = 6 THEN (ARRAY['Price', 'Chose a competitor', 'No budget', 'No decision'])
            [1 + floor(pg_temp.roll(key, 4) * 4)::integer] END,
       CASE WHEN step < 5 AND (n + i) % 3 > 0 THEN greatest(came, :now - pg_temp.roll(key, 6) * interval '47 hours') END,
       t.id, c.id, c.seller_id, product_id, came, came
FROM demo_customers c JOIN contacts t ON t.customer_id = c.id AND t.is_primary,
    LATERAL generate_series(1, floor(pg_temp.roll(n, 8) * 4)::integer) i,
    LATERAL (SELECT n * 100 + 40 + i) k(key),
    LATERAL (SELECT (ARRAY[1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 6, 6])[1 + floor(13 * pg_temp.roll(key, 6))::integer]) s(step),
    LATERAL (SELECT stages.id FROM stages JOIN pipelines ON pipelines.id = pipeline_id
        WHERE is_default AND position = step) g,
    LATERAL (SELECT CASE WHEN step > 4 THEN c.created_at ELSE greatest(c.created_at, :now - interval '70 days') END) f(first),
    LATERAL (SELECT date_trunc('second', first + pg_temp.roll(key, 1) * (:now - step * interval '3 days' - first))) o(came),
    demo_products p
WHERE p.product = floor(pg_temp.roll(key, 5) * :products)
ORDER BY o.came, key;

INSERT INTO interactions (id, kind, subject, body, occurred_at, author_id, contact_id, customer_id, created_at, updated_at)
SELECT uuidv7(came - clock_timestamp()), (ARRAY['CALL', 'EMAIL', 'MEETING', 'CHAT', 'NOTE'])[1 + (n + i) % 5],
       (ARRAY['Renewal and next steps', 'Sent the revised quote', 'On-site review of the roll-out',
              'Question about delivery dates', 'Budget is confirmed for next quarter'])[1 + (n + i) % 5],
       'With ' || t.name || ' of ' || c.name || '.', came, c.seller_id, t.id, c.id, came, came
FROM demo_customers c JOIN contacts t ON t.customer_id = c.id AND t.is_primary,
    LATERAL generate_series(1, 1 + floor(pg_temp.roll(n, 9) * 6)::integer) i,
    LATERAL (SELECT n * 100 + 60 + i) k(key),
    LATERAL (SELECT date_trunc('second', c.created_at + pg_temp.roll(key, 1) * (:now - c.created_at))) o(came)
ORDER BY o.came, key;

INSERT INTO tickets (id, subject, description, status, priority, resolved_at, assignee_id, contact_id, customer_id,
    created_at, updated_at)
SELECT uuidv7(came - clock_timestamp()),
       (ARRAY['Delivery is late', 'Wrong item received', 'Cannot sign in', 'Invoice address is wrong',
              'Device does not start'])[1 + (n + i) % 5],
       'Reported by ' || t.name || '.', status, (ARRAY['LOW', 'NORMAL', 'NORMAL', 'HIGH', 'URGENT'])[1 + (n * 3 + i) % 5],
       CASE WHEN status IN ('RESOLVED', 'CLOSED') THEN least(came + interval '3 days' * pg_temp.roll(key, 2), :now) END,
       u.id, t.id, c.id, came, came
FROM demo_customers c JOIN contacts t ON t.customer_id = c.id AND t.is_primary,
    LATERAL generate_series(1, floor(pg_temp.roll(n, 10) * 2.4)::integer) i,
    LATERAL (SELECT n * 100 + 80 + i) k(key),
    LATERAL (SELECT date_trunc('second', c.created_at + pg_temp.roll(key, 1) * (:now - c.created_at))) o(came),
    LATERAL (SELECT CASE WHEN came < :now - interval '30 days' THEN 'CLOSED'
        ELSE (ARRAY['OPEN', 'PENDING', 'RESOLVED', 'CLOSED'])[1 + (n + i) % 4] END) s(status),
    users u
WHERE u.email = (ARRAY['support@demo.example', 'support2@demo.example'])[1 + (n + i) % 2]
ORDER BY o.came, key;

-- name: end
DROP FUNCTION pg_temp.pick(text[], bigint, integer);
DROP FUNCTION pg_temp.roll(bigint, integer);
