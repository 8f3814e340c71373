"""What differs is found, said in SQL, and gone when that is run: on a database that was damaged in one way at a time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from crmgql import db
from crmgql.cli import migrations
from crmgql.errors import SetupError
from crmgql.tables import catalog, declared, difference, making
from tests.conftest import administering, fresh_database, named


@pytest_asyncio.fixture(scope="module")
async def connection(servers: Any, template: str) -> AsyncIterator[asyncpg.Connection]:
    await db.know_models()
    async with fresh_database(servers.database_url, template) as url:
        opened = await asyncpg.connect(url)
        yield opened
        await opened.close()


DAMAGES = [
    ("DROP INDEX contacts_name", ["CREATE INDEX contacts_name ON contacts (name, id)"]),
    (
        "DROP INDEX customers_name_trigrams",
        ["CREATE INDEX customers_name_trigrams ON customers USING gin (name gin_trgm_ops)"],
    ),
    (
        "DROP INDEX jobs_next; CREATE INDEX jobs_next ON jobs (queue, priority, due_at, id) WHERE status = 'PENDING'",
        ["DROP INDEX jobs_next", re.compile(r"CREATE INDEX jobs_next ON jobs \(queue, priority DESC, .*")],
    ),
    ("CREATE INDEX odd ON contacts (phone)", ["DROP INDEX odd"]),
    (
        "ALTER TABLE payments DROP CONSTRAINT payments_installments",
        [
            "ALTER TABLE payments ADD CONSTRAINT payments_installments CHECK (installments BETWEEN 0 AND 360)",
        ],
    ),
    (
        "ALTER TABLE payments DROP CONSTRAINT payments_installments,"
        " ADD CONSTRAINT payments_installments CHECK (installments < 9)",
        [
            "ALTER TABLE payments DROP CONSTRAINT payments_installments",
            "ALTER TABLE payments ADD CONSTRAINT payments_installments CHECK (installments BETWEEN 0 AND 360)",
        ],
    ),
    (
        "ALTER TABLE orders DROP CONSTRAINT orders_number",
        ["ALTER TABLE orders ADD CONSTRAINT orders_number UNIQUE (number)"],
    ),
    (
        "ALTER TABLE orders DROP CONSTRAINT orders_number; ALTER TABLE orders ADD CONSTRAINT orders_number UNIQUE (note)",
        [
            "ALTER TABLE orders DROP CONSTRAINT orders_number",
            "ALTER TABLE orders ADD CONSTRAINT orders_number UNIQUE (number)",
        ],
    ),
    (
        "DROP INDEX contacts_one_primary",
        ["CREATE UNIQUE INDEX contacts_one_primary ON contacts (customer_id) WHERE is_primary"],
    ),
    (
        "ALTER TABLE payments DROP CONSTRAINT payments_order_customer",
        [
            "ALTER TABLE payments ADD CONSTRAINT payments_order_customer FOREIGN KEY (customer_id, order_id)"
            " REFERENCES orders (customer_id, id)"
        ],
    ),
    (
        "ALTER TABLE contacts ADD CONSTRAINT odd UNIQUE (customer_id, name);"
        " ALTER TABLE tickets ADD CONSTRAINT odd_key FOREIGN KEY (customer_id, subject) REFERENCES contacts (customer_id, name)",
        ["ALTER TABLE tickets DROP CONSTRAINT odd_key", "ALTER TABLE contacts DROP CONSTRAINT odd"],
    ),
    (
        "ALTER TABLE tasks ALTER CONSTRAINT tasks_assignee_id_fkey DEFERRABLE INITIALLY DEFERRED",
        [
            "ALTER TABLE tasks DROP CONSTRAINT tasks_assignee_id_fkey",
            "ALTER TABLE tasks ADD CONSTRAINT tasks_assignee_id_fkey FOREIGN KEY (assignee_id) REFERENCES users (id)",
        ],
    ),
    (
        "ALTER TABLE contacts ALTER is_primary DROP DEFAULT",
        ["ALTER TABLE contacts ALTER COLUMN is_primary SET DEFAULT false"],
    ),
    ("ALTER TABLE contacts ALTER title SET DEFAULT 'Dr'", ["ALTER TABLE contacts ALTER COLUMN title DROP DEFAULT"]),
    (
        "ALTER TABLE leads ALTER status SET DEFAULT 'LOST'",
        ["ALTER TABLE leads ALTER COLUMN status SET DEFAULT 'NEW'"],
    ),
    (
        "ALTER TABLE contacts ALTER name DROP NOT NULL",
        [
            "-- Say what rows have that have none.\nUPDATE contacts SET name = … WHERE name IS NULL",
            "ALTER TABLE contacts ALTER COLUMN name SET NOT NULL",
        ],
    ),
    ("ALTER TABLE contacts ALTER title SET NOT NULL", ["ALTER TABLE contacts ALTER COLUMN title DROP NOT NULL"]),
    (
        "ALTER TABLE contacts ALTER title TYPE varchar(50)",
        [
            "-- Values that don't fit, or can't be cast, end this; USING says how they are.\n"
            "ALTER TABLE contacts ALTER COLUMN title TYPE varchar(100)"
        ],
    ),
    ("ALTER TABLE contacts DROP title", ["ALTER TABLE contacts ADD COLUMN title varchar(100)"]),
    (
        "ALTER TABLE order_lines DROP position CASCADE",
        [
            "ALTER TABLE order_lines ADD COLUMN position integer",
            "-- Say what rows have that are there already.\nUPDATE order_lines SET position = … WHERE position IS NULL",
            "ALTER TABLE order_lines ALTER COLUMN position SET NOT NULL",
            "CREATE INDEX order_lines_order ON order_lines (customer_id, order_id, position, id)",
            "ALTER TABLE order_lines ADD CONSTRAINT order_lines_position UNIQUE (customer_id, order_id, position)",
        ],
    ),
    (
        "ALTER TABLE contacts ADD nickname text",
        ["-- What is in contacts.nickname is lost.\nALTER TABLE contacts DROP COLUMN nickname"],
    ),
    (
        "ALTER TABLE contacts RENAME phone TO telephone",
        [
            "-- If phone is telephone under another name, write instead of both:"
            " ALTER TABLE contacts RENAME COLUMN telephone TO phone;",
            "ALTER TABLE contacts ADD COLUMN phone varchar(40)",
            "-- What is in contacts.telephone is lost.\nALTER TABLE contacts DROP COLUMN telephone",
        ],
    ),
    (
        "DROP STATISTICS payments_keys",
        ["CREATE STATISTICS payments_keys (dependencies) ON customer_id, order_id FROM payments"],
    ),
    ("CREATE TABLE odd (id integer)", ["-- What is in odd is lost.\nDROP TABLE odd"]),
    (
        "CREATE TABLE b (id integer PRIMARY KEY); CREATE TABLE c (id integer PRIMARY KEY REFERENCES b);"
        " ALTER TABLE b ADD FOREIGN KEY (id) REFERENCES c",
        ["-- What is in b, c is lost.\nDROP TABLE b, c"],
    ),
    (
        "CREATE TABLE odd (id uuid PRIMARY KEY); ALTER TABLE contacts ADD odd_id uuid REFERENCES odd",
        ["ALTER TABLE contacts DROP CONSTRAINT contacts_odd_id_fkey"],
    ),
    (
        "DROP TABLE key_actions, opportunity_actions",
        [re.compile("CREATE TABLE key_actions .*"), re.compile("CREATE TABLE opportunity_actions .*")],
    ),
]


@pytest.mark.parametrize(("damage", "expected"), DAMAGES, ids=[damage for damage, _ in DAMAGES])
async def test_each_damage_is_found_said_and_mended(
    connection: asyncpg.Connection, damage: str, expected: list[Any]
) -> None:
    async with undone(connection):
        await connection.execute(damage)
        wanted = await making.build(connection)
        found = difference.statements(await catalog.read(connection, "public"), wanted, declared.words())
        assert len(found) >= len(expected)
        for text, pattern in zip(found, expected, strict=False):
            assert text == pattern if isinstance(pattern, str) else pattern.match(text), found
        await connection.execute(making.text(found).replace("…", "DEFAULT"))
        assert await catalog.read(connection, "public") == wanted


async def test_from_nothing_to_all_tables(connection: asyncpg.Connection) -> None:
    """The whole of the models as one migration, in an empty schema: what the difference says of it makes the same tables."""
    wanted = await making.build(connection)
    async with undone(connection):
        await connection.execute("CREATE SCHEMA empty; SET LOCAL search_path = empty, public")
        for text in difference.statements({}, wanted, declared.words()):
            await connection.execute(text)
        assert await catalog.read(connection, "empty") == wanted


async def test_partitions_and_generated_columns(connection: asyncpg.Connection) -> None:
    made = """
