"""The SQL that leads from one catalog to another. Pure.

Enters: the tables that there are, those that there should be, and the words of the models. Leaves: statements in an
order in which they can be run, and comments where a person has to think of the rows that are there already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from crmgql.tables.catalog import Catalog, Column, Constraint, Table

Words = Mapping[tuple[str, str, str], str]
"""By (table, "constraint", "index" or "statistics", name): what the models say it with."""

SHORT = {
    "character varying": "varchar",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
}
UNIQUE = "CONSTRAINT "
LITERAL = re.compile(r"('(?:[^']|'')*')::[\w ]+(?:\(\d+\))?(?:\[\])?")


def statements(before: Catalog, after: Catalog, words: Words | None = None) -> list[str]:
    """What has to be run, in its order; each ends without a semicolon. Empty when there is no difference."""
    words = words or {}
    new = [table for name, table in sorted(after.items()) if name not in before]
    kept = [(before[name], table) for name, table in sorted(after.items()) if name in before]
    gone = [name for name in sorted(before) if name not in after]
    return [
        *(line for old, table in kept for line in _dropped_keys(old, table)),
        *(line for old, table in kept for line in _dropped(old, table)),
        *(_create(table, words) for table in new),
        *(line for old, table in kept for line in _columns(old, table)),
        *(line for table in new for line in _beside(table, words)),
        *(line for old, table in kept for line in _added(old, table, words)),
        *(line for table in new for line in _keys(table.name, {}, table.constraints, words)),
        *(line for old, table in kept for line in _keys(table.name, old.constraints, table.constraints, words)),
        *([f"-- What is in {', '.join(gone)} is lost.\nDROP TABLE {', '.join(gone)}"] if gone else []),
    ]


def _create(table: Table, words: Words) -> str:
    key = _lone_key(table)
    lines = [f"    {_definition(column, key)}" for column in table.columns.values()]
    made = [each for each in table.constraints.values() if each.kind != "f" and not (key and each.kind == "p")]
    lines += [f"    {_constraint(table.name, each, words)}" for each in made]
    lines += [
        f"    {text}"
        for name in table.indexes
        if (text := words.get((table.name, "index", name), "")).startswith(UNIQUE)
    ]
    parts = f" PARTITION BY {table.partitioned}" if table.partitioned else ""
    return f"CREATE TABLE {table.name} (\n" + ",\n".join(lines) + f"\n){parts}"


def _beside(table: Table, words: Words) -> Iterator[str]:
    for name, text in table.indexes.items():
        statement = words.get((table.name, "index", name), _plain(text))
        if not statement.startswith(UNIQUE):  # which is in the table's own statement
            yield statement
    for name, text in table.statistics.items():
        yield words.get((table.name, "statistics", name), text)


def _lone_key(table: Table) -> str | None:
    """The column that is the primary key by itself, under the name that PostgreSQL gives it."""
    key = table.constraints.get(f"{table.name}_pkey")
    found = re.fullmatch(r"PRIMARY KEY \((\w+)\)", key.text) if key else None
    return found[1] if found else None


def _dropped_keys(old: Table, new: Table) -> Iterator[str]:
    """Foreign keys that go or change, of all tables before anything else: they hang on constraints of other tables."""
    for name, each in old.constraints.items():
        if each.kind == "f" and new.constraints.get(name) != each:
            yield f"ALTER TABLE {old.name} DROP CONSTRAINT {name}"


def _dropped(old: Table, new: Table) -> Iterator[str]:
    """Other constraints, indexes and statistics that go or change."""
    if old.partitioned != new.partitioned:
        yield f"-- {old.name} is partitioned by {new.partitioned}, it was by {old.partitioned}: write this by hand."
    for name, each in old.constraints.items():
        if each.kind != "f" and new.constraints.get(name) != each:
            yield f"ALTER TABLE {old.name} DROP CONSTRAINT {name}"
    for name, text in old.indexes.items():
        if new.indexes.get(name) != text:
            made = name in old.unique
            yield f"ALTER TABLE {old.name} DROP CONSTRAINT {name}" if made else f"DROP INDEX {name}"
    for name, text in old.statistics.items():
        if new.statistics.get(name) != text:
            yield f"DROP STATISTICS {name}"


def _columns(old: Table, new: Table) -> Iterator[str]:
    gone = [each for name, each in old.columns.items() if name not in new.columns]
    come = [each for name, each in new.columns.items() if name not in old.columns]
    for each in come:
        for other in gone:
            if other.type == each.type:
                rename = f"ALTER TABLE {new.name} RENAME COLUMN {other.name} TO {each.name}"
                yield f"-- If {each.name} is {other.name} under another name, write instead of both: {rename};"
        yield from _add(new.name, each)
    for each in gone:
        yield f"-- What is in {old.name}.{each.name} is lost.\nALTER TABLE {old.name} DROP COLUMN {each.name}"
    for name, column in new.columns.items():
        if name in old.columns and old.columns[name] != column:
            yield from _alter(new.name, old.columns[name], column)


def _add(table: str, column: Column) -> Iterator[str]:
    if column.nullable or column.default is not None:
        yield f"ALTER TABLE {table} ADD COLUMN {_definition(column)}"
        return
    yield f"ALTER TABLE {table} ADD COLUMN {column.name} {_type(column)}"
    yield f"-- Say what rows have that are there already.\nUPDATE {table} SET {column.name} = … WHERE {column.name} IS NULL"
    yield f"ALTER TABLE {table} ALTER COLUMN {column.name} SET NOT NULL"


def _alter(table: str, old: Column, new: Column) -> Iterator[str]:
    alter = f"ALTER TABLE {table} ALTER COLUMN {new.name}"
    if new.generated != old.generated or (new.generated and new.default != old.default):
        yield f"-- {table}.{new.name} is generated in another way: drop the column and add it anew, by hand."
        return
    if new.type != old.type:
        yield f"-- Values that don't fit, or can't be cast, end this; USING says how they are.\n{alter} TYPE {_type(new)}"
    if new.default != old.default:
        yield f"{alter} DROP DEFAULT" if new.default is None else f"{alter} SET DEFAULT {_default(new.default)}"
    if old.nullable and not new.nullable:
        yield f"-- Say what rows have that have none.\nUPDATE {table} SET {new.name} = … WHERE {new.name} IS NULL"
        yield f"{alter} SET NOT NULL"
    elif new.nullable and not old.nullable:
        yield f"{alter} DROP NOT NULL"


def _added(old: Table, new: Table, words: Words) -> Iterator[str]:
    for name, each in new.constraints.items():
        if each.kind != "f" and old.constraints.get(name) != each:
            yield f"ALTER TABLE {new.name} ADD {_constraint(new.name, each, words)}"
    for name, text in new.indexes.items():
        if old.indexes.get(name) != text:
            statement = words.get((new.name, "index", name), _plain(text))
            yield f"ALTER TABLE {new.name} ADD {statement}" if statement.startswith(UNIQUE) else statement
    for name, text in new.statistics.items():
        if old.statistics.get(name) != text:
            yield words.get((new.name, "statistics", name), text)


def _keys(table: str, old: Mapping[str, Constraint], new: Mapping[str, Constraint], words: Words) -> Iterator[str]:
    """Foreign keys: last, when everything is there that they refer to."""
    for name, each in new.items():
        if each.kind == "f" and old.get(name) != each:
            yield words.get((table, "constraint", name), f"ALTER TABLE {table} ADD CONSTRAINT {name} {each.text}")


def _constraint(table: str, constraint: Constraint, words: Words) -> str:
    return words.get((table, "constraint", constraint.name), f"CONSTRAINT {constraint.name} {constraint.text}")


def _definition(column: Column, key: str | None = None) -> str:
    words = [column.name, _type(column)]
    if column.generated:
        words += [f"GENERATED ALWAYS AS ({column.default}) {column.generated}"]
        return " ".join([*words, *([] if column.nullable else ["NOT NULL"])])
    words += ["PRIMARY KEY"] if column.name == key else [] if column.nullable else ["NOT NULL"]
    words += [f"DEFAULT {_default(column.default)}"] if column.default is not None else []
    return " ".join(words)


def _type(column: Column) -> str:
    for long, short in SHORT.items():
        if column.type.startswith(long):
            return column.type.replace(long, short)
    return column.type


def _default(text: str) -> str:
    """A literal without its type, which the column says."""
    found = LITERAL.fullmatch(text)
    return found[1] if found else text


def _plain(index: str) -> str:
    return index.replace(" USING btree ", " ").replace(" ON ONLY ", " ON ")
