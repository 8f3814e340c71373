-- What else becomes of money in the demo company, for crmgql/dev/demo_money.py: one order or payment for each case, each of
-- a customer that was there half a year ago. With few customers some have several, and where a currency has none, its
-- cases are left out.

-- name: cases
CREATE TEMP TABLE demo_cases (key bigint PRIMARY KEY, name text, product text, quantity integer, ordered_at timestamptz,
    terms text, paid numeric, paid_currency text, paid_at timestamptz, method text, customer bigint) ON COMMIT DROP;

-- What was sold before keeps the rule that it was booked with.
UPDATE products SET recognition = 'OVER_TIME', recognition_months = 12 WHERE name LIKE '%, year';

INSERT INTO demo_cases
SELECT n * 1000 + 900 + place, name, product, quantity, date_trunc('second', :now - ordered * interval '1 day'), terms, paid,
       coalesce(paid_in, currency), date_trunc('second', :now - received * interval '1 day'), method, n
FROM (VALUES
    (1, 'over 90', 'USD', 1, 150, 'Rack Server R2', 3, 'NET 30', NULL::numeric, NULL::integer, NULL, NULL),
    (2, 'to 90', 'USD', 2, 105, 'Edge Gateway', 12, 'NET 30', NULL, NULL, NULL, NULL),
    (3, 'to 60', 'USD', 3, 75, 'Storage Shelf 48T', 2, 'NET 30', 0.5, 40, NULL, 'BANK_TRANSFER'),
    (4, 'to 30', 'EUR', 1, 45, 'Rugged Tablet', 20, 'NET 30', NULL, NULL, NULL, NULL),
    (5, 'not due', 'USD', 4, 10, 'Core Switch 48', 3, 'NET 30', NULL, NULL, NULL, NULL),
    (6, 'credited', 'USD', 5, 60, 'Label Printer', 10, 'NET 30', 1, 35, NULL, 'CHECK'),
    (7, 'in parts', 'USD', 6, 80, 'Migration, project', 1, '30% NET 0, 30% NET 30, 40% NET 120', 0.3, 78, NULL, 'DIRECT_DEBIT'),
    (8, 'foreign', 'EUR', 2, 70, 'Security Review', 1, NULL, 1, 5, 'USD', 'BANK_TRANSFER'),
    (9, 'refunded', 'USD', 7, 65, 'Barcode Scanner', 10, NULL, 1, 60, NULL, 'CREDIT_CARD'),
    (10, 'refund asked for', 'USD', 8, 50, 'Access Point AX', 16, NULL, 1, 48, NULL, 'CREDIT_CARD'),
    (11, 'disputed', 'USD', 9, 30, 'Firewall F200', 2, NULL, 1, 28, NULL, 'CREDIT_CARD'),
    (12, 'lost', 'USD', 10, 90, 'Backup Battery', 6, NULL, 1, 88, NULL, 'CREDIT_CARD'),
    (13, 'over months', 'EUR', 3, 100, 'Premium Support, year', 2, NULL, 1, 90, NULL, 'BANK_TRANSFER'),
    (14, 'overpaid', 'JPY', 1, 35, 'Training, day', 2, NULL, 1.1, 20, NULL, 'BANK_TRANSFER'),
    (15, 'paid ahead', 'USD', 11, NULL, NULL, NULL, NULL, 2500, 12, NULL, 'BANK_TRANSFER')
) c(place, name, currency, nth, ordered, product, quantity, terms, paid, received, paid_in, method)
JOIN (SELECT n, currency, row_number() OVER each AS nth, count(*) OVER (PARTITION BY currency) AS there
      FROM demo_customers WHERE created_at < :now - interval '180 days' AND n < :customers
      WINDOW each AS (PARTITION BY currency ORDER BY n)) t USING (currency)
WHERE t.nth = 1 + (c.nth - 1) % there;

TRUNCATE demo_orders, demo_lines, demo_payments;

INSERT INTO demo_orders (key, customer_id, seller_id, rate, currency, digits, per_dollar, ordered_at, status)
SELECT key, id, seller_id, rate, currency, digits, per_dollar, ordered_at,
       CASE WHEN ordered_at < :now - interval '25 days' THEN 'DELIVERED' ELSE 'CONFIRMED' END
FROM demo_cases JOIN demo_customers ON n = customer WHERE ordered_at IS NOT NULL;

INSERT INTO demo_lines
SELECT key, 1, product_id, p.name, c.quantity, round(p.price * per_dollar, digits), round(p.cost * per_dollar, digits),
       round(0::numeric, digits), round(0::numeric, digits)
FROM demo_cases c JOIN demo_orders USING (key) JOIN demo_products p ON p.name = c.product;

-- name: receipts
-- `paid` is the part of the order's total that is paid, or of a payment without an order the amount.
INSERT INTO demo_payments
SELECT key, uuidv7(paid_at - clock_timestamp()), c.id, CASE WHEN paid_currency = c.currency THEN o.id END, c.seller_id, c.rate,
       paid_currency, r.digits,
       round(paid * coalesce((subtotal + o.shipping + tax - discount) / c.per_dollar, 1) * r.per_dollar, r.digits),
       'RECEIVED', paid_at, paid_at, method
FROM demo_cases k JOIN demo_customers c ON n = customer JOIN demo_rates r ON r.currency = paid_currency LEFT JOIN demo_orders o USING (key)
WHERE paid IS NOT NULL;
