-- Periods of the books: where they came from, why one was reopened; found by their days. One that was closed is reopened,
-- never removed.

ALTER TABLE accounting_periods ADD COLUMN source varchar(50);
ALTER TABLE accounting_periods ADD COLUMN external_id varchar(200);
ALTER TABLE accounting_periods ADD COLUMN status_reason varchar(1000);
CREATE INDEX accounting_periods_first ON accounting_periods (first_on, id);
CREATE UNIQUE INDEX accounting_periods_origin ON accounting_periods (source, external_id) WHERE external_id IS NOT NULL;
REVOKE DELETE ON accounting_periods FROM crmgql_app;
