-- A routing decision's explanation repeats values of its lead (“company is …”). It is erased with the person.
CREATE FUNCTION allow_erasure_of_explanation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before record := OLD;
    after record := NEW;
BEGIN
    IF NEW.explanation = 'Erased' AND EXISTS (SELECT FROM tombstones WHERE subject_id = OLD.lead_id) THEN
        before.explanation := NEW.explanation;
        IF NOT (before *<> after) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
DROP TRIGGER assignment_decisions_no_change ON assignment_decisions;
CREATE TRIGGER assignment_decisions_no_update BEFORE UPDATE ON assignment_decisions
    FOR EACH ROW EXECUTE FUNCTION allow_erasure_of_explanation();
CREATE TRIGGER assignment_decisions_no_delete BEFORE DELETE ON assignment_decisions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
