-- Allocations that are imported, each once.

ALTER TABLE allocations ADD COLUMN source varchar(50);
ALTER TABLE allocations ADD COLUMN external_id varchar(200);
CREATE UNIQUE INDEX allocations_origin ON allocations (source, external_id) WHERE external_id IS NOT NULL;
