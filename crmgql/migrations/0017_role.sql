-- The role that API and workers have: it may do less than the owner of the tables, who runs migrations. What is append-only or
-- kept by triggers is refused to it by grants, before any trigger is asked.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'crmgql_app') THEN
        CREATE ROLE crmgql_app NOLOGIN;
    END IF;
    IF NOT pg_has_role(current_user, 'crmgql_app', 'SET') THEN
        EXECUTE format('GRANT crmgql_app TO %I', current_user);
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this server made it at the same time
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the application needs the role crmgql_app, which % may not make; have an administrator run: CREATE ROLE crmgql_app; GRANT crmgql_app TO %',
            current_user, current_user;
END
$$;

DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO crmgql_app', current_database()); END $$;
GRANT USAGE ON SCHEMA public TO crmgql_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON ALL TABLES IN SCHEMA public TO crmgql_app;
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO crmgql_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON TABLES TO crmgql_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT, UPDATE ON SEQUENCES TO crmgql_app;

-- Blanked when a person is erased, and else never changed: triggers say which columns.
REVOKE DELETE ON events, audit_entries, assignment_decisions, lead_transitions, pool_moves FROM crmgql_app;
REVOKE UPDATE, DELETE ON stage_transitions, stale_alerts, erasures, tombstones FROM crmgql_app;
-- Written by functions of the owner.
REVOKE INSERT, UPDATE, DELETE ON event_positions, event_checkpoints, feed FROM crmgql_app;
ALTER FUNCTION event_month(text, date) SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION event_month_drop(text, date) SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION feed_base() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION feed_pass() SECURITY DEFINER SET search_path = public, pg_temp;

REVOKE UPDATE, DELETE ON ledger_entries, postings, anchors, anchor_heads FROM crmgql_app;
REVOKE INSERT, UPDATE, DELETE ON ledger_heads, ledger_links, balances FROM crmgql_app;
REVOKE INSERT, UPDATE, DELETE ON open_items FROM crmgql_app;
GRANT INSERT (id, owner_id, customer_id, entry_id, n, opens, purpose, currency, opened_on, due_on, order_id, payment_id, invoice_id, credit_note_id,
    dispute_id, suspense_id) ON open_items TO crmgql_app;
GRANT UPDATE (opened_on) ON open_items TO crmgql_app;  -- so that a verb may lock a row; a trigger refuses every UPDATE
REVOKE INSERT, UPDATE, DELETE ON books FROM crmgql_app;
ALTER FUNCTION follow_currency() SECURITY DEFINER SET search_path = public, pg_temp;
