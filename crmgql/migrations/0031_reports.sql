-- Codes of accounts can be changed: each has a version. A Chinese name may be left out.

ALTER TABLE account_codes ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE account_codes ADD COLUMN version integer NOT NULL DEFAULT 1;
ALTER TABLE account_codes ADD COLUMN source varchar(50);
ALTER TABLE account_codes ADD COLUMN external_id varchar(200);
ALTER TABLE account_codes ALTER COLUMN name_zh DROP NOT NULL;
CREATE UNIQUE INDEX account_codes_origin ON account_codes (source, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX account_codes_created ON account_codes (created_at, id);
