"""`crmgql dev`: everything on one machine, from nothing to a query that answers, with progress on the way.

Order: port, databases, migrations, demo company (into an empty database only), API and worker. What is running is
written to `<data_dir>/running.json`, so that `crmgql token` and the like find the embedded servers while they run.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from crmgql import migrate, secrets_file
from crmgql.config import Settings
from crmgql.dev import demo, embedded, supervise, welcome
from crmgql.domain.people import passwords
from crmgql.errors import SetupError

DEMO_CUSTOMERS = 200
COMFORT = {
    "CRMGQL_LOG_SQL": "true",
    "CRMGQL_INTROSPECTION": "anyone",
    "CRMGQL_GET_QUERIES": "true",
    "CRMGQL_IDE": "true",
}
"""What is switched on for whoever tries it on a machine of their own, unless the environment says otherwise."""


def run(settings: Settings) -> int:
    """Runs until Ctrl-C; answers the exit code. Raises `SetupError`."""
    console = Console(stderr=True)
    supervise.port_is_free(settings.host, settings.port)
    with _servers(settings, console) as servers:
        secrets_file.secret(settings)  # a wrong one is refused here, rather than by the API with everything around it
        with console.status("Migrating …"):
            asyncio.run(migrate.migrate(servers.database_url))
        if asyncio.run(_is_empty(servers.database_url)):
            asyncio.run(load_demo(servers.database_url, customers=DEMO_CUSTOMERS, seed=1, orders=None, console=console))
        environment = {
            **os.environ,
            "CRMGQL_DATABASE_URL": servers.database_url,
            "CRMGQL_REDIS_URL": servers.redis_url,
            **{name: os.environ.get(name) or value for name, value in COMFORT.items()},
        }
        program = [sys.executable, "-m", "crmgql"]
        children = [
            supervise.Child("the API", [*program, "serve", "--standby"], environment, standby=True, settles_s=10),
            supervise.Child("the worker", [*program, "worker"], environment, restart=True),
        ]
        threading.Thread(target=welcome.show, args=(settings, servers.database_url, console), daemon=True).start()
        with _watched(servers, console) as deaths:
            code = supervise.run(children)
    console.print("Stopped. The data stays in", str(settings.data_dir), highlight=False, markup=False, soft_wrap=True)
    return 1 if deaths else code


@contextmanager
def _servers(settings: Settings, console: Console) -> Iterator[embedded.Servers]:
    """The servers of the settings, with embedded ones for those that are not set."""
    own_postgres, own_valkey = settings.database_url is None, settings.redis_url is None
    if not own_postgres and not own_valkey:
        yield embedded.Servers(str(settings.database_url), str(settings.redis_url))
        return
    with console.status("Starting PostgreSQL 18 and Valkey …"):
        opened = embedded.start(settings.data_dir, postgres=own_postgres, valkey=own_valkey)
        started = opened.__enter__()
    try:
        servers = embedded.Servers(
            settings.database_url or started.database_url, settings.redis_url or started.redis_url, started.running
        )
        with _noted(_note(settings), servers.database_url):
            yield servers
    finally:
        opened.__exit__(None, None, None)


@contextmanager
def _watched(servers: embedded.Servers, console: Console) -> Iterator[list[str]]:
    """While open, the death of an embedded server ends everything, as nothing works without it; the list has it then."""
    deaths: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            deaths.extend(ending for each in servers.running if (ending := each.ending()) is not None)
            if deaths:
                console.print(
                    f"{deaths[0]}: stopping the rest.", style="red", highlight=False, markup=False, soft_wrap=True
                )
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield deaths
    finally:
        done.set()
        watcher.join()


def _note(settings: Settings) -> Path:
    return settings.data_dir.expanduser() / "running.json"


@contextmanager
def _noted(note: Path, database_url: str) -> Iterator[None]:
    try:
        note.write_text(json.dumps({"pid": os.getpid(), "database_url": database_url}))
    except OSError as error:
        raise SetupError(f"{note} can't be written ({error.strerror}).") from None
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def running_database(settings: Settings) -> str | None:
    """The URL of the embedded PostgreSQL that a running `crmgql dev` has open; None without one."""
    try:
        noted = json.loads(_note(settings).read_text())
        os.kill(int(noted["pid"]), 0)
        url = str(noted["database_url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return url if _listens(url) else None


@contextmanager
def embedded_unless_set(settings: Settings) -> Iterator[str]:
    """The database URL of the settings; without one, the data directory's embedded PostgreSQL, for the while."""
    url = settings.database_url or running_database(settings)
    if url is not None:
        yield url
        return
    with embedded.start(settings.data_dir, valkey=False) as servers:
        yield servers.database_url


def _listens(url: str) -> bool:
    """Whether somebody does: the process that left a note may be dead and its number another's."""
    directory = parse_qs(urlsplit(url).query).get("host", [""])[0]
    if not directory:
        return True  # a server of the settings, not ours to judge
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(f"{directory}/.s.PGSQL.5432") == 0


async def _is_empty(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        return not await connection.fetchval("SELECT EXISTS (SELECT FROM users)")
    finally:
        await connection.close()


async def load_demo(url: str, *, customers: int, seed: int, orders: int | None, console: Console) -> demo.DemoCompany:
    """Loads the demo company, with a progress bar. Raises `SetupError` when there is one already."""
    hashed = await passwords.hash(welcome.DEMO_PASSWORD)
    connection = await asyncpg.connect(url, server_settings={"jit": "off"})
    try:
        with progress(console) as bar:
            tasks: dict[str, Any] = {}

            def show(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(f"Demo company: {what}", total=total)
                bar.update(tasks[what], completed=done, total=total)

            return await demo.load(
                connection,
                customers=customers,
                orders_per_customer=orders,
                seed=seed,
                now=datetime.now(UTC),
                password_hash=hashed,
                progress=show,
            )
    finally:
        await connection.close()


def progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
