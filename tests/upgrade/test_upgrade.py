"""A database of an earlier version, with the demo company and both imports, migrates and answers as it did.

The earlier version fills it itself: its code comes out of the repository's history, and runs in processes of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crmgql import db, migrate
from crmgql.config import Settings
from crmgql.engine.operations import Engine, Request
from crmgql.ledger import audits
from crmgql.schema import build
from tests.conftest import administering, named, viewer

ROOT = Path(__file__).resolve().parents[2]
OLD = "ae1bd2a"
"""The last version whose code lay in `schema` and whose events lay in one table."""

FILL = """
import asyncio, json, sys
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from crmgql import db, demo, migrate
from crmgql.config import Settings
from crmgql.imports import run
from crmgql.schema import build
from crmgql.schema.engine import Request
from crmgql.viewer import Viewer, Who
import uuid

url, data, rejects, queries = sys.argv[1:]
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)

async def main():
    await migrate.migrate(url)
    connection = await asyncpg.connect(url)
    await demo.load(connection, customers=40, seed=7, now=NOW, password_hash="hash")
    for name, folder in (("olist", "olist_sample"), ("maven", "crm_maven")):
        if Path(data, folder).is_dir():
            options = {"base_dir": Path(data, folder), "rejects_path": Path(rejects), "now": NOW}
            await run(connection, Path("examples/import", f"{name}.toml"), **options)
    await connection.close()
    crm = await db.connect(url)
    engine = build.engine(crm, Settings(log_level="error"))
    viewer = Viewer(uuid.UUID(int=0), Who(frozenset(["ADMIN"]), None), clock=lambda: NOW)
    answers = [json.loads(await engine.answer(Request(query), viewer))["data"] for query in json.loads(queries)]
    print(json.dumps(answers))
    await crm.close()

asyncio.run(main())
"""

TOTALS = [
    """{ customers { totalCount } contacts { totalCount } leads { totalCount } tickets { totalCount } tasks { totalCount }
         interactions { totalCount } products { totalCount } users { totalCount } jobs { totalCount }
         auditEntries { totalCount } events { totalCount } }""",
    """{ orders { totalCount sums { subtotal { amount currency } shipping { amount currency } total { amount currency } } }
         orderLines { totalCount sums { amount { amount currency } discount { amount } } }
         payments { totalCount sums { amount { amount currency } } }
         commissions { totalCount sums { amount { amount currency } base { amount currency } } }
         opportunities { totalCount sums { amount { amount currency } } } }""",
    """{ customers(first: 5, orderBy: [{field: NAME}]) { nodes { id name lifetimeValue { amount currency } orderCount
         orders(first: 3) { nodes { number status total { amount } lines { nodes { quantity } }
         payments { nodes { amount { amount } status } } commissions { nodes { rate amount { amount } } } } } } } }""",
    # The one that README prints, of more customers.
    """{ customers(first: 60, orderBy: [{field: CREATED_AT, direction: DESC}]) { nodes { id name orders(first: 5) { nodes { id number
         total { amount currency } payments(first: 5) { nodes { id amount { amount currency } commissions(first: 5) { nodes { id
         amount { amount currency } seller { id name } } } } } } } } } }""",
    """{ opportunities(first: 20, orderBy: [{field: EXPECTED_CLOSE}]) { nodes { name status stage { name } score risk staleAt
         transitions { nodes { occurredAt amountAfter { amount } } } } } }""",
]


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The earlier version's files."""
    folder = tmp_path_factory.mktemp("earlier")
    archive = subprocess.run(["git", "archive", OLD], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"version {OLD} is not in this checkout's history")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


async def test_an_earlier_database_migrates_and_answers_the_same(
    servers: Any, earlier: Path, tmp_path: Path, shared_data: Path
) -> None:
    name = f"upgrade_{uuid.uuid4().hex[:12]}"
    url = named(servers.database_url, name)
    async with administering(servers.database_url) as admin:
        await admin.execute(f"CREATE DATABASE {name}")
    try:
        before = fill(earlier, url, shared_data, tmp_path / "rejects.csv")
        assert before[0]["customers"]["totalCount"] > 1000  # the imports' too
        with pytest.raises(
            asyncpg.RaiseError, match=r"of BRL on 2016-\S+, EUR on .*crmgql rates set CURRENCY DAY RATE"
        ):
            await migrate.migrate(url)
        for currency, rate in {"BRL": "0.25", "EUR": "1.25", "JPY": "0.01", "KWD": "3.25"}.items():
            set_rate(url, currency, rate)
        await migrate.migrate(url)
        crm = await db.connect(url, pool_size=2)
        try:
            assert await answers(build.engine(crm, Settings(log_level="error"))) == before
        finally:
            await crm.close()
        await constraints_hold(url)
        verified = await audits.verify_all(url, processes=1, progress=lambda done, total: None)
        assert [str(each) for each in verified.found.broken] == []
    finally:
        async with administering(servers.database_url) as admin:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def fill(earlier: Path, url: str, data: Path, rejects: Path) -> list[Any]:
    """What the earlier version answers, once it has filled the database."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CRMGQL_")}
    ran = subprocess.run(
        [sys.executable, "-c", FILL, url, str(data), str(rejects), json.dumps(TOTALS)],
        cwd=earlier,
        env={**environment, "PYTHONPATH": str(earlier)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def set_rate(url: str, currency: str, rate: str) -> None:
    command = [sys.executable, "-m", "crmgql", "rates", "set", currency, "2016-01-01", rate]
    subprocess.run(command, env={**os.environ, "CRMGQL_DATABASE_URL": url}, check=True, capture_output=True)


async def answers(engine: Engine) -> list[Any]:
    admin = viewer(uuid.UUID(int=0), "ADMIN")
    return [json.loads(await engine.answer(Request(query), admin))["data"] for query in TOTALS]


async def constraints_hold(url: str) -> None:
    """No constraint was left unchecked by the migration."""
    connection = await asyncpg.connect(url)
    unchecked = await connection.fetch("SELECT conname FROM pg_constraint WHERE NOT convalidated OR NOT conenforced")
    await connection.close()
    assert unchecked == []
