-- The day on which time alone changes an opportunity's risk: the one after its close date. What has passed already is due.

ALTER TABLE opportunities ADD COLUMN reassess_on date;
UPDATE opportunities SET reassess_on = expected_close + 1 WHERE status = 'OPEN' AND expected_close < '2300-01-01';
CREATE INDEX opportunities_reassess ON opportunities (reassess_on, id) WHERE status = 'OPEN' AND reassess_on IS NOT NULL;
