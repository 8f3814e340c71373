"""What tables a database has, as its catalog words them.

Enters: a connection and a schema of its database. Leaves: a `Catalog`, of which two are equal when the tables are. A
unique constraint counts as the unique index behind it: they do the same. What PostgreSQL works out for itself (NOT NULL
as constraints, indexes behind keys, partitions) is left out, as are functions, triggers and sequences, which migrations
write by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

OURS = "relkind IN ('r', 'p') AND NOT relispartition AND relname NOT LIKE 'tortoise%'"
TABLES = f"""
SELECT relname AS name, CASE relkind WHEN 'p' THEN pg_get_partkeydef(oid) END AS partitioned
FROM pg_class WHERE relnamespace = $1::regnamespace AND {OURS}"""
COLUMNS = f"""
SELECT relname AS of, attname AS name, format_type(atttypid, atttypmod) AS type, NOT attnotnull AS nullable,
    pg_get_expr(adbin, adrelid) AS default, attgenerated::text AS generated
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = $1::regnamespace AND {OURS} AND attnum > 0 AND NOT attisdropped ORDER BY relname, attnum"""
CONSTRAINTS = f"""
SELECT relname AS of, conname AS name, contype::text AS kind, pg_get_constraintdef(pg_constraint.oid) AS text
FROM pg_class JOIN pg_constraint ON conrelid = pg_class.oid
WHERE relnamespace = $1::regnamespace AND {OURS} AND (contype IN ('p', 'f', 'c', 'x') OR contype = 'u' AND condeferrable)
ORDER BY relname, conname"""
INDEXES = f"""
SELECT relname AS of, indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid, 0, true) AS text,
    contype IS NOT NULL AS is_constraint
FROM pg_class JOIN pg_index ON indrelid = pg_class.oid
LEFT JOIN pg_constraint ON conindid = indexrelid AND contype IN ('p', 'u', 'x')
WHERE relnamespace = $1::regnamespace AND {OURS} AND (contype IS NULL OR contype = 'u' AND NOT condeferrable)
ORDER BY relname, 2"""
STATISTICS = f"""
SELECT relname AS of, stxname AS name, pg_get_statisticsobjdef(pg_statistic_ext.oid) AS text
FROM pg_class JOIN pg_statistic_ext ON stxrelid = pg_class.oid
WHERE relnamespace = $1::regnamespace AND {OURS} ORDER BY relname, stxname"""


GENERATED = {"v": "VIRTUAL", "s": "STORED"}


@dataclass(frozen=True)
class Column:
    """`default` is the expression of a default, or of the value when it is `generated`: VIRTUAL or STORED."""

    name: str
    type: str
    nullable: bool
    default: str | None
    generated: str | None = None


@dataclass(frozen=True)
class Constraint:
    """`kind`: p(rimary), u(nique), f(oreign), c(heck), x (exclusion). `text` is what follows the name."""

    name: str
    kind: str
    text: str


@dataclass
class Table:
    """`indexes` and `statistics` are the statements that make them. `partitioned`: by what, such as RANGE (id).

    `unique`: the indexes that are there as constraints.
    """

    name: str
    partitioned: str | None = None
    columns: dict[str, Column] = field(default_factory=dict)
    constraints: dict[str, Constraint] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)
    statistics: dict[str, str] = field(default_factory=dict)
    unique: set[str] = field(default_factory=set, compare=False)


Catalog = dict[str, Table]


async def read(connection: Any, schema: str) -> Catalog:
    """The tables of one schema. Names within it are written without it."""
    async with connection.transaction():
        await connection.execute(f'SET LOCAL search_path = "{schema}", public')
        found = {row["name"]: Table(row["name"], row["partitioned"]) for row in await connection.fetch(TABLES, schema)}
        for row in await connection.fetch(COLUMNS, schema):
            generated = GENERATED.get(row["generated"])
            column = Column(row["name"], row["type"], row["nullable"], row["default"], generated)
            found[row["of"]].columns[row["name"]] = column
        for row in await connection.fetch(CONSTRAINTS, schema):
            found[row["of"]].constraints[row["name"]] = Constraint(row["name"], row["kind"], row["text"])
        for row in await connection.fetch(INDEXES, schema):
            found[row["of"]].indexes[row["name"]] = row["text"].replace(f" ON {schema}.", " ON ")
            if row["is_constraint"]:
                found[row["of"]].unique.add(row["name"])
        for row in await connection.fetch(STATISTICS, schema):
            found[row["of"]].statistics[row["name"]] = row["text"].replace(f" {schema}.", " ")
    return found
