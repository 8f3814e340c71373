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
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from crmgql import db, migrate, secrets_file
from crmgql.config import Settings
from crmgql.dev import demo, embedded, supervise
from crmgql.domain.people import passwords, sessions
from crmgql.errors import NotFound, SetupError

DEMO_CUSTOMERS = 200
DEMO_PASSWORD = "crmgql-demo"  # noqa: S105 (a demo's, printed for everybody)
DEMO_ADMIN = "admin@demo.example"
TOKEN_MINUTES = 12 * 60
COMFORT = {
    "CRMGQL_LOG_SQL": "true",
    "CRMGQL_INTROSPECTION": "anyone",
    "CRMGQL_GET_QUERIES": "true",
    "CRMGQL_IDE": "true",
}
"""What is switched on for whoever tries it on a machine of their own, unless the environment says otherwise."""
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy knows nothing of our own address
QUERY = """{ customers(first: 1, orderBy: [{field: CREATED_AT, direction: DESC}]) { nodes { id name
    orders(first: 5) { nodes { id number total { amount currency }
      payments(first: 5) { nodes { id amount { amount currency }
        commissions(first: 5) { nodes { id amount { amount currency } seller { id name } } } } } } } } } }"""


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
        threading.Thread(target=_welcome, args=(settings, servers.database_url, console), daemon=True).start()
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
    hashed = await passwords.hash(DEMO_PASSWORD)
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


def _welcome(settings: Settings, database_url: str, console: Console) -> None:
    """Waits until the API answers, then says where it is and how to ask it."""
    base = _base(settings)
    address = f"{base}/graphql"
    if not _wait_until_ready(f"{base}/readyz"):
        console.print("The API is not ready after a minute; its messages above say why.", style="red")
        return
    try:
        token = asyncio.run(_token(database_url, settings))
    except SetupError as error:
        console.print(error.message, style="red", highlight=False)
        return
    intro = f"GraphQL   {address}   (in a browser: a page to try queries)\n"
    if token is None:
        console.print(Panel(intro + "Log in with a user of yours.", title="crmgql is running", expand=False))
        return
    intro += f"Login     {DEMO_ADMIN} / {DEMO_PASSWORD}\n\nA customer 360 in one query, one SQL statement:"
    answer = _answer(address, token)
    console.print(Panel(intro, title="crmgql is running", expand=False), highlight=False)
    console.print(QUERY, highlight=False, markup=False, soft_wrap=True)
    if answer is not None:
        console.print("\nIts answer begins:")
        console.print(answer, highlight=False, markup=False, soft_wrap=True)
    console.print(f"\nToken (good for {TOKEN_MINUTES // 60} hours):\n{token}", highlight=False, soft_wrap=True)
    console.print("\nCtrl-C stops everything.", style="bold")


def _base(settings: Settings) -> str:
    """The API's address as a client on this machine would write it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 (compared, not bound)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _wait_until_ready(url: str) -> bool:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with DIRECT.open(url, timeout=2):
                return True
        except (OSError, HTTPException):
            time.sleep(0.1)
    return False


async def _token(database_url: str, settings: Settings) -> str | None:
    """A token for the demo's administrator; None when this is no demo."""
    issue = sessions.Issue(secrets_file.secret(settings), TOKEN_MINUTES, 1)
    async with db.opened(database_url) as database:
        try:
            opened = await sessions.open_for(database, email=DEMO_ADMIN, now=datetime.now(UTC), issue=issue)
        except NotFound:
            return None
    return opened.access_token


def _answer(address: str, token: str) -> str | None:
    """The first lines of the answer; None without one, as when the settings allow no query of this size."""
    request = urllib.request.Request(  # noqa: S310 (our own address)
        address,
        json.dumps({"query": QUERY}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    try:
        with DIRECT.open(request, timeout=10) as response:
            data = json.load(response)["data"]
    except (OSError, HTTPException, ValueError, KeyError):
        return None
    return "\n".join(json.dumps(data, indent=2, ensure_ascii=False).splitlines()[:24]) + "\n  …" if data else None