CREATE TABLE odd (id uuid PRIMARY KEY, born date, year integer GENERATED ALWAYS AS (date_part('year', born)::integer) STORED)
    PARTITION BY RANGE (id);
CREATE TABLE odd_first PARTITION OF odd DEFAULT;
CREATE INDEX odd_year ON odd (year);"""
    async with undone(connection):
        before = await catalog.read(connection, "public")
        await connection.execute(made)
        wanted = await catalog.read(connection, "public")
        assert "odd_first" not in wanted
        await connection.execute("DROP TABLE odd")
        statements = difference.statements(before, wanted)
        assert "PARTITION BY RANGE (id)" in statements[0]
        for text in statements:
            await connection.execute(text)
        assert await catalog.read(connection, "public") == wanted
        await connection.execute("DROP TABLE odd; CREATE TABLE odd (id uuid PRIMARY KEY, born date, year integer)")
        by_hand = difference.statements(await catalog.read(connection, "public"), wanted)
        assert sum("by hand" in text for text in by_hand) == 2


def undone(connection: asyncpg.Connection) -> Any:
    return _Undone(connection)


class _Undone:
    """A transaction that leaves nothing behind."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.running = connection.transaction()

    async def __aenter__(self) -> None:
        await self.running.start()

    async def __aexit__(self, *rest: object) -> None:
        await self.running.rollback()


