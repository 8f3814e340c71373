-- What housekeeping deletes is found by an index.
CREATE INDEX idempotency_records_created ON idempotency_records (created_at, id);
CREATE INDEX sessions_expires ON sessions (expires_at, id);
CREATE INDEX login_attempts_window ON login_attempts (window_ends_at, id);
