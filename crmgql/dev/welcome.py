"""What `crmgql dev` prints once the API answers: where it is, how to log in, and a query with the beginning of its answer."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from datetime import UTC, datetime
from http.client import HTTPException

from rich.console import Console
from rich.panel import Panel

from crmgql import db, secrets_file
from crmgql.config import Settings
from crmgql.domain.people import sessions
from crmgql.errors import NotFound, SetupError

DEMO_PASSWORD = "crmgql-demo"  # noqa: S105 (a demo's, printed for everybody)
DEMO_ADMIN = "admin@demo.example"
TOKEN_MINUTES = 12 * 60
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy knows nothing of our own address
QUERY = """{ customers(first: 1, orderBy: [{field: CREATED_AT, direction: DESC}]) { nodes { id name
    orders(first: 5) { nodes { id number total { amount currency }
      payments(first: 5) { nodes { id amount { amount currency }
        commissions(first: 5) { nodes { id amount { amount currency } seller { id name } } } } } } } } } }"""


def show(settings: Settings, database_url: str, console: Console) -> None:
    """Waits until the API answers, then says where it is and how to ask it."""
    api = base(settings)
    address = f"{api}/graphql"
    if not _wait_until_ready(f"{api}/readyz"):
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


def base(settings: Settings) -> str:
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
