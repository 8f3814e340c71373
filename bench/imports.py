"""`python -m bench imports`: rows a second of the Olist sample five times over, new and unchanged.

Each round imports into a database of its own, in a process of its own: with an event for each record, with gap events in
their place, and, with `--checkout`, by the import of another version, in alternation. Needs the data beside the project.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from bench import comparison, data, processes
from crmgql.dev import embedded

RESULT = Path(__file__).parent / "results" / "imports.json"
SAMPLE = processes.ROOT.parent / "shared" / "data" / "olist_sample"
MAPPING = Path("examples/import/olist.toml")
RATES = "olist_rates.csv"
"""A file beside the mapping."""
COPIES = 5
IDS = re.compile(r"\b[0-9a-f]{32}\b")
CHILD = """
import asyncio, json, sys, time
from datetime import UTC, datetime
from pathlib import Path
from crmgql import db
from crmgql.imports.execution import run

async def main():
    url, mapping, files = sys.argv[1:]
    database = await db.connect(url, pool_size=2, statement_timeout_ms=0x7FFFFFFF)
    results = []
    async with database.connection() as connection:
        for _ in range(2):
            started, cpu = time.perf_counter(), time.process_time()
            report = await run(connection, Path(mapping), base_dir=Path(files), now=datetime.now(UTC),
                               rejects_path=Path(files) / "rejects.csv")
            assert not report.total.rejected
            results.append((report.total.read, time.perf_counter() - started, time.process_time() - cpu))
    await database.close()
    print(json.dumps(results))

asyncio.run(main())
"""


def run(urls: embedded.Servers, *, rounds: int, checkout: Path | None, console: Console) -> None:
    """Prints a table and writes `results/imports.json`: rows a second, medians of the rounds."""
    if not SAMPLE.exists():
        raise SystemExit(f"The Olist sample is not there: {SAMPLE}")
    with tempfile.TemporaryDirectory() as folder:
        files = _copies(Path(folder))
        each = (processes.ROOT / MAPPING).read_text(encoding="utf-8")
        (files / "each.toml").write_text(each, encoding="utf-8")
        shutil.copy(processes.ROOT / MAPPING.with_name(RATES), files)
        (files / "gap.toml").write_text(f'events = "gap"\n{each}', encoding="utf-8")
        kinds: dict[str, tuple[Path, str]] = {
            "an event for each record": (processes.ROOT, "each"),
            "gap events": (processes.ROOT, "gap"),
        }
        if checkout is not None:
            (files / "other.toml").write_text((checkout / MAPPING).read_text(encoding="utf-8"), encoding="utf-8")
            kinds = {"the other version": (checkout, "other"), **kinds}
        measured: dict[str, list[Any]] = {name: [] for name in kinds}
        for _ in range(rounds):
            for name, (root, mapping) in kinds.items():
                measured[name].append(_import(urls.database_url, root, files, mapping))
                console.print(f"{name}: {measured[name][-1]}")
    _print(measured, console)


def _print(measured: Mapping[str, list[Any]], console: Console) -> None:
    result: dict[str, Any] = {"machine": comparison.machine(), "rows": next(iter(measured.values()))[0][0][0]}
    table = Table(title="Import, rows a second")
    for column in ("", "new", "unchanged", "CPU of the process, new", "of all, s"):
        table.add_column(column, justify="right")
    for name, rounds in measured.items():
        rates = [round(statistics.median(each[n][0] / each[n][1] for each in rounds)) for n in (0, 1)]
        cpu, whole = (round(statistics.median(each[0][n] for each in rounds), 1) for n in (2, 1))
        result[name] = {"new_per_s": rates[0], "unchanged_per_s": rates[1], "process_cpu_s": cpu, "elapsed_s": whole}
        table.add_row(name, *(f"{rate:,}" for rate in rates), str(cpu), str(whole))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    console.print(table)


def _copies(folder: Path) -> Path:
    """The sample's files with every row five times, each time with ids of its own."""
    for path in SAMPLE.glob("*.csv"):
        header, *rows = path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
        copies = COPIES if IDS.search(rows[0]) else 1
        with (folder / path.name).open("w", encoding="utf-8", newline="") as out:
            out.write(header)
            for copy in range(copies):
                out.writelines(IDS.sub(rf"\g<0>{copy}", row) for row in rows)
    return folder


def _import(url: str, root: Path, files: Path, mapping: str) -> list[tuple[int, float, float]]:
    """Rows, seconds, seconds of the process's CPU: of the first import and of the second, which changes nothing."""
    with _database(url) as fresh:
        environment = {**os.environ, "CRMGQL_DATABASE_URL": fresh, "PYTHONPATH": str(root)}
        subprocess.run(
            [sys.executable, "-m", "crmgql", "migrate"], cwd=root, env=environment, check=True, capture_output=True
        )
        child = subprocess.run(
            [sys.executable, "-c", CHILD, fresh, str(files / f"{mapping}.toml"), str(files)],
            cwd=root, env=environment, check=True, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
    return json.loads(child.stdout)  # type: ignore[no-any-return]


@contextmanager
def _database(url: str) -> Iterator[str]:
    name = f"bench_imports_{uuid4().hex[:8]}"
    fresh = data.sister(url, name)
    try:
        yield fresh
    finally:
        uvloop.run(_drop(url, name))


async def _drop(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()
