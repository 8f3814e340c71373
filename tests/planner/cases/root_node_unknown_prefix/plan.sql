SELECT ('{"a":null,"b":null}') AS "data", 0::int8 AS "nodes"
