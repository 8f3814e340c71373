"""The command line. Each command opens what it needs, calls one thing, and says plainly what went wrong."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crmgql import config, db, garbage, logs, migrate, secrets_file
from crmgql.cli import audit, bank, books, failures, imports, jobs, migrations, rates
from crmgql.dev import demo, machine, welcome
from crmgql.domain.jobs import kinds
from crmgql.domain.people import passwords, sessions
from crmgql.errors import SetupError

console = Console(stderr=True)
app = typer.Typer(
    help="crmgql: a CRM back end with one GraphQL API and async workers.\n\nFirst time? “crmgql dev” starts everything "
    "on this machine and tells you where it is. Settings are CRMGQL_* variables; see docs/reference/settings.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(jobs.app, name="jobs")
app.add_typer(migrations.app, name="migrations")
app.add_typer(audit.app, name="audit")
app.add_typer(books.app, name="export")
app.add_typer(rates.app, name="rates")
app.add_typer(bank.app, name="bank")


def main() -> None:
    """Runs a command; what an operator can mend is one line, not a traceback."""
    with failures.told():
        app()


def _database_url(settings: config.Settings) -> str:
    if settings.database_url is None:
        raise SetupError("Set CRMGQL_DATABASE_URL, or use “crmgql dev”, which starts a database of its own.")
    return settings.database_url


@app.command()
def dev() -> None:
    """Start everything on this machine: databases, demo company (first time), API and worker."""
    raise SystemExit(machine.run(config.checked()))


@app.command()
def serve(standby: Annotated[bool, typer.Option("--standby", hidden=True)] = False) -> None:
    """Serve the API. Needs CRMGQL_DATABASE_URL and CRMGQL_REDIS_URL."""
    with garbage.left_out():
        from crmgql import serve as server  # here, because it brings the whole schema along

    settings = config.checked()
    _database_url(settings)
    server.serve(settings, standby=standby)


@app.command()
def worker(
    queues: Annotated[
        str, typer.Option(help="Only these queues, comma-separated; run several workers to keep kinds apart.")
    ] = ",".join(kinds.QUEUES),
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve /healthz, /readyz and /metrics on this port.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="The address to serve them on.")] = "127.0.0.1",
) -> None:
    """Run a worker for background jobs. Needs CRMGQL_DATABASE_URL and CRMGQL_REDIS_URL."""
    with garbage.left_out():
        from crmgql.workers import runner

    settings = config.checked()
    wanted = [queue.strip() for queue in queues.split(",") if queue.strip()]
    if not wanted or set(wanted) - set(kinds.QUEUES):
        raise SetupError(f"--queues takes some of {', '.join(kinds.QUEUES)}, not {queues!r}.")
    logs.set_up(settings)
    runner.run(settings, wanted, None if metrics_port is None else (metrics_host, metrics_port))


@app.command(name="migrate")
def migrate_command() -> None:
    """Bring the database to this version's tables."""
    with machine.embedded_unless_set(config.checked()) as url:
        applied = asyncio.run(migrate.migrate(url))
    console.print("Applied " + ", ".join(applied) if applied else "Nothing to do: the database is up to date.")


@app.command(name="demo")
def demo_command(
    customers: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many customers.")] = machine.DEMO_CUSTOMERS,
    seed: Annotated[int, typer.Option(help="The same seed makes the same company.")] = 1,
    orders: Annotated[
        int | None, typer.Option(min=1, max=999, help="Exactly so many orders each, as benchmarks need.")
    ] = None,
) -> None:
    """Load a believable demo company into an empty database."""
    with machine.embedded_unless_set(config.checked()) as url:
        asyncio.run(migrate.migrate(url))
        company = asyncio.run(machine.load_demo(url, customers=customers, seed=seed, orders=orders, console=console))
    _introduce(company)


app.command(name="import")(imports.run)


@app.command()
def schema(
    check: Annotated[bool, typer.Option("--check", help="Only say whether schema.graphql is current.")] = False,
) -> None:
    """Write schema.graphql from the declarations."""
    from crmgql.schema import build

    _keep(Path("schema.graphql"), asyncio.run(build.printed()), check=check)


@app.command()
def permissions(
    check: Annotated[bool, typer.Option("--check", help="Only say whether the page is current.")] = False,
) -> None:
    """Write docs/reference/permissions.md from the roles and declarations."""
    from crmgql.cli import reference
    from crmgql.schema import build

    asyncio.run(build.prepare())
    _keep(Path("docs/reference/permissions.md"), reference.permissions(), check=check)


def _keep(path: Path, text: str, *, check: bool) -> None:
    """Writes a file that is made from the declarations. With `check` it writes nothing, and raises `SetupError` for an old one."""
    current = path.read_text("utf-8") if path.exists() else ""
    if text == current:
        console.print(f"{path} is current.")
    elif check:
        raise SetupError(f"{path} is not what the declarations say; run “make schema” and commit it.")
    else:
        path.write_text(text, "utf-8")
        console.print(f"{path} written.")


@app.command()
def events(
    check: Annotated[bool, typer.Option("--check", help="Only say whether the page is current.")] = False,
) -> None:
    """Write docs/reference/events.md from the registry of events."""
    from crmgql.events import reference

    _keep(Path("docs/reference/events.md"), reference.page(), check=check)


@app.command()
def token(
    email: Annotated[str, typer.Option(help="Whose token: the e-mail of an active user.")],
    minutes: Annotated[int, typer.Option(min=1, max=43_200, help="How long it is good for.")] = 60,
) -> None:
    """Print an access token for a user of this installation, without a password."""
    settings = config.checked()
    with machine.embedded_unless_set(settings) as url:
        print(asyncio.run(_token(url, settings, email, minutes)))


async def _token(url: str, settings: config.Settings, email: str, minutes: int) -> str:
    issue = sessions.Issue(secrets_file.secret(settings), minutes, minutes // 1440 + 1)
    async with db.opened(url) as database:
        opened = await sessions.open_for(database, email=email, now=datetime.now(UTC), issue=issue)
    return opened.access_token


@app.command()
def password(
    email: Annotated[str, typer.Option(help="Whose password: the e-mail of an active user.")],
) -> None:
    """Set a user's password; it is asked for, or read from a pipe, never from the command line."""
    settings = config.checked()
    if sys.stdin.isatty():
        text = typer.prompt("New password", hide_input=True, confirmation_prompt=True)
    else:
        text = sys.stdin.readline().rstrip("\r\n")
    with machine.embedded_unless_set(settings) as url:
        asyncio.run(_set_password(url, email, text))
    console.print(f"The password of {email} is set, and all their sessions are ended.")


async def _set_password(url: str, email: str, text: str) -> None:
    hashed = await passwords.hash(text)
    async with db.opened(url) as database:
        await sessions.reset_password(database, email=email, hashed=hashed, now=datetime.now(UTC))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def bench(context: typer.Context) -> None:
    """Measure requests per second beside other servers (in a checkout; “crmgql bench --help” lists the options)."""
    import subprocess

    if not Path("bench/__main__.py").exists():
        raise SetupError("The benchmarks are in the repository, not in the package: run this in a checkout.")
    raise SystemExit(subprocess.call([sys.executable, "-m", "bench", *context.args]))  # noqa: S603 (our own program)


def _introduce(company: demo.DemoCompany) -> None:
    for role in ("admin", "finance", "manager", "seller", "support", "marketer"):
        console.print(f"  {role:<9} {getattr(company, role)}  password: {welcome.DEMO_PASSWORD}", highlight=False)
