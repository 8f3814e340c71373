-- What is scheduled is compared once for each order that a statement changes: without OFFSET 0 PostgreSQL looks at each row before it
-- makes them distinct, so an order of a thousand parts was added up a thousand times.

CREATE OR REPLACE FUNCTION schedule_as_posted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken uuid;
BEGIN
    SELECT o.order_id INTO broken FROM (SELECT DISTINCT customer_id, order_id FROM changed OFFSET 0) AS o
    WHERE NOT is_scheduled_as_posted(o.customer_id, o.order_id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'what is scheduled of order % is not what is deferred of it', broken
            USING ERRCODE = 'check_violation', TABLE = 'recognition_schedules', CONSTRAINT = 'recognition_schedules_posted';
    END IF;
    RETURN NULL;
END
$$;