@pytest_asyncio.fixture
async def empty_url(servers: Any) -> AsyncIterator[str]:
    """A database without anything in it."""
    async with administering(servers.database_url) as admin:
        await admin.execute("CREATE DATABASE made_by_models")
    yield named(servers.database_url, "made_by_models")
    async with administering(servers.database_url) as admin:
        await admin.execute("DROP DATABASE made_by_models WITH (FORCE)")


def test_the_command_says_that_there_is_nothing_or_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_url: str
) -> None:
    @contextmanager
    def started(*_: Any, **__: Any) -> Iterator[Any]:
        yield type("Servers", (), {"database_url": empty_url})

    written: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(migrations.embedded, "start", started)
    monkeypatch.setattr(making, "write", lambda name, statements: written.append((name, statements)) or tmp_path)
    nothing = CliRunner().invoke(migrations.app, ["make", "--check"])
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert CliRunner().invoke(migrations.app, ["make", "customer_tags"]).exit_code == 0
    assert written == []
    real = declared.indexes

    def without_index(model: Any) -> dict[str, str]:
        return {name: text for name, text in real(model).items() if name != "contacts_name"}

    monkeypatch.setattr(declared, "indexes", without_index)
    different = CliRunner().invoke(migrations.app, ["make", "--check"])
    assert isinstance(different.exception, SetupError)
    assert different.stdout == "DROP INDEX contacts_name;\n"
    assert CliRunner().invoke(migrations.app, ["make", "customer_tags"]).exit_code == 0
    assert written == [("customer_tags", ["DROP INDEX contacts_name"])]
    assert isinstance(CliRunner().invoke(migrations.app, ["make"]).exception, SetupError)


def test_the_files_follow_the_newest(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").touch()
    (tmp_path / "0007_before.py").touch()
    path = making.write("customer_tags", ["DROP TABLE tags", "-- Think."], tmp_path)
    assert path.name == "0008_customer_tags.sql"
    assert path.read_text("utf-8").endswith("\n\nDROP TABLE tags;\n-- Think.\n")
    module = path.with_suffix(".py").read_text("utf-8")
    assert 'dependencies = [("crm", "0007_before")]' in module
    assert module.startswith('"""Customer tags."""\n')
    with pytest.raises(SetupError):
        making.write("Customer tags", [], tmp_path)


def test_migrations_follow_one_another_in_one_line() -> None:
    """Two that follow the same one would be run in an order that nobody said."""
    modules = sorted(path for path in making.MIGRATIONS.glob("*.py") if making.NUMBER.fullmatch(path.name))
    assert [int(path.name[:4]) for path in modules] == list(range(1, len(modules) + 1))
    for before, path in pairwise(modules):
        assert f'dependencies = [("crm", "{before.stem}")]' in path.read_text("utf-8"), path.name
        assert path.with_suffix(".sql").is_file()
