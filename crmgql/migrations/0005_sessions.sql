-- A refresh token may be used again right after by the same client, whose answer may have been lost.

ALTER TABLE sessions
    ADD COLUMN client varchar(64),
    ADD COLUMN used_again integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT sessions_used_again CHECK (used_again >= 0);
