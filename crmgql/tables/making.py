"""A migration out of what the models say and the database does not have yet.

Enters: a database of its own, empty. Leaves: the SQL of the difference, and two files in `crmgql/migrations`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import asyncpg

from crmgql import db, migrate
from crmgql.errors import SetupError
from crmgql.tables import catalog, declared, difference
from crmgql.tables.catalog import Catalog

MIGRATIONS = Path(migrate.__file__).parent / "migrations"
SCHEMA = "declared"
NAME = re.compile(r"[a-z][a-z0-9_]{2,40}")
NUMBER = re.compile(r"(\d{4})_\w+\.py")

PY = '''"""{title}."""

from pathlib import Path

from tortoise import migrations
from tortoise.migrations.operations import RunSQL


class Migration(migrations.Migration):
    dependencies = [("crm", "{before}")]
    operations = [RunSQL(Path(__file__).with_suffix(".sql").read_text("utf-8"), reverse_sql=None)]
'''
SQL = """-- {title}. Written by "crmgql migrations make"; read it, and say where the rows that are there go.

{statements}
"""


async def compare(url: str) -> list[str]:
    """What leads from the newest migration to the models, as statements. The database is migrated, and else unchanged."""
    await migrate.migrate(url)
    await db.know_models()
    connection = await asyncpg.connect(url)
    try:
        before = await catalog.read(connection, "public")
        return difference.statements(before, await build(connection), declared.words())
    finally:
        await connection.close()


async def build(connection: Any) -> Catalog:
    """The catalog of the models' tables, made in a schema of their own and dropped again."""
    running = connection.transaction()
    await running.start()
    try:
        await connection.execute(f"CREATE SCHEMA {SCHEMA}")
        await connection.execute(f"SET LOCAL search_path = {SCHEMA}, public")
        await connection.execute(";\n".join(declared.statements()))
        return await catalog.read(connection, SCHEMA)
    finally:
        await running.rollback()


def text(statements: list[str]) -> str:
    """The statements as a file has them. A line that is all comment ends without a semicolon."""
    return "\n".join(each if _is_comment(each) else f"{each};" for each in statements)


def write(name: str, statements: list[str], folder: Path = MIGRATIONS) -> Path:
    """Makes the next migration's two files; answers the SQL's. Raises `SetupError` for a name that is none."""
    if not NAME.fullmatch(name):
        raise SetupError(f"{name!r} is no name for a migration; write it like customer_tags.")
    there = sorted(path.name for path in folder.iterdir() if NUMBER.fullmatch(path.name))
    before = there[-1].removesuffix(".py")
    path = folder / f"{int(before[:4]) + 1:04d}_{name}.sql"
    title = name.replace("_", " ").capitalize()
    path.write_text(SQL.format(title=title, statements=text(statements)), "utf-8")
    path.with_suffix(".py").write_text(PY.format(title=title, before=before), "utf-8")
    return path


def _is_comment(statement: str) -> bool:
    return all(line.startswith("--") for line in statement.splitlines())
