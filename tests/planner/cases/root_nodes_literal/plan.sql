WITH "l0" AS MATERIALIZED (SELECT "t"."id" AS "id" FROM "customers" "t" WHERE ("t"."id" = ANY ($2::uuid[]))),
"jl0" AS (SELECT ('cus_' || encode(uuid_send("l0"."id"), 'hex')) AS "k", ('{"id":"cus_' || encode(uuid_send("l0"."id"), 'hex') || '"}') AS "v", 1 AS "n" FROM "l0")
SELECT ('{"nodes":[' || coalesce((SELECT string_agg(coalesce("jl0"."v", 'null'), ',' ORDER BY "i"."position") AS "v" FROM unnest($1::text[]) WITH ORDINALITY AS "i"(value, position) LEFT JOIN "jl0" ON ("jl0"."k" = "i"."value")), '') || ']}') AS "data", (SELECT coalesce(sum("jl0"."n"), 0) AS "n" FROM "jl0") AS "nodes"
