-- Reports as they were known at a time go through all postings: PostgreSQL spreads them over processes only where all functions allow it.

ALTER FUNCTION uuidv7_at(timestamptz) PARALLEL SAFE;
