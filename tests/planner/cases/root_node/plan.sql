WITH "l0" AS MATERIALIZED (SELECT "t"."id" AS "id", "t"."number" AS "number" FROM "orders" "t" WHERE ("t"."id" = $1::uuid))
SELECT ('{"node":' || coalesce((SELECT ('{"__typename":"Order","id":"ord_' || encode(uuid_send("l0"."id"), 'hex') || '","number":' || to_json("l0"."number")::text || '}') AS "v" FROM "l0"), 'null') || '}') AS "data", (SELECT count("l0"."id") AS "n" FROM "l0") AS "nodes"
